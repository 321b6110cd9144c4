//! Python's regular expressions, on top of `fancy-regex`, which backtracks in the same order.
//!
//! Patterns are rewritten where the two dialects differ. Matches are enumerated as in Python, which includes an empty
//! match right after another match.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use fancy_regex::{Captures, Regex, RegexBuilder};
use redraft_engine::memory::ask_text;

/// The most backtracking steps of one match.
const MOST_BACKTRACKS: usize = 10_000_000;
/// What one attempt at a match may cost in bytes looked at: a step may look at all of the text.
const MOST_WORK: usize = 2_000_000_000;
/// How long all matches of a call may take together.
const LONGEST: Duration = Duration::from_secs(10);

/// The most backtracking steps of an attempt in a text of so many bytes.
fn steps(text: usize) -> usize {
    (MOST_WORK / text.max(1)).clamp(1, MOST_BACKTRACKS)
}

/// What all matches of a call may take.
pub struct Budget<'a> {
    until: Instant,
    /// Whether the run was cancelled.
    cancelled: &'a dyn Fn() -> anyhow::Result<()>,
}

impl<'a> Budget<'a> {
    /// For one call of a node.
    pub fn new(cancelled: &'a dyn Fn() -> anyhow::Result<()>) -> Self {
        Self { until: Instant::now() + LONGEST, cancelled }
    }

    fn check(&self) -> Result<()> {
        (self.cancelled)()?;
        ensure!(Instant::now() < self.until, TOO_LONG);
        Ok(())
    }
}

const TOO_LONG: &str = "the pattern takes too long on this text; make it simpler";

/// `re.IGNORECASE`, `re.MULTILINE`, `re.DOTALL`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    pub ignore_case: bool,
    pub multiline: bool,
    pub dot_all: bool,
}

/// A compiled pattern.
pub struct Pattern {
    regex: Regex,
    /// The same pattern, which does not match the empty text at the start of the search.
    advancing: Regex,
    /// Both, at the start of the search only.
    here: Regex,
    advancing_here: Regex,
}

impl Pattern {
    /// Compiles a pattern in Python's syntax, for texts of up to `text` bytes.
    ///
    /// # Errors
    /// If the pattern is invalid.
    pub fn new(pattern: &str, flags: Flags, text: usize) -> Result<Pattern> {
        let rewritten = Rewriter { chars: pattern.chars().collect(), at: 0, multiline: flags.multiline }.rewrite()?;
        let compile = |pattern: &str| {
            let mut builder = RegexBuilder::new(pattern);
            builder.case_insensitive(flags.ignore_case).multi_line(flags.multiline);
            builder.dot_matches_new_line(flags.dot_all).backtrack_limit(steps(text));
            builder.build().with_context(|| format!("'{pattern}' is no regular expression; correct it"))
        };
        Ok(Pattern {
            regex: compile(&rewritten)?,
            advancing: compile(&format!("(?:{rewritten})(?!\\G)"))?,
            here: compile(&format!("\\G(?:{rewritten})"))?,
            advancing_here: compile(&format!("\\G(?:{rewritten})(?!\\G)"))?,
        })
    }

