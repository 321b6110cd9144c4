//! What the network is asked: each prompt on its part of the state, and the average of the answers.

use std::rc::Rc;

use anyhow::Result;
use tch::Tensor;

use super::control::ReadyControl;
use super::grounding::ReadyGrounding;
use super::regions::{Rect, Region};
use crate::diffusion::extra_conds::ExtraConds;
use crate::ops::composite::fill_batch;

/// One prompt at one noise level.
pub(super) struct Job<'a> {
    pub(super) list: usize,
    region: &'a Region,
    area: Option<Rect>,
    /// The state, cut to the area.
    pub(super) input: Tensor,
    /// What the network takes for it besides state and text.
    pub(super) extra: ExtraConds,
    /// Its weight, broadcast over the input; `None` where the list has only this job and its weight is 1 everywhere.
    weight: Option<Tensor>,
}

impl Job<'_> {
    fn new<'r>(list: usize, region: &'r Region, x: &Tensor) -> Result<Job<'r>> {
        let size = x.size();
        let (height, width) = (size[size.len() - 2], size[size.len() - 1]);
        let area = region.area.map(|area| area.cut_to(height, width)).transpose()?;
        let cut = |planes: &Tensor| area.map_or_else(|| planes.shallow_clone(), |area| area.of(planes));
        let (input, extra) = (cut(x), region.extra.for_states(size[0], cut));
        Ok(Job { list, region, area, input, extra, weight: Some(region.weight(x, area)?) })
    }

    /// What steers the network for it.
    pub(super) fn control(&self) -> Option<&Rc<ReadyControl>> {
        self.region.control.as_ref()
    }

    /// A name for the prompt, the same in all steps.
    pub(super) fn prompt(&self) -> usize {
        self.region.id
    }

    /// What tells the network what lies where in it.
    pub(super) fn grounding(&self) -> Option<&Rc<ReadyGrounding>> {
        self.region.grounding.as_ref()
    }

    fn context(&self) -> Tensor {
        fill_batch(&self.region.context, self.input.size()[0])
    }
}

/// The active jobs of a list. Prompts marked as default come last, with the weight that the others leave of 1.
pub(super) fn jobs_of<'r>(list: usize, regions: &'r [Region], x: &Tensor, sigma: f32) -> Result<Vec<Job<'r>>> {
    let active = || regions.iter().filter(|region| region.acts_at(sigma));
    let ordinary = active().filter(|region| !region.default);
    let mut jobs = ordinary.map(|region| Job::new(list, region, x)).collect::<Result<Vec<_>>>()?;
    let mut fill = active().filter(|region| region.default).peekable();
    if fill.peek().is_some() {
        let rest = uncovered(&jobs, x);
        if rest.max().double_value(&[]) > 0.0 {
            for region in fill {
                let weight = Some(rest.shallow_clone());
                jobs.push(Job { area: None, input: x.shallow_clone(), weight, ..Job::new(list, region, x)? });
            }
        }
    } else if let [only] = jobs.as_mut_slice()
        && only.region.is_plain()
    {
        only.weight = None;
    }
    Ok(jobs)
}

/// What the jobs' weights leave of 1, at least 0: B×1×H×W.
fn uncovered(jobs: &[Job], x: &Tensor) -> Tensor {
    let rest = x.narrow(1, 0, 1).ones_like();
    for job in jobs {
        let mut part = job.area.map_or_else(|| rest.shallow_clone(), |area| area.of(&rest));
        if let Some(weight) = &job.weight {
            part -= weight;
        }
    }
    rest.relu()
}

/// Whether two jobs can share a call: nothing that tells what lies where, one control or none, equal crops and shapes of what goes with them,
/// and texts of one length or, where they may be repeated, of lengths with a common multiple not more than four times the shorter one.
pub(super) fn fit_together(one: &Job, other: &Job, repeats_text: bool) -> bool {
    let (a, b) = (one.region.context.size(), other.region.context.size());
    if one.control().map(Rc::as_ptr) != other.control().map(Rc::as_ptr) {
        return false;
    }
    if !std::ptr::eq(one, other) && (one.grounding().is_some() || other.grounding().is_some()) {
        return false;
    }
    if !repeats_text && a != b {
        return false;
    }
    one.input.size() == other.input.size()
        && one.extra.fit(&other.extra)
        && a[2] == b[2]
        && common_multiple(a[1], b[1]) / a[1].min(b[1]) <= 4
}

/// The jobs' texts as one batch. Shorter ones are repeated along the tokens, which attention does not see.
pub(super) fn contexts(jobs: &[Job]) -> Tensor {
    let texts: Vec<Tensor> = jobs.iter().map(Job::context).collect();
    let length = texts.iter().fold(1, |length, text| common_multiple(length, text.size()[1]));
    let repeated: Vec<Tensor> = texts.iter().map(|text| text.repeat([1, length / text.size()[1], 1])).collect();
    Tensor::cat(&repeated, 0)
}

fn common_multiple(a: i64, b: i64) -> i64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

/// A weighted average under construction.
pub(super) enum Average {
    /// Σ weight·output, and Σ weight starting from 1e-37 so that points that no job covers give 0.
    Sums(Tensor, Tensor),
    Single(Tensor),
}

impl Average {
    pub(super) fn new(x: &Tensor) -> Average {
        Average::Sums(x.zeros_like(), x.narrow(1, 0, 1).full_like(1e-37))
    }

    pub(super) fn add(&mut self, job: &Job, output: Tensor) {
        let Some(weight) = &job.weight else {
            *self = Average::Single(output);
            return;
        };
        if let Average::Sums(sum, weights) = self {
            let part = |of: &Tensor| job.area.map_or_else(|| of.shallow_clone(), |area| area.of(of));
            // In place, but only on tensors that `new` made.
            let (mut sum, mut weights) = (part(sum), part(weights));
            sum += output * weight;
            weights += weight;
        }
    }

    pub(super) fn finish(self) -> Tensor {
        match self {
            Average::Sums(sum, weights) => sum / weights,
            Average::Single(output) => output,
        }
    }
}
