//! Steps for which the network is not asked: what it would answer is told from what it answered before.
//!
//! EasyCache (Zhou et al. 2025, arXiv:2507.02860) and LazyCache as ComfyUI 0.8.0 computes them. As long as the state has changed little
//! since the network was asked, the answer is the state plus what the last answer was beyond its own state.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Debug;
use std::rc::Rc;

use anyhow::Result;
use tch::{Kind, Tensor};
use tracing::info;

use super::denoise::Denoised;
use super::hooks::{Hook, RunStart};

/// What may answer in place of a network.
pub trait Reuse: Debug {
    /// Every prompt is about to be asked once for the same state.
    fn evaluation_begins(&self) {}

    /// The network's output for a call: `compute` asks it.
    ///
    /// # Errors
    /// Those of `compute`.
    fn network(&self, _call: &NetworkCall, compute: &mut dyn FnMut() -> Result<Tensor>) -> Result<Tensor> {
        compute()
    }

    /// What the guided network makes of a state, B×C×h×w: `compute` asks it.
    ///
    /// # Errors
    /// Those of `compute`.
    fn guided(&self, _x: &Tensor, _sigma: f32, compute: &mut dyn FnMut() -> Result<Denoised>) -> Result<Denoised> {
        compute()
    }
}

/// A call of the network.
pub struct NetworkCall<'a> {
    /// The scaled states of all prompts in it, without what is shown beside: (P·B)×C×h×w. What answers in the network's place writes into
    /// it, as ComfyUI does: for models of flow it is what the denoised latent is then computed from.
    pub x: &'a Tensor,
    /// The noise level.
    pub sigma: f32,
    /// A name for each of its prompts, the same in all steps.
    pub prompts: &'a [usize],
}

/// When and how readily answers are told from earlier ones.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// The sum of estimated relative changes from which on the network is asked again.
    pub threshold: f32,
    /// It begins at noise levels of at most this.
    pub start: f32,
    /// It ends at noise levels of at most this.
    pub end: f32,
}

/// One in this many points along a side is looked at.
const STRIDE: i64 = 8;

fn sampled(x: &Tensor) -> Tensor {
    let dims = x.dim() as i64;
    x.slice(dims - 2, None, None, STRIDE).slice(dims - 1, None, None, STRIDE)
}

fn mean_size(x: &Tensor) -> f32 {
    x.flatten(0, -1).abs().mean(None::<Kind>).double_value(&[]) as f32
}

/// How far states and answers change from one call to the next.
#[derive(Debug, Default)]
struct Changes {
    /// The last state and answer that were computed, a point in every so many.
    last: Option<(Tensor, Tensor)>,
    /// The mean size of the last answer.
    size: f32,
    /// By how much an answer changes when its state does.
    rate: Option<f32>,
    /// The sum of estimated changes since the network was asked.
    sum: f32,
    /// The shape of the states.
    shape: Option<Vec<i64>>,
}

impl Changes {
    /// Forgets all if states have another shape than before; whether it did.
    fn hold(&mut self, shape: &[i64]) -> bool {
        match &self.shape {
            Some(known) if known == shape => false,
            Some(_) => {
                *self = Self { rate: Some(0.0), ..Self::default() };
                true
            }
            None => {
                self.shape = Some(shape.to_vec());
                false
            }
        }
    }

    /// How far a state is from the last; nothing without one.
    fn of_state(&self, x: &Tensor) -> Option<f32> {
        self.last.as_ref().map(|(last, _)| mean_size(&(x - last)))
    }

    /// Whether the answer to a state that changed so far is still near the last one.
    fn is_small(&mut self, change: Option<f32>, threshold: f32) -> bool {
        let (Some(change), Some(rate)) = (change, self.rate) else { return false };
        self.sum += rate * change / self.size;
        // Not a number counts as large.
        let small = self.sum < threshold;
        if !small {
            self.sum = 0.0;
        }
        small
    }

    /// Remembers an answer. `change` is how far its state was from the last.
    fn remember(&mut self, x: &Tensor, answer: &Tensor, size: f32, change: Option<f32>) {
        if let (Some((_, last)), Some(change)) = (&self.last, change) {
            self.rate = Some(mean_size(&(answer - last)) / change);
        }
        self.last = Some((x.copy(), answer.copy()));
        self.size = size;
    }
}

/// EasyCache: all prompts of a step are answered from before, if the first one says so.
#[derive(Debug)]
pub struct EasyCache {
    readiness: Readiness,
    state: RefCell<EasyState>,
}

#[derive(Debug, Default)]
struct EasyState {
    changes: Changes,
    /// The prompt by which changes are told.
    first: Option<usize>,
    skips: bool,
    /// The last answer of each prompt beyond its state, B×C×h×w.
    beyond: HashMap<usize, Tensor>,
}

impl EasyCache {
    /// One that knows nothing yet.
    pub fn new(readiness: Readiness) -> Self {
        Self { readiness, state: RefCell::default() }
    }
}

