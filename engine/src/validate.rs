//! The checks of one node's inputs: ComfyUI's, in its order, with its error types, messages and details.

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use crate::constant;
use crate::error::nearest;
use crate::finding::Finding;
use crate::folders::{Annotated, FolderPaths};
use crate::io::ANY;
use crate::live::{self, Live};
use crate::names::{elsewhere, nearest_file};
use crate::node::{Class, Offer};
use crate::problem::{Problem, ProblemKind};
use crate::prompt::{Given, NodeId, Prompt};
use crate::schema::{Folders, Kind, Options, integer};
use crate::stock::{self, Known, Version};

/// Lists of choices longer than this are not printed.
const LONG_LIST: usize = 20;

/// Classes that read a file from the input folder and have no `VALIDATE_INPUTS`: ComfyUI then looks for the name in the
/// combo's list.
const UNCHECKED_FILES: [&str; 3] = ["Load3D", "OpenAIInputFiles", "GeminiInputFiles"];

pub(crate) struct Validator<'a> {
    pub prompt: &'a Prompt,
    pub known: Known<'a>,
    pub folders: &'a FolderPaths,
}

/// An input that is being checked, and the class of its node.
struct Examined<'a> {
    class: &'a str,
    live: &'a Live<'a>,
}

impl Examined<'_> {
    fn kind(&self) -> &Kind {
        &self.live.input.kind
    }

    fn name(&self) -> &str {
        &self.live.name
    }

    fn config(&self, folders: &dyn Folders) -> Json {
        stock::config(self.class, self.live.input, self.name(), folders)
    }
}