    /// The first match from a place on; one that is not empty at that place, if it is to be `advancing`. A search of the whole text cannot
    /// be interrupted: one that takes many steps is given up and done anew, place by place.
    fn next<'t>(
        &self,
        text: &'t str,
        from: usize,
        advancing: bool,
        budget: &Budget,
    ) -> Result<Option<Captures<'t, str>>> {
        budget.check()?;
        let whole = if advancing { &self.advancing } else { &self.regex };
        if let Ok(found) = whole.captures_from_pos(text, from) {
            return Ok(found);
        }
        let places = text[from..].char_indices().map(|(at, _)| from + at).chain([text.len()]);
        for place in places {
            budget.check()?;
            let here = if advancing && place == from { &self.advancing_here } else { &self.here };
            if let Some(found) = here.captures_from_pos(text, place).map_err(|_| anyhow!(TOO_LONG))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first match.
    pub fn search<'t>(&self, text: &'t str, budget: &Budget) -> Result<Option<Captures<'t, str>>> {
        self.matches(text, budget).next().transpose()
    }

    /// All matches, each from the end of the one before.
    pub fn matches<'p, 't>(
        &'p self,
        text: &'t str,
        budget: &'p Budget<'p>,
    ) -> impl Iterator<Item = Result<Captures<'t, str>>> + use<'p, 't> {
        let mut from = 0;
        let mut was_empty = false;
        std::iter::from_fn(move || {
            let found = self.next(text, from, was_empty, budget).transpose()?;
            if let Ok(found) = &found {
                let whole = found.get(0)?;
                (from, was_empty) = (whole.end(), whole.start() == whole.end());
            }
            Some(found)
        })
    }

    /// The number of groups.
    pub fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// `re.sub`: the first `count` matches (0: all) replaced by a template with `\1`, `\g<1>`, `\g<name>` and escapes.
    ///
    /// # Errors
    /// If the template is invalid, or the pattern takes too long.
    pub fn replace(&self, text: &str, template: &str, count: usize, budget: &Budget) -> Result<String> {
        let parts = self.template(template)?;
        let mut out = String::new();
        let (mut copied, mut asked) = (0, 0);
        for found in self.matches(text, budget).take(if count == 0 { usize::MAX } else { count }) {
            let found = found?;
            let Some(whole) = found.get(0) else { continue };
            out.push_str(&text[copied..whole.start()]);
            for part in &parts {
                match part {
                    Part::Text(text) => out.push_str(text),
                    Part::Group(group) => out.push_str(found.get(*group).map_or("", |group| group.as_str())),
                }
            }
            copied = whole.end();
            if out.len() > asked {
                asked = out.len().saturating_mul(2);
                ask_text(asked / 2)?;
            }
        }
        ask_text(out.len().saturating_add(text.len() - copied))?;
        out.push_str(&text[copied..]);
        Ok(out)
    }

    fn template(&self, template: &str) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        let mut chars = template.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '\\' {
                parts.push(Part::Text(c.to_string()));
                continue;
            }
            let Some(escaped) = chars.next() else {
                bail!("the replacement '{template}' ends in a backslash; write \\\\ for one");
            };
            let digit = |c: Option<&char>| c.and_then(|c| c.to_digit(10));
            parts.push(match escaped {
                'g' => {
                    let name: String = chars.by_ref().take_while(|&c| c != '>').collect();
                    let name =
                        name.strip_prefix('<').with_context(|| format!("'{template}' has \\g without <name>"))?;
                    Part::Group(self.group(name)?)
                }
                '0' => {
                    let mut code = 0;
                    for _ in 0..2 {
                        if let Some(d) = digit(chars.peek()).filter(|&d| d < 8) {
                            code = code * 8 + d;
                            chars.next();
                        }
                    }
                    Part::Text(char::from_u32(code).into_iter().collect())
                }
                '1'..='9' => {
                    let mut number = escaped.to_string();
                    if digit(chars.peek()).is_some() {
                        number.extend(chars.next());
                    }
                    let third = digit(chars.peek()).filter(|&d| d < 8);
                    match (u32::from_str_radix(&number, 8), third) {
                        (Ok(code), Some(third)) if number.len() == 2 && code < 32 => {
                            chars.next();
                            Part::Text(char::from_u32(code * 8 + third).into_iter().collect())
                        }
                        _ => Part::Group(self.group(&number)?),
                    }
                }
                'n' => Part::Text("\n".into()),
                't' => Part::Text("\t".into()),
                'r' => Part::Text("\r".into()),
                'a' => Part::Text("\u{7}".into()),
                'b' => Part::Text("\u{8}".into()),
                'f' => Part::Text("\u{c}".into()),
                'v' => Part::Text("\u{b}".into()),
                '\\' => Part::Text("\\".into()),
                c if c.is_ascii_alphabetic() => bail!("the replacement '{template}' has the unknown escape \\{c}"),
                c => Part::Text(format!("\\{c}")),
            });
        }
        Ok(parts)
    }

    /// The number of a group given by number or name.
    fn group(&self, name: &str) -> Result<usize> {
        let named = || self.regex.capture_names().position(|known| known == Some(name));
        let number = name.parse().ok().filter(|&number| number <= self.groups());
        number.or_else(named).with_context(|| format!("the pattern has no group '{name}'; refer to one of its own"))
    }
}

/// A piece of a replacement.
enum Part {
    Text(String),
    Group(usize),
}

/// Rewrites Python's syntax to that of `fancy-regex`.
struct Rewriter {
    chars: Vec<char>,
    at: usize,
    multiline: bool,
}

/// What Python counts as a letter, digit or underscore.
const WORD: &str = r"\p{L}\p{N}_";
/// What Python counts as white space.
const SPACE: &str = r"\s\x1c-\x1f";