impl EasyState {
    fn has_first(&self, prompts: &[usize]) -> bool {
        self.first.is_some_and(|first| prompts.contains(&first))
    }

    /// The part of the first prompt, a point in every so many.
    fn part(&self, x: &Tensor, prompts: &[usize]) -> Tensor {
        let each = x.size()[0] / prompts.len() as i64;
        let at = prompts.iter().position(|&prompt| Some(prompt) == self.first).unwrap_or(0) as i64;
        sampled(&x.narrow(0, at * each, each))
    }

    /// The answer, written into the states; nothing if a prompt was never answered, or for another shape.
    fn answer(&self, x: &Tensor, prompts: &[usize]) -> Option<Tensor> {
        let each = x.size()[0] / prompts.len() as i64;
        let beyond: Option<Vec<&Tensor>> = prompts.iter().map(|prompt| self.beyond.get(prompt)).collect();
        let beyond = beyond.filter(|all| all.iter().all(|one| one.size()[1..] == x.size()[1..]))?;
        for (beyond, at) in beyond.iter().zip(0..) {
            let mut part = x.narrow(0, at * each, each);
            part += *beyond;
        }
        Some(x.shallow_clone())
    }
}

impl Reuse for EasyCache {
    fn evaluation_begins(&self) {
        self.state.borrow_mut().skips = false;
    }

    fn network(&self, call: &NetworkCall, compute: &mut dyn FnMut() -> Result<Tensor>) -> Result<Tensor> {
        let Readiness { threshold, start, end } = self.readiness;
        let NetworkCall { x, sigma, prompts } = *call;
        if prompts.is_empty() || sigma <= end {
            return compute();
        }
        let state = &mut *self.state.borrow_mut();
        let mut change = None;
        if sigma <= start {
            if state.changes.hold(&x.size()[1..]) {
                (state.first, state.skips) = (None, false);
                state.beyond.clear();
            }
            if !state.skips {
                state.first.get_or_insert(prompts[0]);
                if state.has_first(prompts) {
                    change = state.changes.of_state(&state.part(x, prompts));
                    state.skips = state.changes.is_small(change, threshold);
                }
            }
            if state.skips
                && let Some(answer) = state.answer(x, prompts)
            {
                info!("EasyCache: the network is not asked at {sigma}");
                return Ok(answer);
            }
        }
        let answer = compute()?;
        let beyond = &answer - x;
        for (prompt, beyond) in prompts.iter().zip(beyond.chunk(prompts.len() as i64, 0)) {
            state.beyond.insert(*prompt, beyond);
        }
        if state.has_first(prompts) {
            let (x, part) = (state.part(x, prompts), state.part(&answer, prompts));
            state.changes.remember(&x, &part, mean_size(&answer), change);
        }
        Ok(answer)
    }
}

impl Hook for EasyCache {
    fn begin(&self, _: &RunStart) -> Option<Rc<dyn Hook>> {
        Some(Rc::new(Self::new(self.readiness)))
    }

    fn reuse(&self) -> Option<&dyn Reuse> {
        Some(self)
    }
}

/// LazyCache: the same for what guidance gives, in place of the network.
#[derive(Debug)]
pub struct LazyCache {
    readiness: Readiness,
    state: RefCell<LazyState>,
}

#[derive(Debug, Default)]
struct LazyState {
    changes: Changes,
    /// The last denoised latent beyond its state, and the latent for uncond.
    beyond: Option<(Tensor, Tensor)>,
}

impl LazyCache {
    /// One that knows nothing yet.
    pub fn new(readiness: Readiness) -> Self {
        Self { readiness, state: RefCell::default() }
    }
}

impl Reuse for LazyCache {
    fn guided(&self, x: &Tensor, sigma: f32, compute: &mut dyn FnMut() -> Result<Denoised>) -> Result<Denoised> {
        let Readiness { threshold, start, end } = self.readiness;
        if sigma <= end {
            return compute();
        }
        let state = &mut *self.state.borrow_mut();
        let mut change = None;
        if sigma <= start {
            if state.changes.hold(&x.size()) {
                state.beyond = None;
            }
            change = state.changes.of_state(&sampled(x));
            if state.changes.is_small(change, threshold)
                && let Some((beyond, uncond)) = &state.beyond
            {
                info!("LazyCache: the network is not asked at {sigma}");
                return Ok(Denoised { denoised: x + beyond, uncond: uncond.shallow_clone() });
            }
        }
        let answer = compute()?;
        state.beyond = Some((&answer.denoised - x, answer.uncond.shallow_clone()));
        state.changes.remember(&sampled(x), &sampled(&answer.denoised), mean_size(&answer.denoised), change);
        Ok(answer)
    }
}

impl Hook for LazyCache {
    fn begin(&self, _: &RunStart) -> Option<Rc<dyn Hook>> {
        Some(Rc::new(Self::new(self.readiness)))
    }

    fn reuse(&self) -> Option<&dyn Reuse> {
        Some(self)
    }
}

#[cfg(test)]
#[path = "reuse_tests.rs"]
mod tests;
