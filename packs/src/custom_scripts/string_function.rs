use anyhow::Result;
use redraft_engine::cx::Cx;
use redraft_engine::memory::ask_text;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};
use redraft_nodes::python::regex::{Budget, Flags, Pattern};
use redraft_nodes::python::text::is_space;

/// Joins texts, or replaces a part of one: `text_b` in `text_a` by `text_c`. `/…/` is a pattern.
#[derive(Node)]
#[node(class = "StringFunction|pysssss", category = "utils", display = "String Function 🐍", output)]
struct StringFunction {
    action: Action,
    /// Whether white space and commas that follow each other become one, and a joined text gets commas.
    tidy_tags: Tidy,
    #[input(multiline)]
    text_a: Option<String>,
    #[input(multiline)]
    text_b: Option<String>,
    #[input(multiline)]
    text_c: Option<String>,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Action {
    Append,
    Replace,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Tidy {
    Yes,
    No,
}

impl Run for StringFunction {
    type Out = String;

    fn run(self, cx: &mut Cx) -> Result<String> {
        let tidy = self.tidy_tags == Tidy::Yes;
        let texts = [self.text_a, self.text_b, self.text_c].map(Option::unwrap_or_default);
        let made = match self.action {
            Action::Append => {
                let filled: Vec<_> = texts.into_iter().filter(|text| !text.is_empty()).collect();
                filled.join(if tidy { ", " } else { "" })
            }
            Action::Replace => replaced(cx, &texts)?,
        };
        let made = if tidy { tidied(&made) } else { made };
        cx.ui("text", made.clone());
        Ok(made)
    }
}

fn replaced(cx: &Cx, [text, what, by]: &[String; 3]) -> Result<String> {
    let inner = what.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    if let Some(pattern) = inner {
        let pattern = Pattern::new(pattern, Flags::default(), text.len())?;
        return pattern.replace(text, by, 0, &Budget::new(&|| cx.check()));
    }
    // `/` alone is an empty pattern, as an empty text is: what replaces it stands around every character.
    let what = if what == "/" { "" } else { what };
    let times = text.matches(what).count();
    ask_text(text.len().saturating_add(times.saturating_mul(by.len())))?;
    Ok(text.replace(what, by))
}

/// White space of two characters or more becomes one space; a space before a comma, and all but one of several commas, are left out.
fn tidied(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut run = 1;
        while is_space(c) && chars.next_if(|next| is_space(*next)).is_some() {
            run += 1;
        }
        spaced.push(if run > 1 { ' ' } else { c });
    }
    let spaced = spaced.replace(" ,", ",");
    let mut made = String::with_capacity(spaced.len());
    for c in spaced.chars() {
        if c != ',' || !made.ends_with(',') {
            made.push(c);
        }
    }
    made.trim_matches(is_space).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Figures from the pack's `exec` under Python 3.11.
    #[test]
    fn texts_are_joined_replaced_and_tidied() {
        let run = |action, tidy_tags, texts: [&str; 3]| {
            let [text_a, text_b, text_c] = texts.map(|text| Some(text.to_owned()));
            Cx::for_test().run(StringFunction { action, tidy_tags, text_a, text_b, text_c }).unwrap()
        };
        assert_eq!(run(Action::Append, Tidy::Yes, ["a ,, b", "", "c  d\n\n"]), "a, b, c d");
        assert_eq!(run(Action::Append, Tidy::No, ["a ", "b", ""]), "a b");
        assert_eq!(run(Action::Replace, Tidy::No, ["a.b.c", ".", "-"]), "a-b-c");
        assert_eq!(run(Action::Replace, Tidy::No, ["ab", "", "-"]), "-a-b-");
        assert_eq!(run(Action::Replace, Tidy::No, ["ab", "/", "-"]), "-a-b-");
        assert_eq!(run(Action::Replace, Tidy::Yes, ["solo, 1girl, cat", "/(solo|[0-9]+)/", ""]), ", girl, cat");
        assert_eq!(run(Action::Replace, Tidy::No, ["x12", r"/(\d)(\d)/", r"\2\1"]), "x21");
    }
}
