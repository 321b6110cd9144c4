//! A `.safetensors` or `.gguf` file, memory-mapped: opening one costs no memory, however large it is.
// Mapping files and looking at their bytes as tensors is what this file is for.
#![allow(unsafe_code)]

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail, ensure};
use memmap2::Mmap;
use redraft_engine::{files, memory};
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use super::gguf::{self, Stored};
use super::guard::{self, Guarded};
use super::torch_file::from_bytes;

/// Longest header we parse. The largest checkpoints in circulation have headers of a few megabytes.
const HEADER_LIMIT: u64 = 100_000_000;

/// Converted tensors of at least this many bytes give their file pages back at once.
const RELEASE_FROM: usize = 1 << 16;

/// One tensor of a file: what its header says about it.
#[derive(Clone, Debug)]
pub struct Entry {
    stored: Stored,
    shape: Vec<i64>,
    /// First byte and byte after the last, counted from the start of the file; checked to lie within it.
    bytes: (usize, usize),
}

/// What a file is known by: another file, or the same after it was written anew, has another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl FileId {
    pub(crate) fn of(path: &Path, metadata: &Metadata) -> Self {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        Self { path, bytes: metadata.len(), modified: metadata.modified().ok() }
    }

    /// Adds it to a digest.
    pub fn add_to(&self, hasher: &mut blake3::Hasher) {
        let modified = self.modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let path = self.path.as_os_str().as_encoded_bytes();
        hasher.update(&(path.len() as u64).to_le_bytes()).update(path).update(&self.bytes.to_le_bytes());
        hasher.update(&modified.map_or(0, |time| time.as_nanos()).to_le_bytes());
    }
}

/// An opened `.safetensors` or `.gguf` file. Tensors are read when they are asked for.
///
/// The file is opened once, and everything is read of what was opened, whatever has its name later. A file that is shortened or written
/// to while it is in use is an error of whoever reads it next ([`WeightsFile::tensor`]); see [`guard`] for what is read meanwhile.
pub struct WeightsFile {
    path: PathBuf,
    id: FileId,
    file: std::fs::File,
    map: Guarded,
    /// The same file as one byte tensor that owns its map, so that views into it keep the map alive. Made on first use;
    /// `None` if the system refuses, and tensors are copied.
    whole: OnceCell<Option<Tensor>>,
    entries: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
    gguf: Option<gguf::Header>,
}

