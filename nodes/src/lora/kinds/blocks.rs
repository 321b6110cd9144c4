//! OFT (Qiu et al. 2023, arXiv:2306.07280) and BOFT (Liu et al. 2023, arXiv:2311.06243): the weight turned by orthogonal
//! matrices, in blocks of rows.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use tch::{Kind, Tensor};

use super::super::adapter::{Adapter, Difference};
use super::super::file::Stored;
use super::Entry;

/// N×B×B: a rotation for each block of B rows.
struct Oft {
    blocks: Stored,
    limit: f64,
}

/// M×N×B×B: rounds of rotations, between which the rows are dealt out to other blocks.
struct Boft {
    blocks: Stored,
    rescale: Option<Stored>,
    limit: f64,
}

/// The blocks, if they have so many dimensions.
fn blocks(entry: &Entry, dims: usize) -> Result<Option<Stored>> {
    let Some(blocks) = entry.take("oft_blocks").filter(|blocks| blocks.shape.len() == dims) else { return Ok(None) };
    ensure!(blocks.shape[dims - 2] == blocks.shape[dims - 1], "{} has shape {:?}", blocks.name, blocks.shape);
    Ok(Some(blocks))
}

pub(super) fn read_oft(entry: &Entry) -> Result<Option<Rc<dyn Adapter>>> {
    let Some(blocks) = blocks(entry, 3)? else { return Ok(None) };
    // ComfyUI reads it for OFT, and does not use it.
    entry.take("rescale");
    entry.added(Oft { blocks, limit: entry.alpha()?.unwrap_or(0.0) })
}

pub(super) fn read_boft(entry: &Entry) -> Result<Option<Rc<dyn Adapter>>> {
    let Some(blocks) = blocks(entry, 4)? else { return Ok(None) };
    let rescale = entry.take("rescale");
    let limit = entry.alpha()?.context("it has no alpha, and a BOFT needs one")?;
    entry.added(Boft { blocks, rescale, limit })
}

/// Rotations from the blocks' skew-symmetric parts (Cayley transform), which are no longer than a limit above 0; and the identity.
fn rotations(blocks: &Stored, limit: f64, weight: &Tensor) -> Result<(Tensor, Tensor)> {
    let blocks = blocks.read(weight.device())?;
    let one = Tensor::f_eye(blocks.size()[blocks.dim() - 1], (Kind::Float, weight.device()))?;
    let mut skew = &blocks - blocks.f_transpose(-1, -2)?;
    if limit > 0.0 {
        let length = skew.f_norm()? + 1e-8;
        if bool::try_from(length.gt(limit))? {
            skew = (skew * limit) / length;
        }
    }
    let rotations = (&one + &skew).f_matmul(&(&one - &skew).f_inverse()?)?;
    Ok((rotations.to_kind(weight.kind()), one))
}

impl Difference for Oft {
    fn rank(&self, _: &[i64]) -> Option<i64> {
        None
    }

    fn decomposed_scale(&self, alpha: Option<f64>, _: f64) -> f64 {
        alpha.unwrap_or(0.0)
    }

    /// The strength counts here, and once more when the difference is added, as in ComfyUI.
    fn of(&self, weight: &Tensor, strength: f64) -> Result<Tensor> {
        let (size, shape) = (weight.size(), &self.blocks.shape);
        let rows = shape[0].checked_mul(shape[1]).filter(|rows| *rows > 0 && size.first() == Some(rows));
        ensure!(rows.is_some(), "{} has shape {shape:?}, and the weight {size:?}", self.blocks.name);
        let (rotations, one) = rotations(&self.blocks, self.limit, weight)?;
        let by = rotations * strength - one * strength;
        let parts = weight.f_view([&shape[..2], &size[1..]].concat().as_slice())?;
        let by = by.to_kind(weight.kind());
        let turned = Tensor::f_einsum("k n m, k n ... -> k m ...", &[by, parts], None::<&[i64]>)?;
        Ok(turned.f_reshape(&size)?)
    }
}

impl Difference for Boft {
    fn rank(&self, _: &[i64]) -> Option<i64> {
        None
    }

    fn decomposed_scale(&self, alpha: Option<f64>, _: f64) -> f64 {
        alpha.unwrap_or(0.0)
    }

    fn of(&self, weight: &Tensor, strength: f64) -> Result<Tensor> {
        let (size, shape) = (weight.size(), &self.blocks.shape);
        let [rounds, blocks, side] = [shape[0], shape[1], shape[2]];
        let rows = blocks.checked_mul(side).filter(|rows| *rows > 0 && size.first() == Some(rows));
        let last = 1i64.checked_shl(u32::try_from(rounds.max(1) - 1)?).and_then(|deal| deal.checked_mul(side / 2 * 2));
        let dealt = last.is_some_and(|last| last > 0 && rows.is_some_and(|rows| rows % last == 0));
        ensure!(dealt, "{} has shape {shape:?}, and the weight {size:?}", self.blocks.name);
        if let Some(rescale) = &self.rescale {
            let fits = rescale.shape.len() <= size.len()
                && rescale.shape.iter().rev().zip(size.iter().rev()).all(|(one, other)| *one == 1 || one == other);
            ensure!(fits, "{} has shape {:?}, and the weight {size:?}", rescale.name, rescale.shape);
        }
        let (rotations, one) = rotations(&self.blocks, self.limit, weight)?;
        let mut turned = weight.shallow_clone();
        for round in 0..rounds {
            let mut by = rotations.get(round);
            if strength != 1.0 {
                by = by * strength + &one * (1.0 - strength);
            }
            let deal = (1 << round) * (side / 2);
            let dealt = turned.f_unflatten(0, [-1, 2, deal])?.f_transpose(1, 2)?.f_flatten(0, 2)?;
            let parts = dealt.f_unflatten(0, [-1, side])?;
            let by = by.to_kind(weight.kind());
            let parts = Tensor::f_einsum("b i j, b j ...-> b i ...", &[by, parts], None::<&[i64]>)?;
            turned = parts.f_flatten(0, 1)?.f_unflatten(0, [-1, deal, 2])?.f_transpose(1, 2)?.f_flatten(0, 2)?;
        }
        if let Some(rescale) = &self.rescale {
            turned *= rescale.read(weight.device())?;
        }
        Ok((turned - weight).to_kind(Kind::Float))
    }
}
