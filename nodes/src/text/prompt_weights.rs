//! The weight grammar of a prompt: `(text)`, `(text:1.3)`, `\(` and `\)`.

use redraft_engine::python::parse_float;

/// The factor of a pair of parentheses without a number.
const EMPHASIS: f64 = 1.1;
/// Placeholders for escaped parentheses during parsing. ComfyUI uses the same ones, so that a text that contains them
/// gives the same result.
const ESCAPED_CLOSE: &str = "\0\u{1}";
const ESCAPED_OPEN: &str = "\0\u{2}";

/// A piece of a prompt with one weight, its escapes resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    pub text: String,
    /// Any number: also negative, infinite or NaN, if the prompt says so.
    pub weight: f64,
}

/// Splits a prompt into weighted segments. The time is linear in the text's length, at any depth of nesting.
///
/// `(x)` multiplies the weight by 1.1. `(x:number)` sets it, regardless of the weight outside. Unbalanced parentheses
/// are ordinary text. There is no other syntax.
pub fn parse_weights(prompt: &str) -> Vec<Segment> {
    let escaped = prompt.replace("\\)", ESCAPED_CLOSE).replace("\\(", ESCAPED_OPEN);
    let parser = Parser { text: &escaped, close: closing(escaped.as_bytes()) };
    let mut segments = Vec::new();
    let mut stack = vec![Range { at: 0, end: escaped.len(), level: 0, weight: 1.0 }];
    while let Some(mut range) = stack.pop() {
        match parser.next_item(&mut range) {
            None => {}
            Some(Item::Text { start, end }) => {
                let text = escaped[start..end].replace(ESCAPED_CLOSE, ")").replace(ESCAPED_OPEN, "(");
                segments.push(Segment { text, weight: range.weight });
                stack.push(range);
            }
            Some(Item::Group { start, end }) => {
                let inside = parser.inside(start, end, range.weight);
                stack.extend([range, inside]);
            }
        }
    }
    segments
}

/// For each opening parenthesis the position of the one that closes it, if there is one.
fn closing(text: &[u8]) -> Vec<Option<usize>> {
    let mut close = vec![None; text.len()];
    let mut open = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'(' => open.push(at),
            b')' => {
                if let Some(start) = open.pop() {
                    close[start] = Some(at);
                }
            }
            _ => {}
        }
    }
    close
}

/// The rest of the text, or of the inside of a group, that is still to be read.
struct Range {
    at: usize,
    end: usize,
    /// The number of opened less closed parentheses. Between items it is at most 0; unmatched closing ones make it
    /// negative.
    level: i64,
    weight: f64,
}

enum Item {
    Text { start: usize, end: usize },
    Group { start: usize, end: usize },
}

struct Parser<'a> {
    text: &'a str,
    close: Vec<Option<usize>>,
}

