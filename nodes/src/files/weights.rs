//! Walking a checkpoint by name: `weights.at("down_blocks").at(0)`.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use super::delta::{Delta, Digest, Slot};
use super::gathered::Gathered;
use super::gguf;
use super::holder::Holder;
use super::named_tensors::{NamedTensors, is_mapped};
use super::names::{Named, Names};
use super::reading::Reading;
use super::weights_file::FileId;
pub use super::weights_file::WeightsFile;
use crate::ops::numerics::{Placement, channels_last};

/// A view of a checkpoint below a prefix, with the deltas that nodes have laid over it.
///
/// It also says where its tensors are wanted ([`Weights::placed`]): each is converted once, as it is read.
#[derive(Clone)]
pub struct Weights {
    file: Holder,
    prefix: String,
    placement: Placement,
    /// Names that stand for those of the file, if they do.
    names: Option<Rc<Names>>,
    /// First ones first.
    deltas: Vec<Rc<Delta>>,
    reading: Option<Rc<Reading>>,
    /// Whether what the file says of itself counts.
    tells: bool,
    /// What is handed out in place of the file's tensors, by full name.
    trained: Option<Rc<HashMap<String, Tensor>>>,
}

impl Weights {
    /// All of `file`, to be read as float32 on the CPU until [`Weights::placed`] says otherwise.
    pub fn new(file: Rc<WeightsFile>) -> Self {
        Self::over(Holder::File(file))
    }

    /// Opens `path`, which may be an archive of `torch.save`, too: that is read into memory.
    pub fn open_any(path: &Path) -> Result<Self> {
        if is_mapped(path) {
            return Self::open(path);
        }
        let tensors = NamedTensors::open(path)?;
        Ok(Self::gathered(Gathered::new(path).with(tensors, |name| Some(name.to_owned()))))
    }

    /// [`open_any`](Self::open_any), as far as that reads no numbers: nothing for an archive, which is looked at.
    ///
    /// # Errors
    /// As far as they can be known: those of [`open_any`](Self::open_any).
    pub fn look_any(path: &Path) -> Result<Option<Self>> {
        if is_mapped(path) {
            return Self::open(path).map(Some);
        }
        NamedTensors::look(path)?;
        Ok(None)
    }

    /// The tensors of several files under new names.
    pub fn gathered(tensors: Gathered) -> Self {
        Self::over(Holder::Gathered(Rc::new(tensors)))
    }

    fn over(file: Holder) -> Self {
        let placement = Placement::cpu(Kind::Float);
        let (names, deltas) = (None, Vec::new());
        Self { file, prefix: String::new(), placement, names, deltas, reading: None, tells: true, trained: None }
    }

