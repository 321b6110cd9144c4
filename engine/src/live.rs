//! The inputs of one node. A class may declare inputs that exist only for certain values of others.

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::node::Class;
use crate::prompt::Given;
use crate::schema::{Autogrow, Beyond, Hidden, Input, Kind, Schema};

/// An input of a node, by the name that it has in the prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Live<'s> {
    /// `width`, or `resize_type.width` for what a choice brings and `images.image0` for a socket that was added.
    pub name: String,
    pub input: &'s Input,
    pub optional: bool,
}

/// The inputs of a node in declared order. The inputs of a chosen option follow the combo; the sockets of an autogrow
/// input take its place.
pub(crate) fn inputs<'s>(schema: &'s Schema, given: &IndexMap<String, Given>) -> Vec<Live<'s>> {
    let mut all = Vec::with_capacity(schema.inputs.len());
    for input in &schema.inputs {
        expand(input.name.clone(), input, input.optional, given, &mut all);
    }
    all
}

fn expand<'s>(
    name: String,
    input: &'s Input,
    optional: bool,
    given: &IndexMap<String, Given>,
    all: &mut Vec<Live<'s>>,
) {
    match &input.kind {
        Kind::Autogrow(grow) => added(&name, grow, optional, given, all),
        Kind::DynamicCombo(choices) => {
            let chosen = match given.get(&name) {
                Some(Given::Constant(Json::String(key))) => choices.iter().find(|choice| choice.key == *key),
                _ => None,
            };
            let prefix = name.clone();
            all.push(Live { name, input, optional });
            for inner in chosen.into_iter().flat_map(|choice| &choice.inputs) {
                expand(format!("{prefix}.{}", inner.name), inner, inner.optional, given, all);
            }
        }
        _ => all.push(Live { name, input, optional }),
    }
}

/// The connected sockets of an autogrow input. As in ComfyUI they are optional, except that a required input needs at
/// least one.
fn added<'s>(name: &str, grow: &'s Autogrow, optional: bool, given: &IndexMap<String, Given>, all: &mut Vec<Live<'s>>) {
    let before = all.len();
    for index in 0..grow.max {
        let Some(socket) = grow.name(index).map(|socket| format!("{name}.{socket}")) else { break };
        if given.contains_key(&socket) {
            expand(socket, &grow.template, index >= grow.min, given, all);
        }
    }
    if let (true, Some(first)) = (all.len() == before && !optional && grow.min > 0, grow.name(0)) {
        expand(format!("{name}.{first}"), &grow.template, false, given, all);
    }
}

/// An input that no class declares: a `*` socket.
static UNDECLARED: Input = Input {
    name: String::new(),
    kind: Kind::Socket(String::new()),
    optional: true,
    lazy: false,
    force_input: false,
    raw_link: false,
    beyond: Beyond::Nowhere,
    tooltip: String::new(),
};

/// What a node is given besides the declared inputs: links, if its class takes them, hidden values, and constants too, if it takes any.
pub(crate) fn undeclared<'s>(class: &Class, given: &IndexMap<String, Given>, declared: &[Live<'s>]) -> Vec<Live<'s>> {
    let any = class.schema.takes_any();
    let hidden = |name: &str| any || class.schema.hidden.iter().any(|(n, kind)| n == name && *kind == Hidden::Any);
    let taken =
        |name: &String, given: &Given| (class.traits.variadic && matches!(given, Given::Link { .. })) || hidden(name);
    let known = |name: &String| declared.iter().any(|live| live.name == *name);
    let names = given.iter().filter(|(name, given)| taken(name, given) && !known(name)).map(|(name, _)| name.clone());
    names.map(|name| Live { name, input: &UNDECLARED, optional: true }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::schema::Schemas;
    use crate::stock::Stock;

    fn names(class: &str, given: &[(&str, Json)]) -> Vec<(String, bool)> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), Given::Constant(value.clone()))).collect();
        inputs(Stock.schema(class).unwrap(), &given).into_iter().map(|live| (live.name, live.optional)).collect()
    }

    #[test]
    fn a_choice_brings_its_inputs() {
        let found = names("ResizeImageMaskNode", &[("resize_type", json!("scale longer dimension"))]);
        let found: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, ["input", "resize_type", "resize_type.longer_size", "scale_method"]);
        assert_eq!(names("ResizeImageMaskNode", &[("resize_type", json!("none such"))]).len(), 3);
    }

    #[test]
    fn sockets_are_those_that_were_added() {
        assert_eq!(names("BatchImagesNode", &[]), [("images.image0".to_owned(), false)]);
        let found = names("BatchImagesNode", &[("images.image1", json!(0)), ("images.image7", json!(0))]);
        assert_eq!(found, [("images.image1".to_owned(), false), ("images.image7".to_owned(), true)]);
    }
}
