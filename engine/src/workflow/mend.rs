//! What makes a prompt of another day or state runnable: defaults of inputs that its classes gained since, and nodes left out
//! that hang on muted ones.

use std::collections::{HashMap, HashSet};

use super::types::{Form, Remark, Workflow};
use crate::links::Links;
use crate::live;
use crate::prompt::{Given, NodeId};
use crate::schema::{Folders, Schemas};
use crate::settable::input_of;
use crate::stock;

impl Workflow {
    /// Gives a prompt in the API form the defaults of the inputs that it lacks, where the class declares one: it gained the input
    /// since the prompt was written. Of the versions by which it may have been saved, the first says what the default is.
    pub fn fill_defaults(&mut self, schemas: &dyn Schemas, folders: &dyn Folders) {
        if self.form != Form::Api {
            return;
        }
        for (id, node) in &mut self.prompt.nodes {
            let Some(schema) = schemas.schema(&node.class_type) else { continue };
            let editions = schemas.saved_by(&node.class_type);
            let default = |live: &live::Live<'_>| {
                let theirs = editions.first().and_then(|edition| input_of(edition.schema, &live.name));
                theirs.unwrap_or(live.input).kind.default(folders)
            };
            let missing: Vec<_> = live::inputs(schema, &node.inputs)
                .into_iter()
                .filter(|live| !live.optional && !node.inputs.contains_key(&live.name))
                .filter(|live| stock::declares_default(&node.class_type, live.input))
                .filter_map(|live| Some((live.name.clone(), default(&live)?)))
                .collect();
            for (name, value) in missing {
                let text = format!(
                    "`{}` has the input `{name}`, which the prompt lacks: its default {value} is taken",
                    node.class_type
                );
                self.remarks.push(Remark::warning(id.as_str(), text));
                node.inputs.insert(name, Given::Constant(value));
            }
        }
    }

    /// Takes out the nodes that need what a muted node would have given, and those that need them: muting switches a branch off.
    pub fn leave_out_muted(&mut self, schemas: &dyn Schemas) {
        let needs = |id: &NodeId, input: &str| {
            let Some(node) = self.prompt.nodes.get(id) else { return false };
            let schema = schemas.schema(&node.class_type);
            schema.is_none_or(|schema| {
                live::inputs(schema, &node.inputs).iter().any(|live| live.name == input && !live.optional)
            })
        };
        let lacking: Vec<_> = self.unfed.iter().filter(|unfed| needs(&unfed.node, &unfed.input)).collect();
        if lacking.is_empty() {
            return;
        }
        let links = Links::of(&self.prompt);
        // The muted node that each node needs, by the first that was found.
        let mut why: HashMap<NodeId, &str> = HashMap::new();
        let mut open: Vec<(&NodeId, &str)> =
            lacking.iter().rev().map(|unfed| (&unfed.node, unfed.by.as_str())).collect();
        while let Some((id, by)) = open.pop() {
            if !why.contains_key(id) {
                why.insert(id.clone(), by);
                open.extend(links.users(id).map(|user| (user, by)));
            }
        }
        for (id, node) in self.prompt.nodes.iter().filter(|(id, _)| why.contains_key(*id)) {
            let output = schemas.schema(&node.class_type).is_some_and(|schema| schema.output_node);
            let text = format!(
                "`{}` is left out: it needs node `{}`, which is muted",
                node.class_type.escape_debug(),
                why[id]
            );
            let remark = if output { Remark::warning } else { Remark::note };
            self.remarks.push(remark(id.as_str(), text));
        }
        // What was said of their inputs is said by this.
        let told: Vec<Remark> = lacking.iter().map(|unfed| unfed.remark()).collect();
        self.remarks.retain(|remark| !told.contains(remark));
        let out: HashSet<NodeId> = why.into_keys().collect();
        self.prompt.nodes.retain(|id, _| !out.contains(id));
        self.prompt_json = self.prompt.to_json();
        self.unfed.clear();
    }
}
