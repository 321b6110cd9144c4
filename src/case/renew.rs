//! New files for a case that is there: made aside, and put in their place together or not at all.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use redraft_engine::files;
use tempfile::TempDir;

use super::{CASE, INPUT, inside};

/// What the names of folders begin with in which cases are made.
pub(crate) const ASIDE: &str = ".redraft-case-";

/// The files that a case gets, in a folder inside of it until they are put in place.
pub(crate) struct Renewal {
    folder: PathBuf,
    aside: TempDir,
}

impl Renewal {
    /// # Errors
    /// If the case's folder takes no files.
    pub(crate) fn of(folder: &Path) -> anyhow::Result<Self> {
        let aside = tempfile::Builder::new().prefix(ASIDE).tempdir_in(folder);
        let aside = aside.with_context(|| format!("{} takes no files", folder.display()))?;
        fs_err::create_dir(aside.path().join("new"))?;
        Ok(Self { folder: folder.to_owned(), aside })
    }

    /// Where the new files are written, each under the name that it gets in the case.
    pub(crate) fn new_files(&self) -> PathBuf {
        self.aside.path().join("new")
    }

    /// Puts the new files in the place of those of the same name, `case.json` last, and takes away those of `old` that have no successor.
    /// All other files stay.
    ///
    /// # Errors
    /// If a link or anything but a file has the name of a new file, a file of `saved` has it that is none of `old`, or the disk fails. The
    /// case is then as it was.
    pub(crate) fn put(self, old: &[PathBuf]) -> anyhow::Result<()> {
        let mut new = Vec::new();
        files_below(&self.new_files(), Path::new(""), &mut new)?;
        new.sort_by_key(|name| (name.as_path() == Path::new(CASE), name.clone()));
        for name in &new {
            self.check(name, old)?;
        }
        let kept: HashSet<&PathBuf> = new.iter().collect();
        let gone = old.iter().filter(|name| !kept.contains(name) && self.is_own_file(name));
        let mut done = Vec::new();
        let moved = self.move_all(&new, gone, &mut done);
        if moved.is_err() {
            for (from, to) in done.iter().rev() {
                // The error that began it is the one to tell of.
                let _ = fs_err::rename(to, from);
            }
        }
        moved
    }

    fn check(&self, name: &Path, old: &[PathBuf]) -> anyhow::Result<()> {
        let target = inside(&self.folder, &name.to_string_lossy())?;
        files::may_be_written(&target).with_context(|| target.display().to_string())?;
        let is_expected = name.starts_with(INPUT) || old.iter().any(|known| known == name);
        ensure!(
            is_expected || target.symlink_metadata().is_err(),
            "{} is there, and case.json does not name it; move it elsewhere",
            target.display()
        );
        Ok(())
    }

    fn is_own_file(&self, name: &Path) -> bool {
        inside(&self.folder, &name.to_string_lossy()).is_ok_and(|path| path.is_file())
    }

    /// Moves the files; `done` gets each move, from where and to where.
    fn move_all<'n>(
        &self,
        new: &[PathBuf],
        gone: impl Iterator<Item = &'n PathBuf>,
        done: &mut Vec<(PathBuf, PathBuf)>,
    ) -> anyhow::Result<()> {
        let before = self.aside.path().join("before");
        let mut rename = |from: PathBuf, to: PathBuf| -> anyhow::Result<()> {
            if let Some(parent) = to.parent() {
                fs_err::create_dir_all(parent)?;
            }
            fs_err::rename(&from, &to)?;
            done.push((from, to));
            Ok(())
        };
        for name in gone {
            rename(self.folder.join(name), before.join(name))?;
        }
        for name in new {
            let target = self.folder.join(name);
            if target.symlink_metadata().is_ok() {
                rename(target.clone(), before.join(name))?;
            }
            rename(self.new_files().join(name), target)?;
        }
        Ok(())
    }
}

/// The files below a folder, by their names from there.
fn files_below(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs_err::read_dir(root.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() { files_below(root, &name, found)? } else { found.push(name) }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A folder with some files, each holding its own name.
    fn folder(names: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), names, "");
        folder
    }

    fn write(folder: &Path, names: &[&str], more: &str) {
        for name in names {
            let path = folder.join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, format!("{name}{more}")).unwrap();
        }
    }

    /// All files and what they hold.
    fn contents(folder: &Path) -> Vec<(String, String)> {
        let mut names = Vec::new();
        files_below(folder, Path::new(""), &mut names).unwrap();
        names.sort();
        names
            .iter()
            .map(|name| (name.display().to_string(), fs_err::read_to_string(folder.join(name)).unwrap()))
            .collect()
    }

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn new_files_take_the_place_of_old_ones_and_foreign_ones_stay() {
        let case = folder(&["case.json", "saved/1.png", "saved/2.png", "saved/README"]);
        let renewal = Renewal::of(case.path()).unwrap();
        write(&renewal.new_files(), &["case.json", "saved/1.png", "input/a.png"], " anew");
        renewal.put(&["case.json", "saved/1.png", "saved/2.png", "../x"].map(PathBuf::from)).unwrap();
        let expected = [
            pair("case.json", "case.json anew"),
            pair("input/a.png", "input/a.png anew"),
            pair("saved/1.png", "saved/1.png anew"),
            pair("saved/README", "saved/README"),
        ];
        assert_eq!(contents(case.path()), expected);
    }

    #[test]
    fn what_cannot_be_put_leaves_everything_as_it_was() {
        for (there, why) in [("saved/1.png/x", "is a directory"), ("saved/1.png", "case.json does not name it")] {
            let case = folder(&["case.json", "saved/2.png", there]);
            let before = contents(case.path());
            let renewal = Renewal::of(case.path()).unwrap();
            write(&renewal.new_files(), &["case.json", "saved/1.png"], " anew");
            let error = renewal.put(&["case.json", "saved/2.png"].map(PathBuf::from)).unwrap_err();
            assert!(format!("{error:#}").contains(why), "{error:#}");
            assert_eq!(contents(case.path()), before);
        }
        // A file stands where a folder is needed, which is found when others were moved.
        let case = folder(&["case.json", "saved/2.png", "input"]);
        let before = contents(case.path());
        let renewal = Renewal::of(case.path()).unwrap();
        write(&renewal.new_files(), &["case.json", "expected.json", "input/a.png"], " anew");
        renewal.put(&["case.json", "saved/2.png"].map(PathBuf::from)).unwrap_err();
        assert_eq!(contents(case.path()), before);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let (case, other) = (folder(&["case.json"]), folder(&["1.png"]));
        std::os::unix::fs::symlink(other.path(), case.path().join("saved")).unwrap();
        let old = ["case.json", "saved/1.png"].map(PathBuf::from);
        let renewal = Renewal::of(case.path()).unwrap();
        write(&renewal.new_files(), &["case.json"], " anew");
        renewal.put(&old).unwrap();
        let renewal = Renewal::of(case.path()).unwrap();
        write(&renewal.new_files(), &["case.json", "saved/1.png"], " once more");
        let error = renewal.put(&old).unwrap_err();
        assert!(error.to_string().contains("is a symbolic link"), "{error:#}");
        assert_eq!(contents(other.path()), [pair("1.png", "1.png")]);
    }
}
