//! Classes that ComfyUI renamed, or merged into others.

use std::borrow::Cow;

use serde_json::Value;

use super::types::Remark;
use super::ui;
use crate::prompt::Prompt;
use crate::schema::Schemas;

/// A class that is gone, and the one that does its work.
struct Replacement {
    old: &'static str,
    new: &'static str,
    /// Inputs that are called otherwise: old and new name.
    inputs: &'static [(&'static str, &'static str)],
}

/// Those of ComfyUI 0.33.0 whose old class is in no version that is known here.
const REPLACEMENTS: [Replacement; 5] = [
    Replacement {
        old: "T2IAdapterLoader",
        new: "ControlNetLoader",
        inputs: &[("t2i_adapter_name", "control_net_name")],
    },
    Replacement { old: "ConditioningAverage ", new: "ConditioningAverage", inputs: &[] },
    Replacement { old: "SDV_img2vid_Conditioning", new: "SVD_img2vid_Conditioning", inputs: &[] },
    Replacement { old: "Load3DAnimation", new: "Load3D", inputs: &[] },
    Replacement { old: "Preview3DAnimation", new: "Preview3D", inputs: &[] },
];

impl Replacement {
    fn of(class: &str) -> Option<&'static Self> {
        REPLACEMENTS.iter().find(|replacement| replacement.old == class)
    }

    fn input<'n>(&self, name: &'n str) -> &'n str {
        self.inputs.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new)
    }

    fn remark(&self, id: &str) -> Remark {
        Remark::note(id, format!("the class `{}` is called `{}` today", self.old, self.new))
    }
}

/// A node of the editor's form with the class and the names of inputs that it has today.
pub(super) fn in_node<'n>(raw: &'n ui::Node, remarks: &mut Vec<Remark>) -> Cow<'n, ui::Node> {
    let Some(replacement) = Replacement::of(&raw.class) else { return Cow::Borrowed(raw) };
    remarks.push(replacement.remark(&raw.id));
    let mut node = raw.clone();
    replacement.new.clone_into(&mut node.class);
    for input in &mut node.inputs {
        input.name = replacement.input(&input.name).to_owned();
        input.widget = input.widget.as_deref().map(|name| replacement.input(name).to_owned());
    }
    for values in [&mut node.named, &mut node.widgets] {
        if let Value::Object(named) = values {
            *named = named.iter().map(|(name, value)| (replacement.input(name).to_owned(), value.clone())).collect();
        }
    }
    Cow::Owned(node)
}

/// The same for the nodes of a prompt, where their class is not declared.
pub(super) fn in_prompt(prompt: &mut Prompt, schemas: &dyn Schemas, remarks: &mut Vec<Remark>) {
    for (id, node) in &mut prompt.nodes {
        let Some(replacement) = Replacement::of(&node.class_type) else { continue };
        if schemas.schema(replacement.old).is_some() || schemas.schema(replacement.new).is_none() {
            continue;
        }
        remarks.push(replacement.remark(id.as_str()));
        replacement.new.clone_into(&mut node.class_type);
        node.inputs = node.inputs.drain(..).map(|(name, given)| (replacement.input(&name).to_owned(), given)).collect();
    }
}
