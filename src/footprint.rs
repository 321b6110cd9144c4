//! How much memory a workflow's models will take, said before they are read.

use std::collections::BTreeSet;

use redraft_engine::exec::Engine;
use redraft_engine::memory::in_words;
use redraft_engine::node::Registry;
use redraft_engine::prompt::{Given, Prompt};
use redraft_engine::schema::{Kind, Options};
use redraft_nodes::models::footprint::Footprint;
use redraft_nodes::ops::numerics::Numerics;
use serde_json::Value as Json;

/// From so many bytes on it is said how much memory models will take.
const LARGE_MODELS: u64 = 4 << 30;

/// How much memory the models of a workflow will take, if that is much.
pub(crate) fn of(prompt: &Prompt, registry: &Registry, engine: &Engine) -> Option<String> {
    let numerics = engine.services.get::<Numerics>()?;
    let mut files = BTreeSet::new();
    for node in prompt.nodes.values() {
        let Some(class) = registry.class(&node.class_type) else { continue };
        for input in &class.schema.inputs {
            if let Kind::Combo { options: Options::Files { folder, .. }, .. } = &input.kind
                && let Some(Given::Constant(Json::String(name))) = node.inputs.get(&input.name)
                && folder != "input"
            {
                files.extend(engine.folders.find(folder, name));
            }
        }
    }
    // What is no model counts for nothing here.
    let each = files.iter().filter_map(|path| Footprint::of_file(path, &numerics).ok());
    let Footprint { held, mapped } = each.fold(Footprint::default(), Footprint::and);
    (held + mapped > LARGE_MODELS).then(|| {
        let stays = if mapped > 0 {
            format!(", and {} stay in their files and are read from there", in_words(mapped))
        } else {
            String::new()
        };
        format!("the models take about {} of memory{stays}", in_words(held))
    })
}
