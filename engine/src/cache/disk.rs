//! Results kept on the disk, from process to process: a file for each, named after its key.
//!
//! A file is written aside and renamed, and begins with a hash of its key and of what follows: whoever reads it finds it whole and in
//! its own place, or finds that it is not.
//! Any number of processes may share a folder. What is read is marked as used by its time of change; when the folder grows beyond its
//! limit, what was not used for the longest time goes.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Results;
use crate::aside::{self, Aside};
use crate::codec::Lasting;
use crate::cx::Shown;
use crate::event::Ui;
use crate::files;
use crate::key::Key;
use crate::memory;
use crate::results_file;

/// What every file begins with; the last byte is the version of the format.
const MAGIC: &[u8; 8] = b"redraft\x02";
/// Magic, hash, and the length of the description.
const HEAD: usize = MAGIC.len() + 32 + 4;
/// The longest description that is read by itself, in bytes.
const LONGEST_DESCRIPTION: u32 = 16 << 20;
/// The extension of the files.
const EXTENSION: &str = "result";

/// Writing and reading a file costs about this much, in seconds, and so many bytes a second (measured: docs/performance.md).
const COST: f64 = 1e-3;
const PACE: f64 = 400e6;
/// What takes longer to make than this multiple of the cost is worth keeping.
const WORTH: f64 = 4.0;

/// The folder is counted again after this part of its limit was added.
const COUNTED_AFTER: u64 = 20;
/// When the folder is full, it is emptied to this share of its limit.
const EMPTIED_TO: f64 = 0.9;

/// The folders that hold results.
#[derive(Debug)]
pub struct Disk {
    /// Where results are written, and looked for first.
    own: Option<PathBuf>,
    /// Where they are looked for besides.
    others: Vec<PathBuf>,
    /// In bytes, of the own folder.
    limit: u64,
    /// How many bytes lie in the own folder, once that was counted, and how many were added since.
    size: Option<(u64, u64)>,
    /// Whether it was said that something could not be written.
    complained: bool,
}

/// What a file says of a result besides its outputs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Description {
    pub class: String,
    /// How long it took to make, in seconds.
    pub seconds: f64,
    #[serde(default)]
    ui: Ui,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A file among the results.
#[derive(Debug)]
pub struct Entry {
    pub path: PathBuf,
    pub bytes: u64,
    pub used: SystemTime,
}

impl Disk {
    /// `own` is made when the first result is written, and holds at most `limit` bytes.
    pub fn new(own: Option<PathBuf>, others: Vec<PathBuf>, limit: u64) -> Self {
        Self { own, others, limit, size: None, complained: false }
    }

    /// Whether there is a file for a key. It may turn out to be damaged.
    pub fn has(&self, key: &Key) -> bool {
        self.own.iter().chain(&self.others).any(|folder| place(folder, key).is_file())
    }

    /// The results of a key. Keys within them become those of this process as `own_keys` says.
    ///
    /// # Errors
    /// If the file is damaged, in words. It is removed.
    pub fn get(&self, key: &Key, own_keys: &Lasting) -> Result<Option<Results>, String> {
        let mut damaged = None;
        for (folder, own) in
            self.own.iter().map(|own| (own, true)).chain(self.others.iter().map(|other| (other, false)))
        {
            let path = place(folder, key);
            let Ok(bytes) = read(&path) else { continue };
            if is_of_another_version(&bytes) {
                continue;
            }
            match parse(key, &bytes) {
                Ok((description, outputs)) => {
                    if own {
                        touch(&path);
                    }
                    let outputs = results_file::from_bytes_of(outputs, own_keys);
                    match outputs {
                        Ok(outputs) => {
                            let Description { ui, warnings, .. } = description;
                            let shown = Shown { ui, warnings, files: Vec::new() };
                            return Ok(Some(Results { outputs, shown }));
                        }
                        Err(why) => damaged = Some((path, own, why.to_string())),
                    }
                }
                Err(why) => damaged = Some((path, own, why)),
            }
        }
        let Some((path, own, why)) = damaged else { return Ok(None) };
        if own {
            let _ = std::fs::remove_file(&path);
        }
        Err(format!("the kept result {} {why}; it is made again", path.display()))
    }

    /// Whether results that took so many seconds to make are worth the time that keeping them takes.
    pub fn is_worth(results: &Results, seconds: f64) -> bool {
        seconds > WORTH * (COST + results.bytes() as f64 / PACE)
    }

