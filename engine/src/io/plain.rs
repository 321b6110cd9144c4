//! Fields that a widget can set: numbers, flags, texts, choices.

use crate::io::field::{Field, Misfit, mismatch};
use crate::io::value::Value;
use crate::io::widget::{Literal, Widget};
use crate::memory;
use crate::schema::{Kind, Options};

macro_rules! integer_field {
    ($($ty:ty),*) => { $(impl Field for $ty {
        fn kind(w: Widget) -> Kind {
            let int = |literal: Option<Literal>| literal.and_then(Literal::int);
            Kind::Int {
                default: int(w.default).unwrap_or(0),
                min: int(w.min),
                max: int(w.max),
                step: int(w.step),
                control: w.control_after_generate,
            }
        }

        fn from_value(value: &Value) -> Result<Self, Misfit> {
            let number = *value.downcast::<i128>().ok_or_else(|| mismatch("INT", value))?;
            Self::try_from(number).map_err(|_| Misfit::Value(format!(
                "is {number}, outside {} to {}; set a value within", Self::MIN, Self::MAX
            )))
        }
    })* };
}
integer_field!(u32, i64, i128, u64, usize);

impl Field for f64 {
    fn kind(w: Widget) -> Kind {
        let float = |literal: Option<Literal>| literal.and_then(Literal::float);
        Kind::Float {
            default: float(w.default).unwrap_or(0.0),
            min: float(w.min),
            max: float(w.max),
            step: float(w.step),
            round: float(w.round),
            control: w.control_after_generate,
        }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        // An INT gets here through a `*` socket only.
        let whole = || value.downcast::<i128>().map(|&number| number as f64);
        value.downcast().copied().or_else(whole).ok_or_else(|| mismatch("FLOAT", value))
    }
}

impl Field for bool {
    fn kind(w: Widget) -> Kind {
        Kind::Boolean { default: w.default == Some(Literal::Bool(true)) }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        // A number gets here from a node made at run time only.
        let number = || value.downcast::<i128>().map(|&number| number != 0);
        value.downcast().copied().or_else(number).ok_or_else(|| mismatch("BOOLEAN", value))
    }
}

impl Field for String {
    fn kind(w: Widget) -> Kind {
        let default = w.default.and_then(Literal::text);
        if let Some(folder) = w.files {
            let besides = w.besides.iter().map(|&name| name.to_owned()).collect();
            let options = Options::Files { folder: folder.to_owned(), besides };
            let default = default.map(str::to_owned);
            return Kind::Combo { options, default, upload: w.upload, control: w.control_after_generate };
        }
        Kind::Text {
            default: default.unwrap_or_default().to_owned(),
            multiline: w.multiline,
            dynamic_prompts: w.dynamic_prompts,
        }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let text: &String = value.downcast().ok_or_else(|| mismatch("STRING", value))?;
        memory::ask_text(text.len())?;
        Ok(text.clone())
    }
}

/// A field with a fixed list of choices. Derived for enums by `#[derive(Combo)]`; a table of rows implements it by hand.
pub trait Combo: Sized + 'static {
    fn names() -> Vec<&'static str>;
    fn from_name(name: &str) -> Option<Self>;
}

/// What the implementations of [`Field`] for a [`Combo`] share.
pub fn combo_kind<T: Combo>(w: Widget) -> Kind {
    Kind::Combo {
        options: Options::Fixed(T::names().into_iter().map(str::to_owned).collect()),
        default: w.default.and_then(Literal::text).map(str::to_owned),
        upload: None,
        control: w.control_after_generate,
    }
}

/// See [`combo_kind`].
pub fn combo_from_value<T: Combo>(value: &Value) -> Result<T, Misfit> {
    let name: &String = value.downcast().ok_or_else(|| mismatch("COMBO", value))?;
    T::from_name(name)
        .ok_or_else(|| Misfit::Value(format!("is '{name}', none of its choices; use one of {}", T::names().join(", "))))
}

/// Makes a [`Combo`] a [`Field`] of nodes. (A blanket implementation would clash with the one for wire types.)
#[macro_export]
macro_rules! combo_field {
    ($ty:ty) => {
        impl $crate::io::Field for $ty {
            fn kind(widget: $crate::io::Widget) -> $crate::schema::Kind {
                $crate::io::combo_kind::<Self>(widget)
            }

            fn from_value(value: &$crate::io::Value) -> ::std::result::Result<Self, $crate::io::Misfit> {
                $crate::io::combo_from_value(value)
            }
        }
    };
}
