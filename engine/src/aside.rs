//! Writing files: aside, under a temporary name in the same folder, and renamed when they are complete. A process that is killed leaves no
//! half file, and the next one that writes into the folder removes what was left aside.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Error, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{NamedTempFile, TempDir, TempPath};

use crate::files;

const PREFIX: &str = ".redraft-";
const SUFFIX: &str = ".part";

/// The files that are being written, and the folders that were swept.
static STATE: Mutex<State> =
    Mutex::new(State { written: BTreeSet::new(), folders: BTreeSet::new(), swept: BTreeSet::new() });

struct State {
    written: BTreeSet<PathBuf>,
    /// Folders that go with this process.
    folders: BTreeSet<PathBuf>,
    swept: BTreeSet<PathBuf>,
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that is being written. If it is dropped before it stands, nothing is left of it.
pub struct Aside {
    file: File,
    /// None once it stands.
    path: Option<TempPath>,
    target: PathBuf,
    /// Whether it is to survive a power failure.
    lasting: bool,
}

impl Aside {
    /// Begins to write the file `target`, with the permissions that the user's umask gives.
    ///
    /// # Errors
    /// If there is no such folder, nothing can be written there, or something other than a regular file has the name: nothing is written
    /// through a link, and no device is replaced.
    pub fn of(target: &Path) -> io::Result<Self> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::in_folder(folder, target)
    }

    /// The same, with the file lying in `folder` meanwhile, which is on the target's disk: of many folders, one is swept.
    ///
    /// # Errors
    /// As [`Aside::of`].
    pub(crate) fn in_folder(folder: &Path, target: &Path) -> io::Result<Self> {
        files::may_be_written(target)?;
        Self::within(folder, target)
    }

    fn within(folder: &Path, target: &Path) -> io::Result<Self> {
        sweep(folder);
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(SUFFIX);
        // Temporary files are private by default.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let (file, path) = builder.tempfile_in(folder)?.into_parts();
        // Who sweeps does not take what is locked. Where there are no locks, the process number tells.
        lock(&file);
        state().written.insert(path.to_path_buf());
        Ok(Self { file, path: Some(path), target: target.to_owned(), lasting: true })
    }

    /// The same for what can be made again: nobody waits until it is on the disk.
    pub fn passing(mut self) -> Self {
        self.lasting = false;
        self
    }

    /// Where it lies meanwhile, for writers that open files by name.
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(&self.target)
    }

    /// Gives it its name, if nothing has that name.
    ///
    /// # Returns
    /// `false`, with nothing changed, if the name is taken, even if that happened only just now.
    ///
    /// # Errors
    /// If the disk is full or the folder gone.
    pub fn stand_new(self) -> io::Result<bool> {
        match self.stand(NamedTempFile::persist_noclobber) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives it its name, in place of a regular file that may have it.
    ///
    /// # Errors
    /// As [`Aside::stand_new`], and if something else has the name.
    pub fn stand_over(self) -> io::Result<()> {
        files::may_be_written(&self.target)?;
        self.stand(NamedTempFile::persist)
    }

    fn stand(
        mut self,
        rename: impl FnOnce(NamedTempFile, PathBuf) -> Result<File, tempfile::PersistError>,
    ) -> io::Result<()> {
        // Else a name may survive a power failure, and the content not.
        if self.lasting {
            self.file.sync_all()?;
        }
        let path = self.path.take().ok_or_else(|| Error::other("it stands already"))?;
        let aside = path.to_path_buf();
        let file = NamedTempFile::from_parts(self.file.try_clone()?, path);
        let renamed = rename(file, self.target.clone());
        state().written.remove(&aside);
        // On failure the temporary file goes with the error.
        renamed.map(drop).map_err(|error| error.error)
    }
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            state().written.remove(path.to_path_buf().as_path());
        }
    }
}

