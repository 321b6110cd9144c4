#![allow(clippy::unwrap_used)]
use std::cell::RefCell;

use super::*;
use crate::values::{Area, Conditioning, Entry};
use tch::Device;

/// Answers with the mean of each image's text, so that the denoised latent is x − σ·mean; keeps what it was given.
#[derive(Default)]
struct Texts {
    calls: RefCell<Vec<Call>>,
}

/// Shape of the input, shape of the texts, mean of each text.
type Call = (Vec<i64>, Vec<i64>, Vec<f64>);

impl Network for Texts {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let Inputs { x, timestep, context, .. } = *inputs;
        let mean = context.mean_dim([1i64, 2].as_slice(), false, Kind::Float);
        let means = (0..mean.size()[0]).map(|i| mean.double_value(&[i])).collect();
        assert_eq!(timestep.size(), [x.size()[0]]);
        self.calls.borrow_mut().push((x.size(), context.size(), means));
        Ok(x.zeros_like() + mean.view([-1, 1, 1, 1]))
    }
}

fn text(value: f64, tokens: i64) -> Tensor {
    Tensor::full([1, tokens, 8], value, (Kind::Float, Device::Cpu))
}

fn regions(entries: Vec<Entry>) -> Vec<Region> {
    Region::resolve_all(&Conditioning(entries), (16, 16), Device::Cpu, &Parameterisation::sd15()).unwrap()
}

fn plain(value: f64) -> Vec<Region> {
    regions(vec![Entry::new(text(value, 77))])
}

/// The predictions at σ = 1 of an all-zero state, negated: the weighted means of the texts.
fn predict(network: &Texts, lists: [&[Region]; 2], batching: Batching, batch: i64) -> [Tensor; 2] {
    let sampling = Parameterisation::sd15();
    let x = Tensor::zeros([batch, 4, 16, 16], (Kind::Float, Device::Cpu));
    let prompts = Prompts { network, sampling: &sampling, batching, windowed: None, reuse: None };
    prompts.predict(lists, &x, 1.0, &[]).unwrap().map(|prediction| prediction.neg())
}

fn at(tensor: &Tensor, y: i64, x: i64) -> f64 {
    tensor.double_value(&[0, 0, y, x])
}

#[test]
fn the_usual_pair_is_one_batch_with_the_negative_first() {
    let network = Texts::default();
    let [cond, uncond] = predict(&network, [&plain(2.0), &plain(3.0)], Batching::Together, 2);
    assert_eq!((at(&cond, 0, 0), at(&uncond, 0, 0)), (2.0, 3.0));
    assert_eq!(*network.calls.borrow(), [(vec![4, 4, 16, 16], vec![4, 77, 8], vec![3.0, 3.0, 2.0, 2.0])]);
}

#[test]
fn separate_calls_give_the_same() {
    let network = Texts::default();
    let [cond, uncond] = predict(&network, [&plain(2.0), &plain(3.0)], Batching::Separate, 1);
    assert_eq!((at(&cond, 0, 0), at(&uncond, 0, 0)), (2.0, 3.0));
    assert_eq!(network.calls.borrow().len(), 2);
}

fn guided(cfg: f64, always_negative: bool) -> (f64, f64, usize) {
    let (network, sampling) = (Texts::default(), Parameterisation::sd15());
    let mut guidance = Guidance {
        prompts: Prompts {
            network: &network,
            sampling: &sampling,
            batching: Batching::Together,
            windowed: None,
            reuse: None,
        },
        rule: Rule::Cfg { cfg },
        lists: vec![plain(2.0), plain(3.0)],
        hooks: &Hooks::default(),
        always_negative,
        ready: &|_, _| Ok(Vec::new()),
        on_step: &mut |_, _, _| Ok(()),
    };
    let x = Tensor::zeros([1, 4, 16, 16], (Kind::Float, Device::Cpu));
    let result = guidance.denoise(&x, 1.0).unwrap();
    let batch = network.calls.borrow()[0].0[0];
    (at(&result.denoised, 0, 0), at(&result.uncond, 0, 0), batch as usize)
}

