//! The widgets that a format of video brings. Their values become options of a program, so nothing but a listed choice or a number in its
//! range is ever taken.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// A widget and its default.
pub(super) struct Widget {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// One of these, and which of them is the default.
    Choice(&'static [&'static str], &'static str),
    Whole {
        default: i64,
        min: i64,
        max: i64,
    },
    Flag(bool),
}

impl Widget {
    pub(super) const fn choice(name: &'static str, choices: &'static [&'static str], default: &'static str) -> Self {
        Self { name, kind: Kind::Choice(choices, default) }
    }

    pub(super) const fn whole(name: &'static str, default: i64, (min, max): (i64, i64)) -> Self {
        Self { name, kind: Kind::Whole { default, min, max } }
    }

    pub(super) const fn flag(name: &'static str, default: bool) -> Self {
        Self { name, kind: Kind::Flag(default) }
    }

    /// The widget's value as text.
    fn read(&self, given: Option<&Json>) -> Result<String, String> {
        let refused = |wants: String| {
            let shown = given.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            Err(format!("input '{}' is '{}', {wants}", self.name, shown.unwrap_or_default().escape_debug()))
        };
        match (&self.kind, given) {
            (Kind::Choice(_, default), None) => Ok((*default).to_owned()),
            (Kind::Whole { default, .. }, None) => Ok(default.to_string()),
            (Kind::Flag(default), None) => Ok(default.to_string()),
            (Kind::Choice(choices, _), Some(value)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                match choices.iter().find(|choice| **choice == text) {
                    Some(choice) => Ok((*choice).to_owned()),
                    None => refused(format!("none of its choices; use one of {}", choices.join(", "))),
                }
            }
            (Kind::Whole { min, max, .. }, Some(value)) => match whole(value) {
                Some(number) if (*min..=*max).contains(&number) => Ok(number.to_string()),
                Some(_) => refused(format!("outside of {min} to {max}; set a value within")),
                None => refused(format!("no whole number; set one from {min} to {max}")),
            },
            (Kind::Flag(_), Some(value)) => match flag(value) {
                Some(flag) => Ok(flag.to_string()),
                None => refused("neither true nor false; set one of them".to_owned()),
            },
        }
    }
}

fn whole(value: &Json) -> Option<i64> {
    let float = || value.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e15).map(|float| float as i64);
    value.as_i64().or_else(float).or_else(|| value.as_str()?.trim().parse().ok())
}

fn flag(value: &Json) -> Option<bool> {
    match (value.as_str(), value.as_f64()) {
        (Some("true" | "True"), _) | (_, Some(1.0)) => Some(true),
        (Some("false" | "False"), _) | (_, Some(0.0)) => Some(false),
        _ => value.as_bool(),
    }
}

/// The values of a format's widgets, each of them valid.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// Reads the widgets; `given` finds what one was set to.
    ///
    /// # Errors
    /// If one is none of its choices, or outside of its range; the text names input and value, and is for the user.
    pub(super) fn read<'g>(
        widgets: &'static [Widget],
        given: impl Fn(&str) -> Option<&'g Json>,
    ) -> Result<Self, String> {
        widgets
            .iter()
            .map(|widget| Ok((widget.name, widget.read(given(widget.name))?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// A value as text; empty where the format has no such widget.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether a flag is set; it is not where the format has no such widget.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name) == "true"
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    const WIDGETS: &[Widget] = &[
        Widget::choice("pix_fmt", &["yuv420p", "yuv420p10le"], "yuv420p"),
        Widget::choice("level", &["0", "1", "3"], "3"),
        Widget::whole("crf", 19, (0, 100)),
        Widget::flag("save_metadata", true),
    ];

    fn read(given: Json) -> Result<Settings, String> {
        Settings::read(WIDGETS, |name| given.get(name))
    }

    #[test]
    fn values_are_of_the_choices_or_in_the_range() {
        let plain = read(json!({})).unwrap();
        assert_eq!(["pix_fmt", "level", "crf"].map(|name| plain.text(name)), ["yuv420p", "3", "19"]);
        assert!(plain.flag("save_metadata") && !plain.flag("trim_to_audio"));
        let set = json!({ "pix_fmt": "yuv420p10le", "level": 1, "crf": 20.0, "save_metadata": false, "other": "-y" });
        let set = read(set).unwrap();
        assert_eq!(["pix_fmt", "level", "crf"].map(|name| set.text(name)), ["yuv420p10le", "1", "20"]);
        assert!(!set.flag("save_metadata"));
        for (name, value, why) in [
            ("pix_fmt", json!("yuv420p -vf x"), "none of its choices; use one of yuv420p, yuv420p10le"),
            ("crf", json!(101), "outside of 0 to 100"),
            ("crf", json!("19 -y"), "no whole number"),
            ("crf", json!([1]), "no whole number"),
            ("save_metadata", json!("maybe"), "neither true nor false"),
        ] {
            let error = read(json!({ name: value })).unwrap_err();
            assert!(error.starts_with(&format!("input '{name}' is '")) && error.contains(why), "{error}");
        }
    }
}
