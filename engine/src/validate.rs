//! The checks of one node's inputs: ComfyUI's, in its order, with its error types and details.

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use crate::constant;
use crate::error::nearest;
use crate::folders::FolderPaths;
use crate::io::ANY;
use crate::node::Registry;
use crate::problem::{Problem, ProblemKind};
use crate::prompt::{Given, NodeId, Prompt};
use crate::schema::{Input, Kind, Options, integer};

/// Lists of choices longer than this are not printed.
const LONG_LIST: usize = 20;

pub(crate) struct Validator<'a> {
    pub prompt: &'a Prompt,
    pub registry: &'a Registry,
    pub folders: &'a FolderPaths,
}

/// What a check found: kind, ComfyUI's details, extra_info, and words for people.
struct Finding {
    kind: ProblemKind,
    details: String,
    extra: Vec<(&'static str, Json)>,
    advice: String,
}

impl Validator<'_> {
    /// Everything wrong with the inputs of the node `id`. Constants are converted in `inputs`.
    pub(crate) fn node(&self, id: &NodeId, inputs: &mut IndexMap<String, Given>) -> Vec<Problem> {
        let class_type = &self.prompt.nodes[id].class_type;
        let Some(class) = self.registry.class(class_type) else { return Vec::new() };
        let mut problems = Vec::new();
        let mut report = |input: &str, finding: Finding| {
            let mut extra: Map<String, Json> = finding.extra.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
            extra.insert("input_name".into(), json!(input));
            problems.push(Problem {
                node: Some(id.clone()),
                class: class_type.clone(),
                input: Some(input.to_owned()),
                kind: finding.kind,
                details: finding.details,
                extra,
                advice: finding.advice,
            });
        };
        for input in &class.schema.inputs {
            let checked = match inputs.get_mut(&input.name) {
                None if input.optional => Ok(()),
                None => Err(missing(input)),
                Some(Given::Link { node, slot }) => self.link(input, node, *slot),
                Some(Given::Constant(value)) => self.constant(input, value).map(|converted| *value = converted),
            };
            if let Err(finding) = checked {
                report(&input.name, finding);
            }
        }
        for (name, given) in inputs.iter() {
            if matches!(given, Given::Link { .. }) && class.schema.input(name).is_none() {
                report(name, undeclared(name, class_type, class.schema.inputs.iter().map(|i| i.name.as_str())));
            }
        }
        inputs.retain(|name, _| class.schema.input(name).is_some());
        problems
    }

    fn link(&self, input: &Input, from: &NodeId, slot: usize) -> Result<(), Finding> {
        let Some(source) = self.prompt.nodes.get(from) else {
            return Err(Finding {
                kind: ProblemKind::DanglingLink,
                details: format!("'{from}'"),
                extra: vec![("exception_type", json!("KeyError"))],
                advice: format!("is linked to node {from}, which does not exist; connect it to a node that does"),
            });
        };
        let Some(class) = self.registry.class(&source.class_type) else { return Ok(()) };
        let Some(output) = class.schema.outputs.get(slot) else {
            let count = class.schema.outputs.len();
            return Err(Finding {
                kind: ProblemKind::DanglingLink,
                details: "tuple index out of range".into(),
                extra: vec![("exception_type", json!("IndexError"))],
                advice: format!(
                    "is linked to output {slot} of node {from} ({}), which has {count} outputs; choose one below {count}",
                    source.class_type
                ),
            });
        };
        let wanted = input.kind.type_name();
        if compatible(&output.ty, wanted, &input.kind) {
            return Ok(());
        }
        Err(Finding {
            kind: ProblemKind::ReturnTypeMismatch,
            details: format!("{}, received_type({}) mismatch input_type({wanted})", input.name, output.ty),
            extra: vec![
                ("input_config", input.to_json(self.folders)),
                ("received_type", json!(output.ty)),
                ("linked_node", json!([from, slot])),
            ],
            advice: format!(
                "wants {wanted} but is linked to output {slot} of node {from} ({}), which gives {}; connect an output of type {wanted}",
                source.class_type, output.ty
            ),
        })
    }

    fn constant(&self, input: &Input, value: &Json) -> Result<Json, Finding> {
        let converted = constant::convert(&input.kind, value).map_err(|exception| {
            let kind = input.kind.type_name();
            Finding {
                kind: ProblemKind::InvalidInputType,
                details: format!("{}, {}, {exception}", input.name, constant::text(value)),
                extra: vec![
                    ("input_config", input.to_json(self.folders)),
                    ("received_value", value.clone()),
                    ("exception_message", json!(exception)),
                ],
                advice: format!("is {value}, which is no {kind} ({exception}); give it one"),
            }
        })?;
        match &input.kind {
            Kind::Int { min, max, .. } => {
                let given = constant::as_int(&converted).unwrap_or_default();
                let bounds = (min.filter(|min| given < *min), max.filter(|max| given > *max));
                self.bounds(input, &converted, bounds.0.map(integer), bounds.1.map(integer))?;
            }
            Kind::Float { min, max, .. } => {
                let given = converted.as_f64().unwrap_or(f64::NAN);
                let bounds = (min.filter(|min| given < *min), max.filter(|max| given > *max));
                self.bounds(input, &converted, bounds.0.map(|v| json!(v)), bounds.1.map(|v| json!(v)))?;
            }
            Kind::Combo { options, .. } => self.choice(input, options, &converted)?,
            Kind::Socket(wanted) if wanted != ANY => {
                return Err(Finding {
                    kind: ProblemKind::ReturnTypeMismatch,
                    details: format!("{}, received_type(constant) mismatch input_type({wanted})", input.name),
                    extra: vec![("received_value", converted.clone())],
                    advice: format!("is the constant {converted} but wants {wanted}; connect an output of that type"),
                });
            }
            Kind::Boolean { .. } | Kind::Text { .. } | Kind::Widget { .. } | Kind::Socket(_) => {}
            Kind::DynamicCombo(_) | Kind::Autogrow(_) => {}
        }
        Ok(converted)
    }

