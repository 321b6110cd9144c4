//! Outputs that later versions of ComfyUI gave to nodes that save or show something, and that pass on what these are given: a link
//! from one is a link from what feeds the node.

use std::collections::HashMap;

use super::types::Remark;
use crate::prompt::{Given, NodeId, Prompt};
use crate::schema::Schemas;

/// A class, its output, and the input whose value comes out of it.
const PASSED_ON: [(&str, usize, &str); 13] = [
    ("SaveImage", 0, "images"),
    ("PreviewImage", 0, "images"),
    ("SaveAnimatedWEBP", 0, "images"),
    ("SaveAnimatedPNG", 0, "images"),
    ("SaveWEBM", 0, "images"),
    ("SaveSVGNode", 0, "svg"),
    ("MaskPreview", 0, "mask"),
    ("SaveLatent", 0, "samples"),
    ("SaveVideo", 0, "video"),
    ("SaveAudio", 0, "audio"),
    ("SaveAudioMP3", 0, "audio"),
    ("SaveAudioOpus", 0, "audio"),
    ("PreviewAudio", 0, "audio"),
];

/// Leads links from such outputs, where the class here lacks them, to what they pass on.
pub(super) fn link_through(prompt: &mut Prompt, schemas: &dyn Schemas, remarks: &mut Vec<Remark>) {
    let mut changed = Vec::new();
    let mut ends = Ends { prompt, schemas, known: HashMap::new() };
    for (id, node) in &prompt.nodes {
        for (name, given) in &node.inputs {
            let Some((end, by)) = ends.of(given) else { continue };
            let class = &prompt.nodes[by].class_type;
            let text = format!(
                "`{name}` is linked to an output that `{class}` (node {by}) has since later versions only: it is given what that passes on"
            );
            remarks.push(Remark::note(id.as_str(), text));
            changed.push((id.clone(), name.clone(), end.clone()));
        }
    }
    for (id, name, given) in changed {
        if let Some(node) = prompt.nodes.get_mut(&id) {
            node.inputs.insert(name, given);
        }
    }
}

/// What comes out of such outputs in the end, by node and number. It is remembered: long chains cost no more than their length.
struct Ends<'p> {
    prompt: &'p Prompt,
    schemas: &'p dyn Schemas,
    known: HashMap<(&'p NodeId, usize), &'p Given>,
}

impl<'p> Ends<'p> {
    /// What an input is given in place of such an output, and the node whose output it is.
    fn of(&mut self, given: &'p Given) -> Option<(&'p Given, &'p NodeId)> {
        let Given::Link { node: first, .. } = given else { return None };
        let mut path = Vec::new();
        let mut at = given;
        // More steps than there are nodes lead round in a circle.
        while let Given::Link { node, slot } = at
            && path.len() <= self.prompt.nodes.len()
        {
            if let Some(end) = self.known.get(&(node, *slot)) {
                at = *end;
                break;
            }
            let Some(next) = self.passed_on(node, *slot) else { break };
            path.push((node, *slot));
            at = next;
        }
        self.known.extend(path.into_iter().map(|output| (output, at)));
        (at != given).then_some((at, first))
    }

    fn passed_on(&self, node: &NodeId, slot: usize) -> Option<&'p Given> {
        let source = self.prompt.nodes.get(node)?;
        let (_, _, input) =
            PASSED_ON.iter().find(|(class, output, _)| *class == source.class_type && *output == slot)?;
        let lacks = self.schemas.schema(&source.class_type).is_some_and(|schema| schema.outputs.len() <= slot);
        source.inputs.get(*input).filter(|_| lacks)
    }
}
