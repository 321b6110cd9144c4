//! The tensors of a file by name, whichever of the formats it has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Result, anyhow, bail, ensure};
use tch::{Device, Kind, Tensor};

use super::TorchFile;
use super::pickle::Value;
use super::weights_file::{FileId, WeightsFile};

/// An opened file: `.safetensors` or `.gguf`, mapped, or anything else as an archive of `torch.save`, read into memory.
pub struct NamedTensors {
    path: PathBuf,
    id: FileId,
    source: Source,
}

enum Source {
    Mapped(Rc<WeightsFile>),
    Read(BTreeMap<String, Tensor>),
}

impl NamedTensors {
    /// Opens `path`. An archive may hold its tensors directly, in `state_dict`, or in the only dictionary that it has.
    ///
    /// # Errors
    /// Those of [`WeightsFile::open`] and [`TorchFile::open`], and an archive without a dictionary of tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let (id, source) = if is_mapped(path) {
            let file = WeightsFile::open(path)?;
            (file.id().clone(), Source::Mapped(file))
        } else {
            let metadata = fs_err::metadata(path)?;
            // The tensors of an archive are not compressed: they take no more memory than the file is long.
            let tensors = state_dict(&TorchFile::open(path, metadata.len())?);
            let tensors = tensors.map_err(|error| error.context(format!("cannot use {}", path.display())))?;
            (FileId::of(path, &metadata), Source::Read(tensors))
        };
        Ok(Self { path: path.to_path_buf(), id, source })
    }

    /// Looks at what a file says of itself, without its numbers.
    ///
    /// # Errors
    /// As far as they can be known: those of [`open`](Self::open).
    pub fn look(path: &Path) -> Result<()> {
        if is_mapped(path) {
            return WeightsFile::open(path).map(drop);
        }
        TorchFile::look(path, fs_err::metadata(path)?.len())
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
    pub fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.source {
            Source::Mapped(file) => Box::new(file.names()),
            Source::Read(tensors) => Box::new(tensors.keys().map(String::as_str)),
        }
    }

    /// Whether there is a name that begins like this.
    pub fn any_under(&self, prefix: &str) -> bool {
        match &self.source {
            Source::Mapped(file) => file.names_under(prefix).next().is_some(),
            Source::Read(tensors) => {
                tensors.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
            }
        }
    }

    /// The shape of a tensor, if there is one of this name.
    pub fn shape(&self, name: &str) -> Option<Vec<i64>> {
        match &self.source {
            Source::Mapped(file) => file.shape(name).map(<[i64]>::to_vec),
            Source::Read(tensors) => tensors.get(name).map(Tensor::size),
        }
    }

    /// Fails if the file was written to since it was opened.
    pub(super) fn unchanged(&self) -> Result<()> {
        match &self.source {
            Source::Mapped(file) => file.unchanged(),
            Source::Read(_) => Ok(()),
        }
    }

    /// The element type that a tensor has in the file. An error if there is none of this name, or libtorch has no such type.
    pub fn kind(&self, name: &str) -> Result<Kind> {
        match &self.source {
            Source::Mapped(file) => file.kind(name),
            Source::Read(tensors) => Ok(self.read(tensors, name)?.kind()),
        }
    }

    /// Whether [`NamedTensors::tensor`] gives what takes no further memory.
    pub(super) fn is_view(&self, name: &str, kind: Kind, device: Device) -> Result<bool> {
        match &self.source {
            Source::Mapped(file) => file.is_view(name, kind, device),
            Source::Read(tensors) => Ok(device == Device::Cpu && self.read(tensors, name)?.kind() == kind),
        }
    }

    fn read<'a>(&self, tensors: &'a BTreeMap<String, Tensor>, name: &str) -> Result<&'a Tensor> {
        tensors.get(name).ok_or_else(|| anyhow!("{} has no tensor {name}", self.path.display()))
    }

    /// A tensor as elements of `kind` on `device`. An error if there is none of this name, or libtorch has no such type.
    pub fn tensor(&self, name: &str, kind: Kind, device: Device) -> Result<Tensor> {
        match &self.source {
            Source::Mapped(file) => file.tensor(name, kind, device),
            Source::Read(tensors) => {
                let tensor = self.read(tensors, name)?;
                Ok(tensor.f_to_device_(device, kind, false, false)?.f_contiguous()?)
            }
        }
    }
}

fn state_dict(file: &TorchFile) -> Result<BTreeMap<String, Tensor>> {
    let pickle = file.pickle();
    let Some(entries) = pickle.entries(pickle.root()) else { bail!("the archive holds no dictionary of tensors") };
    let entries: Vec<(&str, &Value)> = entries.collect();
    let inner = match entries.as_slice() {
        [(_, only)] => pickle.entries(only).is_some().then_some(*only),
        all => all.iter().find(|(name, _)| *name == "state_dict").map(|(_, value)| *value),
    };
    let tensors = match inner {
        Some(inner) => pickle.entries(inner).map(Iterator::collect).unwrap_or_default(),
        None => entries,
    };
    let tensors = tensors.into_iter().filter_map(|(name, value)| match value {
        Value::Tensor(view) => Some(file.tensor(view).map(|tensor| (name.to_owned(), tensor))),
        _ => None,
    });
    let tensors = tensors.collect::<Result<BTreeMap<_, _>>>()?;
    ensure!(!tensors.is_empty(), "the archive holds no dictionary of tensors");
    Ok(tensors)
}

/// Whether a file's name says that it is of a format that is mapped.
pub(super) fn is_mapped(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    matches!(extension.as_deref(), Some("safetensors" | "sft" | "gguf"))
}
