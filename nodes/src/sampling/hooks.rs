//! Changes to how a model is sampled, which nodes lay over it.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

use anyhow::Result;
use redraft_engine::cx::Identity;
use tch::{Kind, Tensor};

use super::context_windows::ContextWindows;
use crate::diffusion::parameterisation::Parameterisation;
use crate::diffusion::patch::Patch;
use crate::ops::latent_operation::LatentOperation;
use crate::ops::noise::Stream;
use crate::values::Conditioning;
use crate::values::memories::{Memories, Memory};

/// The noise levels of a run.
#[derive(Clone, Copy)]
pub struct Levels<'a> {
    /// What the network was trained on.
    pub sampling: &'a Parameterisation,
    /// What the sampler visits.
    pub sigmas: &'a [f64],
}

/// One evaluation of the guided network.
pub struct Moment<'a> {
    /// The state, B×C×h×w.
    pub x: &'a Tensor,
    pub sigma: f64,
    /// The strength of the guidance.
    pub cfg: f64,
    pub sampling: &'a Parameterisation,
    /// Whether what to move from was evaluated; its prediction is zeros otherwise.
    pub guided: bool,
    /// The network, for hooks that ask it once more.
    pub network: &'a dyn Again,
}

/// A network under a run's prompts.
pub trait Again {
    /// What the network makes of the state under some prompts, with one more patch: a denoised latent.
    fn predict(&self, prompts: Under, x: &Tensor, sigma: f64, patch: Option<&dyn Patch>) -> Result<Tensor>;
}

/// Prompts of a run.
#[derive(Clone, Copy)]
pub enum Under<'a> {
    /// What is moved towards.
    Cond,
    /// What is moved from.
    Uncond,
    /// Others, which a hook brings.
    Other(&'a Conditioning),
}

/// The two predictions that guidance combines.
pub struct Pair<'a> {
    pub cond: &'a Tensor,
    pub uncond: &'a Tensor,
}

impl Pair<'_> {
    /// Classifier-free guidance: from the one to the other, `cfg` times as far.
    pub fn guided(&self, cfg: f64) -> Tensor {
        self.uncond + (self.cond - self.uncond) * cfg
    }
}

/// A sampling run that begins.
pub struct Beginning<'a> {
    /// The generator that its initial noise came from.
    pub stream: Rc<RefCell<Stream>>,
    /// What the run that its latent came from remembered.
    pub memories: &'a Memories,
}

/// A change, at the sites that it overrides.
pub trait Hook: Debug {
    /// A fresh one for a run that begins, for a hook that remembers something between calls.
    fn begin(&self, _beginning: &Beginning) -> Option<Rc<dyn Hook>> {
        None
    }

    /// What it remembers at the end of a run, under the identity of the node's call that it came from.
    fn memory(&self) -> Option<(Identity, Rc<Memory>)> {
        None
    }

    /// Changes the predictions that guidance is about to combine: what to move towards first, then what to move from.
    fn before_guidance(&self, _predictions: &mut [Tensor], _moment: &Moment) -> Result<()> {
        Ok(())
    }

    /// Takes the place of guidance: gives the noise that is to be taken off the state. The last hook that does so counts.
    fn guide(&self, _pair: &Pair, _moment: &Moment) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Changes the denoised latent that guidance gave.
    fn after_guidance(&self, denoised: Tensor, _pair: &Pair, _moment: &Moment) -> Result<Tensor> {
        Ok(denoised)
    }

    /// Whether it needs what to move from even where the guidance's strength is 1.
    fn needs_uncond(&self) -> bool {
        false
    }

    /// The mask that takes the place of a noise mask (1 = repaint) at the level `sigma`.
    fn mask(&self, _mask: &Tensor, _sigma: f64, _levels: &Levels) -> Option<Tensor> {
        None
    }

    /// The windows through which the network sees a latent. The last hook that has some counts.
    fn windows(&self) -> Option<&ContextWindows> {
        None
    }

    /// What it changes inside of the network.
    fn patch(&self) -> Option<&dyn Patch> {
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

    /// The same for a run that begins.
    pub(super) fn begun(&self, stream: Stream, memories: &Memories) -> Hooks {
        let beginning = Beginning { stream: Rc::new(RefCell::new(stream)), memories };
        Hooks(self.0.iter().map(|hook| hook.begin(&beginning).unwrap_or_else(|| hook.clone())).collect())
    }

    /// What all make of the predictions.
    pub(super) fn before_guidance<const N: usize>(
        &self,
        mut predictions: [Tensor; N],
        moment: &Moment,
    ) -> Result<[Tensor; N]> {
        self.0.iter().try_for_each(|hook| hook.before_guidance(&mut predictions, moment))?;
        Ok(predictions)
    }

    /// The denoised latent of what takes the place of guidance, if anything does.
    pub(super) fn guide(&self, pair: &Pair, moment: &Moment) -> Result<Option<Tensor>> {
        for hook in self.0.iter().rev() {
            if let Some(noise) = hook.guide(pair, moment)? {
                return Ok(Some(moment.x - noise));
            }
        }
        Ok(None)
    }

    /// What all make of the denoised latent.
    pub(super) fn after_guidance(&self, denoised: Tensor, pair: &Pair, moment: &Moment) -> Result<Tensor> {
        self.0.iter().try_fold(denoised, |denoised, hook| hook.after_guidance(denoised, pair, moment))
    }

    /// Whether any needs what to move from.
    pub(super) fn need_uncond(&self) -> bool {
        self.0.iter().any(|hook| hook.needs_uncond())
    }

    /// The noise mask after the last hook that changes it.
    pub(super) fn mask(&self, mask: &Tensor, sigma: f64, levels: &Levels) -> Tensor {
        let changed = self.0.iter().rev().find_map(|hook| hook.mask(mask, sigma, levels));
        changed.unwrap_or_else(|| mask.shallow_clone())
    }

    /// The windows through which the network sees a latent.
    pub(super) fn windows(&self) -> Option<&ContextWindows> {
        self.0.iter().rev().find_map(|hook| hook.windows())
    }

    /// The initial noise as context windows want it.
    pub(super) fn noise(&self, noise: &Tensor, seed: u64) -> Result<Tensor> {
        let Some(windows) = self.windows().filter(|windows| windows.freenoise) else {
            return Ok(noise.shallow_clone());
        };
        // As in the reference, the last node's windows count, and each node that shuffles does so by these.
        let times = self.0.iter().filter_map(|hook| hook.windows()).filter(|windows| windows.freenoise).count();
        (0..times).try_fold(noise.shallow_clone(), |noise, _| windows.shuffled(&noise, seed))
    }

    /// What they remember at the end of a run.
    pub(super) fn memories(&self) -> impl Iterator<Item = (Identity, Rc<Memory>)> {
        self.0.iter().filter_map(|hook| hook.memory())
    }

    /// What they change inside of the network.
    pub(super) fn patches(&self) -> Vec<&dyn Patch> {
        self.0.iter().filter_map(|hook| hook.patch()).collect()
    }
}

/// Applies an operation to the difference that guidance multiplies.
#[derive(Debug)]
pub struct OnGuidedDifference(pub LatentOperation);

impl Hook for OnGuidedDifference {
    fn before_guidance(&self, predictions: &mut [Tensor], _: &Moment) -> Result<()> {
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