impl WeightsFile {
    /// Opens `path` and checks its header against its size.
    ///
    /// Errors name the file: it cannot be read, it is a pickle or another format, the header is longer than the file or than
    /// 100 MB, is not JSON, names an unknown element type, or its offsets overlap, leave holes or do not end with the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Rc<Self>> {
        let path = path.as_ref();
        let file = files::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        // SAFETY: the map is read-only and private to this struct, and guarded: where another process shortens the file, zeros are read
        // in place of what is gone.
        let map = unsafe { Mmap::map(&file) }.with_context(|| format!("cannot map {}", path.display()))?;
        let map = Guarded::new(map);
        let id = FileId::of(path, &file.metadata()?);
        check_prefix(map.bytes()).with_context(|| format!("cannot read {}", path.display()))?;
        let is_gguf = map.bytes().starts_with(gguf::MAGIC);
        let format = if is_gguf { "GGUF" } else { "safetensors" };
        let read = if is_gguf { read_gguf(map.bytes()) } else { read_header(map.bytes()) };
        let (entries, metadata, gguf) =
            read.with_context(|| format!("{} is not a valid {format} file; fetch it again", path.display()))?;
        let file = Self { path: path.to_path_buf(), id, file, map, whole: OnceCell::new(), entries, metadata, gguf };
        file.unchanged()?;
        Ok(Rc::new(file))
    }

    /// Fails if the file was written to since it was opened.
    pub(super) fn unchanged(&self) -> Result<()> {
        let now = self.file.metadata()?;
        let same = now.len() == self.id.bytes && now.modified().ok() == self.id.modified && guard::is_whole();
        ensure!(same, "{} was changed while it was in use; run again when it is complete", self.path.display());
        Ok(())
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is known by.
    pub fn id(&self) -> &FileId {
        &self.id
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The names that start with `prefix`, sorted.
    pub fn names_under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries
            .range(prefix.to_owned()..)
            .map(|(name, _)| name.as_str())
            .take_while(move |n| n.starts_with(prefix))
    }

    /// Whether a tensor of this name exists.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The shape of a tensor, if it exists.
    pub fn shape(&self, name: &str) -> Option<&[i64]> {
        self.entries.get(name).map(|e| e.shape.as_slice())
    }

    /// The text entries of the header's `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// What the file says of itself, if it is a GGUF file.
    pub fn gguf(&self) -> Option<&gguf::Header> {
        self.gguf.as_ref()
    }

    /// The element type in which a tensor is stored, that of their numbers for those in blocks. An error if there is none of this name, or libtorch has no such type.
    pub fn kind(&self, name: &str) -> Result<Kind> {
        let dtype = match self.entry(name)?.stored {
            Stored::Plain(dtype) => dtype,
            Stored::Blocks(_) => return Ok(Kind::Half),
        };
        kind_of(dtype).ok_or_else(|| {
            anyhow!(
                "tensor {name} in {} has element type {dtype:?}, which cannot be computed with; convert the file to F16",
                self.path.display()
            )
        })
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| anyhow!("{} has no tensor {name}", self.path.display()))
    }

    /// Whether [`WeightsFile::tensor`] gives a view of the file, which takes no memory.
    pub fn is_view(&self, name: &str, kind: Kind, device: Device) -> Result<bool> {
        let Entry { stored, bytes: (start, _), .. } = self.entry(name)?;
        if matches!(stored, Stored::Blocks(_)) {
            return Ok(false);
        }
        // A byte of a strangers' file may be neither true nor false.
        let as_stored = device == Device::Cpu && kind != Kind::Bool && self.kind(name)? == kind;
        Ok(as_stored && start.is_multiple_of(kind.elt_size_in_bytes()))
    }

    /// Reads a tensor as elements of `kind` on `device`.
    ///
    /// What is stored that way already, on the CPU, is a view of the file that takes no memory; anything else is converted
    /// in one pass. The result may outlive the file.
    pub fn tensor(&self, name: &str, kind: Kind, device: Device) -> Result<Tensor> {
        let stored = self.kind(name)?;
        let entry = self.entry(name)?;
        self.unchanged()?;
        let (start, end) = entry.bytes;
        if start == end {
            return Ok(Tensor::zeros(&entry.shape, (kind, device)));
        }
        if let Some(packed) = self.packed(name, device)? {
            let numbers = packed.numbers(kind);
            self.release(start, end);
            self.unchanged()?;
            return Ok(numbers);
        }
        let aligned = start.is_multiple_of(stored.elt_size_in_bytes());
        if self.is_view(name, kind, device)?
            && let Some(view) = self.view(entry, stored)?
        {
            return Ok(view);
        }
        let bytes = &self.map.bytes()[start..end];
        let converted = if stored == Kind::Bool {
            from_bytes(bytes, &entry.shape, stored)?.f_to_device_(device, kind, false, false)?
        } else if aligned {
            // SAFETY: `bytes` is inside the map, holds exactly `shape` elements of `stored` (checked when the header was
            // read) at an address aligned for them. The tensor made here does not leave this function, and is only read:
            // `copy = true` makes `to_device_` return other memory even if nothing needs converting.
            let view = unsafe { Tensor::f_from_blob(bytes.as_ptr(), &entry.shape, &[], stored, Device::Cpu) }?;
            view.f_to_device_(device, kind, false, true)?
        } else {
            Tensor::f_from_data_size(bytes, &entry.shape, stored)?.f_to_device_(device, kind, false, false)?
        };
        self.release(start, end);
        self.unchanged()?;
        Ok(converted)
    }

    /// A tensor in blocks, if it is stored so, on `device`. On the CPU it takes no memory.
    ///
    /// # Errors
    /// If there is none of this name, or the file was written to since it was opened.
    pub fn packed(&self, name: &str, device: Device) -> Result<Option<gguf::Packed>> {
        let entry = self.entry(name)?;
        let Stored::Blocks(format) = entry.stored else { return Ok(None) };
        self.unchanged()?;
        let (start, end) = entry.bytes;
        let shape = [i64::try_from(end - start)?];
        let bytes = match self.view_as(entry, &shape, Kind::Uint8)? {
            Some(view) => view,
            None => Tensor::f_from_data_size(&self.map.bytes()[start..end], &shape, Kind::Uint8)?,
        };
        Ok(Some(gguf::Packed::new(bytes.f_to(device)?, format, &entry.shape)))
    }

    /// A view of the file's own bytes that keeps them mapped, or `None` if the file could not be mapped a second time.
    fn view(&self, entry: &Entry, kind: Kind) -> Result<Option<Tensor>> {
        self.view_as(entry, &entry.shape, kind)
    }

    fn view_as(&self, entry: &Entry, shape: &[i64], kind: Kind) -> Result<Option<Tensor>> {
        let whole = self.whole.get_or_init(|| {
            let size = i64::try_from(self.map.bytes().len()).ok()?;
            // What was opened, not what has its name now. Private pages: whoever writes into a view by mistake changes neither the file
            // nor another reader.
            let path = guard::path_of(&self.file)?;
            // The system counts such a map against the limit: that is raised first.
            memory::mapped(self.id.bytes);
            let whole = Tensor::f_from_file(&path, false, size, (Kind::Uint8, Device::Cpu));
            let whole = whole.inspect_err(|_| memory::unmapped(self.id.bytes)).ok()?;
            guard::watch(whole.data_ptr() as usize, self.map.bytes().len());
            Some(whole)
        });
        let Some(whole) = whole else { return Ok(None) };
        let (start, end) = entry.bytes;
        let bytes = whole.f_narrow(0, i64::try_from(start)?, i64::try_from(end - start)?)?;
        Ok(Some(bytes.f_view_dtype(kind)?.f_view(shape)?))
    }

    /// Lets the system take back the pages of a converted tensor, so that reading a large file does not fill memory.
    fn release(&self, start: usize, end: usize) {
        if end - start < RELEASE_FROM {
            return;
        }
        #[cfg(unix)]
        // SAFETY: the map is a read-only view of a file: a page that is dropped is read from the file again on next use.
        unsafe {
            // Advice: a refusal changes nothing but memory use.
            let _ = self.map.map().unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start);
        }
    }
}

