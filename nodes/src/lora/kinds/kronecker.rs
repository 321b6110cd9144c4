//! LoKr (LyCORIS, Yeh et al. 2023, arXiv:2309.14859): a Kronecker product of two matrices, each of which may be a product itself.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use tch::Tensor;

use super::super::adapter::{Adapter, Difference, fits};
use super::super::file::{Stored, elements};
use super::Entry;
use super::tucker::Factors;

struct Kronecker([Factor; 2]);

enum Factor {
    Whole(Stored),
    Product(Factors),
}

pub(super) fn read(entry: &Entry) -> Result<Option<Rc<dyn Adapter>>> {
    let wholes = [entry.take("lokr_w1"), entry.take("lokr_w2")];
    let firsts = [entry.take("lokr_w1_a"), entry.take("lokr_w2_a")];
    let seconds = [entry.take("lokr_w1_b"), entry.take("lokr_w2_b")];
    let core = entry.take("lokr_t2");
    if wholes.iter().chain(&firsts).all(Option::is_none) {
        return Ok(None);
    }
    let mut cores = [None, core].into_iter();
    let mut factors = Vec::new();
    for (number, ((whole, a), b)) in (1..).zip(wholes.into_iter().zip(firsts).zip(seconds)) {
        let core = cores.next().flatten();
        factors.push(match whole {
            Some(whole) => Factor::Whole(whole),
            None => {
                let missing = || format!("it has neither lokr_w{number} nor its two factors");
                Factor::Product(Factors { a: a.with_context(missing)?, b: b.with_context(missing)?, core })
            }
        });
    }
    let factors = <[Factor; 2]>::try_from(factors).ok().context("it has not two factors")?;
    entry.added(Kronecker(factors))
}

impl Factor {
    fn shape(&self) -> Result<Vec<i64>> {
        match self {
            Factor::Whole(whole) => Ok(whole.shape.clone()),
            Factor::Product(factors) => factors.shape(),
        }
    }

    fn read(&self, weight: &Tensor) -> Result<Tensor> {
        match self {
            Factor::Whole(whole) => whole.read(weight.device()),
            Factor::Product(factors) => factors.product(weight),
        }
    }
}

impl Difference for Kronecker {
    /// Where both are products, the second one's rank counts.
    fn rank(&self, _: &[i64]) -> Option<i64> {
        self.0.iter().rev().find_map(|factor| match factor {
            Factor::Whole(_) => None,
            Factor::Product(factors) => factors.b.shape.first().copied(),
        })
    }

    fn of(&self, weight: &Tensor, _: f64) -> Result<Tensor> {
        let [one, two] = &self.0;
        let (first, second) = (one.shape()?, two.shape()?);
        ensure!(first.len() <= 4 && second.len() <= 4, "its factors have shapes {first:?} and {second:?}");
        fits(weight, elements(&first).saturating_mul(elements(&second)), "its Kronecker product")?;
        let (mut one, two) = (one.read(weight)?, two.read(weight)?);
        if second.len() == 4 {
            one = one.f_unsqueeze(2)?.f_unsqueeze(2)?;
        }
        Ok(one.f_kron(&two)?)
    }
}