impl Validator<'_> {
    /// Everything wrong with the inputs of the node `id`. Constants are converted in `inputs`, and what the class does not
    /// declare is taken out.
    pub(crate) fn node(&self, id: &NodeId, inputs: &mut IndexMap<String, Given>) -> Vec<Problem> {
        let class = self.prompt.nodes[id].class_type.as_str();
        let Some(schema) = self.known.declared(class) else { return Vec::new() };
        let mut problems = Vec::new();
        let all = live::inputs(schema, inputs);
        if !self.known.is_own(class) {
            return self.links_of_a_pack(id, class, &all, inputs);
        }
        for live in &all {
            let examined = Examined { class, live };
            let checked = match inputs.get_mut(&live.name) {
                None if live.optional => Ok(()),
                None => Err(missing(&examined)),
                Some(Given::Link { node, slot }) => self.link(&examined, node, *slot),
                Some(Given::Malformed(array)) => Err(self.malformed(&examined, array)),
                Some(Given::Constant(value)) => self.constant(&examined, value).map(|converted| *value = converted),
            };
            if let Err(finding) = checked {
                problems.push(finding.problem(Some((id, class)), Some(&live.name)));
            }
        }
        let runnable = self.known.runnable(class);
        let beside = runnable.map(|class| live::undeclared(class, inputs, &all)).unwrap_or_default();
        let declared = |name: &str| all.iter().chain(&beside).any(|live| live.name == name);
        for (name, given) in inputs.iter() {
            if !matches!(given, Given::Constant(_)) && !declared(name) {
                let finding = undeclared(name, class, all.iter().map(|live| live.name.as_str()));
                problems.push(finding.problem(Some((id, class)), Some(name)));
            }
        }
        if let Some(runnable) = runnable {
            problems.extend(self.of_itself(id, runnable, inputs));
        }
        inputs.retain(|name, _| declared(name));
        problems
    }

    /// What is wrong with the links into a node of a pack. Its values are not looked at, nor what is missing or what its links carry: packs
    /// change all of that between versions, and the node cannot run in any.
    fn links_of_a_pack(
        &self,
        id: &NodeId,
        class: &str,
        all: &[Live<'_>],
        inputs: &IndexMap<String, Given>,
    ) -> Vec<Problem> {
        let links = all.iter().filter_map(|live| match inputs.get(&live.name)? {
            Given::Link { node, slot } => {
                self.link(&Examined { class, live }, node, *slot).err().map(|found| (live, found))
            }
            _ => None,
        });
        links.map(|(live, found)| found.problem(Some((id, class)), Some(&live.name))).collect()
    }

    /// What the class's own check (`VALIDATE_INPUTS`) says. As in ComfyUI, one error is reported for each input that
    /// the check looks at.
    fn of_itself(&self, id: &NodeId, class: &Class, inputs: &IndexMap<String, Given>) -> Vec<Problem> {
        let types = |node: &NodeId, slot: usize| {
            let source = self.prompt.nodes.get(node)?;
            Some(self.known.declared(&source.class_type)?.outputs.get(slot)?.ty.clone())
        };
        let Err(text) = class.validate(&Offer { inputs, types: &types }) else { return Vec::new() };
        let name = class.schema.class.as_str();
        let looked_at = inputs.keys().filter(|input| class.traits.validates(input));
        let problem = |input: Option<&str>| {
            let details = input.map_or_else(|| text.clone(), |input| format!("{input} - {text}"));
            Finding::new(ProblemKind::CustomValidation, details, text.clone()).problem(Some((id, name)), input)
        };
        let found: Vec<_> = looked_at.map(|input| problem(Some(input))).collect();
        if found.is_empty() { vec![problem(None)] } else { found }
    }

    /// Whether the class's own check covers this input: its constants, or with `types` the types of what is linked to
    /// it.
    fn left_to_class(&self, examined: &Examined, types: bool) -> bool {
        let class = self.known.runnable(examined.class);
        class.is_some_and(
            |class| if types { class.traits.validates_types } else { class.traits.validates(examined.name()) },
        )
    }

    fn link(&self, examined: &Examined, from: &NodeId, slot: usize) -> Result<(), Finding> {
        let Some(source) = self.prompt.nodes.get(from) else {
            let advice = format!("is linked to node {from}, which does not exist; connect it to a node that does");
            return Err(Finding::new(ProblemKind::DanglingLink, format!("'{from}'"), advice)
                .with([("exception_type", json!("KeyError")), ("traceback", json!([]))]));
        };
        let Some(schema) = self.known.declared(&source.class_type) else { return Ok(()) };
        let class = &source.class_type;
        let Some(output) = schema.outputs.get(slot) else {
            if !self.known.is_own(class) {
                return Ok(());
            }
            let has = match (schema.outputs.len(), stock::output_elsewhere(class, slot)) {
                (count, Some((version, output))) => format!(
                    "has {count} in ComfyUI {}, by whose nodes redraft runs; `{}` comes out there in ComfyUI {version}; take the link \
                     from elsewhere",
                    Version::HERE,
                    output.name
                ),
                (0, None) => "has none; take the link from what feeds it".to_owned(),
                (1, None) => "has 1 output; choose output 0".to_owned(),
                (count, None) => format!("has {count} outputs; choose one below {count}"),
            };
            let advice = format!("is linked to output {slot} of node {from} ({class}), which {has}");
            return Err(Finding::new(ProblemKind::DanglingLink, "tuple index out of range", advice)
                .with([("exception_type", json!("IndexError")), ("traceback", json!([]))]));
        };
        let wanted = examined.kind().type_name();
        if !self.known.is_own(class) || !self.known.is_own(examined.class) {
            return Ok(());
        }
        if compatible(&output.ty, wanted, examined.kind()) || self.left_to_class(examined, true) {
            return Ok(());
        }
        let details = format!(
            "{}, received_type({}) mismatch input_type({})",
            examined.name(),
            output.ty,
            self.type_text(examined)
        );
        let advice = format!(
            "wants {wanted} but is linked to output {slot} of node {from} ({class}), which gives {}; connect an output of type {wanted}",
            output.ty
        );
        Err(Finding::new(ProblemKind::ReturnTypeMismatch, details, advice).with([
            ("input_config", examined.config(self.folders)),
            ("received_type", json!(output.ty)),
            ("linked_node", json!([from, slot])),
        ]))
    }

    /// The declared type as Python prints it. For a combo in the old style (`[choices, options]`) that is the list of
    /// choices.
    fn type_text(&self, examined: &Examined) -> String {
        match examined.config(self.folders).get(0) {
            Some(Json::String(name)) => name.clone(),
            Some(list) => constant::repr(list),
            None => examined.kind().type_name().to_owned(),
        }
    }

    fn malformed(&self, examined: &Examined, array: &Json) -> Finding {
        let pair = array.as_array().filter(|parts| parts.len() == 2);
        let advice = format!(
            "is {array}, which is neither a link nor of type {}; write [\"node id\", output number] or a value",
            examined.kind().type_name()
        );
        match pair {
            // ComfyUI takes the first part for a node's id and looks it up in the prompt, whose keys are strings.
            Some(parts) => {
                let id = parts[0].as_str().map_or_else(|| constant::repr(&parts[0]), |id| format!("'{id}'"));
                let known = parts[0].as_str().is_some_and(|id| self.prompt.nodes.contains_key(id));
                let (details, raised) = match (known, &parts[0]) {
                    (true, _) => ("tuple indices must be integers or slices".to_owned(), "TypeError"),
                    (_, Json::Array(_)) => ("unhashable type: 'list'".to_owned(), "TypeError"),
                    (_, Json::Object(_)) => ("unhashable type: 'dict'".to_owned(), "TypeError"),
                    _ => (id, "KeyError"),
                };
                Finding::new(ProblemKind::DanglingLink, details, advice)
                    .with([("exception_type", json!(raised)), ("traceback", json!([]))])
            }
            None => Finding::new(ProblemKind::BadLink, examined.name(), advice)
                .with([("input_config", examined.config(self.folders)), ("received_value", array.clone())]),
        }
    }

    fn constant(&self, examined: &Examined, value: &Json) -> Result<Json, Finding> {
        let kind = examined.kind();
        let converted = constant::convert(kind, value).map_err(|exception| {
            let ty = kind.type_name();
            let details = format!("{}, {}, {exception}", examined.name(), constant::text(value));
            let advice = format!("is {value}, which is no {ty} ({exception}); give it one");
            Finding::new(ProblemKind::InvalidInputType, details, advice)
                .message(format!("Failed to convert an input value to a {ty} value"))
                .with([
                    ("input_config", examined.config(self.folders)),
                    ("received_value", value.clone()),
                    ("exception_message", json!(exception)),
                ])
        })?;
        if self.left_to_class(examined, false) {
            return Ok(converted);
        }
        match kind {
            Kind::Int { min, max, .. } => {
                let given = constant::as_int(&converted).unwrap_or_default();
                let bounds = (min.filter(|min| given < *min), max.filter(|max| given > *max));
                self.bounds(examined, &converted, bounds.0.map(integer), bounds.1.map(integer))?;
            }
            Kind::Float { min, max, .. } => {
                let given = constant::as_float(&converted);
                let bounds = (min.filter(|min| given < *min), max.filter(|max| given > *max));
                self.bounds(examined, &converted, bounds.0.map(|v| json!(v)), bounds.1.map(|v| json!(v)))?;
            }
            Kind::Combo { options, .. } => self.choice(examined, options, &converted)?,
            Kind::DynamicCombo(choices) => {
                let keys: Vec<_> = choices.iter().map(|choice| choice.key.clone()).collect();
                self.choice(examined, &Options::Fixed(keys), &converted)?;
            }
            Kind::Socket(wanted) if wanted != ANY => {
                let details = format!("{}, received_type(constant) mismatch input_type({wanted})", examined.name());
                let advice = format!("is the constant {converted} but wants {wanted}; connect an output of that type");
                return Err(Finding::new(ProblemKind::ReturnTypeMismatch, details, advice)
                    .with([("input_config", examined.config(self.folders)), ("received_value", converted)]));
            }
            Kind::Socket(_) | Kind::Boolean { .. } | Kind::Text { .. } | Kind::Widget { .. } | Kind::Autogrow(_) => {}
        }
        Ok(converted)
    }

    /// Fails if the value is below the minimum or above the maximum. `below` is the minimum if the value is smaller
    /// than it, `above` the maximum if the value is greater.
    fn bounds(
        &self,
        examined: &Examined,
        value: &Json,
        below: Option<Json>,
        above: Option<Json>,
    ) -> Result<(), Finding> {
        let (kind, limit, option, word) = match (below, above) {
            (Some(min), _) => (ProblemKind::ValueSmallerThanMin, min, "min", "smaller than the least allowed value"),
            (_, Some(max)) => (ProblemKind::ValueBiggerThanMax, max, "max", "bigger than the greatest allowed value"),
            (None, None) => return Ok(()),
        };
        let config = examined.config(self.folders);
        // The limit as the class declares it, an integer or a float: ComfyUI prints `0` or `0.0` accordingly.
        let declared = config.pointer(&format!("/1/{option}")).unwrap_or(&limit);
        let side = if option == "min" { "smaller" } else { "bigger" };
        let message = format!("Value {} {side} than {option} of {}", constant::text(value), constant::text(declared));
        let advice = format!("is {value}, {word} {limit}; set {limit} or a value within");
        Err(Finding::new(kind, examined.name(), advice)
            .message(message)
            .with([("input_config", config), ("received_value", value.clone())]))
    }

    fn choice(&self, examined: &Examined, options: &Options, value: &Json) -> Result<(), Finding> {
        let text = value.as_str().unwrap_or_default();
        if let Options::Files { folder, besides } = options {
            let found = besides.iter().any(|name| name == text) || self.folders.find(folder, text).is_some();
            return if found && value.is_string() { Ok(()) } else { Err(self.file_missing(examined, folder, value)) };
        }
        let values: Vec<Json> = match options {
            Options::Values(values) => values.clone(),
            other => other.list(self.folders).into_iter().map(Json::from).collect(),
        };
        if values.iter().any(|choice| constant::equal(choice, value)) {
            return Ok(());
        }
        let list = options.list(self.folders);
        let hint = match nearest(text, list.iter().map(String::as_str)) {
            Some(near) => format!("did you mean '{near}'?"),
            None if list.is_empty() => "there are no choices here".to_owned(),
            None => format!("use one of {}", list.join(", ")),
        };
        let advice = format!("is {value}, which is none of its choices; {hint}");
        Err(self.not_in_list(examined, &values, value, ProblemKind::ValueNotInList, advice))
    }

    fn not_in_list(
        &self,
        examined: &Examined,
        list: &[Json],
        value: &Json,
        kind: ProblemKind,
        advice: String,
    ) -> Finding {
        let long = list.len() > LONG_LIST;
        let shown = if long { format!("(list of length {})", list.len()) } else { constant::repr(&json!(list)) };
        let config = if long { Json::Null } else { examined.config(self.folders) };
        let details = format!("{}: '{}' not in {shown}", examined.name(), constant::text(value));
        Finding::new(kind, details, advice).with([("input_config", config), ("received_value", value.clone())])
    }

    fn file_missing(&self, examined: &Examined, folder: &str, value: &Json) -> Finding {
        let text = value.as_str().unwrap_or_default();
        // A name such as `a.png [output]` refers to another folder than its combo.
        let own = if folder == "input" { Annotated::parse(text).folder } else { folder };
        let list = if own == folder { examined.kind().choices(self.folders) } else { self.folders.list(own) };
        let near = nearest_file(text, &list);
        let places: Vec<_> = self.folders.directories(own).iter().map(|dir| dir.display().to_string()).collect();
        let places = places.join(" or ");
        let hint = near.map(|near| format!(" (there is '{near}')")).unwrap_or_default();
        let advice =
            format!("names the file {value}, which is not in {places}{hint}; put it there or set another name");
        let about = [("folder", json!(own)), ("name", value.clone()), ("nearest", json!(near))];
        let found = (folder != "input").then(|| elsewhere(text, folder, self.folders)).flatten();
        let about = about.into_iter().chain([("elsewhere", json!(found))]).filter(|(_, v)| !v.is_null());
        if folder == "input" && !UNCHECKED_FILES.contains(&examined.class) {
            let what = match examined.class {
                "LoadLatent" => "latent",
                "LoadAudio" => "audio",
                "LoadVideo" => "video",
                _ => "image",
            };
            let details = format!("{} - Invalid {what} file: {}", examined.name(), constant::text(value));
            return Finding::new(ProblemKind::InputFileMissing, details, advice).about(about);
        }
        let kind = if folder == "input" { ProblemKind::InputFileMissing } else { ProblemKind::FileMissing };
        let list: Vec<Json> = list.into_iter().map(Json::from).collect();
        self.not_in_list(examined, &list, value, kind, advice).about(about)
    }
}

