//! Fields that stand for several inputs: sockets that the editor adds as they are filled, and choices that bring inputs of
//! their own (`#[derive(Choices)]`).

use crate::io::{Arg, Args, Field, Misfit, Value, Widget};
use crate::schema::{Autogrow, Beyond, GrowNames, Input, Kind};

/// Sockets that the editor adds as they are filled: those that are connected, in the order of their numbers.
///
/// `#[input(prefix = "image", min = 2, max = 50)]` names them `image0`, `image1`, ...; `min` is how many the editor shows at
/// least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grow<T>(pub Vec<T>);

impl<T: Field> Field for Grow<T> {
    const LIST: bool = T::LIST;

    fn kind(widget: Widget) -> Kind {
        let count = |literal: Option<crate::io::Literal>| match literal {
            Some(crate::io::Literal::Int(count)) => usize::try_from(count).ok(),
            _ => None,
        };
        let prefix = widget.prefix.unwrap_or_default().to_owned();
        let template = Input {
            name: prefix.clone(),
            kind: T::kind(Widget::default()),
            optional: T::OPTIONAL,
            lazy: false,
            force_input: false,
            raw_link: false,
            beyond: Beyond::Nowhere,
            tooltip: String::new(),
        };
        Kind::Autogrow(Autogrow {
            template: Box::new(template),
            names: GrowNames::Prefix(prefix),
            min: count(widget.min).unwrap_or(0),
            max: count(widget.max).unwrap_or(100),
        })
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        T::from_value(value).map(|one| Self(vec![one]))
    }

    fn from_arg(arg: Arg) -> Result<Self, Misfit> {
        T::from_arg(arg).map(|one| Self(vec![one]))
    }

    fn take(args: &mut Args, name: &str) -> anyhow::Result<Self> {
        let sockets: Vec<String> = args.names().filter(|input| is_below(name, input)).map(str::to_owned).collect();
        sockets.iter().map(|socket| T::take(args, socket)).collect::<anyhow::Result<_>>().map(Self)
    }
}

/// Whether the input belongs to the one called `name`: `images.image0` to `images`.
fn is_below(name: &str, input: &str) -> bool {
    input.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
}

/// The error of `#[derive(Choices)]` for a field that is given one value in place of a call's inputs.
#[doc(hidden)]
pub fn no_choice_alone(value: &Value) -> Misfit {
    Misfit::Type { wanted: "a choice with its inputs".to_owned(), found: value.type_name().to_owned() }
}

/// The error of `#[derive(Choices)]` for an unknown key.
#[doc(hidden)]
pub fn no_such_choice(kind: &Kind, name: &str, key: &str) -> anyhow::Error {
    let keys: Vec<_> = match kind {
        Kind::DynamicCombo(choices) => choices.iter().map(|choice| choice.key.as_str()).collect(),
        _ => Vec::new(),
    };
    anyhow::anyhow!("input '{name}' is '{key}', none of its choices; use one of {}", keys.join(", "))
}
