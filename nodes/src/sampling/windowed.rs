//! Predictions through context windows.

use anyhow::{Result, anyhow};
use tch::{Kind, Tensor};

use super::context_windows::{ContextWindows, Fuse};
use super::regions::Region;

/// Context windows in a sampling run.
#[derive(Clone, Copy)]
pub struct Windowed<'a> {
    pub windows: &'a ContextWindows,
    /// The noise levels of the run.
    pub sigmas: &'a [f64],
}

impl Windowed<'_> {
    /// The index of a noise level in the run.
    fn step(&self, sigma: f64) -> Result<usize> {
        let near = |level: f64| (level - sigma).abs() <= 1e-8 + 1e-4 * sigma.abs();
        self.sigmas.iter().position(|level| near(*level)).ok_or_else(|| {
            anyhow!(
                "context windows need one of the run's noise levels, and the sampler evaluates the model at {sigma} between \
                 them: choose a sampler like euler"
            )
        })
    }

    /// The weighted average of `predict` over all windows: one prediction for each list of prompts.
    pub(super) fn predict<const N: usize>(
        &self,
        whole: i64,
        lists: [&[Region]; N],
        x: &Tensor,
        sigma: f64,
        predict: impl Fn([&[Region]; N], &Tensor) -> Result<[Tensor; N]>,
    ) -> Result<[Tensor; N]> {
        let dim = self.windows.dim;
        let mut averages = lists.map(|_| Average::new(self.windows, x, whole));
        for indices in self.windows.indices(whole, self.step(sigma)?)? {
            let at = Tensor::from_slice(&indices).to_device(x.device());
            let within = lists.map(|list| list.iter().map(|region| region.within(dim, whole, &at)).collect::<Vec<_>>());
            let part = x.index_select(dim, &at);
            let predicted = predict(within.each_ref().map(Vec::as_slice), &part)?;
            let weights = self.windows.weights(&indices, whole)?;
            for (average, predicted) in averages.iter_mut().zip(predicted) {
                match self.windows.fuse {
                    Fuse::Relative => average.mix(&indices, &predicted),
                    _ => average.add(&at, &weights, &predicted),
                }
            }
        }
        Ok(averages.map(Average::finish))
    }
}

/// A weighted average to which windows are added one by one.
struct Average {
    dim: i64,
    sum: Tensor,
    /// The sum of the weights at each index. Without it, `sum` holds the running average.
    weights: Option<Tensor>,
    /// The sum of the weights in the running average at each index.
    shares: Vec<f64>,
}

impl Average {
    fn new(windows: &ContextWindows, x: &Tensor, whole: i64) -> Average {
        let mut shape = [1; 4];
        shape[windows.dim as usize] = whole;
        let weights = (windows.fuse != Fuse::Relative).then(|| Tensor::zeros(shape, (Kind::Float, x.device())));
        Average { dim: windows.dim, sum: x.zeros_like(), weights, shares: vec![0.0; whole as usize] }
    }

    fn add(&mut self, at: &Tensor, weights: &[f32], predicted: &Tensor) {
        let mut shape = [1; 4];
        shape[self.dim as usize] = -1;
        let weights = Tensor::from_slice(weights).view(shape).to_device(predicted.device());
        // An index that a window holds twice counts once, with its last value.
        let add = |to: &mut Tensor, part: &Tensor| {
            let sum = to.index_select(self.dim, at) + part;
            let _ = to.index_copy_(self.dim, at, &sum);
        };
        add(&mut self.sum, &(predicted * &weights));
        if let Some(sum) = &mut self.weights {
            add(sum, &weights);
        }
    }

    fn mix(&mut self, indices: &[i64], predicted: &Tensor) {
        let (Some(first), Some(last)) = (indices.first(), indices.last()) else { return };
        let (middle, reach) = ((first + last) as f64 / 2.0, ((last - first) as f64 + 1e-2) / 2.0);
        for (n, index) in indices.iter().enumerate() {
            let share = (1.0 - (*index as f64 - middle).abs() / reach).max(1e-2);
            let before = self.shares[*index as usize];
            let sum = before + share;
            let mut so_far = self.sum.narrow(self.dim, *index, 1);
            let mixed = &so_far * (before / sum) + predicted.narrow(self.dim, n as i64, 1) * (share / sum);
            so_far.copy_(&mixed);
            self.shares[*index as usize] = sum;
        }
    }

    fn finish(self) -> Tensor {
        match self.weights {
            Some(weights) => self.sum / weights,
            None => self.sum,
        }
    }
}