    /// Keeps results, if they are data and left no files. What cannot be written is told once; the run goes on.
    /// Keys within them are written as `lasting` says.
    /// `class` and `seconds` say of which class they are and how many seconds they took; `warnings` are those of everything that they were made of.
    pub fn put(
        &mut self,
        key: &Key,
        (class, seconds): (&str, f64),
        results: &Results,
        warnings: &[String],
        lasting: &Lasting,
    ) {
        let Some(own) = self.own.clone() else { return };
        // Another process may have been faster. A file of another version gives way.
        if read_head(&place(&own, key)).is_ok_and(|head| head.starts_with(MAGIC)) {
            return;
        }
        let fits = (results.bytes() as u64).saturating_mul(2) <= self.limit;
        if !fits || !results.shown.files.is_empty() || memory::ask(results.bytes() * 2, "keeping a result").is_err() {
            return;
        }
        let Some(outputs) = results_file::to_bytes(&results.outputs, lasting) else { return };
        let (ui, warnings) = (results.shown.ui.clone(), warnings.to_vec());
        let description = Description { class: class.to_owned(), seconds, ui, warnings };
        match write(&own, key, &description, &outputs) {
            Ok(bytes) => self.grown(&own, bytes),
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::warn!("results are not kept in {}: {error}", own.display());
            }
            Err(_) => {}
        }
    }

    /// The folder has grown; makes room if it is beyond its limit. Other processes write there, too: it is counted again after some of
    /// its limit was added.
    fn grown(&mut self, own: &Path, bytes: u64) {
        let (counted, added) = match self.size {
            Some((counted, added)) if added + bytes < self.limit / COUNTED_AFTER => (counted, added + bytes),
            _ => (size_of(&entries(own)), 0),
        };
        self.size = Some((counted, added));
        if counted + added > self.limit {
            self.size = Some((shrink(own, (self.limit as f64 * EMPTIED_TO) as u64), 0));
        }
    }
}

/// Where the results of a key lie in a folder.
fn place(folder: &Path, key: &Key) -> PathBuf {
    let name = blake3::Hash::from_bytes(*key.as_bytes()).to_hex();
    folder.join(&name[..2]).join(&name[2..]).with_extension(EXTENSION)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = files::open(path)?.metadata()?.len();
    // It is there twice for a moment: as it is read, and as what is made of it.
    memory::ask(bytes.saturating_mul(2), "a kept result")
        .map_err(|error| io::Error::new(ErrorKind::OutOfMemory, error))?;
    files::read(path, bytes)
}

/// The key of a file by its path.
fn key_of(path: &Path) -> Option<Key> {
    let name = path.file_stem()?.to_str()?;
    let folder = path.parent()?.file_name()?.to_str()?;
    blake3::Hash::from_hex(format!("{folder}{name}")).ok().map(|hash| Key::from_bytes(*hash.as_bytes()))
}

/// Whether an older or newer redraft wrote a file. It is neither used nor damaged, and goes when room is made.
fn is_of_another_version(bytes: &[u8]) -> bool {
    let (version, name) = MAGIC.split_last().unwrap_or((&0, &[]));
    bytes.starts_with(name) && bytes.get(name.len()).is_some_and(|found| found != version)
}

fn read_head(path: &Path) -> io::Result<[u8; HEAD]> {
    let mut head = [0; HEAD];
    files::open(path)?.read_exact(&mut head)?;
    Ok(head)
}

/// The two parts of a key's file: its description, and the outputs.
fn parse<'b>(key: &Key, bytes: &'b [u8]) -> Result<(Description, &'b [u8]), String> {
    let (head, rest) = bytes.split_at_checked(HEAD).ok_or("is cut short")?;
    if !head.starts_with(MAGIC) {
        return Err("is no result of this version of redraft".to_owned());
    }
    let hashed = bytes.get(MAGIC.len() + 32..).unwrap_or_default();
    let hash = blake3::Hasher::new().update(key.as_bytes()).update(hashed).finalize();
    if hash.as_bytes().as_slice() != &head[MAGIC.len()..MAGIC.len() + 32] {
        return Err("is damaged".to_owned());
    }
    let length = head.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    let (description, outputs) = rest.split_at_checked(length).ok_or("is cut short")?;
    let description = serde_json::from_slice(description).map_err(|error| format!("has no description: {error}"))?;
    Ok((description, outputs))
}

fn write(folder: &Path, key: &Key, description: &Description, outputs: &[u8]) -> io::Result<u64> {
    let description = serde_json::to_vec(description)?;
    let length = u32::try_from(description.len()).map_err(io::Error::other)?.to_le_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.as_bytes()).update(&length).update(&description).update(outputs);
    let target = place(folder, key);
    std::fs::create_dir_all(target.parent().unwrap_or(folder))?;
    let mut aside = Aside::in_folder(folder, &target)?.passing();
    for part in [MAGIC.as_slice(), hasher.finalize().as_bytes(), &length, &description, outputs] {
        aside.write_all(part)?;
    }
    aside.stand_over()?;
    Ok((HEAD + description.len() + outputs.len()) as u64)
}