    /// `below` and `above` are the limits that the value is beyond of.
    fn bounds(&self, input: &Input, value: &Json, below: Option<Json>, above: Option<Json>) -> Result<(), Finding> {
        let (kind, limit, word) = match (below, above) {
            (Some(min), _) => (ProblemKind::ValueSmallerThanMin, min, "smaller than the least allowed value"),
            (_, Some(max)) => (ProblemKind::ValueBiggerThanMax, max, "bigger than the greatest allowed value"),
            (None, None) => return Ok(()),
        };
        Err(Finding {
            kind,
            details: input.name.clone(),
            extra: vec![("input_config", input.to_json(self.folders)), ("received_value", value.clone())],
            advice: format!("is {value}, {word} {limit}; set {limit} or a value within"),
        })
    }

    fn choice(&self, input: &Input, options: &Options, value: &Json) -> Result<(), Finding> {
        let text = value.as_str().unwrap_or_default();
        if let Options::Files { folder, besides } = options {
            let found = besides.iter().any(|name| name == text) || self.folders.find(folder, text).is_some();
            return if found && value.is_string() {
                Ok(())
            } else {
                Err(self.file_missing(input, folder, options, value))
            };
        }
        if let Options::Values(choices) = options
            && choices.contains(value)
        {
            return Ok(());
        }
        let list = options.list(self.folders);
        if value.is_string() && list.iter().any(|option| option == text) {
            return Ok(());
        }
        let hint = match nearest(text, list.iter().map(String::as_str)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("use one of {}", list.join(", ")),
        };
        Err(Finding {
            advice: format!("is {value}, which is none of its choices; {hint}"),
            ..self.not_in_list(input, &list, value)
        })
    }

    fn not_in_list(&self, input: &Input, list: &[String], value: &Json) -> Finding {
        let long = list.len() > LONG_LIST;
        let shown = if long { format!("(list of length {})", list.len()) } else { constant::repr(&json!(list)) };
        let config = if long { Json::Null } else { input.to_json(self.folders) };
        Finding {
            kind: ProblemKind::ValueNotInList,
            details: format!("{}: '{}' not in {shown}", input.name, constant::text(value)),
            extra: vec![("input_config", config), ("received_value", value.clone())],
            advice: String::new(),
        }
    }

    fn file_missing(&self, input: &Input, folder: &str, options: &Options, value: &Json) -> Finding {
        let list = options.list(self.folders);
        let text = value.as_str().unwrap_or_default();
        let near = nearest(text, list.iter().map(String::as_str));
        let places: Vec<_> = self.folders.directories(folder).iter().map(|dir| dir.display().to_string()).collect();
        let places = places.join(" or ");
        let near = near.map(|near| format!(" (there is '{near}')")).unwrap_or_default();
        let advice =
            format!("names the file {value}, which is not in {places}{near}; put it there or set another name");
        if folder == "input" {
            let details = format!("{} - Invalid image file: {}", input.name, constant::text(value));
            return Finding { kind: ProblemKind::FileMissing, details, extra: Vec::new(), advice };
        }
        Finding { kind: ProblemKind::FileMissing, advice, ..self.not_in_list(input, &list, value) }
    }
}

fn missing(input: &Input) -> Finding {
    let advice = match &input.kind {
        Kind::Socket(ty) => format!("is missing; connect an output of type {ty}"),
        kind => format!("is missing; connect it or set a value of type {}", kind.type_name()),
    };
    Finding { kind: ProblemKind::RequiredInputMissing, details: input.name.clone(), extra: Vec::new(), advice }
}

fn undeclared<'a>(name: &str, class: &str, declared: impl Iterator<Item = &'a str>) -> Finding {
    let hint = nearest(name, declared).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    Finding {
        kind: ProblemKind::UndeclaredLink,
        details: format!("{class} got an unexpected keyword argument '{name}'"),
        extra: vec![("exception_type", json!("TypeError"))],
        advice: format!("is linked, but {class} has no such input{hint}; remove the link"),
    }
}

/// Whether an output of type `given` may feed an input of type `wanted`: equal, `*`, or comma lists with a common member.
/// An old-style combo takes nothing but a combo.
fn compatible(given: &str, wanted: &str, kind: &Kind) -> bool {
    if given == wanted || given == "*" || wanted == "*" {
        return true;
    }
    if matches!(kind, Kind::Combo { .. }) {
        return false;
    }
    let given: Vec<_> = given.split(',').map(str::trim).collect();
    wanted.split(',').map(str::trim).any(|ty| ty == "*" || given.contains(&ty)) || given.contains(&"*")
}
