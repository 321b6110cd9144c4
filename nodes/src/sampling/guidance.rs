//! Guidance: from two lists of prompts and a network to one denoised latent.
//!
//! Each active prompt is one job: a crop of the state, a text, a weight map. Jobs of equal shape run as one batch. A
//! list's prediction is the average of its jobs by weight, and classifier-free guidance (Ho and Salimans 2022,
//! arXiv:2207.12598) extrapolates from the negative prediction to the positive one.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::control::SteeredCall;
use super::denoise::{Denoise, Denoised, OnStep};
use super::hooks::{Evaluation, Hooks, Pair, Predictor, PromptSet};
use super::jobs::{Average, Job, contexts, fit_together, jobs_of};
use super::ksampler::Ready;
use super::regions::Region;
use super::reuse::{NetworkCall, Reuse};
use super::windowed::Windowed;
use crate::diffusion::control::ControlInputs;
use crate::diffusion::extra_conds::{CHANNELS, ExtraConds};
use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::parameterisation::{Parameterisation, check_sigma};
use crate::diffusion::patch::{Call, Patch};
use crate::values::Conditioning;

/// Whether prompts of equal shape share a call of the network. A setting, never a function of free memory: the results
/// differ in the last bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Batching {
    /// One call for all that fit together, in ComfyUI's order: the usual pair is [negative, positive].
    #[default]
    Together,
    /// One call for each prompt: half the memory.
    Separate,
}

/// Evaluates lists of prompts.
pub struct Prompts<'a> {
    /// The network.
    pub network: &'a dyn Network,
    /// What its output means.
    pub sampling: &'a Parameterisation,
    /// How prompts share calls.
    pub batching: Batching,
    /// Through which windows the network sees the state.
    pub windowed: Option<Windowed<'a>>,
    /// What may answer in the network's place.
    pub reuse: Option<&'a dyn Reuse>,
}

/// How the predictions under several conditionings become one. Each names the lists that it takes, in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Positive, and negative unless only one is given: classifier-free guidance. `cfg` 0 is the negative prediction, 1 the
    /// positive one.
    Cfg { cfg: f64 },
    /// Positive, middle, negative: from the negative to the middle by `negative`, from the middle to the positive by
    /// `conds`; nested, the second inside the first.
    Dual { conds: f64, negative: f64, nested: bool },
    /// Positive, empty, negative: Perp-Neg (Armandpour et al. 2023, arXiv:2304.04968), where of the negative only that
    /// counts which is perpendicular to the positive.
    PerpNeg { cfg: f64, scale: f64 },
}

/// What a sampling run is guided by: a rule and its conditionings.
#[derive(Debug, Clone)]
pub struct Guide {
    /// How the predictions become one.
    pub rule: Rule,
    /// In the rule's order.
    pub conditionings: Vec<Conditioning>,
}

impl Guide {
    /// Classifier-free guidance from the negative to the positive conditioning.
    pub fn cfg(positive: &Conditioning, negative: &Conditioning, cfg: f64) -> Guide {
        Guide { rule: Rule::Cfg { cfg }, conditionings: vec![positive.clone(), negative.clone()] }
    }

    /// Names of the conditionings, in order.
    pub fn names(&self) -> [&'static str; 3] {
        match self.rule {
            Rule::Cfg { .. } => ["positive", "negative", ""],
            Rule::Dual { .. } => ["first", "second", "negative"],
            Rule::PerpNeg { .. } => ["positive", "empty", "negative"],
        }
    }
}

/// A network under guidance.
pub struct Guidance<'a> {
    /// Network, parameterisation, batching.
    pub prompts: Prompts<'a>,
    /// How the predictions become one.
    pub rule: Rule,
    /// The prompts of each conditioning, in the rule's order.
    pub lists: Vec<Vec<Region>>,
    /// They may change the predictions.
    pub hooks: &'a Hooks,
    /// Whether the negative prediction is needed even where the rule would leave it out.
    pub always_negative: bool,
    /// Makes prompts that a hook brings ready for the run's latents.
    pub ready: &'a Ready<'a>,
    /// Told about each step.
    pub on_step: &'a mut OnStep<'a>,
}

