//! What a check finds, before it is a problem of a node.

use serde_json::{Map, Value as Json, json};

use crate::problem::{Problem, ProblemKind};
use crate::prompt::NodeId;

/// What a check found: kind, ComfyUI's texts, and words for people.
#[derive(Default)]
pub(crate) struct Finding {
    pub kind: Option<ProblemKind>,
    /// ComfyUI's message, if it is not the one that all problems of the kind have.
    pub message: Option<Box<str>>,
    pub details: String,
    pub extra: Vec<(&'static str, Json)>,
    pub advice: String,
    pub about: Vec<(&'static str, Json)>,
}

impl Finding {
    pub(crate) fn new(kind: ProblemKind, details: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { kind: Some(kind), details: details.into(), advice: advice.into(), ..Self::default() }
    }

    pub(crate) fn with(mut self, extra: impl IntoIterator<Item = (&'static str, Json)>) -> Self {
        self.extra.extend(extra);
        self
    }

    pub(crate) fn about(mut self, about: impl IntoIterator<Item = (&'static str, Json)>) -> Self {
        self.about.extend(about);
        self
    }

    pub(crate) fn message(self, message: String) -> Self {
        Self { message: Some(message.into()), ..self }
    }

    /// The finding as a problem of a node, or of the whole prompt.
    pub(crate) fn problem(self, node: Option<(&NodeId, &str)>, input: Option<&str>) -> Problem {
        let owned = |pairs: Vec<(&'static str, Json)>| pairs.into_iter().map(|(k, v)| (k.to_owned(), v));
        let kind = self.kind.unwrap_or(ProblemKind::CustomValidation);
        let mut extra = Map::new();
        let comfy_type = kind.comfy_type();
        // ComfyUI names no input in the report of an exception.
        if let Some(input) = input.filter(|_| !comfy_type.starts_with("exception_")) {
            extra.insert("input_name".into(), json!(input));
        }
        extra.extend(owned(self.extra));
        Problem {
            node: node.map(|(id, _)| id.clone()),
            class: node.map(|(_, class)| class.to_owned()).unwrap_or_default(),
            input: input.map(str::to_owned),
            kind,
            comfy_type: comfy_type.into(),
            message: self.message.map_or_else(|| kind.message().to_owned(), String::from),
            details: self.details,
            extra,
            advice: self.advice,
            about: owned(self.about).collect(),
            dependent_outputs: Vec::new(),
        }
    }
}