/// Marks a file as used now.
fn touch(path: &Path) {
    let _ = File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// All results in a folder, those that were not used for the longest time first.
pub fn entries(folder: &Path) -> Vec<Entry> {
    let below = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut entries: Vec<Entry> = below(folder)
        .flat_map(|folder| below(&folder).collect::<Vec<_>>())
        .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION) && key_of(path).is_some())
        .filter_map(|path| {
            let meta = path.symlink_metadata().ok().filter(|meta| meta.is_file())?;
            Some(Entry { bytes: meta.len(), used: meta.modified().ok()?, path })
        })
        .collect();
    entries.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    entries
}

fn size_of(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.bytes).sum()
}

/// Removes what was not used for the longest time, until a folder holds at most so many bytes. Returns how many it holds.
pub fn shrink(folder: &Path, limit: u64) -> u64 {
    let entries = entries(folder);
    let mut size = size_of(&entries);
    for entry in entries {
        if size <= limit {
            break;
        }
        // Another process may have removed it.
        let _ = std::fs::remove_file(&entry.path);
        size -= entry.bytes;
    }
    size
}

/// What a file says of itself. Nothing else of it is read or checked.
///
/// # Errors
/// If it cannot be read, or is something else.
pub fn describe(path: &Path) -> io::Result<Description> {
    let mut file = files::open(path)?;
    let mut head = [0; HEAD];
    file.read_exact(&mut head)?;
    let length = head.last_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    let is_ours = head.starts_with(MAGIC) && length <= LONGEST_DESCRIPTION;
    let wrong = || io::Error::new(ErrorKind::InvalidData, "is no result of this version of redraft");
    let mut description = vec![0; if is_ours { Ok(length as usize) } else { Err(wrong()) }?];
    file.read_exact(&mut description)?;
    Ok(serde_json::from_slice(&description)?)
}

/// What is found of a file.
#[derive(Debug)]
pub enum Found {
    Whole(Description),
    /// Why nobody can use it.
    Damaged(String),
    /// An older or newer redraft wrote it.
    OfAnotherVersion,
    /// Why it could not be read now.
    Unread(io::Error),
}

/// Reads a file whole.
pub fn examine(path: &Path) -> Found {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) => return Found::Unread(error),
    };
    if is_of_another_version(&bytes) {
        return Found::OfAnotherVersion;
    }
    let Some(key) = key_of(path) else { return Found::Damaged("is named after no key".to_owned()) };
    let whole = parse(&key, &bytes).and_then(|(description, outputs)| {
        results_file::from_bytes(outputs).map_err(|why| why.to_string())?;
        Ok(description)
    });
    whole.map_or_else(Found::Damaged, Found::Whole)
}

/// Removes all results in a folder, and what runs that were killed have left there; nothing else.
///
/// # Errors
/// If one cannot be removed.
pub fn clear(folder: &Path) -> io::Result<()> {
    for entry in entries(folder) {
        files::remove_if_there(&entry.path)?;
    }
    remove_if_empty_of_others(folder)
}

