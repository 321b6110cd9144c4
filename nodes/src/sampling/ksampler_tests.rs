#![allow(clippy::unwrap_used)]
use std::rc::Rc;

use super::*;
use crate::diffusion::extra_conds::{CHANNELS, ExtraCond, ExtraConds};
use crate::diffusion::latent_format::SD15;
use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::parameterisation::Parameterisation;
use crate::sampling::hooks::Hooks;
use crate::values::Entry;

/// A smooth function of everything that it is given, near enough to a noise prediction. The golden values below are
/// ComfyUI's with the same function in place of the UNet.
pub(super) struct Toy;

/// What inpainting models show for no mask.
const GREY: [f32; 4] = [0.8223, -0.6876, 0.6364, 0.1380];

impl Network for Toy {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let Inputs { x, timestep, context, .. } = *inputs;
        let (state, channels) = (x.narrow(1, 0, 4), x.size()[1]);
        let text = context.mean_dim([1i64, 2].as_slice(), false, Kind::Float).view([-1, 1, 1, 1]);
        let output = &state * 0.95 + (&state * 1.3 + text).sin() * 0.1 + state.roll([1], [-1]) * 0.05;
        let output = output + timestep.view([-1, 1, 1, 1]) * 1e-4;
        if channels == 4 {
            return Ok(output);
        }
        Ok(output + x.narrow(1, 4, channels - 4).mean_dim([1i64].as_slice(), true, Kind::Float) * 0.1)
    }
}

pub(super) fn text(value: f64) -> Conditioning {
    Conditioning(vec![Entry::new(Tensor::full([1, 77, 8], value, (Kind::Float, Device::Cpu)))])
}

fn zeros(batch: i64) -> Latent {
    Latent::new(Tensor::zeros([batch, 4, 8, 8], (Kind::Float, Device::Cpu)))
}

pub(super) struct Setting {
    /// Whether the model is shown a mask and a masked latent.
    pub(super) inpainting: bool,
    pub(super) steps: usize,
    pub(super) cfg: f64,
    pub(super) positive: Conditioning,
    pub(super) negative: Conditioning,
    pub(super) sampler: &'static str,
    pub(super) schedule: &'static str,
    pub(super) latent: Latent,
    pub(super) seed: u64,
    pub(super) denoise: f64,
    pub(super) add_noise: bool,
    pub(super) window: (Option<usize>, Option<usize>),
    pub(super) force_full_denoise: bool,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            inpainting: false,
            steps: STEPS,
            cfg: 3.0,
            positive: text(0.5),
            negative: text(-0.25),
            sampler: "euler",
            schedule: "normal",
            latent: zeros(1),
            seed: 5,
            denoise: 1.0,
            add_noise: true,
            window: (None, None),
            force_full_denoise: false,
        }
    }
}

const STEPS: usize = 6;

pub(super) fn run(setting: Setting) -> Result<Latent> {
    let _guard = tch::no_grad_guard();
    let request = SampleRequest {
        seed: setting.seed,
        steps: setting.steps,
        cfg: setting.cfg,
        sampler: Sampler::named(setting.sampler)?,
        schedule: Schedule::named(setting.schedule)?,
        positive: setting.positive,
        negative: setting.negative,
        latent: setting.latent,
        denoise: setting.denoise,
        add_noise: setting.add_noise,
        start_at_step: setting.window.0,
        end_at_step: setting.window.1,
        force_full_denoise: setting.force_full_denoise,
        batching: Batching::Together,
    };
    sample(&toy(setting.inpainting), &request, &mut |_, _, _| Ok(()))
}

fn toy(inpainting: bool) -> ReadyModel {
    ReadyModel {
        network: Rc::new(Toy),
        sampling: Rc::new(Parameterisation::sd15()),
        latent_format: &SD15,
        extra_conds: Box::new(move |prompt| {
            let conds = ExtraConds::default();
            if !inpainting {
                return Ok(conds);
            }
            Ok(conds.with(CHANNELS, ExtraCond::Planes(prompt.masked_latent(&GREY)?)))
        }),
        controls: Box::new(|_| anyhow::bail!("nothing steers it")),
        grounders: Box::new(|_| anyhow::bail!("nothing grounds it")),
        hooks: Hooks::default(),
    }
}

fn difference(a: &Latent, b: &Latent) -> f64 {
    (&a.samples - &b.samples).abs().max().double_value(&[])
}

#[test]
fn a_divided_run_gives_what_the_whole_one_gives() {
    let whole = run(Setting::default()).unwrap();
    assert!(whole.samples.abs().max().double_value(&[]) > 0.5);
    for cut in 0..=STEPS {
        let first = run(Setting { window: (Some(0), Some(cut)), ..Setting::default() }).unwrap();
        // A first half without steps returns the latent without noise, so the second must add it.
        let second =
            Setting { window: (Some(cut), Some(10000)), add_noise: cut == 0, latent: first, ..Setting::default() };
        let second = run(second).unwrap();
        assert!(difference(&whole, &second) < 1e-5, "cut at {cut}: {}", difference(&whole, &second));
    }
}

/// What a run divided at each step gives, as a distance from the whole one.
fn divided(sampler: &'static str) -> Vec<f64> {
    let setting = || Setting { sampler, ..Setting::default() };
    let whole = run(setting()).unwrap();
    let second = |cut: usize| {
        let first = run(Setting { window: (Some(0), Some(cut)), ..setting() }).unwrap();
        let rest = Setting { window: (Some(cut), None), add_noise: false, latent: first, ..setting() };
        difference(&whole, &run(rest).unwrap())
    };
    (1..STEPS).map(second).collect()
}