impl Denoise for Guidance<'_> {
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Denoised> {
        let mut compute = || match self.rule {
            Rule::Cfg { cfg } => self.cfg(x, sigma, cfg),
            Rule::Dual { conds, negative, nested: true } => self.nested(x, sigma, conds, negative),
            Rule::Dual { conds, negative, nested: false } => self.chained(x, sigma, conds, negative),
            Rule::PerpNeg { cfg, scale } => self.perp_neg(x, sigma, cfg, scale),
        };
        match self.prompts.reuse {
            Some(reuse) => reuse.guided(x, sigma as f32, &mut compute),
            None => compute(),
        }
    }

    fn on_step(&mut self, step: usize, total: usize, denoised: &Tensor) -> Result<()> {
        (self.on_step)(step, total, denoised)
    }
}

impl Guidance<'_> {
    /// The prompts of the rule's conditioning number `index`; none if there is no such conditioning or it is not needed.
    fn list(&self, index: usize, needed: bool) -> &[Region] {
        self.lists.get(index).filter(|_| needed).map_or(&[], Vec::as_slice)
    }

    fn predict<const N: usize>(&self, lists: [&[Region]; N], x: &Tensor, sigma: f64) -> Result<[Tensor; N]> {
        self.prompts.predict(lists, x, sigma, &self.hooks.patches())
    }

    /// Guidance between two predictions, as the hooks change or replace it.
    fn guided(&self, pair: &Pair, evaluation: &Evaluation) -> Result<Tensor> {
        let denoised = match self.hooks.guide(pair, evaluation)? {
            Some(denoised) => denoised,
            // Without a negative prediction, `cfg` is 1.
            None if !evaluation.guided => pair.cond.shallow_clone(),
            None => pair.guided(evaluation.cfg),
        };
        self.hooks.after_guidance(denoised, pair, evaluation)
    }

    fn cfg(&self, x: &Tensor, sigma: f64, cfg: f64) -> Result<Denoised> {
        let guided = self.always_negative || !is_one(cfg);
        let lists = [self.list(0, true), self.list(1, guided)];
        let network = Lists { guidance: self, cond: lists[0], uncond: lists[1] };
        let evaluation = Evaluation { x, sigma, cfg, guided, sampling: self.prompts.sampling, network: &network };
        let predictions = match self.hooks.patch_of_uncond(sigma).filter(|_| guided) {
            None => self.predict(lists, x, sigma)?,
            Some(patch) => {
                let cond = network.predict(PromptSet::Cond, x, sigma, None)?;
                [cond, network.predict(PromptSet::Uncond, x, sigma, Some(patch))?]
            }
        };
        let [cond, uncond] = self.hooks.before_guidance(predictions, &evaluation)?;
        let denoised = self.guided(&Pair { cond: &cond, uncond: &uncond }, &evaluation)?;
        Ok(Denoised { denoised, uncond })
    }

    fn nested(&self, x: &Tensor, sigma: f64, conds: f64, negative: f64) -> Result<Denoised> {
        let lists = [self.list(2, true), self.list(1, true), self.list(0, true)];
        let [base, uncond, cond] = self.predict(lists, x, sigma)?;
        let network = Lists { guidance: self, cond: lists[2], uncond: lists[1] };
        let evaluation =
            Evaluation { x, sigma, cfg: conds, guided: true, sampling: self.prompts.sampling, network: &network };
        let inner = self.guided(&Pair { cond: &cond, uncond: &uncond }, &evaluation)?;
        Ok(Denoised { denoised: &base + (inner - &base) * negative, uncond })
    }

    fn chained(&self, x: &Tensor, sigma: f64, conds: f64, negative: f64) -> Result<Denoised> {
        let base_needed = self.always_negative || !is_one(negative);
        let middle_needed = base_needed || !is_one(conds);
        let lists = [self.list(2, base_needed), self.list(1, middle_needed), self.list(0, true)];
        let [uncond, middle, cond] = self.predict(lists, x, sigma)?;
        let network = Lists { guidance: self, cond: lists[1], uncond: lists[0] };
        // `guided` also where there is no prediction for uncond: ComfyUI then takes zeros for it.
        let evaluation =
            Evaluation { x, sigma, cfg: negative, guided: true, sampling: self.prompts.sampling, network: &network };
        let inner = self.guided(&Pair { cond: &middle, uncond: &uncond }, &evaluation)?;
        Ok(Denoised { denoised: inner + (cond - &middle) * conds, uncond })
    }

    fn perp_neg(&self, x: &Tensor, sigma: f64, cfg: f64, scale: f64) -> Result<Denoised> {
        let negative_needed = self.always_negative || scale != 0.0;
        let empty_needed = negative_needed || !is_one(cfg);
        let lists = [self.list(0, true), self.list(2, negative_needed), self.list(1, empty_needed)];
        let network = Lists { guidance: self, cond: lists[0], uncond: lists[1] };
        let guided = negative_needed;
        let evaluation = Evaluation { x, sigma, cfg, guided, sampling: self.prompts.sampling, network: &network };
        let [cond, uncond, empty] = self.hooks.before_guidance(self.predict(lists, x, sigma)?, &evaluation)?;
        let denoised = perpendicular(&cond, &uncond, &empty, scale, cfg);
        let denoised = self.hooks.after_guidance(denoised, &Pair { cond: &cond, uncond: &uncond }, &evaluation)?;
        Ok(Denoised { denoised, uncond })
    }
}

