//! Context windows: the parts of a latent on which the network is evaluated one after the other.

use anyhow::{Result, ensure};
use redraft_engine::Combo;
use tch::{Kind, Tensor};

use super::hooks::Hook;
use crate::ops::noise::permutations;

/// How windows are placed.
#[derive(Combo, Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSchedule {
    /// At the same positions in each step. The last window is moved back so that it ends with the latent.
    #[combo(name = "standard_static")]
    Static,
    /// Shifted from step to step. Windows that would run over the end are moved back.
    #[combo(name = "standard_uniform")]
    Uniform,
    /// Shifted from step to step, wrapping around the end.
    #[combo(name = "looped_uniform")]
    Looped,
    /// Side by side without overlap. The last window may be shorter.
    #[combo(name = "batched")]
    Batched,
}

/// How overlapping windows are averaged.
#[derive(Combo, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fuse {
    /// Weights that rise to a window's middle.
    #[combo(name = "pyramid")]
    Pyramid,
    /// A running average, in which each window weighs more at its middle.
    #[combo(name = "relative")]
    Relative,
    /// Equal weights.
    #[combo(name = "flat")]
    Flat,
    /// Weights that fade over the overlap.
    #[combo(name = "overlap-linear")]
    OverlapLinear,
}

/// The settings of a context windows node.
#[derive(Clone, Copy, Debug)]
pub struct ContextWindows {
    pub schedule: WindowSchedule,
    pub fuse: Fuse,
    pub length: i64,
    pub overlap: i64,
    pub stride: i64,
    pub closed_loop: bool,
    /// The dimension that is cut.
    pub dim: i64,
    pub freenoise: bool,
}

impl Hook for ContextWindows {
    fn windows(&self) -> Option<&ContextWindows> {
        Some(self)
    }
}

impl ContextWindows {
    /// The length of the dimension that is cut into windows, or nothing if it fits into one.
    pub(super) fn whole(&self, latent: &Tensor) -> Result<Option<i64>> {
        let whole = usize::try_from(self.dim).ok().and_then(|dim| latent.size().get(dim).copied());
        let cut = whole.filter(|whole| *whole > self.length);
        ensure!(
            whole.is_some() && (self.dim != 1 || cut.is_none()),
            "a latent cannot be cut into context windows along dimension {}: use 0 for the batch, 2 for the height or 3 for the \
             width",
            self.dim
        );
        Ok(cut)
    }

    /// The indices of each window in a step. Windows may wrap around the end, and with strides above 1 hold an index
    /// twice.
    pub(super) fn indices(&self, whole: i64, step: usize) -> Result<Vec<Vec<i64>>> {
        let windows = match self.schedule {
            WindowSchedule::Static => self.one_after_the_other(whole)?,
            WindowSchedule::Uniform => self.moved_back(self.uniform(whole, step, false)?, whole),
            WindowSchedule::Looped => self.uniform(whole, step, self.closed_loop)?,
            WindowSchedule::Batched => {
                let starts = stepped(0, whole, self.length)?;
                starts.map(|start| (start..(start + self.length).min(whole)).collect()).collect()
            }
        };
        for index in 0..whole {
            ensure!(
                windows.iter().any(|window| window.contains(&index)),
                "context windows of {} that overlap by {} leave out index {index} of {whole} in step {step}: choose a smaller \
                 overlap, or the schedule standard_static",
                self.length,
                self.overlap
            );
        }
        ensure!(
            windows.iter().flatten().all(|index| *index < whole),
            "context windows of {} with stride {} reach beyond the end of {whole} in step {step}: choose a smaller stride",
            self.length,
            self.stride
        );
        Ok(windows)
    }

    fn one_after_the_other(&self, whole: i64) -> Result<Vec<Vec<i64>>> {
        let mut windows = Vec::new();
        for start in stepped(0, whole, self.length - self.overlap)? {
            let start = start.min(whole - self.length);
            windows.push((start..start + self.length).collect());
            if start + self.length == whole {
                break;
            }
        }
        Ok(windows)
    }

    /// The windows of the uniform schedules: for each stride, shifted by an offset that differs from step to step.
    fn uniform(&self, whole: i64, step: usize, closed: bool) -> Result<Vec<Vec<i64>>> {
        let most = (whole as f64 / self.length as f64).log2().ceil() as i64 + 1;
        let offset = halved(step);
        let pad = (whole as f64 * offset).round_ties_even() as i64;
        let end = whole + pad - if closed { 0 } else { self.overlap };
        let mut windows = Vec::new();
        for gap in (0..self.stride.min(most)).map(|power| 1i64 << power) {
            let start = (offset * gap as f64) as i64 + pad;
            for first in stepped(start, end, self.length * gap - self.overlap)? {
                windows.push((0..self.length).map(|index| (first + index * gap) % whole).collect());
            }
        }
        Ok(windows)
    }

