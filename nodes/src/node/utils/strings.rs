//! Joining, cutting, searching and changing texts, by Python's rules.

use redraft_engine::cx::Cx;
use redraft_engine::memory::ask_text;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs};

use crate::python::text::{capitalize, is_space, slice, title};

/// Joins two texts.
#[derive(Node)]
#[node(category = "utils/string", display = "Concatenate")]
struct StringConcatenate {
    #[input(multiline)]
    string_a: String,
    #[input(multiline)]
    string_b: String,
    /// The text between them.
    #[input(default = "")]
    delimiter: String,
}

impl Run for StringConcatenate {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        ask_text(self.string_a.len().saturating_add(self.delimiter.len()).saturating_add(self.string_b.len()))?;
        Ok(self.string_a + &self.delimiter + &self.string_b)
    }
}

/// Gives a part of a text.
#[derive(Node)]
#[node(category = "utils/string", display = "Substring")]
struct StringSubstring {
    #[input(multiline)]
    string: String,
    /// The index of the first character, from 0. A negative number counts from the end.
    start: i64,
    /// The index of the character before which the part ends. A negative number counts from the end.
    end: i64,
}

impl Run for StringSubstring {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        Ok(slice(&self.string, self.start.into(), self.end.into()))
    }
}

#[derive(Outputs)]
struct Length {
    #[output(name = "length")]
    length: u64,
}

/// Counts the characters of a text.
#[derive(Node)]
#[node(category = "utils/string", display = "Length")]
struct StringLength {
    #[input(multiline)]
    string: String,
}

impl Run for StringLength {
    type Out = Length;

    fn run(self, _: &mut Cx) -> anyhow::Result<Length> {
        Ok(Length { length: self.string.chars().count() as u64 })
    }
}

/// Converts a text to upper case, lower case or title case, or capitalises it.
#[derive(Node)]
#[node(category = "utils/string", display = "Case Converter")]
struct CaseConverter {
    #[input(multiline)]
    string: String,
    mode: Case,
}

#[derive(Combo)]
enum Case {
    #[combo(name = "UPPERCASE")]
    Upper,
    #[combo(name = "lowercase")]
    Lower,
    #[combo(name = "Capitalize")]
    Capitalize,
    #[combo(name = "Title Case")]
    Title,
}

impl Run for CaseConverter {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        Ok(match self.mode {
            Case::Upper => self.string.to_uppercase(),
            Case::Lower => self.string.to_lowercase(),
            Case::Capitalize => capitalize(&self.string),
            Case::Title => title(&self.string),
        })
    }
}

/// Removes white space from the ends of a text.
#[derive(Node)]
#[node(category = "utils/string", display = "Trim")]
struct StringTrim {
    #[input(multiline)]
    string: String,
    mode: Ends,
}

#[derive(Combo)]
enum Ends {
    #[combo(name = "Both")]
    Both,
    #[combo(name = "Left")]
    Left,
    #[combo(name = "Right")]
    Right,
}

impl Run for StringTrim {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        let trimmed = match self.mode {
            Ends::Both => self.string.trim_matches(is_space),
            Ends::Left => self.string.trim_start_matches(is_space),
            Ends::Right => self.string.trim_end_matches(is_space),
        };
        Ok(trimmed.to_owned())
    }
}

/// Replaces every occurrence of a text in another.
#[derive(Node)]
#[node(category = "utils/string", display = "Replace")]
struct StringReplace {
    #[input(multiline)]
    string: String,
    #[input(multiline)]
    find: String,
    #[input(multiline)]
    replace: String,
}

impl Run for StringReplace {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        replaced(&self.string, &self.find, &self.replace)
    }
}

/// A text with every occurrence of another replaced.
///
/// # Errors
/// If the result takes more memory than there is.
pub(in crate::node) fn replaced(text: &str, find: &str, replace: &str) -> anyhow::Result<String> {
    if replace.len() > find.len() {
        let more = text.matches(find).count().saturating_mul(replace.len() - find.len());
        ask_text(text.len().saturating_add(more))?;
    }
    Ok(text.replace(find, replace))
}

/// Both texts, in lower case unless the comparison is case-sensitive.
fn compared(a: String, b: String, case_sensitive: bool) -> (String, String) {
    if case_sensitive { (a, b) } else { (a.to_lowercase(), b.to_lowercase()) }
}

#[derive(Outputs)]
struct Contains {
    #[output(name = "contains")]
    contains: bool,
}

/// Tells whether a text contains another.
#[derive(Node)]
#[node(category = "utils/string", display = "Contains")]
struct StringContains {
    #[input(multiline)]
    string: String,
    #[input(multiline)]
    substring: String,
    #[input(default = true)]
    case_sensitive: bool,
}

impl Run for StringContains {
    type Out = Contains;

    fn run(self, _: &mut Cx) -> anyhow::Result<Contains> {
        let (string, substring) = compared(self.string, self.substring, self.case_sensitive);
        Ok(Contains { contains: string.contains(&substring) })
    }
}

/// Tells whether a text starts or ends with another, or equals it.
#[derive(Node)]
#[node(category = "utils/string", display = "Compare")]
struct StringCompare {
    #[input(multiline)]
    string_a: String,
    #[input(multiline)]
    string_b: String,
    mode: Comparison,
    #[input(default = true)]
    case_sensitive: bool,
}

#[derive(Combo)]
enum Comparison {
    #[combo(name = "Starts With")]
    StartsWith,
    #[combo(name = "Ends With")]
    EndsWith,
    #[combo(name = "Equal")]
    Equal,
}

impl Run for StringCompare {
    type Out = bool;

    fn run(self, _: &mut Cx) -> anyhow::Result<bool> {
        let (a, b) = compared(self.string_a, self.string_b, self.case_sensitive);
        Ok(match self.mode {
            Comparison::StartsWith => a.starts_with(&b),
            Comparison::EndsWith => a.ends_with(&b),
            Comparison::Equal => a == b,
        })
    }
}
