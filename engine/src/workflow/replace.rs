//! `%node.widget%` and `%date:format%` in the prefixes of file names.

use std::collections::HashMap;

use serde_json::Value;

use super::graph::{Graphs, Role};
use super::types::LocalTime;
use crate::prompt::{Given, Prompt};

/// Whether the editor replaces text in the `filename_prefix` of a class; of one that comes with a pack, if the class is known.
pub(super) fn applies(class: &str, known: bool) -> bool {
    const SAVERS: [&str; 12] = [
        "SaveImage",
        "SaveVideo",
        "SaveAnimatedWEBP",
        "SaveWEBM",
        "SaveAudio",
        "SaveGLB",
        "SaveAnimatedPNG",
        "CLIPSave",
        "VAESave",
        "ModelSave",
        "LoraSave",
        "SaveLatent",
    ];
    SAVERS.contains(&class) || (known && class == "VHS_VideoCombine")
}

/// Where a text is longer than this, in bytes, no more is replaced: no file has such a name.
const MAX_LENGTH: usize = 1 << 16;

/// Which node a name means: graph and place.
#[derive(Debug, Default)]
pub(super) struct Names {
    aliases: HashMap<String, (usize, usize)>,
    titles: HashMap<String, (usize, usize)>,
}

impl Names {
    /// Collects the names of all nodes, instances' insides after the instance; of several the first counts.
    pub(super) fn new(graphs: &Graphs) -> Self {
        let mut names = Self::default();
        let mut seen = vec![false; graphs.all.len()];
        let mut stack: Vec<(usize, usize)> = Vec::new();
        if let Some(root) = graphs.all.len().checked_sub(1) {
            stack.push((root, 0));
        }
        while let Some((graph, place)) = stack.pop() {
            let Some(node) = graphs.all[graph].nodes.get(place) else { continue };
            stack.push((graph, place + 1));
            if let Some(alias) = &node.alias {
                names.aliases.entry(alias.clone()).or_insert((graph, place));
            }
            let title = node.title.as_ref().unwrap_or(&node.class);
            names.titles.entry(title.clone()).or_insert((graph, place));
            if let Role::Instance(inner) = node.role
                && !std::mem::replace(&mut seen[inner], true)
            {
                stack.push((inner, 0));
            }
        }
        names
    }

    /// The text with each `%...%` that means something replaced; any other stays as it is.
    pub(super) fn replace(&self, text: &str, graphs: &Graphs, now: LocalTime) -> String {
        replaced(text, now, |node, widget| {
            let (graph, place) = self.aliases.get(node).or_else(|| self.titles.get(node))?;
            let widget = graphs.all[*graph].nodes[*place].widget(widget)?;
            Some(written(widget.value.as_ref()))
        })
    }
}

/// The same for a prompt in the API form, in which nodes have titles and classes: links have no value.
pub(super) fn replaced_in(prompt: &Prompt, text: &str, now: LocalTime) -> String {
    replaced(text, now, |name, input| {
        let mut named = prompt.nodes.values().filter(|node| node.class_type == name);
        let titled = || prompt.nodes.values().find(|node| node.title.as_deref() == Some(name));
        match named.next().or_else(titled)?.inputs.get(input)? {
            Given::Constant(value) => Some(written(Some(value))),
            Given::Link { .. } | Given::Malformed(_) => None,
        }
    })
}

/// Replaces each `%node.widget%` of which `value` knows something, and each `%date:...%`.
fn replaced(text: &str, now: LocalTime, value: impl Fn(&str, &str) -> Option<String>) -> String {
    let meaning = |name: &str| {
        let mut parts = name.split('.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(node), Some(widget), None) => value(node, widget).map(|text| safe(&text)),
            _ => name.strip_prefix("date:").map(|format| date(format, now)),
        }
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('%').filter(|_| out.len() < MAX_LENGTH) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let Some(length) = from[1..].find('%').filter(|length| *length > 0) else {
            // `%%` holds no name: the second sign may begin one.
            out.push('%');
            rest = &from[1..];
            continue;
        };
        match meaning(&from[1..=length]) {
            Some(value) => out.push_str(&value),
            None => out.push_str(&from[..length + 2]),
        }
        rest = &from[length + 2..];
    }
    out.push_str(rest);
    out
}

/// A value as JavaScript writes it into a text.
fn written(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_f64() => float(number.as_f64().unwrap_or(0.0)),
        Some(Value::Array(items)) => items.iter().map(|item| written(Some(item))).collect::<Vec<_>>().join(","),
        Some(Value::Object(_)) => "[object Object]".to_owned(),
        Some(other) => other.to_string(),
    }
}

fn float(value: f64) -> String {
    if value != 0.0 && !(1e-6..1e21).contains(&value.abs()) {
        let text = format!("{value:e}");
        return if text.contains("e-") { text } else { text.replace('e', "e+") };
    }
    if value == 0.0 { "0".to_owned() } else { value.to_string() }
}

/// The text without what a file's name must not hold.
fn safe(text: &str) -> String {
    text.chars().map(|c| if "/?<>\\:*|\"".contains(c) || c.is_control() { '_' } else { c }).collect()
}

/// The time in a format of `d dd M MM h hh m mm s ss yy yyyy`; anything else stands for itself.
fn date(format: &str, now: LocalTime) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        let most = if c == 'y' { 4 } else { 2 };
        let run = rest.chars().take(most).take_while(|next| *next == c).count();
        let value = match c {
            'd' => now.day,
            'M' => now.month,
            'h' => now.hour,
            'm' => now.minute,
            's' => now.second,
            'y' if run == 2 || run == 4 => {
                let year = now.year.to_string();
                out.push_str(if run == 2 { &year[year.len().saturating_sub(2)..] } else { &year });
                rest = &rest[run..];
                continue;
            }
            _ => {
                let width = run * c.len_utf8();
                out.push_str(&rest[..width]);
                rest = &rest[width..];
                continue;
            }
        };
        out.push_str(&if run == 2 { format!("{value:02}") } else { value.to_string() });
        rest = &rest[run..];
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: LocalTime = LocalTime { year: 2026, month: 1, day: 2, hour: 15, minute: 4, second: 5 };

    #[test]
    fn dates_have_their_tokens() {
        assert_eq!(date("yyyy-MM-dd_hh.mm.ss", NOW), "2026-01-02_15.04.05");
        assert_eq!(date("d M h m s yy", NOW), "2 1 15 4 5 26");
        assert_eq!(date("yyy x", NOW), "yyy x");
    }

    #[test]
    fn values_are_written_as_javascript_does() {
        assert_eq!(written(Some(&json!(8.0))), "8");
        assert_eq!(written(Some(&json!(0.1))), "0.1");
        assert_eq!(written(Some(&json!(1e-7))), "1e-7");
        assert_eq!(written(Some(&json!(1e21))), "1e+21");
        assert_eq!(written(Some(&json!(u64::MAX))), "18446744073709551615");
        assert_eq!(written(Some(&json!(true))), "true");
        assert_eq!(written(Some(&json!(null))), "");
        assert_eq!(safe("a/b:c\u{7}d"), "a_b_c_d");
    }

    #[test]
    fn what_means_nothing_stays() {
        let names = Names::default();
        let graphs = Graphs::default();
        for text in ["%width%", "%x.y.z%", "%a.b%", "100%", "%%", "%", "%date:yyyy.MM%"] {
            assert_eq!(names.replace(text, &graphs, NOW), text);
        }
        assert_eq!(names.replace("a%date:yyyy%b%%date:dd%", &graphs, NOW), "a2026b%02");
    }
}
