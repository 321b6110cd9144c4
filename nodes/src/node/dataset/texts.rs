//! The texts of a data set, changed one by one.
//!
//! In the reference each of these gives a list with one text in place of the text, which nothing but a preview can take; here
//! it is the text.

use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::python::text::{is_space, slice};

#[derive(Outputs)]
struct OneText {
    #[output(name = "texts")]
    texts: String,
}

impl From<String> for OneText {
    fn from(texts: String) -> OneText {
        OneText { texts }
    }
}

/// Turns capitals into small letters.
#[derive(Node)]
#[node(category = "dataset/text", display = "Text to Lowercase", experimental)]
struct TextToLowercase {
    texts: String,
}

impl Run for TextToLowercase {
    type Out = OneText;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneText> {
        Ok(self.texts.to_lowercase().into())
    }
}

/// Turns small letters into capitals.
#[derive(Node)]
#[node(category = "dataset/text", display = "Text to Uppercase", experimental)]
struct TextToUppercase {
    texts: String,
}

impl Run for TextToUppercase {
    type Out = OneText;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneText> {
        Ok(self.texts.to_uppercase().into())
    }
}

/// Cuts off what is beyond a number of characters.
#[derive(Node)]
#[node(category = "dataset/text", display = "Truncate Text", experimental)]
struct TruncateText {
    texts: String,
    /// In characters.
    #[input(default = 77, min = 1, max = 10000)]
    max_length: i64,
}

impl Run for TruncateText {
    type Out = OneText;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneText> {
        Ok(slice(&self.texts, 0, self.max_length.into()).into())
    }
}

/// Puts something before a text.
#[derive(Node)]
#[node(category = "dataset/text", display = "Add Text Prefix", experimental)]
struct AddTextPrefix {
    texts: String,
    #[input(default = "")]
    prefix: String,
}

impl Run for AddTextPrefix {
    type Out = OneText;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneText> {
        Ok((self.prefix + &self.texts).into())
    }
}

/// Puts something behind a text.
#[derive(Node)]
#[node(category = "dataset/text", display = "Add Text Suffix", experimental)]
struct AddTextSuffix {
    texts: String,
    #[input(default = "")]
    suffix: String,
}

impl Run for AddTextSuffix {
    type Out = OneText;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneText> {
        Ok((self.texts + &self.suffix).into())
    }
}

/// Replaces every occurrence of a text in another.
#[derive(Node)]
#[node(category = "dataset/text", display = "Replace Text", experimental)]
struct ReplaceText {
    texts: String,
    #[input(default = "")]
    find: String,
    #[input(default = "")]
    replace: String,
}

impl Run for ReplaceText {
    type Out = OneText;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneText> {
        Ok(self.texts.replace(&self.find, &self.replace).into())
    }
}

/// Takes white space off a text's ends.
#[derive(Node)]
#[node(category = "dataset/text", display = "Strip Whitespace", experimental)]
struct StripWhitespace {
    texts: String,
}

impl Run for StripWhitespace {
    type Out = OneText;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneText> {
        Ok(self.texts.trim_matches(is_space).to_owned().into())
    }
}