/// Removes the folders that are empty now.
fn remove_if_empty_of_others(folder: &Path) -> io::Result<()> {
    aside::sweep_now(folder);
    for below in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // What is not empty is not ours alone.
        let _ = std::fs::remove_dir(below.path());
    }
    let _ = std::fs::remove_dir(folder);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::io::{Socket, Value};

    fn key(n: u8) -> Key {
        Key::from_bytes([n; 32])
    }

    fn results(text: &str) -> Results {
        let mut shown = Shown::default();
        shown.ui.add("text", "shown".into());
        Results { outputs: vec![Socket::from([Value::new("STRING", text.to_owned())])], shown }
    }

    fn text(results: &Results) -> String {
        results.outputs[0][0].downcast::<String>().unwrap().clone()
    }

    fn disk(folder: &Path) -> Disk {
        Disk::new(Some(folder.to_owned()), Vec::new(), 1 << 30)
    }

    #[test]
    fn what_is_kept_is_found_by_other_processes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("results");
        assert!(!disk(&folder).has(&key(1)));
        disk(&folder).put(&key(1), ("Text", 1.5), &results("a"), &[], &Lasting::new());
        let other = Disk::new(None, vec![folder.clone()], 0);
        assert!(other.has(&key(1)) && !other.has(&key(2)));
        let found = other.get(&key(1), &Lasting::new()).unwrap().unwrap();
        assert_eq!((text(&found), found.shown), ("a".to_owned(), results("a").shown));
        assert!(other.get(&key(2), &Lasting::new()).unwrap().is_none());
        let all = entries(&folder);
        let Found::Whole(description) = examine(&all[0].path) else { panic!("{:?}", all[0]) };
        assert_eq!((all.len(), description.class.as_str(), description.seconds), (1, "Text", 1.5));
    }

    #[test]
    fn a_damaged_file_is_told_once_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = disk(dir.path());
        disk.put(&key(1), ("Text", 1.0), &results("a"), &[], &Lasting::new());
        let path = entries(dir.path()).remove(0).path;
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            if at == MAGIC.len() - 1 {
                assert!(disk.get(&key(1), &Lasting::new()).unwrap().is_none() && path.is_file(), "another version");
                continue;
            }
            assert!(disk.get(&key(1), &Lasting::new()).unwrap_err().contains("; it is made again"), "byte {at}");
            assert!(disk.get(&key(1), &Lasting::new()).unwrap().is_none());
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(disk.get(&key(1), &Lasting::new()).is_err(), "cut at {at}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(text(&disk.get(&key(1), &Lasting::new()).unwrap().unwrap()), "a");
    }

    #[test]
    fn a_file_in_the_place_of_another_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = disk(dir.path());
        disk.put(&key(1), ("Text", 1.0), &results("a"), &[], &Lasting::new());
        let other = place(dir.path(), &key(2));
        std::fs::create_dir_all(other.parent().unwrap()).unwrap();
        std::fs::copy(place(dir.path(), &key(1)), &other).unwrap();
        assert!(matches!(examine(&other), Found::Damaged(_)));
        assert!(disk.get(&key(2), &Lasting::new()).unwrap_err().contains("is damaged"));
        assert_eq!(text(&disk.get(&key(1), &Lasting::new()).unwrap().unwrap()), "a");
    }

    /// A file of another version is left alone by those who read, and gives way to a result of this one.
    #[test]
    fn another_version_gives_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = disk(dir.path());
        let path = place(dir.path(), &key(1));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, [b"redraft\xff".as_slice(), &[0; 100]].concat()).unwrap();
        assert!(matches!(examine(&path), Found::OfAnotherVersion));
        assert!(disk.get(&key(1), &Lasting::new()).unwrap().is_none());
        disk.put(&key(1), ("Text", 1.0), &results("a"), &[], &Lasting::new());
        assert_eq!(text(&disk.get(&key(1), &Lasting::new()).unwrap().unwrap()), "a");
    }

    #[test]
    fn clearing_takes_no_file_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("results");
        disk(&folder).put(&key(1), ("Text", 1.0), &results("a"), &[], &Lasting::new());
        std::fs::create_dir_all(folder.join("exp1")).unwrap();
        std::fs::write(folder.join("exp1/thesis.csv"), "precious").unwrap();
        clear(&folder).unwrap();
        assert!(entries(&folder).is_empty() && folder.join("exp1/thesis.csv").is_file());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(folder.join("exp1")).unwrap();
        clear(&folder).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = disk(dir.path());
        disk.put(&key(0), ("Text", 1.0), &results("a"), &[], &Lasting::new());
        let one = entries(dir.path())[0].bytes;
        disk.limit = one * 10;
        let age = |n: u8, hours: u64| {
            let file = File::options().append(true).open(place(dir.path(), &key(n))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours)).unwrap();
        };
        for n in 0..10 {
            disk.put(&key(n), ("Text", 1.0), &results("a"), &[], &Lasting::new());
            age(n, 20 - u64::from(n));
        }
        // The oldest is used again.
        assert!(disk.get(&key(0), &Lasting::new()).unwrap().is_some());
        disk.put(&key(10), ("Text", 1.0), &results("a"), &[], &Lasting::new());
        let left: Vec<u8> = (0..=10).filter(|n| disk.has(&key(*n))).collect();
        assert_eq!(left, [0, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(shrink(dir.path(), 0), 0);
        assert!(entries(dir.path()).is_empty());
    }

    #[test]
    fn what_cannot_be_written_or_is_no_data_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        // The folder cannot be made.
        let mut unwritable = disk(&file);
        unwritable.put(&key(1), ("Text", 1.0), &results("a"), &[], &Lasting::new());
        assert!(!unwritable.has(&key(1)));
        let mut disk = disk(dir.path());
        let mut saved = results("a");
        saved.shown.files.push(file);
        disk.put(&key(1), ("Save", 1.0), &saved, &[], &Lasting::new());
        assert!(!disk.has(&key(1)));
        assert!(Disk::is_worth(&results("a"), 0.01) && !Disk::is_worth(&results("a"), 0.001));
    }
}
