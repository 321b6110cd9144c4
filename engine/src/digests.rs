//! What files are known by in cache keys: a digest of their content.
//!
//! A small file is read when it is asked for. A large one takes seconds to read, which nobody should wait for: as long as its digest is
//! not known it goes by a hash of its path, size, times of change and inode, and is read beside the run. Its digest is kept on the disk, so
//! that each file is read once. One that was moved or fetched again is recognised by its two ends, and then it is waited for, because
//! results of it may lie in the store.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use crate::aside::{self, Aside};
use crate::files;

/// BLAKE3 of a file's content.
pub type Digest = [u8; 32];

/// Files from this size on are large.
pub const LARGE: u64 = 64 << 20;

/// What the names of looks end with.
const LOOK: &str = ".look";

/// How much of each end of a file its look is made of, in bytes.
const END: u64 = 64 << 10;

/// Whether another process, or this one later, finds by a key what this one keeps under it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lasting {
    /// It depends on something that is bound to this process, or not known before the node runs.
    No,
    /// It depends on a file that is still being read.
    NotYet,
    #[default]
    Yes,
}

/// What a file goes by in keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    pub digest: Digest,
    pub lasting: Lasting,
}

/// The digests that were asked for, in memory; those of large files in a folder as well, from process to process.
#[derive(Debug, Default)]
pub struct Digests(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<HashMap<PathBuf, Known>>,
    /// Told when a file was read.
    read: Condvar,
    /// Where digests of large files are kept. Without it these are not read at all.
    own: Option<PathBuf>,
    /// Where they are looked for besides.
    others: Vec<PathBuf>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    content: Content,
    /// Whether keys of this process have the stamp in place of the digest. Once some do, all do.
    by_stamp: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Digest(Digest),
    Reading,
    /// It was not read, or could not be.
    Unknown,
}

/// What tells whether a file was changed: a hash of its path, size, inode and disk, and the times when its content and its inode were
/// changed. Programs that copy or unpack files set the first of these times as they like, but not the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    whole: [u8; 32],
    /// The part that changes when the file is written to or replaced, and not when it gets another name or other permissions.
    of_content: [u8; 32],
}

impl Digests {
    /// Reads large files too, and keeps their digests in `own`, which is made when the first is written; looks for them in `others`
    /// besides.
    pub fn kept_in(own: Option<PathBuf>, others: Vec<PathBuf>) -> Self {
        Self(Arc::new(Shared { own, others, ..Shared::default() }))
    }

