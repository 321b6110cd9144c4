//! GLoRA (Chavan et al. 2023, arXiv:2306.07967): a low-rank matrix, and the weight itself through another one.

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::Tensor;

use super::super::adapter::{Adapter, Difference, bounded, fits};
use super::super::file::Stored;
use super::Entry;

struct Glora {
    a1: Stored,
    a2: Stored,
    b1: Stored,
    b2: Stored,
}

pub(super) fn read(entry: &Entry) -> Result<Option<Rc<dyn Adapter>>> {
    let Some(a1) = entry.take("a1.weight") else { return Ok(None) };
    let need = |name| entry.need(name);
    entry.added(Glora { a1, a2: need("a2.weight")?, b1: need("b1.weight")?, b2: need("b2.weight")? })
}

impl Glora {
    /// Whether it is in the order of older files (weight·a2·a1 + b2·b1 in place of weight·a1·a2 + b1·b2), and its rank.
    fn order(&self, weight: &[i64]) -> Option<(bool, i64)> {
        let size = |stored: &Stored, dim: usize| stored.shape.get(dim).copied().unwrap_or(-1);
        let Self { a1, a2, b1, b2 } = self;
        let all = |sizes: [i64; 4]| sizes.iter().all(|size| *size == sizes[0]).then_some(sizes[0]);
        let old = all([size(a1, 0), size(a2, 1), size(b1, 0), size(b2, 1)]);
        let new = all([size(a2, 0), size(a1, 1), size(b1, 1), size(b2, 0)]);
        let square = weight.len() >= 2 && weight[0] == weight[1];
        match (old, new) {
            (Some(rank), Some(side)) if square && side == weight[0] => Some((true, rank)),
            (_, Some(rank)) => Some((false, rank)),
            (Some(rank), None) => Some((true, rank)),
            (None, None) => None,
        }
    }
}

impl Difference for Glora {
    fn rank(&self, weight: &[i64]) -> Option<i64> {
        self.order(weight).map(|(_, rank)| rank)
    }

    fn of(&self, weight: &Tensor, _: f64) -> Result<Tensor> {
        let size = weight.size();
        let (old, _) = self.order(&size).unwrap_or((false, 0));
        let stored = [&self.a1, &self.a2, &self.b1, &self.b2];
        let [a1, a2, b1, b2] = [stored[0].flat()?, stored[1].flat()?, stored[2].flat()?, stored[3].flat()?];
        ensure!(size.len() >= 2, "the weight has shape {size:?}, and a matrix or a convolution is needed");
        let flat = [size[0], size[1..].iter().product()];
        let (first, second, left, right, taken) =
            if old { (a2, a1, b2, b1, flat[1]) } else { (a1, a2, b1, b2, size[1]) };
        ensure!(
            taken == first[0] && first[1] == second[0] && second[1] == taken && left[1] == right[0],
            "its matrices have shapes {a1:?}, {a2:?}, {b1:?} and {b2:?}, and the weight {size:?}"
        );
        bounded(weight, &[flat[0], first[1], flat[1] / taken.max(1)], &self.a1.name)?;
        fits(weight, left[0].saturating_mul(right[1]), &self.b1.name)?;
        let read = |stored: &Stored| -> Result<Tensor> { Ok(stored.read(weight.device())?.f_flatten(1, -1)?) };
        let [a1, a2, b1, b2] = [read(stored[0])?, read(stored[1])?, read(stored[2])?, read(stored[3])?];
        let weight = weight.to_kind(tch::Kind::Float);
        if old {
            let through = weight.f_flatten(1, -1)?.f_mm(&a2)?.f_mm(&a1)?;
            return Ok(b2.f_mm(&b1)? + through);
        }
        let through = if size.len() > 2 {
            let apply = |weight: &Tensor, by: &Tensor| {
                Tensor::f_einsum("o i ..., i j -> o j ...", &[weight, by], None::<&[i64]>)
            };
            apply(&apply(&weight, &a1)?, &a2)?
        } else {
            weight.f_mm(&a1)?.f_mm(&a2)?
        };
        Ok(through + b1.f_mm(&b2)?.f_reshape(&size)?)
    }
}
