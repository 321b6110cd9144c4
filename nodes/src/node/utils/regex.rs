//! Searching and changing texts by Python's regular expressions.

use redraft_engine::cx::Cx;
use redraft_engine::memory::{ask, ask_text};
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs};

use crate::python::regex::{Budget, Flags, Pattern};

#[derive(Outputs)]
struct Matches {
    #[output(name = "matches")]
    matches: bool,
}

/// Tells whether a pattern matches anywhere in a text. An invalid pattern matches nowhere.
#[derive(Node)]
#[node(category = "utils/string", display = "Regex Match")]
struct RegexMatch {
    #[input(multiline)]
    string: String,
    #[input(multiline)]
    regex_pattern: String,
    #[input(default = true)]
    case_insensitive: bool,
    /// Whether ^ and $ match at each line.
    #[input(default = false)]
    multiline: bool,
    /// Whether a dot matches line breaks, too.
    #[input(default = false)]
    dotall: bool,
}

impl Run for RegexMatch {
    type Out = Matches;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Matches> {
        let flags = Flags { ignore_case: self.case_insensitive, multiline: self.multiline, dot_all: self.dotall };
        let Ok(pattern) = Pattern::new(&self.regex_pattern, flags, self.string.len()) else {
            return Ok(Matches { matches: false });
        };
        Ok(Matches { matches: pattern.search(&self.string, &Budget::new(&|| cx.check()))?.is_some() })
    }
}

/// Extracts the matches of a pattern, or of one of its groups, from a text. An invalid pattern gives an empty text.
#[derive(Node)]
#[node(category = "utils/string", display = "Regex Extract")]
struct RegexExtract {
    #[input(multiline)]
    string: String,
    #[input(multiline)]
    regex_pattern: String,
    /// Which matches are given. Several are joined by line breaks. `All Matches` of a pattern with groups gives its
    /// first group.
    mode: Wanted,
    #[input(default = true)]
    case_insensitive: bool,
    /// Whether ^ and $ match at each line.
    #[input(default = false)]
    multiline: bool,
    /// Whether a dot matches line breaks, too.
    #[input(default = false)]
    dotall: bool,
    /// The number of the group; 0 is the whole match.
    #[input(default = 1, min = 0, max = 100, beyond = Above)]
    group_index: usize,
}

#[derive(Combo)]
enum Wanted {
    #[combo(name = "First Match")]
    FirstMatch,
    #[combo(name = "All Matches")]
    AllMatches,
    #[combo(name = "First Group")]
    FirstGroup,
    #[combo(name = "All Groups")]
    AllGroups,
}

impl Run for RegexExtract {
    type Out = String;

    fn run(self, cx: &mut Cx) -> anyhow::Result<String> {
        let flags = Flags { ignore_case: self.case_insensitive, multiline: self.multiline, dot_all: self.dotall };
        let Ok(pattern) = Pattern::new(&self.regex_pattern, flags, self.string.len()) else { return Ok(String::new()) };
        let groups = pattern.groups();
        let has_group = groups >= self.group_index;
        let (group, wanted) = match self.mode {
            Wanted::FirstMatch => (0, 1),
            Wanted::AllMatches => (groups.min(1), usize::MAX),
            Wanted::FirstGroup => (self.group_index, usize::from(has_group)),
            Wanted::AllGroups => (self.group_index, if has_group && groups > 0 { usize::MAX } else { 0 }),
        };
        let mut found = Vec::new();
        let mut bytes = 0_usize;
        let stop = || cx.check();
        let budget = Budget::new(&stop);
        for captures in pattern.matches(&self.string, &budget).take(wanted) {
            let text = captures?.get(group).map_or("", |group| group.as_str());
            bytes = bytes.saturating_add(text.len() + 1);
            // The list takes twice its length while it grows.
            if found.len() == found.capacity() {
                ask(found.len() * 2 * size_of::<&str>(), "the matches")?;
            }
            found.push(text);
        }
        ask_text(bytes)?;
        Ok(found.join("\n"))
    }
}

/// Replaces the matches of a pattern. The replacement may refer to groups: `\1`, `\g<name>`.
#[derive(Node)]
#[node(category = "utils/string", display = "Regex Replace")]
struct RegexReplace {
    #[input(multiline)]
    string: String,
    #[input(multiline)]
    regex_pattern: String,
    #[input(multiline)]
    replace: String,
    #[input(default = true)]
    case_insensitive: Option<bool>,
    /// Whether ^ and $ match at each line.
    #[input(default = false)]
    multiline: Option<bool>,
    /// Whether a dot matches line breaks, too.
    #[input(default = false)]
    dotall: Option<bool>,
    /// The number of matches that are replaced, from the first on; 0 replaces all, a negative number none.
    #[input(default = 0, min = 0, max = 100, beyond = Both)]
    count: Option<i64>,
}

impl Run for RegexReplace {
    type Out = String;

    fn run(self, cx: &mut Cx) -> anyhow::Result<String> {
        let flags = Flags {
            ignore_case: self.case_insensitive.unwrap_or(true),
            multiline: self.multiline.unwrap_or(false),
            dot_all: self.dotall.unwrap_or(false),
        };
        let pattern = Pattern::new(&self.regex_pattern, flags, self.string.len())?;
        let stop = || cx.check();
        let Ok(count) = usize::try_from(self.count.unwrap_or(0)) else { return Ok(self.string) };
        pattern.replace(&self.string, &self.replace, count, &Budget::new(&stop))
    }
}