/// Perp-Neg: from the prediction of an empty prompt towards the positive one, and away from that part of the negative one
/// which is perpendicular to it.
pub fn perpendicular(cond: &Tensor, uncond: &Tensor, empty: &Tensor, scale: f64, cfg: f64) -> Tensor {
    let (towards, away) = (cond - empty, uncond - empty);
    let along = (&away * &towards).sum(towards.kind()) / towards.norm().square();
    let across = &away - along * &towards;
    empty + (towards - across * scale) * cfg
}

/// The prompts of an evaluation, for hooks that need a further prediction.
struct Lists<'a, 'g> {
    guidance: &'a Guidance<'g>,
    cond: &'a [Region],
    uncond: &'a [Region],
}

impl Predictor for Lists<'_, '_> {
    fn predict(&self, prompts: PromptSet, x: &Tensor, sigma: f64, patch: Option<&dyn Patch>) -> Result<Tensor> {
        let brought;
        let list = match prompts {
            PromptSet::Cond => self.cond,
            PromptSet::Uncond => self.uncond,
            PromptSet::Other(conditioning) => {
                brought = (self.guidance.ready)(conditioning, "empty")?;
                &brought
            }
        };
        let mut patches = self.guidance.hooks.patches();
        patches.extend(patch);
        let [denoised] = self.guidance.prompts.predict([list], x, sigma, &patches)?;
        Ok(denoised)
    }
}

/// Within 1e-9 of 1, relative.
fn is_one(cfg: f64) -> bool {
    (cfg - 1.0).abs() <= 1e-9 * cfg.abs().max(1.0)
}