impl Rewriter {
    fn rewrite(mut self) -> Result<String> {
        let mut out = String::new();
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escape(&mut out, false)?,
                '[' => self.class(&mut out)?,
                '$' if !self.multiline => out.push_str(r"(?=\n?\z)"),
                '{' => self.brace(&mut out),
                '}' | ']' => out.extend(['\\', c]),
                '(' if self.rest().starts_with(&['?', '#']) => {
                    while self.next().context("a comment in the pattern has no end; close it with )")? != ')' {}
                }
                '(' if self.rest().starts_with(&['?', 'm', ')']) => {
                    self.multiline = true;
                    out.push('(');
                }
                c => out.push(c),
            }
        }
        Ok(out)
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += 1;
        c
    }

    fn rest(&self) -> &[char] {
        self.chars.get(self.at..).unwrap_or_default()
    }

    /// A brace is a repetition only if it can be read as one. `{,n}` starts from 0.
    fn brace(&mut self, out: &mut String) {
        let inner: String = self.rest().iter().take_while(|&&c| c != '}').collect();
        let closed = self.rest().len() > inner.chars().count();
        let numbers = inner.chars().all(|c| c.is_ascii_digit() || c == ',') && inner.matches(',').count() <= 1;
        if !closed || !numbers || inner.is_empty() {
            out.push_str("\\{");
            return;
        }
        self.at += inner.chars().count() + 1;
        match inner.as_str() {
            "," => out.push('*'),
            inner => {
                let zero = if inner.starts_with(',') { "0" } else { "" };
                out.push_str(&format!("{{{zero}{inner}}}"));
            }
        }
    }

    /// An escape: the part after a backslash.
    fn escape(&mut self, out: &mut String, in_class: bool) -> Result<()> {
        let c = self.next().context("the pattern ends in a backslash; write \\\\ for one")?;
        let set = |out: &mut String, set: &str, negated: bool| match (in_class, negated) {
            (true, false) => out.push_str(set),
            (true, true) => out.push_str(&format!("[^{set}]")),
            (false, false) => out.push_str(&format!("[{set}]")),
            (false, true) => out.push_str(&format!("[^{set}]")),
        };
        match c {
            'w' => set(out, WORD, false),
            'W' => set(out, WORD, true),
            's' => set(out, SPACE, false),
            'S' => set(out, SPACE, true),
            'd' | 'D' | 'n' | 't' | 'r' | 'f' | 'v' | 'a' | 'x' | 'u' | 'U' => out.extend(['\\', c]),
            'b' if in_class => out.push_str("\\x08"),
            'b' | 'B' | 'A' if !in_class => out.extend(['\\', c]),
            'Z' if !in_class => out.push_str("\\z"),
            '0' => self.octal(out, 0),
            '1'..='9' if !in_class => self.number(out, c),
            '1'..='7' => self.octal(out, c as u32 - '0' as u32),
            c if c.is_ascii_alphanumeric() => bail!("the pattern has the unknown escape \\{c}; write {c} for itself"),
            c => out.push_str(&literal(c)),
        }
        Ok(())
    }

    /// An octal escape: reads up to two more digits.
    fn octal(&mut self, out: &mut String, first: u32) {
        let mut code = first;
        for _ in 0..2 {
            if let Some(digit) = self.rest().first().and_then(|c| c.to_digit(8)) {
                code = code * 8 + digit;
                self.at += 1;
            }
        }
        out.push_str(&format!("\\x{{{code:x}}}"));
    }

    /// A reference to a group, of at most two digits. Three octal digits are a character instead.
    fn number(&mut self, out: &mut String, first: char) {
        let digits: Vec<u32> = self.rest().iter().take(2).map_while(|c| c.to_digit(10)).collect();
        let octal = |digit: &u32| *digit < 8;
        if first < '4' && digits.len() == 2 && digits.iter().all(octal) {
            return self.octal(out, first as u32 - '0' as u32);
        }
        let mut number = first.to_string();
        if let Some(second) = digits.first() {
            number.push_str(&second.to_string());
            self.at += 1;
        }
        // In a group of its own, so that a digit after it is not read as part of the number.
        out.push_str(&format!("(?:\\{number})"));
    }

    /// A set of characters. Characters that are special in `fancy-regex` but not in Python are escaped.
    fn class(&mut self, out: &mut String) -> Result<()> {
        out.push('[');
        if self.rest().first() == Some(&'^') {
            self.at += 1;
            out.push('^');
        }
        let mut first = true;
        loop {
            let c = self.next().context("a set in the pattern has no end; close it with ]")?;
            match c {
                ']' if !first => break,
                '\\' => self.escape(out, true)?,
                '-' => self.dash(out, first),
                c => out.push_str(&literal(c)),
            }
            first = false;
        }
        out.push(']');
        Ok(())
    }

    /// A dash between two characters makes a range. At either end of a set, or next to a class such as `\d`, it stands
    /// for itself.
    fn dash(&mut self, out: &mut String, first: bool) {
        let last = self.rest().first() == Some(&']');
        let after_class = out.ends_with("\\d") || out.ends_with("\\D") || out.ends_with(']') || out.ends_with(WORD);
        out.push_str(if first || last || after_class { "\\-" } else { "-" });
    }
}

