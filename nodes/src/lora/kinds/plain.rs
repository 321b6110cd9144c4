//! Whole differences to a weight, and weights in its place.

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::Tensor;

use super::super::adapter::Adapter;
use super::super::file::Stored;
use super::Entry;

struct Whole(Stored);

struct InPlace(Stored);

/// A difference of the weight's shape, in the tensor of this name.
pub(super) fn added(entry: &Entry, name: &str) -> Result<Option<Rc<dyn Adapter>>> {
    Ok(entry.take(name).map(|difference| Rc::new(Whole(difference)) as Rc<dyn Adapter>))
}

/// A weight in place of the model's; its strength does not matter.
pub(super) fn set(entry: &Entry) -> Result<Option<Rc<dyn Adapter>>> {
    Ok(entry.take("set_weight").map(|weight| Rc::new(InPlace(weight)) as Rc<dyn Adapter>))
}

impl Adapter for Whole {
    fn apply(&self, weight: &Tensor, strength: f64) -> Result<Tensor> {
        let Stored { name, shape, .. } = &self.0;
        ensure!(*shape == weight.size(), "{name} has shape {shape:?}, and the weight {:?}", weight.size());
        Ok(weight + self.0.read_as(weight.kind(), weight.device())? * strength)
    }
}

impl Adapter for InPlace {
    fn apply(&self, weight: &Tensor, _: f64) -> Result<Tensor> {
        let (size, Stored { name, shape, .. }) = (weight.size(), &self.0);
        let fits = shape.len() <= size.len()
            && shape.iter().rev().zip(size.iter().rev()).all(|(one, other)| *one == 1 || one == other);
        ensure!(fits, "{name} has shape {shape:?}, and the weight {size:?}");
        Ok(self.0.read_as(weight.kind(), weight.device())?.f_expand(&size, false)?.f_contiguous()?)
    }

    fn counts_at_zero(&self) -> bool {
        true
    }
}
