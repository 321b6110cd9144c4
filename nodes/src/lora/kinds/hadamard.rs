//! LoHa (FedPara, Hyeon-Woo et al. 2021, arXiv:2108.06098): the elementwise product of two low-rank matrices.

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::Tensor;

use super::super::adapter::{Adapter, Difference, fits};
use super::super::file::elements;
use super::Entry;
use super::tucker::Factors;

struct Hadamard([Factors; 2]);

pub(super) fn read(entry: &Entry) -> Result<Option<Rc<dyn Adapter>>> {
    let Some(first) = entry.take("hada_w1_a") else { return Ok(None) };
    let core = entry.take("hada_t1");
    let other_core = if core.is_some() { Some(entry.need("hada_t2")?) } else { None };
    let one = Factors { a: first, b: entry.need("hada_w1_b")?, core };
    let two = Factors { a: entry.need("hada_w2_a")?, b: entry.need("hada_w2_b")?, core: other_core };
    entry.added(Hadamard([one, two]))
}

impl Difference for Hadamard {
    fn rank(&self, _: &[i64]) -> Option<i64> {
        self.0[0].b.shape.first().copied()
    }

    fn of(&self, weight: &Tensor, _: f64) -> Result<Tensor> {
        let [one, two] = &self.0;
        let (shape, other) = (one.shape()?, two.shape()?);
        ensure!(shape == other, "its halves have shapes {shape:?} and {other:?}");
        fits(weight, elements(&shape), &one.a.name)?;
        Ok(one.product(weight)? * two.product(weight)?)
    }
}