#[test]
fn guidance_extrapolates_and_skips_the_negative_at_one() {
    assert_eq!(guided(8.0, false), (-3.0 + (-2.0 + 3.0) * 8.0, -3.0, 2));
    assert_eq!(guided(1.0, false), (-2.0, 0.0, 1));
    assert_eq!(guided(1.0, true), (-2.0, -3.0, 2));
    assert_eq!(guided(0.0, false), (-3.0, -3.0, 2));
}

#[test]
fn entries_are_averaged_by_weight() {
    let weighted = |value: f64, strength: f64| Entry { strength: Some(strength), ..Entry::new(text(value, 77)) };
    let positive = regions(vec![weighted(1.0, 1.0), weighted(4.0, 2.0)]);
    let [cond, _] = predict(&Texts::default(), [&positive, &[]], Batching::Together, 1);
    assert!((at(&cond, 5, 5) - 3.0).abs() < 1e-6);
}

#[test]
fn areas_are_evaluated_on_their_crop() {
    let area = Area::Latent { height: 16, width: 4, y: 0, x: 0 };
    let positive = regions(vec![Entry { area: Some(area), ..Entry::new(text(5.0, 77)) }]);
    let network = Texts::default();
    let [cond, _] = predict(&network, [&positive, &[]], Batching::Together, 1);
    assert_eq!((at(&cond, 3, 3), at(&cond, 3, 4)), (5.0, 0.0));
    assert_eq!(network.calls.borrow()[0].0, [1, 4, 16, 4]);
}

#[test]
fn masks_weigh_and_default_fills_the_rest() {
    let mask = Tensor::zeros([16, 16], (Kind::Float, Device::Cpu));
    let _ = mask.narrow(1, 0, 8).fill_(1.0);
    let entries = vec![
        Entry { default: true, ..Entry::new(text(7.0, 77)) },
        Entry { mask: Some(mask), ..Entry::new(text(5.0, 77)) },
    ];
    let [cond, _] = predict(&Texts::default(), [&regions(entries), &[]], Batching::Together, 1);
    assert_eq!((at(&cond, 0, 7), at(&cond, 0, 8)), (5.0, 7.0));
}

#[test]
fn nothing_is_evaluated_outside_the_time_range() {
    let entry = Entry { start_percent: Some(0.9), ..Entry::new(text(5.0, 77)) };
    let network = Texts::default();
    let [cond, _] = predict(&network, [&regions(vec![entry]), &[]], Batching::Together, 1);
    assert_eq!(at(&cond, 0, 0), 0.0);
    assert!(network.calls.borrow().is_empty());
}

#[test]
fn texts_of_unequal_length_are_repeated_to_a_common_one() {
    let network = Texts::default();
    let (short, long) = (plain(2.0), regions(vec![Entry::new(text(3.0, 154))]));
    let _ = predict(&network, [&short, &long], Batching::Together, 1);
    assert_eq!(network.calls.borrow()[0].1, [2, 154, 8]);
    let far_longer = regions(vec![Entry::new(text(3.0, 77 * 5))]);
    let _ = predict(&network, [&short, &far_longer], Batching::Together, 1);
    assert_eq!(network.calls.borrow().len(), 3);
}

#[test]
fn sigmas_that_are_no_noise_level_are_refused() {
    let (network, sampling) = (Texts::default(), Parameterisation::sd15());
    let prompts =
        Prompts { network: &network, sampling: &sampling, batching: Batching::Together, windowed: None, reuse: None };
    let x = Tensor::zeros([1, 4, 8, 8], (Kind::Float, Device::Cpu));
    for sigma in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(prompts.predict([&[]], &x, sigma, &[]).is_err());
    }
}
