//! Whole runs against ComfyUI 0.8.0 on a CPU, with the toy network in place of the UNet: the first value, one near the
//! end, and the standard deviation of the sampled latent.
#![allow(clippy::unwrap_used)]
use super::tests::{Setting, run, text};
use crate::ops::noise::randn;
use crate::values::extras::{CONCAT_LATENT, CONCAT_MASK, Extras};
use crate::values::{Area, Conditioning, Entry, Latent};
use tch::{Device, Kind, Tensor};

fn check(name: &str, setting: Setting, expected: [f64; 3]) {
    let latent = run(setting).unwrap().samples;
    let size = latent.size();
    let near_end = latent.double_value(&[size[0] - 1, 2, size[2] - 2, 3]);
    let found = [latent.double_value(&[0, 0, 0, 0]), near_end, latent.std(true).double_value(&[])];
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-5 * expected.abs().max(1.0), "{name}: {found}, not {expected}");
    }
}

fn picture() -> Latent {
    Latent::new(randn(99, &[2, 4, 8, 8]))
}

fn eight() -> Setting {
    Setting { steps: 8, ..Setting::default() }
}

#[test]
fn samplers_on_a_picture() {
    for (sampler, expected) in
        [("dpmpp_sde", [1.177573, 1.228753, 2.169044]), ("seeds_3", [4.216184, -1.758646, 2.323000])]
    {
        let setting = Setting {
            sampler,
            latent: picture(),
            schedule: "karras",
            steps: 7,
            denoise: 0.6,
            cfg: 1.0,
            seed: (1 << 40) + 77,
            ..Setting::default()
        };
        check(sampler, setting, expected);
    }
}

#[test]
fn samplers_in_a_window() {
    for (sampler, expected) in
        [("uni_pc", [6.803344, -1.204786, 3.142480]), ("dpmpp_2m", [6.195606, -0.989964, 2.903166])]
    {
        let window = (Some(2), Some(7));
        let setting =
            Setting { sampler, latent: picture(), schedule: "exponential", steps: 9, window, ..Setting::default() };
        check(sampler, setting, expected);
    }
    let setting = Setting { latent: picture(), add_noise: false, window: (Some(3), Some(10000)), ..eight() };
    check("without added noise", setting, [-1.171594, -1.535297, 0.175626]);
    let setting = Setting { latent: picture(), force_full_denoise: true, window: (Some(0), Some(4)), ..eight() };
    check("forced to clean", setting, [6.293258, -3.244512, 2.071092]);
}

#[test]
fn samplers_from_nothing() {
    let setting = Setting { sampler: "dpmpp_2m_cfg_pp", ..eight() };
    check("dpmpp_2m_cfg_pp", setting, [15.381690, -5.695170, 6.216854]);
    let setting =
        Setting { sampler: "er_sde", schedule: "karras", steps: 30, seed: 123456789012345, ..Setting::default() };
    check("er_sde", setting, [-3.180976, -2.328407, 2.619210]);
    let sized =
        |batch, height, width| Latent::new(Tensor::zeros([batch, 4, height, width], (Kind::Float, Device::Cpu)));
    let latent = Latent { batch_index: Some(vec![2, 0, 2]), ..sized(3, 10, 7) };
    check("batch indices", Setting { latent, ..eight() }, [-2.598029, -3.284788, 2.662454]);
    let setting = Setting { latent: sized(2, 5, 7), sampler: "euler_ancestral", steps: 20, ..Setting::default() };
    check("odd size", setting, [1.617843, 2.237234, 2.079263]);
}

fn ramp() -> Tensor {
    Tensor::linspace(0.0, 1.0, 64 * 64, (Kind::Float, Device::Cpu)).reshape([1, 64, 64])
}

fn hole() -> Tensor {
    let mask = Tensor::zeros([1, 48, 32], (Kind::Float, Device::Cpu));
    let _ = mask.narrow(1, 10, 20).narrow(2, 6, 14).fill_(1.0);
    mask
}

#[test]
fn noise_masks() {
    for (sampler, expected) in [("ddim", [0.288026, -1.698639, 1.200463]), ("euler", [0.313614, -1.626522, 1.282813])] {
        let latent = Latent { noise_mask: Some(ramp()), ..picture() };
        check(sampler, Setting { sampler, latent, denoise: 0.8, ..eight() }, expected);
    }
}

#[test]
fn inpainting_checkpoints() {
    let setting = Setting { inpainting: true, latent: picture(), ..eight() };
    check("without mask", setting, [6.699145, -2.868121, 2.617410]);
    let positive = Conditioning(vec![Entry {
        extras: Extras::default().with(CONCAT_LATENT, randn(96, &[1, 4, 8, 8])).with(CONCAT_MASK, hole()),
        ..text(0.5).0.remove(0)
    }]);
    let latent = Latent { noise_mask: Some(ramp()), ..picture() };
    let setting = Setting { inpainting: true, latent, positive, ..eight() };
    check("with mask and picture", setting, [0.313881, -1.812616, 1.358850]);
}

#[test]
fn regions() {
    let entry = |value: f64| text(value).0.remove(0);
    let area = Area::Latent { height: 12, width: 8, y: 4, x: 8 };
    let masked = || Entry { mask: Some(hole()), mask_strength: Some(0.8), ..entry(0.5) };
    let timed =
        |value: f64, start: f64, end: f64| Entry { start_percent: Some(start), end_percent: Some(end), ..entry(value) };
    let cases = [
        (
            "area",
            vec![Entry { area: Some(area), strength: Some(0.7), ..entry(0.5) }, entry(0.1)],
            [4.681397, -12.874109, 2.260723],
        ),
        ("mask", vec![masked(), Entry { strength: Some(0.5), ..entry(0.1) }], [4.681397, -12.874109, 2.280085]),
        (
            "bounds",
            vec![Entry { set_area_to_bounds: Some(true), ..masked() }, entry(0.1)],
            [4.681397, -12.874109, 2.264029],
        ),
        ("default", vec![masked(), Entry { default: true, ..entry(0.9) }], [8.889373, -10.967386, 3.231720]),
        ("times", vec![timed(0.5, 0.0, 0.3), timed(0.9, 0.3, 1.0)], [7.668331, -12.226256, 2.883135]),
        ("combine", vec![entry(0.5), entry(0.1)], [5.694374, -12.739782, 2.394833]),
    ];
    let large = || Latent::new(randn(98, &[1, 4, 24, 16]));
    for (name, entries, expected) in cases {
        check(name, Setting { latent: large(), positive: Conditioning(entries), ..eight() }, expected);
    }
    let fraction = Area::Fraction { height: 0.45, width: 0.6, y: 0.3, x: 0.37 };
    let strip = Area::Latent { height: 24, width: 10, y: 0, x: 0 };
    let setting = Setting {
        latent: large(),
        positive: Conditioning(vec![Entry { area: Some(fraction), ..entry(0.5) }, entry(0.1)]),
        negative: Conditioning(vec![entry(-0.2), Entry { area: Some(strip), ..entry(0.3) }]),
        ..eight()
    };
    check("areas in both lists", setting, [3.896921, -12.778510, 2.273631]);
}
