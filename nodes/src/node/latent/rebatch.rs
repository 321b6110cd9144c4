//! Dividing batches of latents into others.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use super::third_and_fourth;
use crate::values::Latent;

/// The latents in batches of `size`, in order. A batch ends early if the next latents have another width or height. As
/// in ComfyUI, all get a noise mask and batch indices: a missing mask becomes one of ones with 8 times the latent's
/// size, and missing indices continue the count. A mask that is 1 everywhere is dropped at the end.
///
/// # Errors
/// If masks of different sizes come into one batch.
pub(super) fn rebatched(latents: &[Latent], size: i64) -> Result<Vec<Latent>> {
    let mut done = Vec::new();
    let mut open: Option<Parts> = None;
    let mut counted = 0;
    for latent in latents {
        let next = Parts::of(latent, counted)?;
        counted += next.places.len() as i64;
        let joined = match open.take() {
            None => next,
            Some(before) if before.fits(&next) => before.with(&next)?,
            Some(before) => {
                done.push(before.members(0, size));
                next
            }
        };
        open = joined.divide(size, &mut done);
    }
    // There may be more masks than members.
    done.extend(open.map(|rest| rest.members(0, size)));
    Ok(done.into_iter().map(Parts::latent).collect())
}

/// A latent with all its parts.
struct Parts {
    samples: Tensor,
    mask: Tensor,
    places: Vec<i64>,
}

impl Parts {
    fn of(latent: &Latent, counted: i64) -> Result<Parts> {
        let count = latent.samples.size()[0];
        let mask = match &latent.noise_mask {
            Some(mask) => mask.shallow_clone(),
            None => {
                let (height, width) = third_and_fourth(&latent.samples)?;
                Tensor::ones([count, 1, height * 8, width * 8], (Kind::Float, Device::Cpu))
            }
        };
        let have = mask.size()[0];
        let mask = match have < count {
            true => mask.repeat([(count - 1) / have + 1, 1, 1, 1]).narrow(0, 0, count),
            false => mask,
        };
        let places = latent.batch_index.clone().unwrap_or_else(|| (counted..counted + count).collect());
        Ok(Parts { samples: latent.samples.shallow_clone(), mask, places })
    }

    fn fits(&self, other: &Parts) -> bool {
        self.samples.size()[2..] == other.samples.size()[2..]
    }

    fn with(&self, other: &Parts) -> Result<Parts> {
        let (one, two) = (self.mask.size(), other.mask.size());
        ensure!(
            one[1..] == two[1..],
            "latents of one batch have masks of {one:?} and {two:?}: give all masks the same size"
        );
        Ok(Parts {
            samples: Tensor::cat(&[&self.samples, &other.samples], 0),
            mask: Tensor::cat(&[&self.mask, &other.mask], 0),
            places: self.places.iter().chain(&other.places).copied().collect(),
        })
    }

    /// The members from `start` on, at most `count`.
    fn members(&self, start: i64, count: i64) -> Parts {
        let part = |tensor: &Tensor| tensor.slice(0, start, start + count, 1);
        let places = self.places.iter().skip(start as usize).take(count as usize).copied().collect();
        Parts { samples: part(&self.samples), mask: part(&self.mask), places }
    }

    /// Moves full batches to `done` while there are more than `size` members. Returns the rest.
    fn divide(self, size: i64, done: &mut Vec<Parts>) -> Option<Parts> {
        let count = self.samples.size()[0];
        if count <= size {
            return Some(self);
        }
        let full = count / size;
        done.extend((0..full).map(|n| self.members(n * size, size)));
        (full * size < count).then(|| self.members(full * size, i64::MAX / 2))
    }

    fn latent(self) -> Latent {
        let all = self.mask.mean(Kind::Float).double_value(&[]) == 1.0;
        Latent { noise_mask: (!all).then_some(self.mask), batch_index: Some(self.places), ..Latent::new(self.samples) }
    }
}
