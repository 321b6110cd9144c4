//! Texts searched and changed by Python's regular expressions.

use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs};

use crate::python::regex::{Flags, Pattern};

#[derive(Outputs)]
struct Matches {
    #[output(name = "matches")]
    matches: bool,
}

/// Says whether a pattern is found in a text. What is no pattern is not found.
#[derive(Node)]
#[node(category = "utils/string", display = "Regex Match")]
struct RegexMatch {
    #[input(multiline)]
    string: String,
    #[input(multiline)]
    regex_pattern: String,
    #[input(default = true)]
    case_insensitive: bool,
    /// Whether ^ and $ match at every line.
    #[input(default = false)]
    multiline: bool,
    /// Whether a dot matches line ends too.
    #[input(default = false)]
    dotall: bool,
}

impl Run for RegexMatch {
    type Out = Matches;

    fn run(self, _: &mut Cx) -> anyhow::Result<Matches> {
        let flags = Flags { ignore_case: self.case_insensitive, multiline: self.multiline, dot_all: self.dotall };
        let Ok(pattern) = Pattern::new(&self.regex_pattern, flags) else { return Ok(Matches { matches: false }) };
        Ok(Matches { matches: pattern.search(&self.string)?.is_some() })
    }
}

/// Takes what matches a pattern, or one of its groups, out of a text. What is no pattern gives nothing.
#[derive(Node)]
#[node(category = "utils/string", display = "Regex Extract")]
struct RegexExtract {
    #[input(multiline)]
    string: String,
    #[input(multiline)]
    regex_pattern: String,
    /// All of them are joined by line ends. `All Matches` of a pattern with groups gives the first group.
    mode: Wanted,
    #[input(default = true)]
    case_insensitive: bool,
    /// Whether ^ and $ match at every line.
    #[input(default = false)]
    multiline: bool,
    /// Whether a dot matches line ends too.
    #[input(default = false)]
    dotall: bool,
    /// Which group; 0 is the whole match.
    #[input(default = 1, min = 0, max = 100)]
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

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        let flags = Flags { ignore_case: self.case_insensitive, multiline: self.multiline, dot_all: self.dotall };
        let Ok(pattern) = Pattern::new(&self.regex_pattern, flags) else { return Ok(String::new()) };
        let groups = pattern.groups();
        let has_group = groups >= self.group_index;
        let (group, wanted) = match self.mode {
            Wanted::FirstMatch => (0, 1),
            Wanted::AllMatches => (groups.min(1), usize::MAX),
            Wanted::FirstGroup => (self.group_index, usize::from(has_group)),
            Wanted::AllGroups => (self.group_index, if has_group && groups > 0 { usize::MAX } else { 0 }),
        };
        let mut found = Vec::new();
        for captures in pattern.matches(&self.string).take(wanted) {
            let text = captures?.get(group).map_or("", |group| group.as_str());
            found.push(text);
        }
        Ok(found.join("\n"))
    }
}

/// Replaces what matches a pattern. The replacement may refer to groups: `\1`, `\g<name>`.
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
    /// Whether ^ and $ match at every line.
    #[input(default = false)]
    multiline: Option<bool>,
    /// Whether a dot matches line ends too.
    #[input(default = false)]
    dotall: Option<bool>,
    /// How many are replaced, from the first; 0 for all.
    #[input(default = 0, min = 0, max = 100)]
    count: Option<usize>,
}

impl Run for RegexReplace {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        let flags = Flags {
            ignore_case: self.case_insensitive.unwrap_or(true),
            multiline: self.multiline.unwrap_or(false),
            dot_all: self.dotall.unwrap_or(false),
        };
        Pattern::new(&self.regex_pattern, flags)?.replace(&self.string, &self.replace, self.count.unwrap_or(0))
    }
}
