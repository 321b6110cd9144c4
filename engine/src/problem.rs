//! What can be wrong with a workflow: ComfyUI's error types and texts, and our words for people.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::prompt::NodeId;
use crate::workflow::Hints;

/// One thing that is wrong with a prompt, found before anything runs. As JSON, everything known of it, for programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// ComfyUI's type of the error: that of the kind, except for exceptions that ComfyUI finds while it validates
    /// another node.
    #[serde(rename = "type")]
    pub comfy_type: Cow<'static, str>,
    /// ComfyUI's message.
    pub message: String,
    /// ComfyUI's details text.
    pub details: String,
    /// ComfyUI's extra_info.
    #[serde(rename = "extra_info")]
    pub extra: Map<String, Json>,
    pub kind: ProblemKind,
    /// Absent where the whole prompt is at fault.
    pub node: Option<NodeId>,
    #[serde(rename = "class_type")]
    pub class: String,
    pub input: Option<String>,
    /// The outputs that cannot be had because of it.
    pub dependent_outputs: Vec<NodeId>,
    /// For people: what is wrong and what to do, lower case, without node and input.
    pub advice: String,
    /// What only we know of it: `folder`, `name`, `nearest` and `url` of a missing file, `pack` of a foreign class.
    #[serde(flatten)]
    pub about: Map<String, Json>,
}

/// The kinds of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProblemKind {
    /// A class that neither we nor ComfyUI have.
    UnknownClass,
    /// One of ComfyUI's own classes that we cannot run.
    NotRunnable,
    NoOutputs,
    RequiredInputMissing,
    /// An array that is neither a link nor a wrapped constant.
    BadLink,
    ReturnTypeMismatch,
    DanglingLink,
    UndeclaredLink,
    Cycle,
    InvalidInputType,
    ValueSmallerThanMin,
    ValueBiggerThanMax,
    ValueNotInList,
    /// A model file that a value names does not exist.
    FileMissing,
    /// A picture, or another file of the user's, that a value names does not exist.
    InputFileMissing,
    /// A file that a text mentions does not exist, such as an embedding; the node goes on without it.
    MentionMissing,
    /// A file is there, and its header tells that the node cannot use it.
    FileUnusable,
    /// What the class itself checks.
    CustomValidation,
    UnknownTarget,
}

impl ProblemKind {
    /// The type of ComfyUI's error.
    pub fn comfy_type(self) -> &'static str {
        match self {
            Self::UnknownClass | Self::NotRunnable => "invalid_prompt",
            Self::NoOutputs | Self::UnknownTarget => "prompt_no_outputs",
            Self::RequiredInputMissing => "required_input_missing",
            Self::BadLink => "bad_linked_input",
            Self::ReturnTypeMismatch => "return_type_mismatch",
            Self::DanglingLink | Self::UndeclaredLink => "exception_during_validation",
            Self::Cycle => "dependency_cycle",
            Self::InvalidInputType => "invalid_input_type",
            Self::ValueSmallerThanMin => "value_smaller_than_min",
            Self::ValueBiggerThanMax => "value_bigger_than_max",
            Self::ValueNotInList | Self::FileMissing => "value_not_in_list",
            Self::InputFileMissing | Self::CustomValidation | Self::MentionMissing | Self::FileUnusable => {
                "custom_validation_failed"
            }
        }
    }

    /// ComfyUI's message, where it is the same for all errors of the kind.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::NoOutputs | Self::UnknownTarget => "Prompt has no outputs",
            Self::RequiredInputMissing => "Required input is missing",
            Self::BadLink => "Bad linked input, must be a length-2 list of [node_id, slot_index]",
            Self::ReturnTypeMismatch => "Return type mismatch between linked nodes",
            Self::DanglingLink | Self::UndeclaredLink => "Exception when validating node",
            Self::Cycle => "Dependency cycle detected",
            Self::ValueNotInList | Self::FileMissing => "Value not in list",
            Self::InputFileMissing | Self::CustomValidation | Self::MentionMissing | Self::FileUnusable => {
                "Custom validation failed for node"
            }
            // These name the class or the value.
            Self::UnknownClass
            | Self::NotRunnable
            | Self::InvalidInputType
            | Self::ValueSmallerThanMin
            | Self::ValueBiggerThanMax => "",
        }
    }

    /// Whether something that the workflow needs is missing here; otherwise the workflow itself is wrong.
    pub fn is_missing(self) -> bool {
        matches!(
            self,
            Self::UnknownClass
                | Self::NotRunnable
                | Self::FileMissing
                | Self::InputFileMissing
                | Self::MentionMissing
                | Self::FileUnusable
        )
    }

    /// Whether ComfyUI answers with this alone, before it looks at any node's inputs.
    fn is_of_whole_prompt(self) -> bool {
        matches!(self, Self::UnknownClass | Self::NotRunnable | Self::NoOutputs | Self::UnknownTarget)
    }
}

impl Problem {
    /// ComfyUI's error: `type`, `message`, `details`, `extra_info`.
    fn error(&self) -> Map<String, Json> {
        Map::from_iter([
            ("type".to_owned(), json!(self.comfy_type)),
            ("message".to_owned(), json!(self.message)),
            ("details".to_owned(), json!(self.details)),
            ("extra_info".to_owned(), json!(self.extra)),
        ])
    }