impl Parser<'_> {
    /// Takes the next item from the range.
    fn next_item(&self, range: &mut Range) -> Option<Item> {
        let bytes = self.text.as_bytes();
        let start = range.at;
        while range.at < range.end {
            match bytes[range.at] {
                b'(' if range.level == 0 => {
                    if start < range.at {
                        return Some(Item::Text { start, end: range.at });
                    }
                    // Without a matching parenthesis in this range, everything up to the end of the range is one item.
                    let partner = self.close[start].filter(|close| *close < range.end);
                    range.at = partner.map_or(range.end, |close| close + 1);
                    let is_group = range.at - start >= 2 && bytes[range.at - 1] == b')';
                    let end = range.at;
                    return Some(if is_group { Item::Group { start, end } } else { Item::Text { start, end } });
                }
                b'(' => range.level += 1,
                b')' => range.level -= 1,
                _ => {}
            }
            range.at += 1;
        }
        (start < range.end).then_some(Item::Text { start, end: range.end })
    }

    /// The inside of a group at `start..end` (parentheses included), with its own weight.
    fn inside(&self, start: usize, end: usize, weight: f64) -> Range {
        let (at, end) = (start + 1, end - 1);
        let bytes = self.text.as_bytes();
        // A number contains no parenthesis, so the search for its colon ends at one. This keeps the time linear.
        let colon = (at..end).rev().find(|&at| matches!(bytes[at], b':' | b'(' | b')')).filter(|&c| bytes[c] == b':');
        let number = colon.filter(|colon| *colon > at).and_then(|colon| {
            let weight = parse_float(&self.text[colon + 1..end])?;
            Some(Range { at, end: colon, level: 0, weight })
        });
        number.unwrap_or(Range { at, end, level: 0, weight: weight * EMPHASIS })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(prompt: &str) -> Vec<(String, f64)> {
        parse_weights(prompt).into_iter().map(|segment| (segment.text, segment.weight)).collect()
    }

    /// From the specification, which took them from ComfyUI 0.8.0, and further ones run there.
    #[test]
    fn equals_the_reference() {
        let twice = 1.1 * 1.1;
        let table: &[(&str, &[(&str, f64)])] = &[
            ("", &[]),
            ("cat", &[("cat", 1.0)]),
            ("(cat)", &[("cat", 1.1)]),
            ("((cat))", &[("cat", twice)]),
            ("(((a)))", &[("a", twice * 1.1)]),
            ("(cat:1.3)", &[("cat", 1.3)]),
            ("((cat:1.3))", &[("cat", 1.3)]),
            ("(a (b:1.5):1.2)", &[("a ", 1.2), ("b", 1.5)]),
            ("((a:1.2) b:0.8)", &[("a", 1.2), (" b", 0.8)]),
            ("(a:1.2 (b))", &[("a:1.2 ", 1.1), ("b", twice)]),
            ("(a:1.2:1.3)", &[("a:1.2", 1.3)]),
            ("(:1.2)", &[(":1.2", 1.1)]),
            ("(a:abc)", &[("a:abc", 1.1)]),
            ("(a:1,2)", &[("a:1,2", 1.1)]),
            ("(a: 1.2 )", &[("a", 1.2)]),
            ("(a:.5)", &[("a", 0.5)]),
            ("(a:1e1)", &[("a", 10.0)]),
            ("(a:-1)", &[("a", -1.0)]),
            ("(a:1_0)", &[("a", 10.0)]),
            ("()", &[]),
            ("(", &[("(", 1.0)]),
            ("(a", &[("(a", 1.0)]),
            ("(a:1.2", &[("(a:1.2", 1.0)]),
            ("a)", &[("a)", 1.0)]),
            ("a) (b:1.2) c", &[("a) (b:1.2) c", 1.0)]),
            ("(a (b) c", &[("(a (b) c", 1.0)]),
            ("(a (b)", &[("a ", 1.1), ("(b", 1.1)]),
            ("(((((a)))", &[("((a", twice * 1.1)]),
            ("(a (b:1.2)", &[("a ", 1.2), ("(b", 1.2)]),
            ("a)((b))", &[("a)(", 1.0), ("b", 1.1), (")", 1.0)]),
            ("(a(b)c)(d)", &[("a", 1.1), ("b", twice), ("c", 1.1), ("d", 1.1)]),
            (r"\(a\) (b\):1.4)", &[("(a) ", 1.0), ("b)", 1.4)]),
            (r"\\(a)", &[(r"\(a)", 1.0)]),
            ("[a]", &[("[a]", 1.0)]),
            ("{(a)}", &[("{", 1.0), ("a", 1.1), ("}", 1.0)]),
            ("a:1.2", &[("a:1.2", 1.0)]),
            ("(é:1.2)", &[("é", 1.2)]),
        ];
        for (prompt, segments) in table {
            let expected: Vec<_> = segments.iter().map(|(text, weight)| (text.to_string(), *weight)).collect();
            assert_eq!(parsed(prompt), expected, "{prompt:?}");
        }
    }

    #[test]
    fn depth_is_no_matter() {
        let depth = 100_000;
        let [(text, weight)] = &parsed(&format!("{}a{}", "(".repeat(depth), ")".repeat(depth)))[..] else {
            panic!("one segment expected")
        };
        assert_eq!((text.as_str(), *weight), ("a", f64::INFINITY));
        let one_open = parsed(&format!("{}a{}", "(".repeat(depth + 1), ")".repeat(depth)));
        assert_eq!(one_open, [("(a".to_owned(), f64::INFINITY)]);
        assert_eq!(parsed(&"(".repeat(depth)).len(), 1);
        assert_eq!(parsed(&")(".repeat(depth)).len(), 1);
    }

    /// The grammar as the specification words it: recursion and rescanning.
    fn literally(text: &str, weight: f64, out: &mut Vec<(String, f64)>) {
        let (mut items, mut item, mut level) = (Vec::new(), String::new(), 0);
        for c in text.chars() {
            if c == '(' {
                if level == 0 {
                    items.push(std::mem::take(&mut item));
                }
                level += 1;
            }
            item.push(c);
            if c == ')' {
                level -= 1;
                if level == 0 {
                    items.push(std::mem::take(&mut item));
                }
            }
        }
        items.push(item);
        for item in items.into_iter().filter(|item| !item.is_empty()) {
            let inside = item.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let Some(inside) = inside else {
                out.push((item, weight));
                continue;
            };
            let number = inside.rfind(':').filter(|colon| *colon > 0);
            match number.and_then(|colon| Some((colon, parse_float(&inside[colon + 1..])?))) {
                Some((colon, number)) => literally(&inside[..colon], number, out),
                None => literally(inside, weight * EMPHASIS, out),
            }
        }
    }

    proptest! {
        #[test]
        fn equals_the_grammar_taken_literally(prompt in r"[()():a 1.2]{0,40}") {
            let mut expected = Vec::new();
            literally(&prompt, 1.0, &mut expected);
            prop_assert_eq!(parsed(&prompt), expected);
        }

        #[test]
        fn text_without_parentheses_survives(prompt in r"[^()\\\x00]{1,40}") {
            prop_assert_eq!(parsed(&prompt), [(prompt, 1.0)]);
        }

        #[test]
        fn escaped_parentheses_survive(text in r"[a:() ]{1,30}") {
            let escaped = text.replace('(', r"\(").replace(')', r"\)");
            prop_assert_eq!(parsed(&escaped), [(text, 1.0)]);
        }

        #[test]
        fn nothing_panics(prompt in any::<String>()) {
            let _ = parse_weights(&prompt);
        }
    }
}