impl Prompts<'_> {
    /// The denoised latent of each list of prompts, for the state `x` (B×C×H×W) at `sigma`: the average of its active
    /// prompts by weight; 0 at points where none acts.
    pub fn predict<const N: usize>(
        &self,
        lists: [&[Region]; N],
        x: &Tensor,
        sigma: f64,
        patches: &[&dyn Patch],
    ) -> Result<[Tensor; N]> {
        check_sigma(sigma)?;
        if let Some(windowed) = &self.windowed
            && let Some(whole) = windowed.windows.whole(x)?
        {
            return windowed
                .predict(whole, lists, x, sigma, |lists, x| self.predict_unwindowed(lists, x, sigma as f32, patches));
        }
        self.predict_unwindowed(lists, x, sigma as f32, patches)
    }

    /// The same without context windows.
    fn predict_unwindowed<const N: usize>(
        &self,
        lists: [&[Region]; N],
        x: &Tensor,
        sigma: f32,
        patches: &[&dyn Patch],
    ) -> Result<[Tensor; N]> {
        let mut jobs = Vec::new();
        for (list, regions) in lists.iter().enumerate() {
            jobs.extend(jobs_of(list, regions, x, sigma)?);
        }
        let mut averages = lists.map(|_| Average::new(x));
        if let Some(reuse) = self.reuse {
            reuse.evaluation_begins();
        }
        while !jobs.is_empty() {
            let batch = self.take_batch(&mut jobs);
            let outputs = self.run(&batch, sigma, patches)?;
            for (job, output) in batch.iter().zip(outputs) {
                averages[job.list].add(job, output);
            }
        }
        Ok(averages.map(Average::finish))
    }

    /// Removes from `jobs` those that run next, in the order in which they stand in the batch: last first.
    fn take_batch<'r>(&self, jobs: &mut Vec<Job<'r>>) -> Vec<Job<'r>> {
        let mut fitting: Vec<usize> = {
            let repeats = self.network.repeats_text();
            (0..jobs.len()).filter(|&index| fit_together(&jobs[index], &jobs[0], repeats)).collect()
        };
        fitting.reverse();
        if self.batching == Batching::Separate {
            fitting.truncate(1);
        }
        fitting.into_iter().map(|index| jobs.remove(index)).collect()
    }

    /// The denoised crop of each job, from one call of the network.
    fn run(&self, jobs: &[Job], sigma: f32, patches: &[&dyn Patch]) -> Result<Vec<Tensor>> {
        let x = Tensor::cat(&jobs.iter().map(|job| &job.input).collect::<Vec<_>>(), 0);
        let scaled = self.sampling.scaled_input(&x, sigma);
        let extra = ExtraConds::joined(&jobs.iter().map(|job| &job.extra).collect::<Vec<_>>());
        let batch = x.size()[0];
        let timestep = Tensor::full([batch], f64::from(self.sampling.timestep(sigma)), (Kind::Float, x.device()));
        let lists: Vec<usize> = jobs.iter().map(|job| job.list).collect();
        let shape = x.size();
        let size = (shape[shape.len() - 2], shape[shape.len() - 1]);
        let grounded = jobs.first().and_then(Job::grounding).map(|grounding| grounding.patch(&x)).transpose()?;
        let mut patches = patches.to_vec();
        patches.extend(grounded.as_ref().map(|grounded| grounded as &dyn Patch));
        let call = Call { sigma: f64::from(sigma), lists: &lists, size, patches: &patches };
        let context = contexts(jobs);
        let control = match jobs.first().and_then(Job::control) {
            Some(control) => {
                let (hint, types) = (&scaled, &[]);
                let inputs =
                    ControlInputs { x: &scaled, timestep: &timestep, context: &context, extra: &extra, hint, types };
                control.residuals(&SteeredCall { sigma, prompts: jobs.len() as i64, inputs })?
            }
            None => None,
        };
        let input = match extra.get(CHANNELS) {
            Some(channels) => Tensor::cat(&[&scaled, channels], 1),
            None => scaled,
        };
        let inputs = Inputs {
            x: &input,
            timestep: &timestep,
            context: &context,
            extra: &extra,
            control: control.as_ref(),
            call: &call,
        };
        let mut compute = || Ok(self.network.predict(&inputs)?.to_kind(x.kind()));
        let output = match self.reuse.filter(|_| self.network.may_be_left_out()) {
            Some(reuse) => {
                let prompts: Vec<usize> = jobs.iter().map(Job::prompt).collect();
                let seen = input.narrow(1, 0, shape[1]);
                reuse.network(&NetworkCall { x: &seen, sigma, prompts: &prompts }, &mut compute)?
            }
            None => compute()?,
        };
        ensure!(
            output.size() == x.size(),
            "the network answered with shape {:?} where {:?} was expected: is it a model for this latent?",
            output.size(),
            x.size()
        );
        Ok(self.sampling.denoised(&x, sigma, &output).chunk(jobs.len() as i64, 0))
    }
}

#[cfg(test)]
#[path = "guidance_tests.rs"]
mod tests;
