//! A LoRA file: its tensors by key, and which of them were taken.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::files::named_tensors::NamedTensors;
use crate::files::weights_file::FileId;

/// Elements at most of what is read while layers are fitted: an alpha, a shape.
const SMALL: i64 = 8;

pub(super) struct LoraFile {
    tensors: NamedTensors,
    taken: RefCell<HashSet<String>>,
}

impl fmt::Display for LoraFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tensors.path().display().fmt(f)
    }
}

impl LoraFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { tensors: NamedTensors::open(path)?, taken: RefCell::default() })
    }

    pub(super) fn id(&self) -> &FileId {
        self.tensors.id()
    }

    /// Whether there are keys that begin like this.
    pub(super) fn any_under(&self, prefix: &str) -> bool {
        self.tensors.any_under(prefix)
    }

    /// A tensor, which counts as taken; it is not read yet.
    pub(super) fn take(self: &Rc<Self>, name: String) -> Option<Stored> {
        let shape = self.tensors.shape(&name)?;
        self.taken.borrow_mut().insert(name.clone());
        Some(Stored { file: self.clone(), name, shape })
    }

    /// The keys that were not taken, sorted.
    pub(super) fn unused(&self) -> Vec<String> {
        let taken = self.taken.borrow();
        self.tensors.names().filter(|name| !taken.contains(*name)).map(str::to_owned).collect()
    }
}

/// A tensor of the file, read when it is needed.
pub(super) struct Stored {
    file: Rc<LoraFile>,
    pub(super) name: String,
    pub(super) shape: Vec<i64>,
}

impl Stored {
    /// In float32 on `device`.
    pub(super) fn read(&self, device: Device) -> Result<Tensor> {
        self.file.tensors.tensor(&self.name, Kind::Float, device)
    }

    /// In another element type.
    pub(super) fn read_as(&self, kind: Kind, device: Device) -> Result<Tensor> {
        self.file.tensors.tensor(&self.name, kind, device)
    }

    /// How many elements it has.
    pub(super) fn elements(&self) -> i64 {
        elements(&self.shape)
    }

    /// A few numbers. An error if there are more.
    pub(super) fn numbers(&self) -> Result<Vec<f64>> {
        ensure!(self.elements() <= SMALL, "{} has shape {:?}, and a few numbers were expected", self.name, self.shape);
        Ok(self.read_as(Kind::Double, Device::Cpu)?.f_flatten(0, -1)?.try_into()?)
    }

    /// One finite number.
    pub(super) fn number(&self) -> Result<f64> {
        ensure!(self.elements() == 1, "{} has shape {:?}, and one number was expected", self.name, self.shape);
        let number = self.numbers()?[0];
        ensure!(number.is_finite(), "{} is {number}", self.name);
        Ok(number)
    }

    /// A dimension. An error if there is none.
    pub(super) fn dim(&self, dim: usize) -> Result<i64> {
        let size = self.shape.get(dim).copied();
        size.ok_or_else(|| anyhow::anyhow!("{} has shape {:?}, and dimension {dim} is needed", self.name, self.shape))
    }

    /// The shape with all dimensions after the first as one. An error if there is but one.
    pub(super) fn flat(&self) -> Result<[i64; 2]> {
        self.dim(1)?;
        Ok([self.shape[0], elements(&self.shape[1..])])
    }

    /// A matrix's shape.
    pub(super) fn matrix(&self) -> Result<[i64; 2]> {
        ensure!(self.shape.len() == 2, "{} has shape {:?}, and a matrix was expected", self.name, self.shape);
        Ok([self.shape[0], self.shape[1]])
    }
}

/// How many elements a tensor of this shape has; at most the largest number.
pub(super) fn elements(shape: &[i64]) -> i64 {
    shape.iter().fold(1, |product: i64, size| product.saturating_mul(*size))
}
