//! Cases that are known to differ: each with how much, and why.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// How much further than measured a known difference may go: the last digits depend on the machine.
const SLACK: f64 = 1.1;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownDifferences {
    #[serde(default)]
    difference: Vec<Known>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// The end of the case's path: `image/upscale-model`.
    case: String,
    /// The largest difference measured, over the largest expected value or 1.
    size: f64,
    pub(crate) reason: String,
}

impl KnownDifferences {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs_err::read_to_string(path)?;
        let all: Self = toml::from_str(&text).with_context(|| format!("{} cannot be read", path.display()))?;
        for known in &all.difference {
            ensure!(
                known.size.is_finite() && known.size > 0.0 && !known.reason.trim().is_empty(),
                "{}: {} needs the size that was measured, and the reason",
                path.display(),
                known.case
            );
        }
        Ok(all)
    }

    pub(crate) fn of(&self, case: &Path) -> Option<&Known> {
        self.difference.iter().find(|known| case.ends_with(&known.case))
    }
}

impl Known {
    /// Whether a difference is no more than what is known.
    pub(crate) fn covers(&self, size: f64) -> bool {
        size <= self.size * SLACK
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> anyhow::Result<KnownDifferences> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), text).unwrap();
        KnownDifferences::read(file.path())
    }

    #[test]
    fn a_case_is_known_by_the_end_of_its_path_and_up_to_its_size() {
        let all = read("[[difference]]\ncase = 'image/blur'\nsize = 1e-4\nreason = 'rounding'\n").unwrap();
        assert!(all.of(Path::new("../x/image/blurred")).is_none() && all.of(Path::new("blur")).is_none());
        let known = all.of(Path::new("../x/image/blur")).unwrap();
        assert!(known.covers(1e-4) && known.covers(1.05e-4) && !known.covers(1.2e-4) && !known.covers(f64::INFINITY));
    }

    #[test]
    fn size_and_reason_are_needed() {
        assert!(read("").unwrap().difference.is_empty());
        for text in [
            "[[difference]]\ncase = 'a'\nsize = 1e-4\nreason = ''\n",
            "[[difference]]\ncase = 'a'\nsize = 0.0\nreason = 'x'\n",
            "[[difference]]\ncase = 'a'\nsize = inf\nreason = 'x'\n",
            "[[difference]]\ncase = 'a'\nreason = 'x'\n",
            "[[differences]]\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
