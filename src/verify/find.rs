//! Which cases there are below folders.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::case::{ASIDE, CASE};
use crate::exit::{Outcome, Stop};
use crate::out::plain;
use crate::substitutes;

/// How deep below a folder cases are found.
const MAX_DEPTH: usize = 8;

/// The cases below folders, those alone that a pattern fits.
pub(super) fn cases(below: &[PathBuf], pattern: Option<&str>) -> Outcome<Vec<PathBuf>> {
    let mut finder = Finder::default();
    for dir in below {
        if !finder.find(dir, 0).map_err(Stop::wrong)? {
            return Err(Stop::wrong(format!(
                "{}: there is no case below; a case is a folder with a case.json",
                dir.display()
            )));
        }
    }
    let mut folders = finder.found;
    let Some(pattern) = pattern else { return Ok(folders) };
    let all = folders.len();
    folders.retain(|folder| substitutes::matches(&format!("*{pattern}*"), &folder.to_string_lossy()));
    if folders.is_empty() {
        let pattern = plain(pattern);
        return Err(Stop::wrong(format!(
            "-k '{pattern}': none of the {all} cases has this in its path; give another pattern"
        )));
    }
    Ok(folders)
}

#[derive(Default)]
struct Finder {
    found: Vec<PathBuf>,
    /// Where the folders really lie that were looked into: links may lead to them, and back to where they are.
    seen: HashSet<PathBuf>,
}

impl Finder {
    /// Finds folders with a case.json, in alphabetical order, each once. Returns whether there are any, found before or now.
    fn find(&mut self, dir: &Path, depth: usize) -> std::io::Result<bool> {
        let new = self.seen.insert(fs_err::canonicalize(dir)?);
        if dir.join(CASE).is_file() {
            self.found.extend(new.then(|| dir.to_owned()));
            return Ok(true);
        }
        if depth == 0 && !new {
            return Ok(true);
        }
        if depth >= MAX_DEPTH || !new {
            return Ok(false);
        }
        let entries = fs_err::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
        // What is being recorded there is no case yet.
        let is_aside = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ASIDE));
        let below = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir() && !is_aside(path));
        let mut below: Vec<_> = below.collect();
        // A folder goes by its own name rather than by a link to it.
        below.sort_by_key(|path| (path.is_symlink(), path.clone()));
        let mut any = false;
        for dir in &below {
            any |= self.find(dir, depth + 1)?;
        }
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn case(root: &Path, name: &str) {
        fs_err::create_dir_all(root.join(name)).unwrap();
        fs_err::write(root.join(name).join(CASE), "{}").unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn each_case_is_found_once_whatever_leads_to_it() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        ["a", "b/c", ".redraft-case-x/case"].iter().for_each(|name| case(root, name));
        symlink(".", root.join("0")).unwrap();
        symlink("..", root.join("b/up")).unwrap();
        symlink("a", root.join("0a")).unwrap();
        let all = cases(&[root.to_owned(), root.to_owned(), root.join("a")], None).unwrap();
        assert_eq!(all, [root.join("a"), root.join("b/c")]);
        fs_err::create_dir(root.join("none")).unwrap();
        assert!(cases(&[root.join("none")], None).is_err());
    }
}
