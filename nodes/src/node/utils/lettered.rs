//! Sockets called `a`, `b`, `c`, …, which the editor adds as they are filled.

use indexmap::IndexMap;
use redraft_engine::io::{Args, Field, Literal, Misfit, Value, Widget};
use redraft_engine::schema::{Autogrow, Beyond, GrowNames, Input, Kind};

/// What is connected, by its letter, in the order of the sockets.
pub(super) struct Lettered<T>(pub(super) IndexMap<String, T>);

impl<T: Field> Field for Lettered<T> {
    fn kind(widget: Widget) -> Kind {
        let template = Input {
            name: "value".to_owned(),
            kind: T::kind(Widget::default()),
            optional: T::OPTIONAL,
            lazy: false,
            force_input: false,
            raw_link: false,
            beyond: Beyond::Nowhere,
            tooltip: String::new(),
        };
        let names: Vec<String> = ('a'..='z').map(String::from).collect();
        let min = widget.min.and_then(Literal::int).and_then(|min| usize::try_from(min).ok()).unwrap_or(0);
        Kind::Autogrow(Autogrow {
            template: Box::new(template),
            max: names.len(),
            names: GrowNames::Listed(names),
            min,
        })
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        T::from_value(value).map(|one| Self(IndexMap::from([("a".to_owned(), one)])))
    }

    fn take(args: &mut Args, name: &str) -> anyhow::Result<Self> {
        let below = |input: &str| Some(input.strip_prefix(name)?.strip_prefix('.')?.to_owned());
        let letters: Vec<String> = args.names().filter_map(below).collect();
        let each = letters.into_iter().map(|letter| Ok((letter.clone(), T::take(args, &format!("{name}.{letter}"))?)));
        each.collect::<anyhow::Result<_>>().map(Self)
    }
}