/// Removes what this process has under way: it is about to end without unwinding.
pub fn abandon() {
    let written = std::mem::take(&mut state().written);
    written.iter().for_each(|path| drop(std::fs::remove_file(path)));
    let folders = std::mem::take(&mut state().folders);
    folders.iter().for_each(|path| drop(std::fs::remove_dir_all(path)));
}

/// Whether new files can be made in a folder.
///
/// # Errors
/// If not, why.
pub fn takes_files(folder: &Path) -> io::Result<()> {
    Aside::within(folder, folder).map(drop)
}

/// A temporary folder, which is gone when it is dropped, and when this process ends without unwinding.
pub fn temporary_folder(prefix: &str) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
    state().folders.insert(folder.path().to_owned());
    Ok(folder)
}

/// Removes what processes that are gone have left in a folder, now.
pub(crate) fn sweep_now(folder: &Path) {
    state().swept.remove(folder);
    sweep(folder);
}

/// Removes what processes that are gone have left in a folder; once for each folder.
fn sweep(folder: &Path) {
    if !state().swept.insert(folder.to_owned()) {
        return;
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(process_of) else { continue };
        if process != std::process::id() && !is_alive(process) && is_unlocked(&entry.path()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The process that a temporary file's name holds.
fn process_of(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split('-').next()?.parse().ok()
}

#[cfg(unix)]
fn is_alive(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    // A process of another user may not be asked, and is there.
    process.is_some_and(|process| rustix::process::test_kill_process(process) != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_alive(_: u32) -> bool {
    true
}

/// Whether nobody writes it, in a container of its own process numbers either.
fn is_unlocked(path: &Path) -> bool {
    files::open(path).is_ok_and(|file| lock(&file))
}

/// Locks a file for as long as it is open; `false` if another process has locked it.
#[cfg(unix)]
fn lock(file: &File) -> bool {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[cfg(not(unix))]
fn lock(_: &File) -> bool {
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write(target: &Path, text: &str) -> io::Result<Aside> {
        let mut aside = Aside::of(target)?;
        aside.write_all(text.as_bytes())?;
        Ok(aside)
    }

    #[test]
    fn a_file_stands_complete_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x");
        drop(write(&target, "half").unwrap());
        assert_eq!(names(dir.path()), [""; 0]);
        assert!(write(&target, "one").unwrap().stand_new().unwrap());
        assert!(!write(&target, "two").unwrap().stand_new().unwrap());
        assert_eq!(std::fs::read(&target).unwrap(), b"one");
        write(&target, "three").unwrap().stand_over().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"three");
        assert_eq!(names(dir.path()), ["x"]);
    }

    #[test]
    fn what_a_dead_process_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        // Beyond the highest process number that a system gives.
        for name in [".redraft-2147483000-abc.part", ".redraft-x.part", "mine.part"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let living = dir.path().join(format!(".redraft-{}-abc.part", std::process::id()));
        std::fs::write(&living, "").unwrap();
        write(&dir.path().join("x"), "one").unwrap().stand_new().unwrap();
        let living = living.file_name().unwrap().to_str().unwrap().to_owned();
        let mut left = vec![living, ".redraft-x.part".to_owned(), "mine.part".to_owned(), "x".to_owned()];
        left.sort();
        assert_eq!(names(dir.path()), left);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link_or_over_a_device() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("link"), dir.path().join("outside"));
        std::fs::write(&outside, "mine").unwrap();
        std::os::unix::fs::symlink(&outside, &inside).unwrap();
        assert!(Aside::of(&inside).is_err_and(|error| error.to_string().starts_with("is a symbolic link")));
        assert!(Aside::of(Path::new("/dev/null")).is_err());
        // A link that is made meanwhile.
        let later = dir.path().join("later");
        let aside = write(&later, "one").unwrap();
        std::os::unix::fs::symlink(&outside, &later).unwrap();
        assert!(aside.stand_over().is_err());
        assert!(!write(&dir.path().join("new"), "one").is_ok_and(|aside| aside.target == outside));
        assert_eq!(std::fs::read(&outside).unwrap(), b"mine");
    }
}