    /// Moves windows that wrap around the end back to the end. If the next window does not hold the indices that
    /// wrapped, a window of them is inserted. Duplicates are removed.
    fn moved_back(&self, mut windows: Vec<Vec<i64>>, whole: i64) -> Vec<Vec<i64>> {
        let mut at = 0;
        while at < windows.len() {
            let window = &windows[at];
            let over = (1..window.len()).find(|n| window[*n] % whole < window[n - 1] % whole);
            if let Some(over) = over {
                let beyond = window[over];
                let from_first = |index: &i64| (index - window[0] + whole) % whole;
                let shift = whole - 1 - window.last().map_or(0, from_first);
                windows[at] = window.iter().map(|index| from_first(index) + shift).collect();
                if !windows[(at + 1) % windows.len()].contains(&beyond) {
                    windows.insert(at + 1, (beyond..beyond + self.length).collect());
                }
            }
            at += 1;
        }
        let mut kept: Vec<Vec<i64>> = Vec::new();
        for window in windows {
            if !kept.contains(&window) {
                kept.push(window);
            }
        }
        kept
    }

    /// The weight of each index of a window.
    pub(super) fn weights(&self, window: &[i64], whole: i64) -> Result<Vec<f32>> {
        let length = window.len();
        Ok(match self.fuse {
            Fuse::Flat => vec![1.0; length],
            Fuse::Pyramid | Fuse::Relative => (0..length).map(|n| (n + 1).min(length - n) as f32).collect(),
            Fuse::OverlapLinear => self.faded(window, whole)?,
        })
    }

    fn faded(&self, window: &[i64], whole: i64) -> Result<Vec<f32>> {
        /// Used instead of 0, so that indices that only one window holds keep its value.
        const LEAST: f64 = 1e-37;
        let mut weights = vec![1.0; window.len()];
        let fades = [window.iter().all(|index| *index > 0), window.iter().all(|index| *index < whole - 1)];
        if self.overlap == 0 || fades == [false; 2] {
            return Ok(weights);
        }
        let overlap = usize::try_from(self.overlap).ok().filter(|overlap| *overlap <= window.len());
        let Some(overlap) = overlap else {
            anyhow::bail!(
                "a context window of {} cannot fade over an overlap of {}: choose a smaller overlap or another fuse_method",
                window.len(),
                self.overlap
            );
        };
        let ramp = |from: f64, to: f64| -> Result<Vec<f32>> {
            let options = (Kind::Float, tch::Device::Cpu);
            Ok(Vec::try_from(Tensor::linspace(from, to, self.overlap, options))?)
        };
        if fades[0] {
            weights[..overlap].copy_from_slice(&ramp(LEAST, 1.0)?);
        }
        if fades[1] {
            let start = weights.len() - overlap;
            weights[start..].copy_from_slice(&ramp(1.0, LEAST)?);
        }
        Ok(weights)
    }

    /// FreeNoise (Qiu et al. 2023, arXiv:2310.15169): beyond the first window, the noise is a shuffled copy of the
    /// noise one window before.
    pub(super) fn shuffled(&self, noise: &Tensor, seed: u64) -> Result<Tensor> {
        let Some(whole) = self.whole(noise)? else { return Ok(noise.shallow_clone()) };
        let delta = self.length - self.overlap;
        let starts: Vec<i64> = stepped(0, whole - self.length, delta)?.collect();
        let count = |start: i64| delta.min(whole - start - self.length);
        let orders = permutations(seed, &starts.iter().map(|start| count(*start)).collect::<Vec<_>>());
        let noise = noise.copy();
        for (start, order) in starts.into_iter().zip(orders) {
            let source = noise.index_select(self.dim, &(order + start).to_device(noise.device()));
            noise.narrow(self.dim, start + self.length, count(start)).copy_(&source);
        }
        Ok(noise)
    }
}

/// The numbers from `start` to before `end` in steps of `step`. None if the steps lead away from the end.
fn stepped(start: i64, end: i64, step: i64) -> Result<impl Iterator<Item = i64>> {
    ensure!(step != 0, "context windows that overlap by their whole length do not move on: choose a smaller overlap");
    let step = usize::try_from(step).unwrap_or(0);
    Ok((start..if step == 0 { start } else { end }).step_by(step.max(1)))
}

