//! Model files that were taken from another folder than the workflow names.

use redraft_engine::prompt::{Given, NodeId, Prompt};
use serde_json::Value as Json;

use crate::named::Named;

/// What a workflow calls a file, where another name of it stands in the prompt that runs: that of the same file in another folder. Nothing
/// where only the way of writing was changed.
pub(super) fn written<'p>(file: &Named, as_written: &'p Prompt) -> Option<&'p str> {
    let node = as_written.nodes.get::<NodeId>(&file.node)?;
    let Some(Given::Constant(Json::String(name))) = node.inputs.get(&file.input) else { return None };
    let base = |name: &str| name.rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
    let is_moved = name.replace('\\', "/") != file.name && base(name) == base(&file.name);
    is_moved.then_some(name.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use redraft_engine::prompt::PromptNode;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_another_folder_counts() {
        let prompt = |name: &str| {
            let inputs = [("ckpt_name".to_owned(), Given::Constant(json!(name)))].into_iter().collect();
            let node = PromptNode { class_type: "X".to_owned(), inputs, title: None };
            Prompt { nodes: [("4".into(), node)].into_iter().collect() }
        };
        let file = Named {
            node: "4".into(),
            input: "ckpt_name".to_owned(),
            folder: "checkpoints".to_owned(),
            name: "sub/a.safetensors".to_owned(),
        };
        assert_eq!(written(&file, &prompt("A.safetensors")), Some("A.safetensors"));
        for name in ["sub/a.safetensors", "sub\\a.safetensors", "b.safetensors"] {
            assert_eq!(written(&file, &prompt(name)), None, "{name}");
        }
    }
}