    /// What a file goes by in this process. Only the first call for a file reads it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of(&self, path: &Path) -> io::Result<Print> {
        self.print(path, true)
    }

    /// What a file goes by in every process: as [`Digests::of`], but its digest once that is known.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn settled(&self, path: &Path) -> io::Result<Print> {
        self.print(path, false)
    }

    /// The digest of a file's content, however long it takes to read; one that is being read beside the run is waited for.
    ///
    /// # Errors
    /// If the file cannot be read, or changes meanwhile.
    pub fn whole(&self, path: &Path) -> io::Result<Digest> {
        let reading =
            |known: &mut HashMap<PathBuf, Known>| known.get(path).is_some_and(|k| k.content == Content::Reading);
        if self.settled(path)?.lasting == Lasting::NotYet {
            drop(self.0.read.wait_while(self.0.lock(), reading).map_err(PoisonError::into_inner));
        }
        if let Print { digest, lasting: Lasting::Yes } = self.settled(path)? {
            return Ok(digest);
        }
        let (stamp, _) = stamp(path)?;
        let digest = Shared::digest(path)?;
        let digest =
            digest.ok_or_else(|| io::Error::other("it changes while it is read; try again when it is complete"))?;
        self.0.keep(path, &stamp, &digest);
        Ok(digest)
    }

    fn print(&self, path: &Path, in_process: bool) -> io::Result<Print> {
        let (stamp, size) = stamp(path)?;
        let by_content = |digest| Print { digest, lasting: Lasting::Yes };
        if let Some(known) = self.0.lock().get_mut(path).filter(|known| known.stamp == stamp) {
            match known.content {
                Content::Digest(digest) if !(in_process && known.by_stamp) => return Ok(by_content(digest)),
                Content::Digest(_) | Content::Reading => {
                    return Ok(Print { digest: stamp.whole, lasting: Lasting::NotYet });
                }
                Content::Unknown => return Ok(Print { digest: stamp.whole, lasting: Lasting::No }),
            }
        }
        // The lock is not held while a file is read: that may take seconds, and others ask for other files.
        let content = self.content(path, &stamp, size)?;
        let by_stamp = !matches!(content, Content::Digest(_));
        self.0.lock().insert(path.to_owned(), Known { stamp, content, by_stamp });
        Ok(match content {
            Content::Digest(digest) => by_content(digest),
            Content::Reading => {
                self.read_beside(path.to_owned(), stamp);
                Print { digest: stamp.whole, lasting: Lasting::NotYet }
            }
            Content::Unknown => Print { digest: stamp.whole, lasting: Lasting::No },
        })
    }

    /// The digest of a file: of a small one now, of a large one if it is kept or its look is.
    fn content(&self, path: &Path, stamp: &Stamp, size: u64) -> io::Result<Content> {
        if size < LARGE {
            return Ok(Shared::digest(path)?.map_or(Content::Unknown, Content::Digest));
        }
        if let Some(digest) = self.0.folders().find_map(|folder| read(&folder.join(hex(&stamp.whole)))) {
            return Ok(Content::Digest(digest));
        }
        let seen = look(path).map(|look| self.0.folders().any(|folder| folder.join(look_name(&look)).exists()));
        if seen.unwrap_or(false) {
            let digest = Shared::digest(path)?;
            digest.into_iter().for_each(|digest| self.0.keep(path, stamp, &digest));
            return Ok(digest.map_or(Content::Unknown, Content::Digest));
        }
        Ok(if self.0.own.is_some() { Content::Reading } else { Content::Unknown })
    }

    /// Reads a file on a thread of its own.
    fn read_beside(&self, path: PathBuf, stamp: Stamp) {
        let (shared, file) = (Arc::clone(&self.0), path.clone());
        let work = move || {
            let content = match Shared::digest(&file) {
                Ok(Some(digest)) => {
                    shared.keep(&file, &stamp, &digest);
                    Content::Digest(digest)
                }
                Ok(None) | Err(_) => Content::Unknown,
            };
            shared.settle(&file, &stamp, content);
        };
        if std::thread::Builder::new().name("digest".into()).spawn(work).is_err() {
            self.0.settle(&path, &stamp, Content::Unknown);
        }
    }

    /// Whether a file is being read.
    pub fn is_reading(&self) -> bool {
        self.0.lock().values().any(|known| known.content == Content::Reading)
    }

    /// Waits until all files are read, or `long` has passed.
    pub fn wait(&self, long: Duration) {
        let reading = |known: &mut HashMap<PathBuf, Known>| known.values().any(|k| k.content == Content::Reading);
        drop(self.0.read.wait_timeout_while(self.0.lock(), long, reading).map_err(PoisonError::into_inner));
    }

    /// Whether a file that was asked for has changed since. Tells of each change once.
    pub fn changed(&self) -> bool {
        let mut known = self.0.lock();
        let before = known.len();
        known.retain(|path, known| known.is_still(path));
        known.len() < before
    }
}

