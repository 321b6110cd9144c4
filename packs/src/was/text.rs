use anyhow::{Result, bail};
use redraft_engine::cx::Cx;
use redraft_engine::memory::ask_text;
use redraft_engine::node::{Offer, Run};
use redraft_engine::{Combo, Node};
use redraft_nodes::python::text::is_space;
use serde_json::Value as Json;

/// What the pack fills in with facts of its machine and moment, and we do not.
const TOKENS: [&str; 6] = ["[time]", "[time(", "[hostname]", "[user]", "[cuda_device]", "[cuda_name]"];

/// A text without the lines that begin with `#`.
#[derive(Node)]
#[node(class = "Text Multiline", category = "WAS Suite/Text", display = "Text Multiline")]
struct TextMultiline {
    #[input(multiline, dynamic_prompts)]
    text: String,
}

impl Run for TextMultiline {
    type Out = String;

    fn validate(offer: &Offer) -> Result<(), String> {
        let text = offer.constant("text").and_then(Json::as_str).unwrap_or_default();
        token(text).map_or(Ok(()), |token| Err(refused(token)))
    }

    fn run(self, _: &mut Cx) -> Result<String> {
        if let Some(token) = token(&self.text) {
            bail!(refused(token));
        }
        let lines = self.text.split_inclusive('\n').filter(|line| !line.trim_matches(is_space).starts_with('#'));
        Ok(lines.map(|line| line.trim_end_matches('\n')).collect::<Vec<_>>().join("\n"))
    }
}

fn token(text: &str) -> Option<&'static str> {
    TOKENS.into_iter().find(|token| text.contains(token))
}

fn refused(token: &str) -> String {
    format!("the text has {token}, which only the pack fills in: write what is to stand there")
}

/// Joins texts. What is empty is left out.
#[derive(Node)]
#[node(class = "Text Concatenate", category = "WAS Suite/Text", display = "Text Concatenate")]
struct TextConcatenate {
    /// What stands between them; `\n` is a line break.
    #[input(default = ", ")]
    delimiter: String,
    /// Whether white space around each is left out.
    clean_whitespace: Clean,
    #[input(force_input)]
    text_a: Option<String>,
    #[input(force_input)]
    text_b: Option<String>,
    #[input(force_input)]
    text_c: Option<String>,
    #[input(force_input)]
    text_d: Option<String>,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Clean {
    True,
    False,
}

impl Run for TextConcatenate {
    type Out = String;

    fn run(self, _: &mut Cx) -> Result<String> {
        let delimiter = if self.delimiter == "\\n" { "\n" } else { self.delimiter.as_str() };
        let given = [self.text_a, self.text_b, self.text_c, self.text_d].into_iter().flatten();
        let cleaned = |text: String| match self.clean_whitespace {
            Clean::True => text.trim_matches(is_space).to_owned(),
            Clean::False => text,
        };
        let texts: Vec<_> = given.map(cleaned).filter(|text| !text.is_empty()).collect();
        ask_text(texts.iter().map(|text| text.len() + delimiter.len()).sum())?;
        Ok(texts.join(delimiter))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Figures from the pack's functions under Python 3.11.
    #[test]
    fn texts_are_put_together_as_the_pack_does() {
        let text = |text: &str| Cx::for_test().run(TextMultiline { text: text.to_owned() });
        assert_eq!(text("a\n # no\n\nb\n").unwrap(), "a\n\nb");
        assert_eq!(text("#").unwrap(), "");
        assert!(text("now [time]").unwrap_err().to_string().contains("[time]"));
        let join = |delimiter: &str, clean_whitespace| {
            let some = |text: &str| Some(text.to_owned());
            let (text_a, text_b, text_c, text_d) = (some(" a "), some(""), None, some("d"));
            let delimiter = delimiter.to_owned();
            let node = TextConcatenate { delimiter, clean_whitespace, text_a, text_b, text_c, text_d };
            Cx::for_test().run(node).unwrap()
        };
        assert_eq!(join("\\n", Clean::True), "a\nd");
        assert_eq!(join("-", Clean::False), " a -d");
    }
}
