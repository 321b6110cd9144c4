//! Content digests of files, for cache keys. A file is read once: as long as its path, size and time of change are the same,
//! so is its digest.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use crate::aside::Aside;
use crate::files;

/// BLAKE3 of a file's content.
pub type Digest = [u8; 32];

/// Files above this size have their digests kept on the disk, if there is a place for them: a smaller one is read in no time.
const KEPT_FROM: u64 = 64 << 20;

/// The digests that were asked for, in memory; those of large files in a folder as well, from process to process.
#[derive(Debug, Default)]
pub struct Digests {
    /// By path: what the file looked like, and its digest.
    known: Mutex<HashMap<PathBuf, (Stamp, Digest)>>,
    folder: Option<PathBuf>,
}

/// What tells whether a file was changed: a hash of its path, size and time of change.
type Stamp = [u8; 32];

impl Digests {
    /// Keeps the digests of large files in this folder, which is made when the first is written.
    pub fn kept_in(folder: PathBuf) -> Self {
        Self { folder: Some(folder), ..Self::default() }
    }

    /// The digest of a file's content. Only the first call for a file reads it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of(&self, path: &Path) -> io::Result<Digest> {
        let (stamp, size) = stamp(path)?;
        if let Some((_, digest)) = self.lock().get(path).filter(|(known, _)| *known == stamp) {
            return Ok(*digest);
        }
        // The lock is not held while the file is read: that may take seconds, and others ask for other files.
        let kept = self.folder.as_ref().filter(|_| size >= KEPT_FROM).map(|folder| folder.join(hex(&stamp)));
        let digest = match kept.as_deref().and_then(read) {
            Some(digest) => digest,
            None => {
                // Read, not mapped: a file that is shortened meanwhile would end the process.
                let digest = *blake3::Hasher::new().update_reader(files::open(path)?)?.finalize().as_bytes();
                if self::stamp(path)?.0 != stamp {
                    // It was changed meanwhile: this digest may be of neither content.
                    return Ok(digest);
                }
                if let Some(Err(error)) = kept.as_deref().map(|kept| write(kept, &digest)) {
                    tracing::warn!("the digest of {} is not kept: {error}", path.display());
                }
                digest
            }
        };
        self.lock().insert(path.to_owned(), (stamp, digest));
        Ok(digest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (Stamp, Digest)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(path: &Path) -> io::Result<(Stamp, u64)> {
    let meta = std::fs::metadata(path)?;
    let modified = meta.modified()?.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
    let mut hasher = blake3::Hasher::new();
    hasher.update(std::path::absolute(path)?.as_os_str().as_encoded_bytes());
    hasher.update(&meta.len().to_le_bytes());
    hasher.update(&modified.to_le_bytes());
    Ok((*hasher.finalize().as_bytes(), meta.len()))
}

fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from(*bytes).to_hex().to_string()
}

/// A kept digest; nothing if there is none, or something else.
fn read(kept: &Path) -> Option<Digest> {
    let digest = std::fs::read_to_string(kept).ok()?;
    blake3::Hash::from_hex(digest).ok().map(|hash| *hash.as_bytes())
}

/// Writes a digest aside and renames it: others may read it at any time.
fn write(kept: &Path, digest: &Digest) -> io::Result<()> {
    let folder = kept.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut aside = Aside::of(kept)?.passing();
    aside.write_all(hex(digest).as_bytes())?;
    aside.stand_over()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn content(bytes: &[u8]) -> Digest {
        *blake3::hash(bytes).as_bytes()
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
        std::fs::write(&one, "yy").unwrap();
        assert_eq!(digests.of(&one).unwrap(), content(b"yy"));
        assert!(digests.of(&dir.path().join("none")).is_err());
    }

    /// A file of zeros that takes no room on the disk stands for a checkpoint.
    #[test]
    fn a_large_file_is_read_once_by_all_processes() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("model"), dir.path().join("digests"));
        std::fs::File::create(&file).unwrap().set_len(KEPT_FROM).unwrap();
        let digest = Digests::kept_in(folder.clone()).of(&file).unwrap();
        let kept: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(kept.len(), 1);
        assert_eq!(read(&kept[0]), Some(digest));
        // Another process believes what is kept, and reads the file where that is no digest.
        std::fs::write(&kept[0], hex(&[7; 32])).unwrap();
        assert_eq!(Digests::kept_in(folder.clone()).of(&file).unwrap(), [7; 32]);
        std::fs::write(&kept[0], "no digest").unwrap();
        assert_eq!(Digests::kept_in(folder.clone()).of(&file).unwrap(), digest);
        // A small file's is not kept.
        let small = dir.path().join("small");
        std::fs::write(&small, "x").unwrap();
        Digests::kept_in(folder.clone()).of(&small).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
}
