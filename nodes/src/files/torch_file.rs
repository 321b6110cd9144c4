//! Files written by `torch.save`: zip archives, and the older stream of pickles followed by raw storages.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use redraft_engine::{files, memory};
use tch::{Kind, Tensor};
use zip::ZipArchive;
use zip::read::ZipFile;

use super::pickle::{Pickle, StorageRef, TensorRef, Value};

/// The first pickle of the older format is this number (little-endian).
const LEGACY_MAGIC: [u8; 10] = [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];
const LEGACY_VERSION: i64 = 1001;
/// An index this large describes no model that exists.
const MAX_PICKLE: u64 = 64 << 20;

/// A torch file: its structure, and its storages as flat tensors on the CPU.
pub struct TorchFile {
    pickle: Pickle,
    storages: HashMap<String, (Kind, Tensor)>,
}

impl fmt::Debug for TorchFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TorchFile").field("pickle", &self.pickle).finish_non_exhaustive()
    }
}

impl TorchFile {
    /// Reads a whole file, at most `limit` bytes of numbers. Executes nothing in it.
    ///
    /// # Errors
    /// The file is of neither format, is damaged, is larger than `limit`, or refers to Python names that no tensor file
    /// needs.
    pub fn open(path: &Path, limit: u64) -> Result<Self> {
        let read = || match ZipArchive::new(BufReader::new(files::open(path)?)) {
            Ok(archive) => Self::from_zip(archive, limit),
            Err(_) => Self::from_legacy(&bounded(files::open(path)?, limit.saturating_add(MAX_PICKLE))?, limit),
        };
        read().with_context(|| format!("cannot read the torch file {}", path.display()))
    }

    /// Reads the zip format, which holds `NAME/data.pkl` and `NAME/data/KEY` for each storage.
    pub fn from_zip<R: Read + Seek>(mut archive: ZipArchive<R>, limit: u64) -> Result<Self> {
        let (pickle, prefix) = described(&mut archive)?;
        let mut left = limit;
        let mut storages = HashMap::new();
        for storage in storages_of(&pickle)? {
            let (mut entry, length) = stored(&mut archive, &prefix, storage, &mut left)?;
            // The bytes, and the tensor that is made of them.
            memory::ask(length.saturating_mul(2), "the torch file")?;
            let mut bytes = Vec::new();
            entry.by_ref().take(length).read_to_end(&mut bytes)?;
            storages.insert(storage.key.clone(), (storage.kind, flat(storage, &bytes)?));
        }
        Ok(Self { pickle, storages })
    }

    /// Looks at what a file says of itself, without its numbers. Of the format before torch 1.6 only the beginning is looked at: the rest cannot
    /// be read without them.
    ///
    /// # Errors
    /// As far as they can be known: those of [`open`](Self::open).
    pub fn look(path: &Path, limit: u64) -> Result<()> {
        let look = || -> Result<()> {
            let Ok(mut archive) = ZipArchive::new(BufReader::new(files::open(path)?)) else {
                let mut head = Vec::new();
                files::open(path)?.take(64).read_to_end(&mut head)?;
                return is_legacy(&Pickle::read(&head).context(NEITHER)?.0);
            };
            let (pickle, prefix) = described(&mut archive)?;
            let mut left = limit;
            for storage in storages_of(&pickle)? {
                stored(&mut archive, &prefix, storage, &mut left)?;
            }
            Ok(())
        };
        look().with_context(|| format!("cannot read the torch file {}", path.display()))
    }

