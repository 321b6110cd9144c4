#![allow(clippy::unwrap_used)]

use std::cell::Cell;

use tch::Device;

use super::*;
use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::parameterisation::Parameterisation;
use crate::sampling::guidance::{Batching, Prompts};
use crate::sampling::regions::Region;
use crate::values::{Conditioning, Entry};

/// Answers with half of the state; counts its calls.
struct Half {
    calls: Cell<usize>,
    may_be_left_out: bool,
}

impl Network for Half {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        self.calls.set(self.calls.get() + 1);
        Ok(inputs.x * 0.5)
    }

    fn may_be_left_out(&self) -> bool {
        self.may_be_left_out
    }
}

/// What EasyCache makes of states of these values at these levels of a flow, and how often the network was asked.
fn denoised(states: &[f64], sigmas: &[f64], threshold: f32, may_be_left_out: bool) -> (Vec<f64>, usize) {
    let network = Half { calls: Cell::new(0), may_be_left_out };
    let (options, sampling) = ((Kind::Float, Device::Cpu), Parameterisation::flow(1.0, 1000.0));
    let cache = EasyCache::new(Readiness { threshold, start: 1.0, end: 0.0 });
    let prompts = Prompts {
        network: &network,
        sampling: &sampling,
        batching: Batching::Together,
        windowed: None,
        reuse: Some(&cache),
    };
    let entry = Entry::new(Tensor::ones([1, 7, 8], options));
    let list = Region::resolve_all(&Conditioning(vec![entry]), (16, 16), Device::Cpu, &sampling).unwrap();
    let step = |(&state, &sigma): (&f64, &f64)| {
        let x = Tensor::full([1, 4, 16, 16], state, options);
        let [denoised] = prompts.predict([&list], &x, sigma, &[]).unwrap();
        assert_eq!(x.double_value(&[0, 0, 0, 0]) as f32, state as f32, "the sampler's state stays");
        denoised.double_value(&[0, 3, 5, 7])
    };
    (states.iter().zip(sigmas).map(step).collect(), network.calls.get())
}

#[test]
fn a_step_is_told_from_the_two_before_it() {
    let (states, sigmas) = ([1.0, 0.9, 0.85], [1.0, 0.75, 0.5]);
    // What the network answers is subtracted σ times: x − σ·x/2.
    let expected = |third: f64| [0.5, 0.9 - 0.75 * 0.45, third];
    let near = |found: Vec<f64>, third: f64| {
        assert!(found.iter().zip(expected(third)).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}, {third}");
    };
    let (found, calls) = denoised(&states, &sigmas, 0.2, true);
    // The last answer was 0.45 at 0.9: 0.45 less. The new one, 0.4, is written into the state, of which σ of it is taken.
    near(found, 0.4 - 0.5 * 0.4);
    assert_eq!(calls, 2);
    // Half of a change of 0.05 is a ninth of 0.45.
    for (threshold, may_be_left_out) in [(0.05, true), (0.2, false)] {
        let (found, calls) = denoised(&states, &sigmas, threshold, may_be_left_out);
        near(found, 0.85 - 0.5 * 0.425);
        assert_eq!(calls, 3);
    }
}

#[test]
fn states_of_another_shape_begin_anew() {
    let mut changes = Changes::default();
    let x = Tensor::ones([1, 4, 8, 8], (Kind::Float, Device::Cpu));
    assert!(!changes.hold(&[4, 8, 8]));
    changes.remember(&x, &(&x * 2.0), 2.0, None);
    let change = changes.of_state(&(&x * 1.5));
    assert_eq!(change, Some(0.5));
    changes.remember(&(&x * 1.5), &(&x * 3.0), 3.0, change);
    assert_eq!(changes.rate, Some(2.0));
    assert!(changes.hold(&[4, 8, 16]));
    assert_eq!((changes.of_state(&x), changes.rate, changes.shape), (None, Some(0.0), None));
}

#[test]
fn lazy_cache_tells_the_guided_latent() {
    let cache = LazyCache::new(Readiness { threshold: 0.2, start: 1.0, end: 0.0 });
    let asked = Cell::new(0);
    let step = |value: f64| {
        let x = Tensor::full([1, 4, 16, 16], value, (Kind::Float, Device::Cpu));
        let mut compute = || {
            asked.set(asked.get() + 1);
            Ok(Denoised { denoised: &x * 0.5, uncond: &x * 0.25 })
        };
        let Denoised { denoised, uncond } = cache.guided(&x, 0.5, &mut compute).unwrap();
        [denoised, uncond].map(|tensor| (tensor.double_value(&[0, 0, 0, 0]) * 1e4).round() / 1e4)
    };
    assert_eq!([step(1.0), step(0.9)], [[0.5, 0.25], [0.45, 0.225]]);
    // The last denoised latent was 0.45 below its state; uncond is the last one.
    assert_eq!((step(0.85), asked.get()), ([0.4, 0.225], 2));
}