    /// Whether ComfyUI raised an exception here, so that it reports nothing else of the node.
    fn is_exception(&self) -> bool {
        self.comfy_type.starts_with("exception_")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = &self.node {
            // A stranger's class name may be a megabyte long.
            let class: String = self.class.chars().take(100).collect();
            write!(f, "node {node} ({class}{})", if class.len() < self.class.len() { "..." } else { "" })?;
            if let Some(input) = &self.input {
                write!(f, ", input '{input}'")?;
            }
            write!(f, ": ")?;
        }
        f.write_str(&self.advice)
    }
}

/// Everything that is wrong with a prompt, in document order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Whether every problem is a missing node class, model file or picture.
    pub fn only_missing(&self) -> bool {
        self.0.iter().all(|problem| problem.kind.is_missing())
    }

    /// Adds what the editor's form says of what is missing: packs of nodes, and where models can be had.
    pub fn explain(&mut self, hints: &Hints) {
        for problem in &mut self.0 {
            match problem.kind {
                ProblemKind::UnknownClass => {
                    let Some(pack) = hints.pack(&problem.class) else { continue };
                    let name = &pack.name;
                    let (class, pack) = (&problem.class, pack.describe());
                    problem.advice =
                        format!("there is no node class {class} here; it comes with {pack}; remove or replace it");
                    problem.about.insert("pack".into(), json!(name));
                }
                ProblemKind::FileMissing => {
                    let name = problem.about.get("name").and_then(Json::as_str).unwrap_or_default();
                    let Some(url) = hints.url(name) else { continue };
                    problem.advice.push_str(&format!("; the workflow says that it can be had from {url}"));
                    problem.about.insert("url".into(), json!(url));
                }
                _ => {}
            }
        }
    }

    /// The body of ComfyUI's answer 400 to a prompt of which no output can run: `{"error", "node_errors"}`.
    ///
    /// As in ComfyUI, an unknown class or a lack of outputs is reported alone. If some outputs can run, ComfyUI answers
    /// 200 with [`node_errors`](Self::node_errors).
    pub fn to_response(&self) -> Json {
        if let Some(problem) = self.0.iter().find(|problem| problem.kind.is_of_whole_prompt()) {
            return json!({ "error": problem.error(), "node_errors": {} });
        }
        let of_outputs = self.reported().filter(|p| p.node.as_ref().is_some_and(|id| p.dependent_outputs.contains(id)));
        let details: Vec<_> = of_outputs.map(|problem| format!("{}: {}", problem.message, problem.details)).collect();
        json!({
            "error": {
                "type": "prompt_outputs_failed_validation",
                "message": "Prompt outputs failed validation",
                "details": details.join("\n"),
                "extra_info": {},
            },
            "node_errors": self.node_errors(),
        })
    }

    /// ComfyUI's `node_errors`: for each node with errors, the errors, the class, and the outputs that need the node.
    pub fn node_errors(&self) -> Json {
        let mut nodes: IndexMap<&NodeId, (Vec<Json>, &Problem)> = IndexMap::new();
        for problem in self.reported() {
            let Some(node) = &problem.node else { continue };
            nodes.entry(node).or_insert((Vec::new(), problem)).0.push(Json::Object(problem.error()));
        }
        let entries = nodes.into_iter().map(|(id, (errors, problem))| {
            let outputs = &problem.dependent_outputs;
            (id.to_string(), json!({ "errors": errors, "dependent_outputs": outputs, "class_type": problem.class }))
        });
        Json::Object(entries.collect())
    }

    /// The problems that ComfyUI would report: of a node with an exception, only the exception.
    fn reported(&self) -> impl Iterator<Item = &Problem> {
        let mut raised: IndexMap<&NodeId, &Problem> = IndexMap::new();
        for problem in self.0.iter().filter(|problem| problem.is_exception()) {
            if let Some(node) = &problem.node {
                raised.entry(node).or_insert(problem);
            }
        }
        self.0.iter().filter(move |problem| {
            let only = problem.node.as_ref().and_then(|node| raised.get(node));
            only.is_none_or(|only| std::ptr::eq(*only, *problem))
        })
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_problem_reads_back_from_its_json() {
        let problem = Problem {
            comfy_type: Cow::Borrowed("value_not_in_list"),
            message: "Value not in list".into(),
            details: "ckpt_name: 'a' not in []".into(),
            extra: Map::from_iter([("input_name".to_owned(), json!("ckpt_name"))]),
            kind: ProblemKind::FileMissing,
            node: Some("4".into()),
            class: "CheckpointLoaderSimple".into(),
            input: Some("ckpt_name".into()),
            dependent_outputs: vec!["9".into()],
            advice: "names the file a".into(),
            about: Map::from_iter([("folder".to_owned(), json!("checkpoints")), ("name".to_owned(), json!("a"))]),
        };
        let json = json!(problem);
        assert_eq!(json["type"], "value_not_in_list");
        assert_eq!((&json["kind"], &json["folder"]), (&json!("FileMissing"), &json!("checkpoints")));
        let all = Problems(vec![problem]);
        assert_eq!(serde_json::from_value::<Problems>(json!(all)).unwrap(), all);
    }
}
