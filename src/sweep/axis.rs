//! `--axis NODE.INPUT=VALUES`: ranges, lists and files of values.

use std::path::Path;

use redraft_engine::files;

use super::decimal;

/// The most values that one axis has, and the most cells of a sweep.
pub(super) const MOST: usize = 1_000_000;
/// The largest file of values that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// An input and the values that it takes, as they stand on the command line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) address: String,
    pub(super) values: Vec<String>,
}

impl Axis {
    /// Reads `NODE.INPUT=VALUES`.
    ///
    /// # Errors
    /// What is wrong, to continue a sentence that begins with the option.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (address, values) = text.split_once('=').ok_or("has no values; write NODE.INPUT=1..5, =a,b or =@FILE")?;
        let values = match (values.strip_prefix("@@"), values.strip_prefix('@')) {
            (Some(rest), _) => list(&format!("@{rest}")),
            (None, Some(file)) => lines(Path::new(file))?,
            (None, None) => match decimal::range(values, MOST)? {
                Some(numbers) => numbers,
                None => list(values),
            },
        };
        if values.is_empty() {
            return Err("has no values; give at least one".to_owned());
        }
        if values.len() > MOST {
            return Err(format!("has {} values, and {MOST} are the most; give fewer", values.len()));
        }
        Ok(Self { address: address.to_owned(), values })
    }
}

/// Values with commas between them; `\,` is a comma in a value.
fn list(text: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, values.last_mut()) {
            ('\\', Some(value)) if chars.peek() == Some(&',') => {
                chars.next();
                value.push(',');
            }
            (',', _) => values.push(String::new()),
            (c, Some(value)) => value.push(c),
            (_, None) => {}
        }
    }
    if values.iter().all(String::is_empty) { Vec::new() } else { values }
}

/// The lines of a file, without blank ones.
fn lines(file: &Path) -> Result<Vec<String>, String> {
    let named = |why: String| format!("{}: {why}", file.display());
    let bytes = files::read(file, MAX_FILE).map_err(|error| named(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| named("is no text in UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn values(text: &str) -> Vec<String> {
        Axis::parse(text).unwrap().values
    }

    #[test]
    fn values_are_ranges_lists_and_lines() {
        assert_eq!(values("3.seed=1..3"), ["1", "2", "3"]);
        assert_eq!(values("3.cfg=0.1..0.4:0.1"), ["0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(values("K.sampler_name=euler,dpmpp_2m"), ["euler", "dpmpp_2m"]);
        assert_eq!(values("6.text=a\\, b,c=d"), ["a, b", "c=d"]);
        assert_eq!(values("6.text=@@home,,x"), ["@home", "", "x"]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "\u{feff}a red ball, left\r\n\n  \nb\n").unwrap();
        assert_eq!(values(&format!("6.text=@{}", file.path().display())), ["a red ball, left", "b"]);
        assert_eq!(Axis::parse("v1.5 sampler.cfg=1").unwrap().address, "v1.5 sampler.cfg");
    }

    #[test]
    fn what_is_no_axis_is_said() {
        let why = |text: &str| Axis::parse(text).unwrap_err();
        assert_eq!(why("3.cfg"), "has no values; write NODE.INPUT=1..5, =a,b or =@FILE");
        assert_eq!(why("3.cfg="), "has no values; give at least one");
        assert_eq!(why("3.seed=1..9999999"), "has 9999999 values, and 1000000 are the most; give a larger step");
        assert!(why("3.text=@/no/such/file").starts_with("/no/such/file: "));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\xff\n").unwrap();
        assert!(why(&format!("6.text=@{}", file.path().display())).ends_with("is no text in UTF-8"));
    }
}
