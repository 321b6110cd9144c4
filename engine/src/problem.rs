//! What can be wrong with a workflow: ComfyUI's error types and texts, and our words for people.

use std::fmt;

use serde_json::{Map, Value as Json, json};

use crate::prompt::NodeId;

/// One thing that is wrong with a prompt, found before anything runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Absent where the whole prompt is at fault.
    pub node: Option<NodeId>,
    pub class: String,
    pub input: Option<String>,
    pub kind: ProblemKind,
    /// ComfyUI's details text.
    pub details: String,
    /// ComfyUI's extra_info.
    pub extra: Map<String, Json>,
    /// For people: what is wrong and what to do, lower case, without node and input.
    pub advice: String,
}

/// The kinds of problem, with ComfyUI's names where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    UnknownClass,
    NoOutputs,
    RequiredInputMissing,
    ReturnTypeMismatch,
    DanglingLink,
    UndeclaredLink,
    Cycle,
    InvalidInputType,
    ValueSmallerThanMin,
    ValueBiggerThanMax,
    ValueNotInList,
    /// A model file or a picture that a value names does not exist.
    FileMissing,
    UnknownTarget,
}

impl ProblemKind {
    /// The type and message of ComfyUI's error. `Value {} smaller than min` and its like take the values from the details.
    pub fn comfy_type(self) -> &'static str {
        match self {
            Self::UnknownClass => "invalid_prompt",
            Self::NoOutputs => "prompt_no_outputs",
            Self::RequiredInputMissing => "required_input_missing",
            Self::ReturnTypeMismatch => "return_type_mismatch",
            Self::DanglingLink | Self::UndeclaredLink | Self::UnknownTarget => "exception_during_validation",
            Self::Cycle => "dependency_cycle",
            Self::InvalidInputType => "invalid_input_type",
            Self::ValueSmallerThanMin => "value_smaller_than_min",
            Self::ValueBiggerThanMax => "value_bigger_than_max",
            Self::ValueNotInList => "value_not_in_list",
            Self::FileMissing => "value_not_in_list",
        }
    }

    /// Whether something the workflow needs is not here, as opposed to the workflow being wrong.
    pub fn is_missing(self) -> bool {
        matches!(self, Self::UnknownClass | Self::FileMissing)
    }
}

impl Problem {
    pub fn to_json(&self) -> Json {
        json!({
            "type": self.kind.comfy_type(),
            "node": self.node,
            "class_type": self.class,
            "input": self.input,
            "details": self.details,
            "extra_info": self.extra,
            "advice": self.advice,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(node) = &self.node {
            write!(f, "node {node} ({})", self.class)?;
            if let Some(input) = &self.input {
                write!(f, ", input '{input}'")?;
            }
            write!(f, ": ")?;
        }
        f.write_str(&self.advice)
    }
}

/// Everything that is wrong with a prompt, in document order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Whether all that is wrong is that something is not here: a node class, a model file, a picture.
    pub fn only_missing(&self) -> bool {
        self.0.iter().all(|problem| problem.kind.is_missing())
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
