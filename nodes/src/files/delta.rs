//! Changes of a file's tensors: what LoRAs, merges and multipliers lay over it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::weights::Weights;

/// What two equal things share: a BLAKE3 hash.
pub type Digest = [u8; 32];

/// Where a change applies: a tensor of a file, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The tensor's full name in the file.
    pub name: String,
    /// The rows (dimension 0) that it is about, where others are stacked with them; without any, all.
    pub rows: Option<Range<i64>>,
    /// Whether the file holds the matrix transposed to the one that the change is about.
    pub transposed: bool,
    /// Whether the file holds the second half of the rows in front of the first.
    pub halves_swapped: bool,
}

impl Slot {
    /// A whole tensor, by its full name in the file.
    pub fn whole(name: impl Into<String>) -> Self {
        Self { name: name.into(), rows: None, transposed: false, halves_swapped: false }
    }

    /// The shape of the part that the change is about, in a tensor of this shape. An error if the part does not lie in it.
    pub fn shape(&self, whole: &[i64]) -> Result<Vec<i64>> {
        let mut shape = whole.to_vec();
        if let Some(rows) = &self.rows {
            ensure!(
                0 <= rows.start && rows.start <= rows.end && whole.first().is_some_and(|&size| rows.end <= size),
                "rows {} to {} do not lie in a tensor of shape {whole:?}",
                rows.start,
                rows.end
            );
            shape[0] = rows.end - rows.start;
        }
        if self.transposed {
            ensure!(shape.len() == 2, "a tensor of shape {whole:?} is no matrix");
            shape.swap(0, 1);
        }
        Ok(shape)
    }

    /// The part in `whole`: a view of it, unless halves are swapped.
    pub(super) fn part(&self, whole: &Tensor) -> Result<Tensor> {
        self.shape(&whole.size())?;
        if self.halves_swapped {
            return Ok(swapped(whole));
        }
        let part = match &self.rows {
            Some(rows) => whole.narrow(0, rows.start, rows.end - rows.start),
            None => whole.shallow_clone(),
        };
        Ok(if self.transposed { part.transpose(0, 1) } else { part })
    }

    /// Changes the part in `whole`, which is nobody else's and is `held` in an element type.
    fn change(&self, whole: Tensor, held: Kind, change: &dyn Change) -> Result<Tensor> {
        if self.halves_swapped {
            return Ok(swapped(&change.apply(&swapped(&whole), held)?));
        }
        if self.rows.is_none() && !self.transposed {
            return change.apply(&whole, held);
        }
        let expected = self.shape(&whole.size())?;
        let mut part = self.part(&whole)?;
        let changed = change.apply(&part.contiguous(), held)?;
        ensure!(
            changed.size() == expected,
            "a part of shape {expected:?} became {:?}, and it cannot grow within its tensor",
            changed.size()
        );
        part.copy_(&changed);
        Ok(whole)
    }
}

/// The second half of the rows in front of the first.
fn swapped(tensor: &Tensor) -> Tensor {
    Tensor::cat(&tensor.chunk(2, 0).into_iter().rev().collect::<Vec<_>>(), 0)
}

/// A change of one weight.
pub trait Change {
    /// The shape of what it makes of a weight of this shape.
    fn shape(&self, shape: &[i64]) -> Vec<i64> {
        shape.to_vec()
    }

    /// The weight changed, in its own element type, on its device. An error leaves the weight as it was.
    ///
    /// `held` is the element type in which networks hold weights of this kind: it is changed in a wider one, and rounded afterwards.
    fn apply(&self, weight: &Tensor, held: Kind) -> Result<Tensor>;
}

/// A change, and where it applies.
type SlotChange = (Slot, Rc<dyn Change>);

/// What one node changes about the tensors of a file.
pub struct Delta {
    changes: BTreeMap<String, Vec<SlotChange>>,
    /// Whose tensors it takes.
    sources: Vec<Weights>,
    /// See [`Delta::reads`].
    reads: u64,
    digest: Digest,
}