fn missing(examined: &Examined) -> Finding {
    let advice = match examined.kind() {
        Kind::Socket(ty) => format!("is missing; connect an output of type {ty}"),
        kind => format!("is missing; connect it or set a value of type {}", kind.type_name()),
    };
    let name = examined.name();
    let details = if stock::is_newer(examined.class) { name.rsplit('.').next().unwrap_or(name) } else { name };
    Finding::new(ProblemKind::RequiredInputMissing, details, advice)
}

fn undeclared<'a>(name: &str, class: &str, declared: impl Iterator<Item = &'a str>) -> Finding {
    let hint = nearest(name, declared).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    let details = format!("{class} got an unexpected keyword argument '{name}'");
    let advice = format!("is linked, but {class} has no such input{hint}; remove the link");
    Finding::new(ProblemKind::UndeclaredLink, details, advice)
        .with([("exception_type", json!("TypeError")), ("traceback", json!([]))])
}

/// Whether an output of type `given` may feed an input of type `wanted`: equal, `*`, or comma lists with a common member.
/// An old-style combo takes nothing but a combo.
fn compatible(given: &str, wanted: &str, kind: &Kind) -> bool {
    const MATCHED: &str = "COMFY_MATCHTYPE_V3";
    if given == wanted || given == "*" || wanted == "*" || given == MATCHED || wanted == MATCHED {
        return true;
    }
    if matches!(kind, Kind::Combo { .. }) {
        return false;
    }
    let given: Vec<_> = given.split(',').map(str::trim).collect();
    wanted.split(',').map(str::trim).any(|ty| ty == "*" || given.contains(&ty)) || given.contains(&"*")
}
