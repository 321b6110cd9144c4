//! Which input, or which node, an address means.

use std::collections::HashMap;

use super::input_of;
use crate::error::nearest;
use crate::prompt::{NodeId, Prompt, PromptNode};
use crate::schema::Schemas;

/// The addresses of a prompt.
pub struct Addresses<'p> {
    prompt: &'p Prompt,
    schemas: &'p dyn Schemas,
    by_title: HashMap<&'p str, Vec<&'p NodeId>>,
}

impl<'p> Addresses<'p> {
    pub fn new(prompt: &'p Prompt, schemas: &'p dyn Schemas) -> Self {
        let mut by_title: HashMap<_, Vec<_>> = HashMap::new();
        for (id, node) in &prompt.nodes {
            if let Some(title) = &node.title {
                by_title.entry(title.as_str()).or_default().push(id);
            }
        }
        Self { prompt, schemas, by_title }
    }

    /// The input that an address means.
    ///
    /// # Errors
    /// If there is no such input, or several nodes have the title. The message continues a sentence that begins with
    /// the address.
    pub fn find(&self, address: &str) -> Result<(&'p NodeId, String), String> {
        // Ids, titles and inputs may contain dots: every split is tried, those by an id first.
        let splits = || address.match_indices('.').map(|(at, _)| (&address[..at], &address[at + 1..]));
        let by_id = splits().filter_map(|(id, input)| Some((self.prompt.nodes.get_key_value(id)?.0, input)));
        let mut why = None;
        for (node, input) in by_id
            .map(|(id, input)| (Ok(id), input))
            .chain(splits().filter_map(|(title, input)| Some((self.titled(title)?, input))))
        {
            let found = node.and_then(|id| has_input(&self.prompt.nodes[id], id, input, self.schemas).map(|()| id));
            match found {
                Ok(id) => return Ok((id, input.to_owned())),
                Err(problem) => why = why.or(Some(problem)),
            }
        }
        Err(why.unwrap_or_else(|| match address.split_once('.') {
            Some((node, _)) => {
                let near = self.near(node).map(|near| format!(" did you mean '{near}'?")).unwrap_or_default();
                format!("no node has the id or title '{node}';{near} `redraft inputs` shows all addresses")
            }
            None => "has no input; write NODE.INPUT".to_owned(),
        }))
    }

    /// The node that a name means: an id, a title or a class, where only one node has it.
    ///
    /// # Errors
    /// If there is no such node, or there are several. The message continues a sentence that begins with the name.
    pub fn node(&self, name: &str) -> Result<&'p NodeId, String> {
        if let Some((id, _)) = self.prompt.nodes.get_key_value(name) {
            return Ok(id);
        }
        if let Some(titled) = self.titled(name) {
            return titled;
        }
        let of_class: Vec<_> =
            self.prompt.nodes.iter().filter(|(_, node)| node.class_type == name).map(|(id, _)| id).collect();
        match of_class.as_slice() {
            [one] => Ok(one),
            [] => {
                let near = self.near(name).map(|near| format!(" did you mean '{near}'?")).unwrap_or_default();
                Err(format!("no node has this id, title or class;{near} `redraft graph` shows all nodes"))
            }
            many => {
                let ids: Vec<_> = many.iter().map(|id| id.as_str()).collect();
                Err(format!("the nodes {} are of this class; name one by its id", ids.join(", ")))
            }
        }
    }

    /// The title or class most like a name.
    fn near(&self, name: &str) -> Option<&'p str> {
        let classes = self.prompt.nodes.values().map(|node| node.class_type.as_str());
        nearest(name, self.by_title.keys().copied().chain(classes))
    }

    /// The one node of a title, if there is any.
    fn titled(&self, title: &str) -> Option<Result<&'p NodeId, String>> {
        Some(match self.by_title.get(title)?.as_slice() {
            [one] => Ok(one),
            many => {
                let ids: Vec<_> = many.iter().map(|id| id.as_str()).collect();
                Err(format!("the nodes {} have the title '{title}'; name one by its id", ids.join(", ")))
            }
        })
    }
}

fn has_input(node: &PromptNode, id: &NodeId, input: &str, schemas: &dyn Schemas) -> Result<(), String> {
    let schema = schemas.schema(&node.class_type);
    if node.inputs.contains_key(input) || schema.is_some_and(|schema| input_of(schema, input).is_some()) {
        return Ok(());
    }
    let declared = schema.into_iter().flat_map(|schema| schema.inputs.iter().map(|input| input.name.as_str()));
    let mut names: Vec<&str> = declared.collect();
    if names.is_empty() {
        names = node.inputs.keys().map(String::as_str).collect();
    }
    let near = nearest(input, names.iter().copied());
    let near = near.map(|near| format!(" did you mean '{near}'?")).unwrap_or_default();
    Err(format!("node {id} ({}) has no input '{input}';{near} it has {}", node.class_type, names.join(", ")))
}