    /// Reads the format before torch 1.6: five pickles (magic number, version, system, object, storage keys), then for
    /// each key its element count as a 64-bit number and its raw elements.
    pub fn from_legacy(bytes: &[u8], limit: u64) -> Result<Self> {
        let mut rest = bytes;
        let mut next = || -> Result<Pickle> {
            let (pickle, length) = Pickle::read(rest)?;
            rest = &rest[length..];
            Ok(pickle)
        };
        is_legacy(&next().context(NEITHER)?)?;
        let version = next()?;
        ensure!(
            matches!(version.root(), Value::Int(LEGACY_VERSION)),
            "unknown version {:?} of torch's format",
            version.root()
        );
        let system = next()?;
        let mut properties = system.entries(system.root()).context("no system information in the file")?;
        let little = !properties.any(|(name, value)| name == "little_endian" && matches!(value, Value::Bool(false)));
        ensure!(little, "the file is in big-endian byte order: convert it to .safetensors");
        let pickle = next()?;
        let keys = next()?;
        let described: HashMap<&str, &StorageRef> =
            storages_of(&pickle)?.into_iter().map(|storage| (storage.key.as_str(), storage)).collect();
        let mut left = limit;
        let mut storages = HashMap::new();
        for key in keys.items(keys.root()).context("no list of storages in the file")? {
            let Value::Str(key) = key else { bail!("a storage key that is not text") };
            let storage = described.get(&**key).with_context(|| format!("storage {key} belongs to no tensor"))?;
            let (count, after) = rest.split_first_chunk::<8>().context("the file ends early")?;
            ensure!(
                u64::from_le_bytes(*count) == storage.len as u64,
                "storage {key} differs in length from its tensor's"
            );
            let length = usize::try_from(charge(storage, &mut left)?)?;
            memory::ask(length, "the torch file")?;
            let (elements, after) = after.split_at_checked(length).context("the file ends early")?;
            storages.insert(key.to_string(), (storage.kind, flat(storage, elements)?));
            rest = after;
        }
        Ok(Self { pickle, storages })
    }

    pub fn pickle(&self) -> &Pickle {
        &self.pickle
    }

    /// A tensor of the file, as a view that shares its storage.
    pub fn tensor(&self, view: &TensorRef) -> Result<Tensor> {
        let (kind, flat) = self
            .storages
            .get(&view.storage.key)
            .with_context(|| format!("storage {} is missing from the file", view.storage.key))?;
        ensure!(*kind == view.storage.kind, "storage {} is read as two kinds of numbers", view.storage.key);
        Ok(flat.f_as_strided(&view.size, &view.stride, view.offset)?)
    }
}

const NEITHER: &str = "neither a zip archive nor an older torch file";

/// Whether the first pickle of a file is that of the older format.
fn is_legacy(first: &Pickle) -> Result<()> {
    ensure!(matches!(first.root(), Value::Long(number) if **number == LEGACY_MAGIC), NEITHER);
    Ok(())
}

/// An archive's structure, and what the names of its entries begin with.
fn described<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<(Pickle, String)> {
    let index = archive.file_names().find(|name| name.ends_with("/data.pkl")).context(
        "no data.pkl in the archive: it is not a file of torch.save, or a TorchScript one, which is not supported",
    )?;
    let prefix = index.trim_end_matches("data.pkl").to_owned();
    if let Some(order) = archive.index_for_name(&format!("{prefix}byteorder")) {
        let order = bounded(archive.by_index(order)?, 16)?;
        ensure!(order == b"little", "the file is in big-endian byte order: convert it to .safetensors");
    }
    let (pickle, _) = Pickle::read(&bounded(archive.by_name(&format!("{prefix}data.pkl"))?, MAX_PICKLE)?)?;
    Ok((pickle, prefix))
}

/// Where an archive holds a storage, and the storage's length in bytes, which is taken off what may still be read.
fn stored<'a, R: Read + Seek>(
    archive: &'a mut ZipArchive<R>,
    prefix: &str,
    storage: &StorageRef,
    left: &mut u64,
) -> Result<(ZipFile<'a, R>, u64)> {
    let entry = archive
        .by_name(&format!("{prefix}data/{}", storage.key))
        .map_err(|error| anyhow!("storage {} is missing from the archive: {error}", storage.key))?;
    let length = charge(storage, left)?;
    ensure!(entry.size() >= length, "storage {} has {} bytes and should have {length}", storage.key, entry.size());
    Ok((entry, length))
}

/// Every storage that a tensor uses, once; refuses two descriptions of one storage.
fn storages_of(pickle: &Pickle) -> Result<Vec<&StorageRef>> {
    let mut found = indexmap::IndexMap::new();
    for storage in pickle.storages() {
        let earlier = *found.entry(storage.key.as_str()).or_insert(storage);
        ensure!(earlier == storage, "storage {} is described in two ways: the file is damaged", storage.key);
    }
    Ok(found.into_values().collect())
}