impl Known {
    /// Whether a file is what it was. One that only got another name or other permissions is; what else may have happened to it meanwhile
    /// is told by its digest.
    fn is_still(&mut self, path: &Path) -> bool {
        let Ok((stamp, _)) = stamp(path) else { return false };
        if stamp == self.stamp || stamp.of_content != self.stamp.of_content {
            return stamp == self.stamp;
        }
        match self.content {
            Content::Digest(digest) => {
                self.stamp = stamp;
                Shared::digest(path).is_ok_and(|found| found == Some(digest))
            }
            Content::Reading | Content::Unknown => true,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.own.iter().chain(&self.others)
    }

    fn settle(&self, path: &Path, stamp: &Stamp, content: Content) {
        if let Some(known) = self.lock().get_mut(path).filter(|known| known.stamp == *stamp) {
            known.content = content;
        }
        self.read.notify_all();
    }

    /// The digest of a file's content; nothing if the file was changed meanwhile, so that it may be of neither content.
    fn digest(path: &Path) -> io::Result<Option<Digest>> {
        // Read, not mapped: a file that is shortened meanwhile would end the process.
        let (before, _) = stamp(path)?;
        let digest = *blake3::Hasher::new().update_reader(files::open(path)?)?.finalize().as_bytes();
        Ok((stamp(path)?.0.of_content == before.of_content).then_some(digest))
    }

    /// Keeps a digest, and the file's look.
    fn keep(&self, path: &Path, stamp: &Stamp, digest: &Digest) {
        let Some(own) = &self.own else { return };
        let kept = write(&own.join(hex(&stamp.whole)), hex(digest).as_bytes())
            .and_then(|()| write(&own.join(look_name(&look(path)?)), b""));
        if let Err(error) = kept {
            tracing::warn!("the digest of {} is not kept: {error}", path.display());
        }
    }
}

/// A file's stamp, and its size in bytes.
fn stamp(path: &Path) -> io::Result<(Stamp, u64)> {
    let meta = std::fs::metadata(path)?;
    let modified = meta.modified()?.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
    let mut hasher = blake3::Hasher::new();
    hasher.update(std::path::absolute(path)?.as_os_str().as_encoded_bytes());
    hasher.update(&meta.len().to_le_bytes());
    hasher.update(&modified.to_le_bytes());
    #[cfg(unix)]
    for part in [meta.ino(), meta.dev()] {
        hasher.update(&part.to_le_bytes());
    }
    let of_content = *hasher.finalize().as_bytes();
    #[cfg(unix)]
    for part in [meta.ctime(), meta.ctime_nsec()] {
        hasher.update(&part.to_le_bytes());
    }
    Ok((Stamp { whole: *hasher.finalize().as_bytes(), of_content }, meta.len()))
}

/// Removes the digests in a folder, and the folder if nothing else is there.
///
/// # Errors
/// If one cannot be removed.
pub fn clear(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && blake3::Hash::from_hex(name.strip_suffix(LOOK).unwrap_or(&name)).is_ok() {
            files::remove_if_there(&entry.path())?;
        }
    }
    aside::sweep_now(folder);
    // What is not empty is not ours alone.
    let _ = std::fs::remove_dir(folder);
    Ok(())
}

/// A hash of a file's size and its two ends: files of equal content look alike.
fn look(path: &Path) -> io::Result<Digest> {
    let mut file = files::open(path)?;
    let size = file.metadata()?.len();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&size.to_le_bytes());
    let mut end = |file: &mut File| hasher.update_reader(file.take(END)).map(drop);
    end(&mut file)?;
    file.seek(SeekFrom::Start(size.saturating_sub(END)))?;
    end(&mut file)?;
    Ok(*hasher.finalize().as_bytes())
}

fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from(*bytes).to_hex().to_string()
}

fn look_name(look: &Digest) -> String {
    format!("{}{LOOK}", hex(look))
}

/// A kept digest; nothing if there is none, or something else.
fn read(kept: &Path) -> Option<Digest> {
    let digest = std::fs::read_to_string(kept).ok()?;
    blake3::Hash::from_hex(digest).ok().map(|hash| *hash.as_bytes())
}