/// Names what people hand us instead of a safetensors file.
fn check_prefix(map: &[u8]) -> Result<()> {
    // A header of 640 bytes begins like a pickle of protocol 2; only a safetensors file has its JSON at the ninth byte.
    if map.get(8) == Some(&b'{') {
        return Ok(());
    }
    if map.starts_with(b"PK\x03\x04") || map.starts_with(b"\x80\x02") {
        bail!(
            "this is a Python pickle (.ckpt, .pt, .pth), which can run code when loaded; convert it to .safetensors \
             with a tool you trust"
        );
    }
    ensure!(
        !map.starts_with(b"version https://git-lfs"),
        "this is a Git LFS pointer, not the file itself; run `git lfs pull` where it came from"
    );
    ensure!(!map.starts_with(b"<!") && !map.starts_with(b"<html"), "this is a web page; download the file again");
    Ok(())
}

type Header = (BTreeMap<String, Entry>, BTreeMap<String, String>, Option<gguf::Header>);

/// Parses and checks the header; `safetensors` verifies that the tensors tile the data section exactly.
fn read_header(map: &[u8]) -> Result<Header> {
    let Some(length) = map.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)) else {
        bail!("it has {} bytes, and the header's length alone takes 8", map.len());
    };
    ensure!(length <= HEADER_LIMIT, "its header claims {length} bytes; at most {HEADER_LIMIT} are accepted");
    let data = usize::try_from(length)? + 8;
    ensure!(data <= map.len(), "its header claims {length} bytes, but the file has {} in all", map.len());
    let (_, header) = SafeTensors::read_metadata(map).map_err(|e| anyhow!("{}", describe(&e, map.len())))?;
    let mut entries = BTreeMap::new();
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else { continue };
        let (start, end) = info.data_offsets;
        let (start, end) = (data + start, data + end);
        ensure!(start <= end && end <= map.len(), "tensor {name} lies outside of the file");
        let shape = info.shape.iter().map(|&d| i64::try_from(d)).collect::<Result<Vec<_>, _>>()?;
        entries.insert(name, Entry { stored: Stored::Plain(info.dtype), shape, bytes: (start, end) });
    }
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok((entries, metadata, None))
}

fn read_gguf(map: &[u8]) -> Result<Header> {
    let (header, places) = gguf::Header::read(map)?;
    let entry = |place: gguf::Place| Entry { stored: place.stored, shape: place.shape, bytes: place.bytes };
    let entries = places.into_iter().map(|(name, place)| (name, entry(place))).collect();
    Ok((entries, BTreeMap::new(), Some(header)))
}

/// The library's message, or a plainer one for what a broken download causes.
fn describe(error: &safetensors::SafeTensorError, length: usize) -> String {
    use safetensors::SafeTensorError as E;
    match error {
        E::MetadataIncompleteBuffer => {
            format!("its tensors do not end where the file ends ({length} bytes): it is truncated or damaged")
        }
        E::InvalidOffset(name) => format!("the offsets of tensor {name} overlap another tensor's or leave a hole"),
        E::InvalidHeader(_) => "its header is not UTF-8 text".to_owned(),
        E::InvalidHeaderDeserialization(e) => format!("its header does not parse: {e}"),
        other => other.to_string(),
    }
}

/// libtorch's name for an element type, if it has one.
fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F64 => Kind::Double,
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F8_E4M3 => Kind::Float8e4m3fn,
        Dtype::F8_E5M2 => Kind::Float8e5m2,
        Dtype::F8_E4M3FNUZ => Kind::Float8e4m3fnuz,
        Dtype::F8_E5M2FNUZ => Kind::Float8e5m2fnuz,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::I16 => Kind::Int16,
        Dtype::I8 => Kind::Int8,
        Dtype::U8 => Kind::Uint8,
        Dtype::BOOL => Kind::Bool,
        _ => return None,
    })
}