/// The length of a storage in bytes, taken off what may still be read.
fn charge(storage: &StorageRef, left: &mut u64) -> Result<u64> {
    let length = (storage.len as u64).checked_mul(storage.kind.elt_size_in_bytes() as u64);
    let fits = length.and_then(|length| Some((length, left.checked_sub(length)?)));
    let (length, rest) =
        fits.with_context(|| format!("storage {} of {} elements is beyond the limit", storage.key, storage.len))?;
    *left = rest;
    Ok(length)
}

/// A flat tensor from raw little-endian elements.
fn flat(storage: &StorageRef, bytes: &[u8]) -> Result<Tensor> {
    from_bytes(bytes, &[i64::try_from(storage.len)?], storage.kind).with_context(|| format!("storage {}", storage.key))
}

/// A tensor from raw little-endian elements; their number is checked against the size.
pub(crate) fn from_bytes(bytes: &[u8], size: &[i64], kind: Kind) -> Result<Tensor> {
    let count = size.iter().try_fold(1_usize, |count, n| count.checked_mul(usize::try_from(*n).ok()?));
    let length = count.and_then(|count| count.checked_mul(kind.elt_size_in_bytes()));
    ensure!(length == Some(bytes.len()), "{} bytes for size {size:?} of {kind:?}: the file is damaged", bytes.len());
    if kind == Kind::Bool {
        // Any byte but 0 is true; a bool of another value would be undefined behaviour.
        return Ok(Tensor::f_from_data_size(bytes, size, Kind::Uint8)?.f_ne(0)?);
    }
    Ok(Tensor::f_from_data_size(bytes, size, kind)?)
}

/// Everything a reader gives, or an error beyond `limit` bytes.
pub(crate) fn bounded(mut reader: impl Read, limit: u64) -> Result<Vec<u8>> {
    /// Read between two looks at memory.
    const AT_ONCE: u64 = 16 << 20;
    let mut bytes = Vec::new();
    while bytes.len() as u64 <= limit {
        let wanted = AT_ONCE.min(limit.saturating_add(1) - bytes.len() as u64);
        // The vector doubles as it grows.
        if !bytes.is_empty() {
            memory::ask(bytes.len(), "the file")?;
        }
        if (&mut reader).take(wanted).read_to_end(&mut bytes)? == 0 {
            return Ok(bytes);
        }
    }
    bail!("larger than {limit} bytes, which is more than such a file needs")
}

