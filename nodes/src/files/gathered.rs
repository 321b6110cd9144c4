//! Tensors under names of their own, out of several files: what lies apart on the disk and belongs together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use tch::{Device, Kind, Tensor};

use super::named_tensors::NamedTensors;
use super::weights_file::FileId;

/// Tensors of several files, and numbers that no file has.
pub struct Gathered {
    path: PathBuf,
    files: Vec<NamedTensors>,
    pieces: BTreeMap<String, Piece>,
}

enum Piece {
    /// The tensor of a file, by its name there.
    Of(usize, String),
    Number(f32),
}

impl Gathered {
    /// Nothing yet, called `path` in messages.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), files: Vec::new(), pieces: BTreeMap::new() }
    }

    /// With the tensors of one more file, under the names that `named` gives them; those to which it gives none are left out.
    #[must_use]
    pub fn with(mut self, file: NamedTensors, named: impl Fn(&str) -> Option<String>) -> Self {
        let at = self.files.len();
        for name in file.names() {
            if let Some(new) = named(name) {
                self.pieces.insert(new, Piece::Of(at, name.to_owned()));
            }
        }
        self.files.push(file);
        self
    }

    /// With a number, float32 without dimensions.
    #[must_use]
    pub fn with_number(mut self, name: &str, number: f32) -> Self {
        self.pieces.insert(name.to_owned(), Piece::Number(number));
        self
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds what it stands for to a digest.
    pub(super) fn add_to(&self, hasher: &mut blake3::Hasher) {
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        };
        for (name, piece) in &self.pieces {
            text(name);
            match piece {
                Piece::Of(file, name) => text(&format!("{file}/{name}")),
                Piece::Number(number) => text(&number.to_bits().to_string()),
            }
        }
        self.files.iter().for_each(|file| file.id().add_to(hasher));
    }

    /// Fails if a file was written to since it was opened.
    pub(super) fn unchanged(&self) -> Result<()> {
        self.files.iter().try_for_each(NamedTensors::unchanged)
    }

    pub(super) fn names_under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let from = self.pieces.range(prefix.to_owned()..).map(|(name, _)| name.as_str());
        from.take_while(move |name| name.starts_with(prefix))
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.pieces.contains_key(name)
    }

    pub(super) fn shape(&self, name: &str) -> Option<Vec<i64>> {
        match self.pieces.get(name)? {
            Piece::Of(file, name) => self.files[*file].shape(name),
            Piece::Number(_) => Some(Vec::new()),
        }
    }

    pub(super) fn kind(&self, name: &str) -> Result<Kind> {
        match self.piece(name)? {
            Piece::Of(file, name) => self.files[*file].kind(name),
            Piece::Number(_) => Ok(Kind::Float),
        }
    }

    pub(super) fn is_view(&self, name: &str, kind: Kind, device: Device) -> Result<bool> {
        match self.piece(name)? {
            Piece::Of(file, name) => self.files[*file].is_view(name, kind, device),
            Piece::Number(_) => Ok(true),
        }
    }

    pub(super) fn tensor(&self, name: &str, kind: Kind, device: Device) -> Result<Tensor> {
        match self.piece(name)? {
            Piece::Of(file, name) => self.files[*file].tensor(name, kind, device),
            Piece::Number(number) => Ok(Tensor::from(*number).to_kind(kind).to_device(device)),
        }
    }

    /// Which tensor of which file it is; nothing for a number.
    pub(super) fn source(&self, name: &str) -> Option<(&FileId, &str)> {
        match self.pieces.get(name)? {
            Piece::Of(file, name) => Some((self.files[*file].id(), name)),
            Piece::Number(_) => None,
        }
    }

    fn piece(&self, name: &str) -> Result<&Piece> {
        self.pieces.get(name).ok_or_else(|| anyhow!("{} has no tensor {name}", self.path.display()))
    }
}
