//! Dynamic prompts: `{a|b}` is one of its options, and comments are left out.

use super::random::Random;

/// Chooses between options.
pub(super) struct Chooser(Random);

impl Chooser {
    /// The same seed chooses the same.
    pub(super) fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// The text with comments left out and each brace replaced by one of its options; options nest.
    ///
    /// A backslash escapes the next character; it is removed only before `{`, `}` and `|`. For a backslash at the end,
    /// the editor appends JavaScript's `undefined`, and so does this.
    pub(super) fn choose(&mut self, text: &str) -> String {
        let text = without_comments(text);
        let chosen = self.expand(&text);
        unescaped(&chosen)
    }

    fn expand(&mut self, text: &str) -> String {
        let braces = braces(text);
        let mut out = String::with_capacity(text.len());
        // Ranges yet to be written; the last is written first.
        let mut ranges = vec![(0, text.len())];
        while let Some((mut at, end)) = ranges.pop() {
            while at < end {
                let Some(c) = text[at..end].chars().next() else { break };
                if c == '\\' {
                    let next = text[at + 1..end].chars().next();
                    out.push('\\');
                    match next {
                        Some(next) => out.push(next),
                        None => out.push_str("undefined"),
                    }
                    at += 1 + next.map_or(0, char::len_utf8);
                    continue;
                }
                if c != '{' {
                    out.push(c);
                    at += c.len_utf8();
                    continue;
                }
                let Some(brace) = braces.get(&at) else { break };
                ranges.push((brace.after.min(end), end));
                ranges.push(brace.options[self.0.below(brace.options.len())]);
                break;
            }
        }
        out
    }
}

/// Where a brace's options lie, and where the text goes on after it.
struct Brace {
    options: Vec<(usize, usize)>,
    after: usize,
}

/// The braces by the place of their `{`. One that is never closed ends with the text.
fn braces(text: &str) -> std::collections::HashMap<usize, Brace> {
    let mut found = std::collections::HashMap::new();
    // The braces that are open, and where the present option of each starts.
    let mut open: Vec<(usize, Brace, usize)> = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '{' => open.push((at, Brace { options: Vec::new(), after: text.len() }, at + 1)),
            '|' => {
                if let Some((_, brace, start)) = open.last_mut() {
                    brace.options.push((*start, at));
                    *start = at + 1;
                }
            }
            '}' => {
                if let Some((place, mut brace, start)) = open.pop() {
                    brace.options.push((start, at));
                    brace.after = at + 1;
                    found.insert(place, brace);
                }
            }
            _ => {}
        }
    }
    for (place, mut brace, start) in open {
        brace.options.push((start, text.len()));
        found.insert(place, brace);
    }
    found
}

/// What becomes of a text with options or comments, in words.
pub(super) fn difference(input: &str, text: &str) -> String {
    let plain = without_comments(text);
    let mut parts = Vec::new();
    if plain != text {
        parts.push("what stands behind `//` or between `/*` and `*/` is taken out, as comments are");
    }
    if plain.contains(['{', '\\']) {
        parts.push("of what stands in braces one option is taken, without the braces (`\\{` keeps one)");
    }
    format!("`{input}`: {}", parts.join("; "))
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut may_close = true;
    while let Some(at) = rest.find('/') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let block = if rest.starts_with("/*") && may_close { rest[2..].find("*/").map(|end| end + 4) } else { None };
        // If this comment is not closed, no later one is either.
        may_close &= block.is_some() || !rest.starts_with("/*");
        if let Some(length) = block {
            rest = &rest[length..];
        } else if rest.starts_with("//") {
            rest = rest.find(['\n', '\r', '\u{2028}', '\u{2029}']).map_or("", |end| &rest[end..]);
        } else {
            out.push('/');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.peek().is_some_and(|next| ['{', '}', '|'].contains(next)) {
            continue;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all(text: &str) -> BTreeSet<String> {
        (0..200).map(|seed| Chooser::new(seed).choose(text)).collect()
    }

    fn only(text: &str) -> String {
        let all = all(text);
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap_or_default()
    }

    #[test]
    fn each_option_is_chosen_by_some_seed() {
        assert_eq!(all("a {b|c{d|e}|} f"), ["a  f", "a b f", "a cd f", "a ce f"].map(str::to_owned).into());
    }

    #[test]
    fn odd_braces_are_as_in_the_reference() {
        assert_eq!(only("{x}"), "x");
        assert_eq!(only("a{}b"), "ab");
        assert_eq!(only("a } | b"), "a } | b");
        assert_eq!(only("{open"), "open");
        assert_eq!(all("a{b|c").len(), 2);
        assert_eq!(only(r"\{a\|b\} \(c\) d\\e"), r"{a|b} \(c\) d\\e");
        assert_eq!(only("end\\"), "end\\undefined");
    }

    #[test]
    fn comments_go_first() {
        assert_eq!(only("a /* {b */ c"), "a  c");
        assert_eq!(only("see https://a.b\nnext"), "see https:\nnext");
        assert_eq!(only("a /* open"), "a /* open");
        assert_eq!(only("/*/ x */y"), "y");
    }

    #[test]
    fn deep_nesting_takes_no_stack_and_little_time() {
        let deep = "{a|".repeat(300_000);
        assert!(Chooser::new(3).choose(&deep).len() <= deep.len());
    }
}