/// A character, escaped so that it stands for itself.
fn literal(c: char) -> String {
    if c.is_ascii_punctuation() || c == ' ' { format!("\\x{:02x}", c as u32) } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn all(pattern: &str, text: &str) -> Vec<String> {
        let pattern = Pattern::new(pattern, Flags::default(), text.len()).unwrap();
        pattern.matches(text, &Budget::new(&|| Ok(()))).map(|found| found.unwrap()[0].to_owned()).collect()
    }

    fn sub(pattern: &str, template: &str, text: &str, count: usize) -> String {
        Pattern::new(pattern, Flags::default(), text.len())
            .unwrap()
            .replace(text, template, count, &Budget::new(&|| Ok(())))
            .unwrap()
    }

    /// Figures from Python 3.12's `re.findall`.
    #[test]
    fn matches_are_pythons() {
        assert_eq!(all("a*", "aab"), ["aa", "", ""]);
        assert_eq!(all("|a", "aa"), ["", "a", "", "a", ""]);
        assert_eq!(all("a$", "a\na\n"), ["a"]);
        assert_eq!(all(r"a\Z", "a\na\n"), [""; 0]);
        assert_eq!(all(r"(?<=x)\w+(?!\w)", "xab yab xc"), ["ab", "c"]);
        assert_eq!(all(r"(\w)\1", "aab bcc"), ["aa", "cc"]);
        assert_eq!(all("[]a-]+[[&&]", "]-a[&"), ["]-a["]);
        assert_eq!(all("a{,2}b{x}", "aab{x}"), ["aab{x}"]);
        assert_eq!(all(r"[\w-]+", "a-b c"), ["a-b", "c"]);
        assert_eq!(all(r"\w+", "e\u{301}"), ["e"]);
        assert_eq!(all(r"(?P<q>['\x22]).*?(?P=q)", "'a' \"b\""), ["'a'", "\"b\""]);
        assert_eq!(all(r"a(?#no)b", "ab"), ["ab"]);
    }

    /// Figures from Python 3.12's `re.sub`.
    #[test]
    fn replacements_are_pythons() {
        assert_eq!(sub("x*", "-", "abxd", 0), "-a-b--d-");
        assert_eq!(sub(r"(\d+)", r"<\1>", "a1b22", 0), "a<1>b<22>");
        assert_eq!(sub(r"(?P<n>b)|c", r"[\g<n>\g<0>\n]", "abc", 0), "a[bb\n][c\n]");
        assert_eq!(sub("a", r"\\\.", "aa", 1), r"\\.a");
        assert_eq!(sub("a", "$0 $1", "a", 0), "$0 $1");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["(", "[a", r"\q", "a\\", "*"] {
            assert!(Pattern::new(pattern, Flags::default(), 0).is_err(), "{pattern}");
        }
        let pattern = Pattern::new("a", Flags::default(), 1).unwrap();
        let budget = Budget::new(&|| Ok(()));
        assert!(pattern.replace("a", r"\1", 0, &budget).is_err() && pattern.replace("a", r"\q", 0, &budget).is_err());
    }

    /// A lookahead reads the rest of the text from each of its places.
    #[test]
    fn a_pattern_that_takes_too_long_is_refused() {
        let text = "y".repeat(150_000);
        let pattern = Pattern::new("(?=.*x)a", Flags::default(), text.len()).unwrap();
        let short = Budget { until: Instant::now() + Duration::from_millis(50), cancelled: &|| Ok(()) };
        assert_eq!(pattern.search(&text, &short).unwrap_err().to_string(), TOO_LONG);
        let pattern = Pattern::new("(?:(?=y)y*)*(?=y)x", Flags::default(), text.len()).unwrap();
        let error = pattern.search(&text, &Budget::new(&|| Ok(()))).unwrap_err().to_string();
        assert_eq!(error, TOO_LONG);
        assert_eq!(all("(?=.*x)a", "aax"), ["a", "a"]);
    }

    /// What is searched place by place finds the same as a search of the whole text.
    #[test]
    fn long_texts_are_searched_to_their_end() {
        let text = "y".repeat(100_000) + "xab aab";
        for pattern in ["(?<=x)ab|(?<!a)a+b", "(?=a)|(?!.)"] {
            let short: Vec<_> = all(pattern, &text[99_990..]);
            assert_eq!(all(pattern, &text), short, "{pattern}");
        }
    }

    #[test]
    fn a_cancelled_run_ends_within_a_call() {
        let pattern = Pattern::new("a", Flags::default(), 2).unwrap();
        let cancelled = || Err(redraft_engine::error::Cancelled.into());
        assert!(pattern.search("aa", &Budget::new(&cancelled)).unwrap_err().is::<redraft_engine::error::Cancelled>());
    }
}
