//! The options of a field's widget, as `#[input(...)]` gives them.

use crate::schema::{Control, Upload};

/// A constant in a node's declaration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    Int(i128),
    Float(f64),
    Bool(bool),
    Text(&'static str),
}

macro_rules! literal_from {
    ($variant:ident: $($from:ty),*) => { $(impl From<$from> for Literal {
        fn from(value: $from) -> Self { Self::$variant(value.into()) }
    })* };
}
literal_from!(Int: i32, u32, i64, u64, i128);
literal_from!(Float: f32, f64);
literal_from!(Bool: bool);
literal_from!(Text: &'static str);

impl Literal {
    /// The number, if it is a whole one.
    pub fn int(self) -> Option<i128> {
        match self {
            Self::Int(v) => Some(v),
            _ => None,
        }
    }

    pub(super) fn float(self) -> Option<f64> {
        match self {
            Self::Int(v) => Some(v as f64),
            Self::Float(v) => Some(v),
            _ => None,
        }
    }

    pub(super) fn text(self) -> Option<&'static str> {
        match self {
            Self::Text(v) => Some(v),
            _ => None,
        }
    }
}

/// The options that `#[input(...)]` may give, under ComfyUI's names.
#[derive(Clone, Debug, Default)]
pub struct Widget {
    pub default: Option<Literal>,
    pub min: Option<Literal>,
    pub max: Option<Literal>,
    pub step: Option<Literal>,
    pub round: Option<Literal>,
    pub control_after_generate: Control,
    pub multiline: bool,
    pub dynamic_prompts: bool,
    /// The choices are the files of this folder.
    pub files: Option<&'static str>,
    /// Choices besides the files.
    pub besides: &'static [&'static str],
    pub upload: Option<Upload>,
    /// How the sockets of a [`Grow`](crate::dynamic::Grow) are named; a number follows.
    pub prefix: Option<&'static str>,
}
