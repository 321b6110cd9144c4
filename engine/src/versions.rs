//! The versions of ComfyUI whose declarations are known: a later one holds only the classes that it declares otherwise than the
//! one before it, and names those that are gone.
//!
//! Facts from their `/object_info`, put together by `scripts/stock-declarations.py`. Nothing is parsed before a class is asked
//! for, and then only that class's line.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{LazyLock, OnceLock};

use serde_json::Value;

use crate::schema::Schema;

/// A version of ComfyUI whose declarations are known. The later is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(usize);

struct Row {
    number: &'static str,
    /// The editor that comes with it.
    editor: &'static str,
    lines: &'static str,
}

/// The oldest first: its declarations are those by which nodes run here.
const VERSIONS: [Row; 2] = [
    Row { number: "0.8.0", editor: "1.35.9", lines: include_str!("../data/stock-0.8.0.jsonl") },
    Row { number: "0.33.0", editor: "1.49.6", lines: include_str!("../data/stock-0.33.0.jsonl") },
];

impl Version {
    /// The version by whose declarations nodes run here.
    pub const HERE: Self = Self(0);

    /// Every version, the oldest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..VERSIONS.len()).map(Self)
    }

    /// `0.8.0`.
    pub fn number(self) -> &'static str {
        VERSIONS[self.0].number
    }

    /// The version by which a file was saved that names `number` of ComfyUI: the oldest for all before it, the newest for all
    /// behind it, and none for those between two.
    pub fn nearest(number: &str) -> Option<Self> {
        Self::by(number, |row| row.number)
    }

    /// The same by the number of the editor.
    pub fn of_editor(number: &str) -> Option<Self> {
        Self::by(number, |row| row.editor)
    }

    fn by(number: &str, of: fn(&Row) -> &'static str) -> Option<Self> {
        let number = parts(number)?;
        let exact = VERSIONS.iter().position(|row| parts(of(row)) == Some(number));
        let (first, last) = (VERSIONS.first()?, VERSIONS.last()?);
        let beyond = || match number {
            _ if Some(number) < parts(of(first)) => Some(0),
            _ if Some(number) > parts(of(last)) => Some(VERSIONS.len() - 1),
            _ => None,
        };
        exact.or_else(beyond).map(Self)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.number())
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<_> = Self::all().map(Self::number).collect();
        let found = Self::all().find(|version| version.number() == text);
        found.ok_or_else(|| format!("the declarations of ComfyUI {text} are not known; write {}", numbers.join(" or ")))
    }
}

/// The three numbers of a version; what stands behind a hyphen or plus counts for nothing.
fn parts(number: &str) -> Option<(u32, u32, u32)> {
    let number = number.strip_prefix('v').unwrap_or(number);
    let mut parts = number.split(['-', '+']).next()?.split('.').map(|part| part.parse().ok());
    let mut next = || parts.next().unwrap_or(Some(0));
    Some((next()?, next()?, next()?))
}

/// A class's line in a table of declarations.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) class: &'static str,
    /// As `/object_info` has it.
    pub(crate) text: &'static str,
    schema: OnceLock<Schema>,
}

impl Line {
    /// A line of a table, if it declares a class.
    pub(crate) fn of(text: &'static str) -> Option<Self> {
        let class = text.strip_prefix("{\"name\":\"").and_then(|rest| rest.split('"').next())?;
        Some(Self { class, text, schema: OnceLock::new() })
    }

    /// The class's entry, parsed.
    pub(crate) fn entry(&self) -> Value {
        serde_json::from_str(self.text).unwrap_or(Value::Null)
    }

    /// The declaration, which `make` makes of the entry when it is asked for first.
    pub(crate) fn schema(&self, make: impl FnOnce(&Value) -> Schema) -> &Schema {
        self.schema.get_or_init(|| make(&self.entry()))
    }
}

/// A class as a version declares it.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) version: Version,
    pub(crate) line: Line,
}

/// A class's declarations, the oldest first; there is one wherever a version declares it otherwise than the one before.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) declared: Vec<Declared>,
    /// The first version that no longer has it.
    pub(crate) gone: Option<Version>,
}

static CLASSES: LazyLock<HashMap<&str, History>> = LazyLock::new(|| {
    let mut classes: HashMap<&str, History> = HashMap::new();
    for (version, row) in Version::all().zip(&VERSIONS) {
        for text in row.lines.lines() {
            if let Some(line) = Line::of(text) {
                classes.entry(line.class).or_default().declared.push(Declared { version, line });
                continue;
            }
            let line: Value = serde_json::from_str(text).unwrap_or_default();
            for name in line["gone"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                if let Some(history) = classes.get_mut(name) {
                    history.gone = Some(version);
                }
            }
        }
    }
    classes
});

/// All that the versions declare of a class.
pub(crate) fn history(class: &str) -> Option<&'static History> {
    CLASSES.get(class)
}

/// The names of all classes, in no order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CLASSES.keys().copied()
}

impl History {
    /// The declaration by which a class is known here: the one of [`Version::HERE`], or where that lacks it, the newest.
    pub(crate) fn here(&self) -> Option<&Declared> {
        self.declared.first().filter(|first| first.version == Version::HERE).or(self.declared.last())
    }

    /// The declaration of a version, if that has the class.
    pub(crate) fn at(&self, version: Version) -> Option<&Declared> {
        let there = self.gone.is_none_or(|gone| version < gone);
        self.declared.iter().rev().find(|declared| there && declared.version <= version)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_number_is_of_the_version_that_saves_alike() {
        let of = |number: &str| Version::nearest(number).map(Version::number);
        for number in ["0.3.40", "0.8.0", "v0.8.0", "0.8.0-12-gabc", "0.7"] {
            assert_eq!(of(number), Some("0.8.0"), "{number}");
        }
        for number in ["0.33.0", "0.33.1", "0.100.0", "1.0.0"] {
            assert_eq!(of(number), Some("0.33.0"), "{number}");
        }
        for number in ["0.9.0", "0.32.9", "", "nightly", "1f2e3d"] {
            assert_eq!(of(number), None, "{number}");
        }
        assert_eq!(Version::of_editor("1.24.1"), Some(Version::HERE));
        assert_eq!(Version::of_editor("1.54.15").map(Version::number), Some("0.33.0"));
        assert_eq!("0.33.0".parse::<Version>().map(Version::number), Ok("0.33.0"));
        assert!("0.9.0".parse::<Version>().unwrap_err().ends_with("write 0.8.0 or 0.33.0"));
    }

    #[test]
    fn each_version_has_its_classes() {
        let newest = Version::all().next_back().unwrap();
        let count = |version| names().filter(|name| history(name).unwrap().at(version).is_some()).count();
        assert_eq!((count(Version::HERE), count(newest)), (567, 887));
        // A line is there because something in it is new.
        for name in names() {
            let texts: Vec<_> = history(name).unwrap().declared.iter().map(|declared| declared.line.text).collect();
            assert!(texts.windows(2).all(|two| two[0] != two[1]), "{name}");
        }
        let at = |class: &str, version| history(class).unwrap().at(version).map(|declared| declared.version);
        assert_eq!(at("KSampler", newest), Some(Version::HERE));
        assert_eq!(at("CreateVideo", newest), Some(newest));
        assert_eq!(at("IdeogramV1", newest), None);
        assert_eq!(at("SaveText", Version::HERE), None);
    }
}
