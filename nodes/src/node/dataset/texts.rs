//! The texts of a data set, changed one by one.
//!
//! In ComfyUI each of these nodes gives a list with one text, which only a preview accepts. Here they give the text
//! itself.

use redraft_engine::cx::Cx;
use redraft_engine::memory::ask_text;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::node::utils::replaced;
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

/// Converts a text to lower case.
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

/// Converts a text to upper case.
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

/// Truncates a text to a number of characters.
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

/// Adds a prefix to a text.
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
        ask_text(self.prefix.len().saturating_add(self.texts.len()))?;
        Ok((self.prefix + &self.texts).into())
    }
}

/// Adds a suffix to a text.
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
        ask_text(self.texts.len().saturating_add(self.suffix.len()))?;
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
        Ok(replaced(&self.texts, &self.find, &self.replace)?.into())
    }
}

/// Removes white space from both ends of a text.
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