/// A method that looks at one step only does not notice where it was divided.
#[test]
fn single_step_methods_can_be_divided_anywhere() {
    for sampler in ["euler", "ddim", "heun", "exp_heun_2_x0"] {
        let apart = divided(sampler);
        assert!(apart.iter().all(|apart| *apart < 1e-5), "{sampler}: {apart:?}");
    }
}

/// One that looks back has nothing to look back at after the division.
#[test]
fn multistep_methods_cannot() {
    for sampler in ["dpmpp_2m", "lms", "ipndm", "deis", "res_multistep", "gradient_estimation"] {
        let apart = divided(sampler);
        assert!(apart.iter().any(|apart| *apart > 1e-4), "{sampler}: {apart:?}");
    }
}

#[test]
fn a_start_behind_the_end_and_no_denoise_return_the_latent() {
    let latent = Latent::new(Tensor::full([1, 4, 8, 8], 0.3, (Kind::Float, Device::Cpu)));
    for (window, denoise) in [((Some(STEPS), None), 1.0), ((Some(99), Some(10000)), 1.0), ((None, None), 0.0)] {
        let result = run(Setting { window, denoise, latent: latent.clone(), ..Setting::default() }).unwrap();
        assert_eq!(result.samples, latent.samples);
    }
}

#[test]
fn an_early_end_keeps_noise_unless_it_is_forced_to_clean() {
    let kept = run(Setting { window: (Some(0), Some(3)), ..Setting::default() }).unwrap();
    let forced = Setting { window: (Some(0), Some(3)), force_full_denoise: true, ..Setting::default() };
    let forced = run(forced).unwrap();
    let spread = |latent: &Latent| latent.samples.std(true).double_value(&[]);
    assert!(spread(&kept) > 1.5 * spread(&forced), "{} {}", spread(&kept), spread(&forced));
}

#[test]
fn only_the_low_32_bits_of_the_seed_count_for_the_initial_noise() {
    let at = |seed| run(Setting { seed, ..Setting::default() }).unwrap();
    assert_eq!(at(7).samples, at(7 + (1 << 32)).samples);
    assert_ne!(at(7).samples, at(8).samples);
    assert!(run(Setting { seed: u64::MAX, sampler: "dpmpp_sde", ..Setting::default() }).is_ok());
}

#[test]
fn every_image_of_a_batch_is_what_it_would_be_alone() {
    let batch = run(Setting { latent: zeros(2), ..Setting::default() }).unwrap();
    let first = run(Setting::default()).unwrap();
    assert!((batch.samples.narrow(0, 0, 1) - &first.samples).abs().max().double_value(&[]) < 1e-6);
    let second = run(Setting { latent: Latent { batch_index: Some(vec![1]), ..zeros(1) }, ..Setting::default() });
    let second = second.unwrap();
    assert!((batch.samples.narrow(0, 1, 1) - &second.samples).abs().max().double_value(&[]) < 1e-6);
    assert_eq!(second.batch_index, Some(vec![1]));
}

#[test]
fn masked_out_parts_keep_the_latent() {
    let mask = Tensor::zeros([1, 64, 64], (Kind::Float, Device::Cpu));
    let _ = mask.narrow(2, 0, 32).fill_(1.0);
    let latent =
        Latent { noise_mask: Some(mask), ..Latent::new(Tensor::full([1, 4, 8, 8], 0.3, (Kind::Float, Device::Cpu))) };
    for sampler in ["euler", "ddim"] {
        let result = run(Setting { sampler, latent: latent.clone(), ..Setting::default() }).unwrap();
        let kept = (result.samples.narrow(3, 5, 3) - 0.3).abs().max().double_value(&[]);
        assert!(kept < 1e-6, "{sampler}: {kept}");
        assert!((result.samples.narrow(3, 0, 3) - 0.3).abs().max().double_value(&[]) > 0.1);
        assert!(result.noise_mask.is_some());
    }
}

#[test]
fn a_cancelled_run_ends_with_the_callers_error() {
    let mut calls = 0;
    let request = SampleRequest {
        seed: 0,
        steps: STEPS,
        cfg: 1.0,
        sampler: Sampler::named("euler").unwrap(),
        schedule: Schedule::named("karras").unwrap(),
        positive: text(0.5),
        negative: text(0.0),
        latent: zeros(1),
        denoise: 1.0,
        add_noise: true,
        start_at_step: None,
        end_at_step: None,
        force_full_denoise: false,
        batching: Batching::Separate,
    };
    let error = sample(&toy(false), &request, &mut |step, total, _| {
        calls += 1;
        ensure!(step < 2, "cancelled at step {step} of {total}");
        Ok(())
    });
    assert_eq!(error.unwrap_err().to_string(), "cancelled at step 2 of 6");
    assert_eq!(calls, 3);
}

#[test]
fn latents_that_do_not_fit_are_refused_and_empty_ones_fitted() {
    let ones = |shape: &[i64]| Latent::new(Tensor::ones(shape, (Kind::Float, Device::Cpu)));
    let message = |latent: Latent| run(Setting { latent, ..Setting::default() }).unwrap_err().to_string();
    assert_eq!(
        message(ones(&[1, 16, 8, 8])),
        "the latent has 16 channels and the model takes 4: use a latent made for this model"
    );
    assert!(message(ones(&[4, 8, 8])).contains("[4, 8, 8]"));
    assert!(message(ones(&[0, 4, 8, 8])).contains("not empty"));
    let two_indices = Latent { batch_index: Some(vec![0, 1]), ..zeros(1) };
    assert!(message(two_indices).contains("batch_index"));
    let empty = Latent::new(Tensor::zeros([1, 16, 8, 8], (Kind::Float, Device::Cpu)));
    let fitted = run(Setting { latent: empty, ..Setting::default() }).unwrap();
    assert_eq!(fitted.samples, run(Setting::default()).unwrap().samples);
}
