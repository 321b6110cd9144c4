//! Brownian noise: the increments of one random path over the noise levels, which stochastic samplers add as noise.
//!
//! A virtual Brownian tree (Li et al. 2020, arXiv:2001.01328) as torchsde 0.2.6 builds it. The increment over an
//! interval is split at the middle by a Brownian bridge, with a seed that follows from the node's position in the tree.
//! The increment over any interval thus depends on the seed and the interval alone.

use anyhow::{Result, ensure};
use tch::{Device, Tensor};

use super::noise::Noise;
use crate::diffusion::real::Real;
use crate::ops::noise::randn;
use crate::python::seed_sequence::seed_words;

/// The pool size of the seed sequences, in words.
const POOL: usize = 24;
/// The largest depth of the tree. Times are rounded to 1e-6, so an interval cannot be halved more often.
const MOST_DEPTH: u32 = 60;

/// A Brownian path from the lowest noise level above 0 to the highest one.
#[derive(Debug)]
pub struct BrownianTree {
    seed: u64,
    shape: Vec<i64>,
    device: Device,
    root: Node,
}

#[derive(Debug)]
struct Node {
    start: f64,
    end: f64,
    /// The path's increment over the interval.
    increment: Tensor,
    /// The index among the nodes of the same depth. The children of k are 2k and 2k + 1.
    key: u64,
    depth: u32,
    halves: Option<Box<(Node, Node)>>,
}

impl BrownianTree {
    /// The path of a seed for states shaped like `x`. `sigmas` must hold a level above 0.
    pub fn new(seed: u64, x: &Tensor, sigmas: &[f64]) -> Result<BrownianTree> {
        let start = sigmas.iter().copied().filter(|&sigma| sigma > 0.0).fold(f64::INFINITY, f64::min);
        let end = sigmas.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        ensure!(
            start.is_finite() && end.is_finite(),
            "a Brownian path needs finite noise levels above 0: give sigmas that are"
        );
        let shape = x.size();
        let root_seed = u64::from(seed_words(seed, &[], POOL, 1)[0]);
        let root = Node {
            start: rounded(start),
            end: rounded(end),
            increment: randn(root_seed, &shape) * (end - start).sqrt(),
            key: 0,
            depth: 0,
            halves: None,
        };
        Ok(BrownianTree { seed, shape, device: x.device(), root })
    }

    /// The path's increment from `from` to `to` (from ≤ to), float32 on the CPU. Times outside of the path are clamped
    /// to its ends.
    pub fn increment(&mut self, from: f64, to: f64) -> Result<Tensor> {
        let place = |time: f64| rounded(time.clamp(self.root.start, self.root.end));
        let (from, to) = (place(from), place(to));
        let mut total = Tensor::zeros_like(&self.root.increment);
        if from < to {
            self.root.add_increment(from, to, self.seed, &self.shape, &mut total)?;
        }
        Ok(total)
    }
}

impl Noise for BrownianTree {
    fn draw(&mut self, sigma: f64, next: f64) -> Result<Tensor> {
        // The times of the path are float32 noise levels, as in ComfyUI. More precise ones would be other times.
        let (sigma, next) = (sigma as f32, next as f32);
        let (low, high) = (sigma.min(next), sigma.max(next));
        let increment = self.increment(f64::from(low), f64::from(high))?;
        let sign = if next < sigma { -1.0 } else { 1.0 };
        let noise: Tensor = increment * sign / Real::Single((next - sigma).abs()).sqrt();
        Ok(noise.to_device(self.device))
    }
}

impl Node {
    fn add_increment(&mut self, from: f64, to: f64, seed: u64, shape: &[i64], total: &mut Tensor) -> Result<()> {
        if from == self.start && to == self.end {
            *total = &*total + &self.increment;
            return Ok(());
        }
        ensure!(self.depth < MOST_DEPTH, "the Brownian path has no value between {from} and {to}: use other sigmas");
        if self.halves.is_none() {
            self.halves = Some(Box::new(self.split(seed, shape)));
        }
        let Some(halves) = &mut self.halves else { return Ok(()) };
        let (left, right) = &mut **halves;
        if from < left.end {
            left.add_increment(from, to.min(left.end), seed, shape, total)?;
        }
        if to > right.start {
            right.add_increment(from.max(right.start), to, seed, shape, total)?;
        }
        Ok(())
    }

