//! ComfyUI's extra_model_paths.yaml: more folders for models.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_yaml_ng::Value as Yaml;

/// A folder that such a file names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExtraPath {
    /// What lies in it: `checkpoints`, `loras`, …
    pub(crate) kind: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Whether it comes before the folders that are there without being told.
    pub(crate) first: bool,
}

/// The folders that a file names. Relative paths begin at the section's `base_path`, and that at `beside`.
///
/// # Errors
/// If the bytes are no YAML of sections with paths.
pub(crate) fn read(bytes: &[u8], beside: &Path) -> anyhow::Result<Vec<ExtraPath>> {
    let text = std::str::from_utf8(bytes).context("it is no text")?;
    let Yaml::Mapping(sections) = serde_yaml_ng::from_str(text)? else {
        anyhow::bail!("it is no list of sections");
    };
    let mut all = Vec::new();
    for (name, section) in &sections {
        let Yaml::Mapping(section) = section else { continue };
        let root = match section.get("base_path").and_then(Yaml::as_str) {
            Some(base) => beside.join(expand(base)),
            None => beside.to_owned(),
        };
        let first = section.get("is_default").and_then(Yaml::as_bool).unwrap_or(false);
        for (kind, paths) in section {
            let Some(kind) = kind.as_str().filter(|kind| *kind != "base_path" && *kind != "is_default") else {
                continue;
            };
            let section = name.as_str().unwrap_or("?");
            let paths =
                paths.as_str().with_context(|| format!("{section}.{kind} is no path; write one path per line"))?;
            let paths = paths.lines().map(str::trim).filter(|path| !path.is_empty());
            all.extend(paths.map(|path| ExtraPath { kind: kind.to_owned(), path: root.join(path), first }));
        }
    }
    Ok(all)
}

/// `~` and `$NAME`, `${NAME}` as a shell expands them; an unknown name stays.
fn expand(path: &str) -> PathBuf {
    let path = match (path.strip_prefix('~'), std::env::var("HOME")) {
        (Some(rest), Ok(home)) if rest.is_empty() || rest.starts_with('/') => home + rest,
        _ => path.to_owned(),
    };
    let mut out = String::new();
    let mut rest = path.as_str();
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let braced = tail.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let plain = tail.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(tail.len());
        let (name, after) = braced.unwrap_or_else(|| tail.split_at(plain));
        match std::env::var(name) {
            Ok(value) => out.push_str(&value),
            Err(_) => out.push_str(&rest[at..rest.len() - after.len()]),
        }
        rest = after;
    }
    PathBuf::from(out + rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn variables_are_expanded() {
        let home = std::env::var("HOME").unwrap();
        assert_eq!(expand("$HOME/x"), PathBuf::from(format!("{home}/x")));
        assert_eq!(expand("${HOME}x"), PathBuf::from(format!("{home}x")));
        assert_eq!(expand("~/x"), PathBuf::from(format!("{home}/x")));
        assert_eq!(expand("a$NO_SUCH_NAME_/b"), PathBuf::from("a$NO_SUCH_NAME_/b"));
    }
}