    /// Opens `path`: [`WeightsFile::open`] with all of the file in view.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::new(WeightsFile::open(path)?))
    }

    /// The same view, in which nothing counts but the tensors: the file's description of itself is not read.
    pub fn silent(&self) -> Self {
        Self { tells: false, ..self.clone() }
    }

    /// The same view with its tensors wanted elsewhere or in another element type.
    pub fn placed(&self, placement: Placement) -> Self {
        Self { placement, ..self.clone() }
    }

    /// The whole file under other names, which are those of all that is said of its tensors from then on.
    pub fn named(&self, names: Names) -> Self {
        Self { names: Some(Rc::new(names)), ..self.whole() }
    }

    /// What the file has for a full name.
    fn of_file<'a>(&'a self, full: &'a str) -> Option<Cow<'a, Named>> {
        match &self.names {
            Some(names) => names.get(full).map(Cow::Borrowed),
            None => self.file.contains(full).then(|| Cow::Owned(Named::whole(full))),
        }
    }

    /// The full names that start with the prefix, sorted.
    fn full_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.names {
            Some(names) => Box::new(names.under(&self.prefix)),
            None => self.file.names_under(&self.prefix),
        }
    }

    /// The shape in the file; nothing if there is none of this name. An error if its parts cannot be stacked.
    fn shape_in_file(&self, full: &str) -> Result<Option<Vec<i64>>> {
        let Some(names) = &self.names else { return Ok(self.file.shape(full)) };
        let Some(named) = names.get(full) else { return Ok(None) };
        let Some(shapes) = named.parts.iter().map(|part| self.file.shape(part)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let stacked = stacked(&shapes).with_context(|| {
            format!(
                "{} in {} have the shapes {shapes:?}, and cannot be stacked; the file is damaged, or of another kind",
                named.parts.join(", "),
                self.path().display()
            )
        })?;
        Ok(Some(stacked))
    }

    /// The same view with one more delta over it.
    pub fn changed(&self, delta: Delta) -> Self {
        let mut changed = self.clone();
        if !delta.is_empty() {
            changed.deltas.push(Rc::new(delta));
        }
        changed
    }

    /// The same view whose tensors are counted as they are read, and shared with others that are read from this file.
    pub(crate) fn read_by(&self, reading: Rc<Reading>) -> Self {
        let mut own: HashMap<FileId, HashSet<String>> = HashMap::new();
        for full in self.full_names().filter(|full| !self.touched(full)) {
            let named = self.of_file(full);
            if let Some((file, name)) = named.as_ref().and_then(|named| self.file.located(named.as_whole()?)) {
                own.entry(file.clone()).or_default().insert(name.to_owned());
            }
        }
        reading.expect(|file, name| own.get(file).is_some_and(|names| names.contains(name)));
        Self { reading: Some(reading), ..self.clone() }
    }

    /// The same view, with the tensors of these full names handed out as they are in place of the file's: parameters that are
    /// being trained, wherever the networks that read them use them.
    ///
    /// They must have the file's shapes, and lie where the view's tensors are wanted. The view is not for
    /// [`Networks`](crate::networks::Networks), which take a file's content to stay as it is.
    pub fn trained(&self, tensors: Rc<HashMap<String, Tensor>>) -> Self {
        Self { trained: Some(tensors), ..self.clone() }
    }

    /// What stands for the content of this view, wherever its tensors are wanted: file, prefix and deltas.
    pub fn digest(&self) -> Digest {
        let mut hasher = blake3::Hasher::new();
        self.file.add_to(&mut hasher);
        hasher.update(&(self.prefix.len() as u64).to_le_bytes()).update(self.prefix.as_bytes());
        if let Some(names) = &self.names {
            hasher.update(b"names").update(&names.digest());
        }
        hasher.update(&[u8::from(self.tells)]);
        self.deltas.iter().for_each(|delta| {
            hasher.update(delta.digest());
        });
        *hasher.finalize().as_bytes()
    }

    /// How much work it is to read a tensor, at most: 1, and 1 for each delta over it, with the same of the models that those take
    /// tensors of. It doubles where a merged model is merged with itself.
    pub fn reads(&self) -> u64 {
        self.deltas.iter().fold(1, |sum: u64, delta| sum.saturating_add(delta.reads()))
    }

    /// Whether a delta changes the tensor of this full name.
    fn touched(&self, full: &str) -> bool {
        self.deltas.iter().any(|delta| delta.touches(full))
    }

    /// Whether a delta changes a tensor.
    pub fn is_changed(&self, name: &str) -> bool {
        self.touched(&self.full_name(name))
    }

    /// Where the tensors are wanted.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The view one level down: names then start after `part` and a dot.
    pub fn at(&self, part: impl Display) -> Self {
        Self { prefix: format!("{}{part}.", self.prefix), ..self.clone() }
    }

    /// The view of the whole file.
    pub fn whole(&self) -> Self {
        Self { prefix: String::new(), ..self.clone() }
    }

    /// Fails if the file, or one that a delta takes tensors of, was written to since it was opened.
    pub(crate) fn unchanged(&self) -> Result<()> {
        self.file.unchanged()?;
        self.deltas.iter().try_for_each(|delta| delta.unchanged())
    }

    /// The file behind this view, for messages.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// An entry of the file's own description of itself (`__metadata__`), if it has one.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.file.file().filter(|_| self.tells)?.metadata().get(name).map(String::as_str)
    }

    /// What the file says of itself, if it is a GGUF file.
    pub fn gguf(&self) -> Option<&gguf::Header> {
        self.file.file()?.gguf()
    }

    /// A tensor in blocks as its file has it, if it has it so and nothing changes it.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn packed(&self, name: &str, shape: &[i64]) -> Result<Option<gguf::Packed>> {
        let full = self.full_name(name);
        let named = self.of_file(&full);
        let own = named.as_ref().and_then(|named| named.as_whole()).filter(|_| self.trained.is_none());
        let (Some(file), Some(own), false) = (self.file.file(), own, self.touched(&full)) else { return Ok(None) };
        file.packed(own, self.placement.device).map(|packed| packed.filter(|packed| packed.shape() == shape))
    }

    /// The full name of a tensor, for messages and for deltas.
    pub fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whether there is a tensor of this name below the prefix.
    pub fn contains(&self, name: &str) -> bool {
        let full = self.full_name(name);
        self.names.as_ref().map_or_else(|| self.file.contains(&full), |names| names.get(&full).is_some())
    }

    /// Whether nothing lies below the prefix.
    pub fn is_empty(&self) -> bool {
        self.full_names().next().is_none()
    }

    /// The names below the prefix, without it, sorted.
    pub fn names(&self) -> Vec<String> {
        self.full_names().map(|name| name[self.prefix.len()..].to_owned()).collect()
    }

    /// How many numbered children there are, counted from 0: `input_blocks.0`, `input_blocks.1`, …
    pub fn children(&self) -> usize {
        (0..).take_while(|i| !self.at(i).is_empty()).count()
    }

    /// The shape of a tensor, after all deltas. An error if there is none of this name.
    pub fn shape(&self, name: &str) -> Result<Vec<i64>> {
        let full = self.full_name(name);
        let Some(shape) = self.shape_in_file(&full)? else {
            bail!("{} has no tensor {full}; the file is of another kind, or incomplete", self.path().display())
        };
        Ok(self.deltas.iter().fold(shape, |shape, delta| delta.shape(&full, shape)))
    }

    /// One dimension of a tensor, at least 1. An error if the tensor is missing or has no such dimension.
    pub fn dim(&self, name: &str, dim: usize) -> Result<i64> {
        let shape = self.shape(name)?;
        match shape.get(dim) {
            Some(&size) if size > 0 => Ok(size),
            _ => bail!(
                "tensor {} in {} has shape {shape:?}, and its dimension {dim} is needed; the file is of another kind",
                self.full_name(name),
                self.path().display()
            ),
        }
    }

    /// The element type that a tensor has in its file.
    pub fn kind(&self, name: &str) -> Result<Kind> {
        let full = self.full_name(name);
        self.file.kind(self.of_file(&full).as_ref().and_then(|named| named.parts.first()).unwrap_or(&full))
    }

    /// How many numbers lie below the prefix.
    pub fn numel(&self) -> u64 {
        let shapes = self.full_names().filter_map(|name| self.shape_in_file(name).ok()?);
        shapes.map(|shape| shape.iter().product::<i64>().unsigned_abs()).sum()
    }

    /// Reads a tensor that must have this shape, where it is wanted.
    ///
    /// Errors name the tensor, the file, and what was expected and found.
    pub fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        self.tensor_as(name, shape, self.placement.kind)
    }

    /// Like [`Weights::tensor`], in another element type.
    pub fn tensor_as(&self, name: &str, shape: &[i64], kind: Kind) -> Result<Tensor> {
        let found = self.shape(name)?;
        ensure!(
            found == shape,
            "tensor {} in {} has shape {found:?}, and {shape:?} was expected; the file is of another kind, or damaged",
            self.full_name(name),
            self.path().display()
        );
        let full = &self.full_name(name);
        if let Some(tensor) = self.trained.as_ref().and_then(|trained| trained.get(full)) {
            return Ok(tensor.shallow_clone());
        }
        let placement =
            Placement { kind, channels_last: self.placement.channels_last && shape.len() == 4, ..self.placement };
        let touched = self.touched(full);
        let read = || if touched { self.changed_tensor(full, placement) } else { self.file_tensor(full, placement) };
        let Some(reading) = &self.reading else { return read() };
        let bytes = shape.iter().product::<i64>() as u64 * kind.elt_size_in_bytes() as u64;
        let named = self.of_file(full);
        let Some(own) = named.as_ref().and_then(|named| named.as_whole()).filter(|_| !touched) else {
            return reading.own(bytes, read);
        };
        if !placement.channels_last && self.file.is_view(own, kind, placement.device)? {
            read()
        } else {
            match self.file.source(own, placement) {
                Some(source) => reading.shared(source, bytes, read),
                None => read(),
            }
        }
    }

    fn file_tensor(&self, full: &str, placement: Placement) -> Result<Tensor> {
        let tensor = self.read(full, placement.kind, placement.device)?;
        Ok(if placement.channels_last { channels_last(&tensor) } else { tensor })
    }

    /// A tensor as the file has it, put together of its parts.
    fn read(&self, full: &str, kind: Kind, device: Device) -> Result<Tensor> {
        let named = self.of_file(full).with_context(|| format!("{} has no tensor {full}", self.path().display()))?;
        if let Some(own) = named.as_whole() {
            return self.file.tensor(own, kind, device);
        }
        let parts = named.parts.iter().map(|part| self.file.tensor(part, kind, device)).collect::<Result<Vec<_>>>()?;
        let stacked = Tensor::f_cat(&parts, 0)?;
        named.rows.ordered(stacked).with_context(|| format!("{full} in {} is damaged", self.path().display()))
    }

    /// Held in its element type, then changed in that of deltas, as ComfyUI does.
    fn changed_tensor(&self, full: &str, placement: Placement) -> Result<Tensor> {
        let Placement { device, kind, channels_last: last } = placement;
        let changed = self.applied(full, kind, device, changed_in(device, kind))?.to_kind(kind);
        self.unchanged()?;
        Ok(if last { channels_last(&changed) } else { changed })
    }

    /// A tensor as all deltas leave it, before it is rounded to what it is `held` in, its layout plain.
    fn applied(&self, full: &str, held: Kind, device: Device, wider: Kind) -> Result<Tensor> {
        let tensor = self.read(full, held, device)?;
        let weight = tensor.to_device_(device, wider, false, true);
        drop(tensor);
        Ok(self.deltas.iter().fold(weight, |weight, delta| delta.apply(full, weight, held)))
    }

    /// What another model takes of this one: a part of a tensor in float32, as all deltas leave it, of a weight that is `held` in an
    /// element type. Its layout is plain.
    pub(super) fn operand(&self, slot: &Slot, held: Kind, device: Device) -> Result<Tensor> {
        slot.part(&self.applied(&slot.name, held, device, Kind::Float)?)
    }

    /// A part of a tensor as a network has it that holds such weights in an element type.
    pub fn part(&self, slot: &Slot, held: Kind) -> Result<Tensor> {
        let whole = self.whole().placed(Placement::cpu(held));
        let whole = whole.tensor(&slot.name, &whole.shape(&slot.name)?)?;
        slot.part(&whole)
    }

    /// The shape of a part. An error if there is none.
    pub fn part_shape(&self, slot: &Slot) -> Result<Vec<i64>> {
        slot.shape(&self.whole().shape(&slot.name)?)
    }
}

/// The shape of what is stacked along the first dimension, if the others are the same.
fn stacked(shapes: &[Vec<i64>]) -> Option<Vec<i64>> {
    let (first, more) = shapes.split_first()?;
    more.iter().try_fold(first.clone(), |mut shape, next| {
        let (rows, rest) = shape.split_first_mut()?;
        let (more, same) = next.split_first()?;
        *rows = rows.checked_add(*more).filter(|_| rest == same)?;
        Some(shape)
    })
}

/// The element type in which weights are changed: float32, on a GPU the half precision in which it holds them.
fn changed_in(device: Device, kind: Kind) -> Kind {
    if device.is_cuda() && kind == Kind::Half { Kind::Half } else { Kind::Float }
}

#[cfg(test)]
#[path = "weights_tests.rs"]
mod tests;
