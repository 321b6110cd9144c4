//! Changes to how a model is sampled, which nodes lay over it.

use std::fmt::Debug;
use std::rc::Rc;

use anyhow::Result;
use tch::{Kind, Tensor};

use super::parameterisation::Parameterisation;
use crate::ops::latent_operation::LatentOperation;

/// The noise levels of a run.
#[derive(Clone, Copy)]
pub struct Levels<'a> {
    /// What the network was trained on.
    pub sampling: &'a Parameterisation,
    /// What the sampler visits.
    pub sigmas: &'a [f64],
}

/// A change, at the sites that it overrides.
pub trait Hook: Debug {
    /// Changes the predictions that guidance is about to combine: what to move towards first, then what to move from.
    fn before_guidance(&self, _predictions: &mut [Tensor]) -> Result<()> {
        Ok(())
    }

    /// The mask that takes the place of a noise mask (1 = repaint) at the level `sigma`.
    fn mask(&self, _mask: &Tensor, _sigma: f64, _levels: &Levels) -> Option<Tensor> {
        None
    }
}

/// The changes of a model, first ones first.
#[derive(Debug, Clone, Default)]
pub struct Hooks(Vec<Rc<dyn Hook>>);

impl Hooks {
    /// The same with one more.
    pub fn with(mut self, hook: impl Hook + 'static) -> Hooks {
        self.0.push(Rc::new(hook));
        self
    }

    /// What all make of the predictions.
    pub(super) fn before_guidance<const N: usize>(&self, mut predictions: [Tensor; N]) -> Result<[Tensor; N]> {
        self.0.iter().try_for_each(|hook| hook.before_guidance(&mut predictions))?;
        Ok(predictions)
    }

    /// What the last that has a say makes of the mask.
    pub(super) fn mask(&self, mask: &Tensor, sigma: f64, levels: &Levels) -> Tensor {
        let changed = self.0.iter().rev().find_map(|hook| hook.mask(mask, sigma, levels));
        changed.unwrap_or_else(|| mask.shallow_clone())
    }
}

/// Applies an operation to the difference that guidance multiplies.
#[derive(Debug)]
pub struct OnGuidedDifference(pub LatentOperation);

impl Hook for OnGuidedDifference {
    fn before_guidance(&self, predictions: &mut [Tensor]) -> Result<()> {
        match predictions {
            [cond, uncond] => *cond = self.0.apply(&(&*cond - &*uncond))? + &*uncond,
            [cond, ..] => *cond = self.0.apply(cond)?,
            [] => {}
        }
        Ok(())
    }
}

/// Differential Diffusion (Levin and Fried 2023, arXiv:2306.00950): a place is repainted as long as its mask is not below
/// the part of the timesteps that is still to come.
#[derive(Debug)]
pub struct DifferentialDiffusion {
    /// The share of that hard mask; the rest is the mask itself. 0 counts as 1, as in the reference.
    pub strength: f64,
}

impl Hook for DifferentialDiffusion {
    fn mask(&self, mask: &Tensor, sigma: f64, levels: &Levels) -> Option<Tensor> {
        let (first, last) = (*levels.sigmas.first()? as f32, *levels.sigmas.last()? as f32);
        let timestep = |sigma: f32| levels.sampling.timestep(sigma);
        let end = timestep(last.max(levels.sampling.sigma_min()));
        let left = (timestep(sigma as f32) - end) / (timestep(first) - end);
        let hard = mask.ge(f64::from(left)).to_kind(Kind::Float);
        let blends = self.strength != 0.0 && self.strength < 1.0;
        Some(if blends { hard * self.strength + mask * (1.0 - self.strength) } else { hard })
    }
}