/// The raw float numbers of a torch archive's last tensor of at least `least` numbers, for files whose pickle is refused.
pub(crate) fn last_storage(path: &Path, least: u64, limit: u64) -> Result<Option<Vec<u8>>> {
    let mut archive = ZipArchive::new(BufReader::new(files::open(path)?))?;
    for index in (0..archive.len()).rev() {
        let entry = archive.by_index(index)?;
        if entry.name().contains("data/") && entry.size() / 4 >= least {
            return bounded(entry, limit).map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Cursor;
    use std::path::PathBuf;

    use fs_err as fs;
    use proptest::prelude::*;

    use super::*;

    // Written by torch 2.11, from t = arange(12) as 3 x 4:
    // strided.pt: zip; {"string_to_param": {"*": t in bfloat16, stored column by column}, ...}
    const ZIP: &[u8] = include_bytes!("testdata/strided.pt");
    // legacy.pt: older format; {"string_to_param": {"*": Parameter(t in float16)}, "big": 2**70, "x": 1.5, ...}
    const LEGACY: &[u8] = include_bytes!("testdata/legacy.pt");
    // state.pt: older format; an OrderedDict with metadata: weight = t[1:], bias = int64 [1, -2], b = [True, False]
    const STATE: &[u8] = include_bytes!("testdata/state.pt");
    // executes.pt: older format; an object that would run a command
    const EXECUTES: &[u8] = include_bytes!("testdata/executes.pt");

    fn zip(bytes: &[u8], limit: u64) -> Result<TorchFile> {
        TorchFile::from_zip(ZipArchive::new(Cursor::new(bytes))?, limit)
    }

    #[test]
    fn a_look_finds_what_can_be_known_without_the_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let look = |bytes: &[u8], limit| {
            let path = folder.path().join("x.pt");
            fs::write(&path, bytes).unwrap();
            TorchFile::look(&path, limit).map_err(|error| format!("{error:#}"))
        };
        for file in [ZIP, LEGACY, STATE] {
            look(file, 1 << 20).unwrap();
        }
        assert!(look(b"no archive", 1 << 20).unwrap_err().contains(NEITHER));
        assert!(look(&ZIP[..ZIP.len() / 2], 1 << 20).unwrap_err().contains(NEITHER));
        let error = look(ZIP, 1).unwrap_err();
        assert!(error.contains("elements is beyond the limit"), "{error}");
    }

    fn tensor(file: &TorchFile, path: &[&str]) -> Tensor {
        let mut value = file.pickle().root();
        for key in path {
            value = file.pickle().entries(value).unwrap().find(|(name, _)| name == key).unwrap().1;
        }
        let Value::Tensor(view) = value else { panic!("{path:?} is {}", value.what()) };
        file.tensor(view).unwrap()
    }

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        tensor.to_kind(Kind::Double).contiguous().flatten(0, -1).try_into().unwrap()
    }

    fn refused(result: Result<TorchFile>) -> String {
        format!("{:#}", result.unwrap_err())
    }

    #[test]
    fn reads_both_formats() {
        let counted: Vec<f64> = (0..12).map(f64::from).collect();
        for (file, kind) in [(zip(ZIP, 24), Kind::BFloat16), (TorchFile::from_legacy(LEGACY, 24), Kind::Half)] {
            let vectors = tensor(&file.unwrap(), &["string_to_param", "*"]);
            assert_eq!((vectors.size(), vectors.kind(), numbers(&vectors)), (vec![3, 4], kind, counted.clone()));
        }
        let state = TorchFile::from_legacy(STATE, 1 << 20).unwrap();
        assert_eq!(numbers(&tensor(&state, &["weight"])), counted[4..]);
        assert_eq!(
            (tensor(&state, &["bias"]).kind(), numbers(&tensor(&state, &["bias"]))),
            (Kind::Int64, vec![1.0, -2.0])
        );
        assert_eq!((tensor(&state, &["b"]).kind(), numbers(&tensor(&state, &["b"]))), (Kind::Bool, vec![1.0, 0.0]));
    }

    #[test]
    fn executes_nothing() {
        let error = refused(TorchFile::from_legacy(EXECUTES, 1 << 20));
        assert!(
            error.contains(".system`, which is not among the names a tensor file needs; refused unexecuted"),
            "{error}"
        );
    }

    #[test]
    fn limits_hold() {
        assert!(refused(zip(ZIP, 23)).contains("beyond the limit"));
        assert!(refused(TorchFile::from_legacy(LEGACY, 23)).contains("beyond the limit"));
    }

    #[test]
    fn says_what_a_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("x.pt");
        fs::write(&path, b"hello").unwrap();
        let error = refused(TorchFile::open(&path, 100));
        assert!(
            error.starts_with("cannot read the torch file ") && error.contains("neither a zip archive nor"),
            "{error}"
        );
        fs::write(&path, ZIP).unwrap();
        assert!(TorchFile::open(&path, 100).is_ok());
        fs::write(&path, LEGACY).unwrap();
        assert!(TorchFile::open(&path, 100).is_ok());
    }

    #[test]
    fn a_file_cut_short_is_an_error() {
        for length in 0..LEGACY.len() {
            assert!(TorchFile::from_legacy(&LEGACY[..length], 1 << 20).is_err(), "{length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn damaged_files_do_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            for original in [ZIP, LEGACY, STATE] {
                let mut bytes = original.to_vec();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                for file in [zip(&bytes, 1 << 20), TorchFile::from_legacy(&bytes, 1 << 20)].into_iter().flatten() {
                    let root = file.pickle().root();
                    for (_, value) in file.pickle().entries(root).into_iter().flatten() {
                        if let Value::Tensor(view) = value {
                            let _ = file.tensor(view);
                        }
                    }
                }
            }
        }
    }
}