impl Delta {
    /// Changes of these slots, in this order. `digest` stands for all of them: equal digests mean equal changes.
    pub fn new(digest: Digest, changes: impl IntoIterator<Item = (Slot, Rc<dyn Change>)>) -> Self {
        let mut by_name: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (slot, change) in changes {
            by_name.entry(slot.name.clone()).or_default().push((slot, change));
        }
        Self { changes: by_name, sources: Vec::new(), reads: 1, digest }
    }

    /// The same, which takes tensors of `source`.
    pub(crate) fn taking(self, source: Weights) -> Self {
        Self { reads: self.reads.saturating_add(source.reads()), sources: vec![source], ..self }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Fails if a file whose tensors it takes was written to since it was opened.
    pub(super) fn unchanged(&self) -> Result<()> {
        self.sources.iter().try_for_each(Weights::unchanged)
    }

    /// How much work it is for a tensor: 1, and the reads of whose tensors it takes.
    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(super) fn touches(&self, name: &str) -> bool {
        self.changes.contains_key(name)
    }

    /// The shape that a tensor has after it.
    pub(super) fn shape(&self, name: &str, shape: Vec<i64>) -> Vec<i64> {
        let whole = |slot: &Slot| slot.rows.is_none() && !slot.transposed;
        let changes = self.changes.get(name).into_iter().flatten().filter(|(slot, _)| whole(slot));
        changes.fold(shape, |shape, (_, change)| change.shape(&shape))
    }

    /// The tensor changed, which networks hold as `held`. What cannot be changed is left as it is, with a warning, as ComfyUI does.
    pub(super) fn apply(&self, name: &str, weight: Tensor, held: Kind) -> Tensor {
        self.changes.get(name).into_iter().flatten().fold(weight, |weight, (slot, change)| {
            match slot.change(weight.shallow_clone(), held, &**change) {
                // The layout decides which kernel multiplies, and so how sums are rounded.
                Ok(changed) => changed.contiguous(),
                Err(error) => {
                    let error = format!("{error:#}");
                    // libtorch's own errors go on with a list of its functions.
                    tracing::warn!("{name} stays as it is: {}", error.lines().next().unwrap_or_default());
                    weight
                }
            }
        })
    }
}

/// A weight multiplied.
pub struct Multiply(pub f64);

impl Change for Multiply {
    fn apply(&self, weight: &Tensor, _: Kind) -> Result<Tensor> {
        Ok(weight * self.0)
    }
}

/// A weight rounded to an element type.
struct Round(Kind);

impl Change for Round {
    fn apply(&self, weight: &Tensor, _: Kind) -> Result<Tensor> {
        Ok(weight.to_kind(self.0).to_kind(weight.kind()))
    }
}

impl Delta {
    /// Whole tensors, by their full names, rounded to an element type.
    pub fn round(names: impl IntoIterator<Item = String>, kind: Kind) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"round").update(format!("{kind:?}").as_bytes());
        let change: Rc<dyn Change> = Rc::new(Round(kind));
        let changes: Vec<_> = names.into_iter().map(|name| (Slot::whole(name), change.clone())).collect();
        changes.iter().for_each(|(slot, _)| hash_slot(&mut hasher, slot));
        Self::new(*hasher.finalize().as_bytes(), changes)
    }

    /// Weights multiplied, each by its factor.
    pub fn multiply(factors: impl IntoIterator<Item = (Slot, f64)>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"multiply");
        let changes: Vec<(Slot, Rc<dyn Change>)> = factors
            .into_iter()
            .filter(|(_, factor)| *factor != 1.0)
            .map(|(slot, factor)| {
                hash_slot(&mut hasher, &slot);
                hasher.update(&factor.to_le_bytes());
                (slot, Rc::new(Multiply(factor)) as Rc<dyn Change>)
            })
            .collect();
        Self::new(*hasher.finalize().as_bytes(), changes)
    }
}

/// Adds a slot to a digest.
pub fn hash_slot(hasher: &mut blake3::Hasher, slot: &Slot) {
    hasher.update(&(slot.name.len() as u64).to_le_bytes());
    hasher.update(slot.name.as_bytes());
    let rows = slot.rows.clone().unwrap_or(-1..-1);
    hasher.update(&rows.start.to_le_bytes()).update(&rows.end.to_le_bytes()).update(&[u8::from(slot.transposed)]);
    hasher.update(&[u8::from(slot.halves_swapped)]);
}
