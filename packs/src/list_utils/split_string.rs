use redraft_engine::cx::Cx;
use redraft_engine::io::{CONSTANT, Emit, List, Socket, Value};
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use redraft_nodes::python::text::is_space;
use serde_json::{Value as Json, json};

/// Splits a text at lines, at a delimiter, or both. What is empty is left out.
#[derive(Node)]
#[node(class = "GODMT_SplitString", category = "list_utils", display = "Split String")]
struct SplitString {
    #[input(name = "STRING", multiline)]
    string: String,
    /// Where each line is split; nothing splits it nowhere.
    #[input(default = ",")]
    delimiter: String,
    splitlines: bool,
    /// Whether white space around each part is left out.
    strip: bool,
}

#[derive(Outputs)]
struct Parts {
    /// The parts, for which the nodes behind it run one by one.
    #[output(name = "STRING")]
    each: List<String>,
    /// The same as one value.
    #[output(name = "LIST")]
    all: PyList,
    #[output(name = "length")]
    length: i64,
}

/// A list that is one value.
struct PyList(Json);

impl Emit for PyList {
    const TYPE: &'static str = "LIST";

    fn into_socket(self) -> Socket {
        std::rc::Rc::new([Value::new(CONSTANT, self.0)])
    }
}

impl Run for SplitString {
    type Out = Parts;

    fn run(self, _: &mut Cx) -> anyhow::Result<Parts> {
        let lines: Vec<&str> = if self.splitlines { lines(&self.string) } else { vec![&self.string] };
        let parts: Vec<String> = match self.delimiter.as_str() {
            // As in the pack, every character is then a part of its own.
            "" => lines.into_iter().flat_map(|line| line.chars().map(String::from)).collect(),
            delimiter => lines.into_iter().flat_map(|line| line.split(delimiter).map(str::to_owned)).collect(),
        };
        let strip = |part: String| if self.strip { part.trim_matches(is_space).to_owned() } else { part };
        let parts: Vec<String> = parts.into_iter().map(strip).filter(|part| !part.is_empty()).collect();
        Ok(Parts { all: PyList(json!(parts)), length: parts.len() as i64, each: List(parts) })
    }
}

/// Python's `text.splitlines()`.
fn lines(text: &str) -> Vec<&str> {
    let ends = |c: char| {
        matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(ends) {
        let (line, end) = rest.split_at(at);
        found.push(line);
        let length = if end.starts_with("\r\n") { 2 } else { end.chars().next().map_or(1, char::len_utf8) };
        rest = &end[length..];
    }
    if !rest.is_empty() {
        found.push(rest);
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Figures from the pack's `run` under Python 3.11.
    #[test]
    fn texts_are_split_as_the_pack_splits_them() {
        let split = |string: &str, delimiter: &str, splitlines: bool, strip: bool| {
            let (string, delimiter) = (string.to_owned(), delimiter.to_owned());
            Cx::for_test().run(SplitString { string, delimiter, splitlines, strip }).unwrap()
        };
        let found = split("pen\npineapple\r\napple\n\npen", ",", true, false);
        assert_eq!((found.each.0, found.length), (["pen", "pineapple", "apple", "pen"].map(str::to_owned).to_vec(), 4));
        assert_eq!(split("a; b ;;c", ";", false, true).each.0, ["a", "b", "c"]);
        assert_eq!(split("a; b ;;c", ";", false, false).each.0, ["a", " b ", "c"]);
        assert_eq!(split("ab", "", false, false).each.0, ["a", "b"]);
        assert_eq!(split("", ",", true, true).length, 0);
    }
}
