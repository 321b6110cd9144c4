//! What a view of weights looks at: one file, or tensors of several.

use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::gathered::Gathered;
use super::reading::Source;
use super::weights_file::{FileId, WeightsFile};
use crate::ops::numerics::Placement;

/// What holds the tensors.
#[derive(Clone)]
pub(super) enum Holder {
    File(Rc<WeightsFile>),
    Gathered(Rc<Gathered>),
}

impl Holder {
    /// The file, if it is one.
    pub(super) fn file(&self) -> Option<&Rc<WeightsFile>> {
        match self {
            Holder::File(file) => Some(file),
            Holder::Gathered(_) => None,
        }
    }

    /// What is called so in messages.
    pub(super) fn path(&self) -> &Path {
        match self {
            Holder::File(file) => file.path(),
            Holder::Gathered(gathered) => gathered.path(),
        }
    }

    /// Adds what it stands for to a digest.
    pub(super) fn add_to(&self, hasher: &mut blake3::Hasher) {
        match self {
            Holder::File(file) => file.id().add_to(hasher),
            Holder::Gathered(gathered) => gathered.add_to(hasher),
        }
    }

    /// Fails if a file was written to since it was opened.
    pub(super) fn unchanged(&self) -> Result<()> {
        match self {
            Holder::File(file) => file.unchanged(),
            Holder::Gathered(gathered) => gathered.unchanged(),
        }
    }

    pub(super) fn names_under<'a>(&'a self, prefix: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        match self {
            Holder::File(file) => Box::new(file.names_under(prefix)),
            Holder::Gathered(gathered) => Box::new(gathered.names_under(prefix)),
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        match self {
            Holder::File(file) => file.contains(name),
            Holder::Gathered(gathered) => gathered.contains(name),
        }
    }

    pub(super) fn kind(&self, name: &str) -> Result<Kind> {
        match self {
            Holder::File(file) => file.kind(name),
            Holder::Gathered(gathered) => gathered.kind(name),
        }
    }

    pub(super) fn shape(&self, name: &str) -> Option<Vec<i64>> {
        match self {
            Holder::File(file) => file.shape(name).map(<[i64]>::to_vec),
            Holder::Gathered(gathered) => gathered.shape(name),
        }
    }

    pub(super) fn is_view(&self, name: &str, kind: Kind, device: Device) -> Result<bool> {
        match self {
            Holder::File(file) => file.is_view(name, kind, device),
            Holder::Gathered(gathered) => gathered.is_view(name, kind, device),
        }
    }

    pub(super) fn tensor(&self, name: &str, kind: Kind, device: Device) -> Result<Tensor> {
        match self {
            Holder::File(file) => file.tensor(name, kind, device),
            Holder::Gathered(gathered) => gathered.tensor(name, kind, device),
        }
    }

    /// Which tensor of which file it is; nothing if no file has it.
    pub(super) fn located<'a>(&'a self, name: &'a str) -> Option<(&'a FileId, &'a str)> {
        match self {
            Holder::File(file) => Some((file.id(), name)),
            Holder::Gathered(gathered) => gathered.source(name),
        }
    }

    /// The tensor where it is held, as others share it; nothing if no file has it.
    pub(super) fn source(&self, name: &str, placement: Placement) -> Option<Source> {
        let (file, name) = self.located(name)?;
        Some(Source::new(file, name, placement))
    }
}