/// Writes a file aside and renames it: others may read it at any time.
fn write(kept: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = kept.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut aside = Aside::of(kept)?.passing();
    aside.write_all(bytes)?;
    aside.stand_over()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn content(bytes: &[u8]) -> Print {
        Print { digest: *blake3::hash(bytes).as_bytes(), lasting: Lasting::Yes }
    }

    #[test]
    fn a_digest_is_of_the_content_and_follows_it() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::write(&one, "x").unwrap();
        std::fs::write(&two, "x").unwrap();
        let digests = Digests::default();
        assert_eq!(digests.of(&one).unwrap(), content(b"x"));
        assert_eq!(digests.of(&two).unwrap(), content(b"x"), "whatever the file is called");
        assert!(!digests.changed());
        std::fs::write(&one, "yy").unwrap();
        assert!(digests.changed());
        assert!(!digests.changed(), "it is told once");
        assert_eq!(digests.of(&one).unwrap(), content(b"yy"));
        assert!(digests.of(&dir.path().join("none")).is_err());
    }

    /// A file that takes no room on the disk stands for a checkpoint.
    fn large(path: &Path, end: &[u8]) {
        let mut file = std::fs::File::create(path).unwrap();
        file.set_len(LARGE).unwrap();
        file.seek(SeekFrom::Start(LARGE - 10)).unwrap();
        file.write_all(end).unwrap();
    }

    fn open(folder: &Path) -> Digests {
        Digests::kept_in(Some(folder.to_owned()), Vec::new())
    }

    #[test]
    fn a_large_file_is_read_beside_the_run_and_once_by_all_processes() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("model"), dir.path().join("digests"));
        large(&file, b"a");
        let digests = open(&folder);
        let first = digests.of(&file).unwrap();
        assert_eq!(first.lasting, Lasting::NotYet);
        digests.wait(Duration::from_secs(600));
        assert!(!digests.is_reading());
        // In this process it goes by what it went by before; elsewhere by its content.
        assert_eq!(digests.of(&file).unwrap(), first);
        let settled = digests.settled(&file).unwrap();
        assert_eq!(settled.lasting, Lasting::Yes);
        assert_ne!(settled.digest, first.digest);
        assert_eq!(open(&folder).of(&file).unwrap(), settled);
        // A process believes what is kept, and reads the file where that is no digest.
        let (stamp, _) = stamp(&file).unwrap();
        std::fs::write(folder.join(hex(&stamp.whole)), hex(&[7; 32])).unwrap();
        assert_eq!(open(&folder).of(&file).unwrap().digest, [7; 32]);
        std::fs::write(folder.join(hex(&stamp.whole)), "no digest").unwrap();
        assert_eq!(open(&folder).of(&file).unwrap(), settled);
        // Kept elsewhere, and not to be written there.
        let reader = Digests::kept_in(None, vec![folder.clone()]);
        assert_eq!(reader.of(&file).unwrap(), settled);
    }

    #[test]
    fn a_file_that_was_moved_is_known_at_once_and_a_changed_one_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two, folder) = (dir.path().join("one"), dir.path().join("two"), dir.path().join("digests"));
        large(&one, b"a");
        let digests = open(&folder);
        digests.of(&one).unwrap();
        digests.wait(Duration::from_secs(600));
        let known = digests.settled(&one).unwrap();
        std::fs::rename(&one, &two).unwrap();
        assert_eq!(open(&folder).of(&two).unwrap(), known);
        // Changed in the middle: it looks the same, and is read.
        let mut file = std::fs::OpenOptions::new().write(true).open(&two).unwrap();
        file.seek(SeekFrom::Start(LARGE / 2)).unwrap();
        file.write_all(b"b").unwrap();
        drop(file);
        let changed = open(&folder).of(&two).unwrap();
        assert_eq!(changed.lasting, Lasting::Yes);
        assert_ne!(changed, known);
    }

    /// As `cp -p` and `tar` leave it: the size, the time and the inode are those of the file before.
    #[cfg(unix)]
    #[test]
    fn a_file_with_the_time_of_another_is_not_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("model"), dir.path().join("digests"));
        let time = std::time::SystemTime::now() - Duration::from_secs(1000);
        let write = |end: &[u8]| {
            large(&file, end);
            File::options().append(true).open(&file).unwrap().set_modified(time).unwrap();
        };
        write(b"a");
        let digests = open(&folder);
        let first = digests.whole(&file).unwrap();
        // Times of change are coarse.
        std::thread::sleep(Duration::from_millis(20));
        write(b"b");
        assert_ne!(open(&folder).whole(&file).unwrap(), first);
        assert!(digests.changed());
        assert_ne!(digests.whole(&file).unwrap(), first);
    }

    /// A second name changes the time of the inode, and nothing else.
    #[cfg(unix)]
    #[test]
    fn a_file_with_another_name_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let digests = Digests::default();
        let before = digests.of(&file).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::hard_link(&file, dir.path().join("other")).unwrap();
        assert!(!digests.changed());
        assert_eq!(digests.of(&file).unwrap(), before);
    }

    #[test]
    fn clearing_takes_no_file_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("model"), dir.path().join("digests"));
        large(&file, b"a");
        open(&folder).whole(&file).unwrap();
        std::fs::write(folder.join("mine"), "precious").unwrap();
        clear(&folder).unwrap();
        let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["mine"]);
    }

    #[test]
    fn without_a_place_large_files_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model");
        large(&file, b"a");
        let digests = Digests::default();
        let print = digests.of(&file).unwrap();
        assert_eq!((print.lasting, digests.is_reading()), (Lasting::No, false));
        let whole = blake3::Hasher::new().update_reader(std::fs::File::open(&file).unwrap()).unwrap().finalize();
        assert_eq!(&digests.whole(&file).unwrap(), whole.as_bytes());
        assert_eq!(digests.settled(&file).unwrap(), print);
    }
}
