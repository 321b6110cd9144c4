//! Changes to how a model is sampled, which nodes lay over it.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

use anyhow::Result;
use redraft_engine::cx::Identity;
use tch::{Kind, Tensor};

use super::context_windows::ContextWindows;
use super::reuse::Reuse;
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
pub struct Evaluation<'a> {
    /// The state, B×C×h×w.
    pub x: &'a Tensor,
    pub sigma: f64,
    /// The strength of the guidance.
    pub cfg: f64,
    pub sampling: &'a Parameterisation,
    /// Whether there is a prediction for uncond; it is zeros otherwise.
    pub guided: bool,
    /// The network, for hooks that need a further prediction.
    pub network: &'a dyn Predictor,
}

/// A network under a run's prompts.
pub trait Predictor {
    /// What the network makes of the state under some prompts, with one more patch: a denoised latent.
    fn predict(&self, prompts: PromptSet, x: &Tensor, sigma: f64, patch: Option<&dyn Patch>) -> Result<Tensor>;
}

/// Which prompts a prediction is for.
#[derive(Clone, Copy)]
pub enum PromptSet<'a> {
    /// The run's cond.
    Cond,
    /// The run's uncond.
    Uncond,
    /// Prompts that a hook brings along.
    Other(&'a Conditioning),
}

/// The two predictions that guidance combines: denoised latents, B×C×h×w.
pub struct Pair<'a> {
    pub cond: &'a Tensor,
    pub uncond: &'a Tensor,
}

impl Pair<'_> {
    /// Classifier-free guidance: uncond + (cond - uncond) · cfg.
    pub fn guided(&self, cfg: f64) -> Tensor {
        self.uncond + (self.cond - self.uncond) * cfg
    }
}

/// What a hook may take along when a sampling run starts.
pub struct RunStart<'a> {
    /// The generator that its initial noise came from.
    pub stream: Rc<RefCell<Stream>>,
    /// What the hooks of an earlier run remembered, if the latent comes from one.
    pub memories: &'a Memories,
}

/// One change of how a model is sampled. It overrides the methods of the steps that it changes.
pub trait Hook: Debug {
    /// The hook for one run, if it remembers something from call to call; itself otherwise.
    fn begin(&self, _beginning: &RunStart) -> Option<Rc<dyn Hook>> {
        None
    }

    /// What it remembers at the end of a run, under the identity of the node's call that it came from.
    fn memory(&self) -> Option<(Identity, Rc<Memory>)> {
        None
    }

    /// Changes the predictions that guidance is about to combine: cond first, then uncond.
    fn before_guidance(&self, _predictions: &mut [Tensor], _evaluation: &Evaluation) -> Result<()> {
        Ok(())
    }

    /// Replaces guidance: returns the noise to subtract from the state. The last hook that does so counts.
    fn guide(&self, _pair: &Pair, _evaluation: &Evaluation) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Changes the denoised latent that guidance gave.
    fn after_guidance(&self, denoised: Tensor, _pair: &Pair, _evaluation: &Evaluation) -> Result<Tensor> {
        Ok(denoised)
    }

    /// Whether it needs the prediction for uncond even where `cfg` is 1.
    fn needs_uncond(&self) -> bool {
        false
    }

    /// The mask to use instead of the noise mask (1 = repaint) at the noise level `sigma`.
    fn mask(&self, _mask: &Tensor, _sigma: f64, _levels: &Levels) -> Option<Tensor> {
        None
    }

    /// The windows through which the network sees a latent. The last hook that has some counts.
    fn windows(&self) -> Option<&ContextWindows> {
        None
    }

    /// What may answer in place of the network.
    fn reuse(&self) -> Option<&dyn Reuse> {
        None
    }

    /// What it changes inside of the network for uncond alone, which is then predicted by a call of its own.
    fn patch_of_uncond(&self, _sigma: f64) -> Option<&dyn Patch> {
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
        let start = RunStart { stream: Rc::new(RefCell::new(stream)), memories };
        Hooks(self.0.iter().map(|hook| hook.begin(&start).unwrap_or_else(|| hook.clone())).collect())
    }

    /// What all make of the predictions.
    pub(super) fn before_guidance<const N: usize>(
        &self,
        mut predictions: [Tensor; N],
        evaluation: &Evaluation,
    ) -> Result<[Tensor; N]> {
        self.0.iter().try_for_each(|hook| hook.before_guidance(&mut predictions, evaluation))?;
        Ok(predictions)
    }

    /// The denoised latent of the hook that replaces guidance, if one does.
    pub(super) fn guide(&self, pair: &Pair, evaluation: &Evaluation) -> Result<Option<Tensor>> {
        for hook in self.0.iter().rev() {
            if let Some(noise) = hook.guide(pair, evaluation)? {
                return Ok(Some(evaluation.x - noise));
            }
        }
        Ok(None)
    }

    /// What all make of the denoised latent.
    pub(super) fn after_guidance(&self, denoised: Tensor, pair: &Pair, evaluation: &Evaluation) -> Result<Tensor> {
        self.0.iter().try_fold(denoised, |denoised, hook| hook.after_guidance(denoised, pair, evaluation))
    }

    /// Whether any needs the prediction for uncond.
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

    /// What may answer in place of the network: the last that does so.
    pub(super) fn reuse(&self) -> Option<&dyn Reuse> {
        self.0.iter().rev().find_map(|hook| hook.reuse())
    }

    /// What they remember at the end of a run.
    pub(super) fn memories(&self) -> impl Iterator<Item = (Identity, Rc<Memory>)> {
        self.0.iter().filter_map(|hook| hook.memory())
    }

    /// What the last hook that does so changes inside of the network for uncond alone.
    pub(super) fn patch_of_uncond(&self, sigma: f64) -> Option<&dyn Patch> {
        self.0.iter().rev().find_map(|hook| hook.patch_of_uncond(sigma))
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
    fn before_guidance(&self, predictions: &mut [Tensor], _: &Evaluation) -> Result<()> {
        match predictions {
            [cond, uncond] => *cond = self.0.apply(&(&*cond - &*uncond))? + &*uncond,
            [cond, ..] => *cond = self.0.apply(cond)?,
            [] => {}
        }
        Ok(())
    }
}

/// Differential Diffusion (Levin and Fried 2023, arXiv:2306.00950): a point is repainted as long as its mask is not below
/// the part of the timesteps that is still to come.
#[derive(Debug)]
pub struct DifferentialDiffusion {
    /// The share of this hard mask in the mask that is used; the other share is the mask as given. 0 counts as 1, as in ComfyUI.
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