/// The van der Corput sequence, whose binary digits are those of the step in reverse: 0, 1/2, 1/4, 3/4, 1/8, …
fn halved(step: usize) -> f64 {
    (step as u64).reverse_bits() as f64 / 2f64.powi(64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::Device;

    use super::*;

    fn windows(schedule: WindowSchedule, length: i64, overlap: i64) -> ContextWindows {
        let fuse = Fuse::OverlapLinear;
        ContextWindows { schedule, fuse, length, overlap, stride: 1, closed_loop: false, dim: 0, freenoise: true }
    }

    /// Indices from ComfyUI 0.8.0's functions.
    #[test]
    fn indices_of_each_schedule() {
        let static_ = windows(WindowSchedule::Static, 4, 1);
        assert_eq!(static_.indices(9, 3).unwrap(), [[0, 1, 2, 3], [3, 4, 5, 6], [5, 6, 7, 8]]);
        let uniform = ContextWindows { stride: 2, ..windows(WindowSchedule::Uniform, 4, 1) };
        let moved = [[4, 5, 6, 7], [5, 6, 7, 8], [0, 1, 2, 3], [1, 2, 3, 4], [2, 4, 6, 8]];
        assert_eq!(uniform.indices(9, 1).unwrap(), moved);
        let close = windows(WindowSchedule::Uniform, 3, 2);
        assert_eq!(close.indices(7, 3).unwrap(), [[4, 5, 6], [0, 1, 2], [1, 2, 3], [2, 3, 4]]);
        let looped = ContextWindows { stride: 3, closed_loop: true, ..windows(WindowSchedule::Looped, 4, 2) };
        let across = [
            [2, 3, 4, 5],
            [4, 5, 6, 7],
            [6, 7, 8, 0],
            [8, 0, 1, 2],
            [1, 2, 3, 4],
            [2, 4, 6, 8],
            [8, 1, 3, 5],
            [3, 7, 2, 6],
        ];
        assert_eq!(looped.indices(9, 2).unwrap(), across);
        let batched = windows(WindowSchedule::Batched, 4, 3);
        assert_eq!(batched.indices(9, 0).unwrap(), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8]]);
    }

    /// Figures from the same program.
    #[test]
    fn weights_of_each_kind() {
        let fading = windows(WindowSchedule::Static, 4, 3);
        assert_eq!(fading.weights(&[0, 1, 2, 3], 9).unwrap(), [1.0, 1.0, 0.5, 1e-37]);
        assert_eq!(fading.weights(&[2, 3, 4, 5], 9).unwrap(), [1e-37, 1.0, 0.5, 1e-37]);
        assert_eq!(fading.weights(&[5, 6, 7, 8], 9).unwrap(), [1e-37, 0.5, 1.0, 1.0]);
        let message = fading.weights(&[7, 8], 9).unwrap_err().to_string();
        assert!(message.contains("a context window of 2 cannot fade over an overlap of 3"), "{message}");
        let pyramid = ContextWindows { fuse: Fuse::Pyramid, ..fading };
        assert_eq!(pyramid.weights(&[1, 2, 3, 4, 5], 9).unwrap(), [1.0, 2.0, 3.0, 2.0, 1.0]);
        assert_eq!(pyramid.weights(&[1, 2, 3, 4], 9).unwrap(), [1.0, 2.0, 2.0, 1.0]);
    }

    /// Figures from the same program, with seed 5.
    #[test]
    fn noise_is_shuffled_from_window_to_window() {
        let noise = Tensor::arange(11, (Kind::Float, Device::Cpu)).view([11, 1, 1, 1]);
        let shuffled = windows(WindowSchedule::Static, 4, 1).shuffled(&noise, 5).unwrap();
        let values: Vec<f32> = Vec::try_from(shuffled.flatten(0, -1)).unwrap();
        assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 2.0, 1.0, 0.0, 2.0, 1.0, 3.0, 0.0]);
        assert_eq!(noise.double_value(&[4, 0, 0, 0]), 4.0, "what was given is changed");
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let message = |windows: ContextWindows| windows.indices(9, 0).unwrap_err().to_string();
        assert!(message(windows(WindowSchedule::Static, 4, 4)).contains("do not move on"));
        assert!(message(windows(WindowSchedule::Static, 4, i64::MAX)).contains("leave out index 0 of 9"));
        let latent = Tensor::zeros([1, 4, 8, 8], (Kind::Float, Device::Cpu));
        let along = |dim, length| ContextWindows { dim, ..windows(WindowSchedule::Static, length, 1) }.whole(&latent);
        assert_eq!((along(2, 7).unwrap(), along(2, 8).unwrap(), along(1, 4).unwrap()), (Some(8), None, None));
        for (dim, length) in [(1, 3), (4, 100), (5, 100)] {
            assert!(along(dim, length).unwrap_err().to_string().contains(&format!("along dimension {dim}")));
        }
    }
}