    /// The two halves, by a Brownian bridge: given the increment W over [a, b], that over [a, m] is normal with mean
    /// W·(m−a)/(b−a) and variance (m−a)(b−m)/(b−a).
    fn split(&self, seed: u64, shape: &[i64]) -> (Node, Node) {
        let middle = rounded(0.5 * (self.end + self.start));
        let node_seed = seed_words(seed, &[self.key, u64::from(self.depth)], POOL, 1)[0];
        let per_time = 1.0 / (self.end - self.start);
        let (before, after) = (middle - self.start, self.end - middle);
        let bridge = randn(u64::from(node_seed), shape) * (before * after * per_time).sqrt();
        let left = &self.increment * before * per_time + bridge;
        let right = &self.increment - &left;
        let half =
            |start, end, increment, key| Node { start, end, increment, key, depth: self.depth + 1, halves: None };
        (
            half(self.start, middle, left, self.key.wrapping_mul(2)),
            half(middle, self.end, right, self.key.wrapping_mul(2).wrapping_add(1)),
        )
    }
}

/// A time rounded to six decimals, correctly, ties to even, as Python's `round` does.
fn rounded(time: f64) -> f64 {
    format!("{time:.6}").parse().unwrap_or(time)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tch::Kind;

    fn tree(seed: u64) -> BrownianTree {
        let x = Tensor::zeros([1, 4, 8, 8], (Kind::Float, Device::Cpu));
        BrownianTree::new(seed, &x, &[14.614641189575195, 1.0, 0.029167158529162407, 0.0]).unwrap()
    }

    #[test]
    fn increments_add_up() {
        let mut tree = tree(5);
        let whole = tree.increment(0.5, 7.25).unwrap();
        let parts = tree.increment(0.5, 2.0).unwrap() + tree.increment(2.0, 7.25).unwrap();
        assert!((whole - parts).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn order_of_queries_does_not_matter() {
        let (mut one, mut other) = (tree(9), tree(9));
        let expected = one.draw(3.0, 1.5).unwrap();
        for (from, to) in [(14.0, 0.1), (2.0, 1.0), (1.6, 1.5)] {
            let _ = other.draw(from, to).unwrap();
        }
        assert!((other.draw(3.0, 1.5).unwrap() - expected).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn agrees_with_torchsde() {
        // torchsde 0.2.6 through ComfyUI's noise sampler: seed, from, to, first and last value.
        let expected = [
            (42, 14.614641189575195, 7.5, -0.85766822, 0.75844252),
            (42, 7.5, 7.499, 1.09388459, -1.10738933),
            (42, 1.0, 0.029167158529162407, -0.73202074, -0.0349401),
            ((1 << 40) + 77, 14.614641189575195, 7.5, -0.28109998, -0.44102097),
            ((1 << 40) + 77, 7.5, 7.499, -0.32927659, -1.07509339),
            ((1 << 40) + 77, 1.0, 0.029167158529162407, -0.02911359, -0.94099116),
        ];
        for (seed, from, to, first, last) in expected {
            let noise = tree(seed).draw(from, to).unwrap();
            let at = |place: [i64; 4], value: f64| (noise.double_value(&place) - value).abs() < 1e-6;
            assert!(at([0, 0, 0, 0], first) && at([0, 3, 7, 7], last), "seed {seed} from {from} to {to}");
        }
    }

    #[test]
    fn rounds_like_python() {
        for (time, expected) in [(0.0078125, 0.007812), (0.0234375, 0.023438), (2.3456789, 2.345679), (14.0, 14.0)] {
            assert_eq!(rounded(time), expected);
        }
    }
}
