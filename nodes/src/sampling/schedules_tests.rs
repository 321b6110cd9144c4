#![allow(clippy::unwrap_used)]
use super::*;

/// FNV-1a of the bytes of all values, to hold whole lists against the reference's bit for bit.
fn digest<'a>(values: impl IntoIterator<Item = &'a [f32]>) -> u64 {
    let bytes = values.into_iter().flatten().flat_map(|value| value.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn levels(name: &str, steps: usize) -> Vec<f32> {
    Schedule::named(name).unwrap().levels(&Parameterisation::sd15(), steps).unwrap().0
}

#[test]
fn trained_levels_are_comfyuis_bit_for_bit() {
    let sampling = Parameterisation::sd15();
    assert_eq!(digest([sampling.sigmas()]), 0x2b7b_4ae2_df88_63bc);
    let rescaled = Parameterisation::discrete(crate::diffusion::parameterisation::Prediction::Velocity, true);
    assert_eq!(digest([rescaled.sigmas()]), 0xbcec_647f_b204_b244);
}

#[test]
fn levels_between_timesteps_fall_on_comfyuis_timestep() {
    // σ(t) at every half timestep, and back: those at .5 lie on the border between two.
    let sampling = Parameterisation::sd15();
    let halves: Vec<f32> = (0..1999).map(|t| t as f32 / 2.0).collect();
    let sigmas = to_vec(&sampling.sigma_at(&Tensor::from_slice(&halves)));
    let timesteps = sigmas.iter().map(|&sigma| sampling.timestep(sigma) as i32);
    let bytes = timesteps.flat_map(i32::to_le_bytes);
    let hash: u64 =
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(hash, 0x5d6a_0293_f966_38ae);
}

#[test]
fn percent_to_sigma_is_comfyuis_bit_for_bit() {
    let sampling = Parameterisation::sd15();
    let bytes = (0..=100).flat_map(|i| sampling.percent_to_sigma(f64::from(i) / 100.0).to_le_bytes());
    let hash: u64 =
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    assert_eq!(hash, 0x7f24_ec6b_4b5d_daba);
}

#[test]
fn schedules_are_comfyuis_bit_for_bit() {
    // Digests of ComfyUI 0.8.0's lists for 2 to 60, 100, 300 and 1000 steps, one after the other.
    let expected = [
        ("simple", 0x8c90_91a2_336f_4b30),
        ("sgm_uniform", 0x2571_7a27_a254_d9a9),
        ("karras", 0x3c9a_79e0_b087_eac2),
        ("exponential", 0x4742_bee9_ddaf_5413),
        ("ddim_uniform", 0xb5d9_f1d9_5162_8016),
        ("beta", 0xfe59_25e1_7068_ff9d),
        ("normal", 0xaca2_b805_86fc_8c06),
        ("linear_quadratic", 0x9782_95f0_34fd_fc82),
        ("kl_optimal", 0x4f52_ddc1_7e48_cb21),
    ];
    let names: Vec<_> = SCHEDULES.iter().map(|schedule| schedule.name).collect();
    assert_eq!(names, expected.map(|(name, _)| name));
    let mut wrong = Vec::new();
    for (name, expected) in expected {
        let lists: Vec<Vec<f32>> = (2..=60).chain([100, 300, 1000]).map(|steps| levels(name, steps)).collect();
        if digest(lists.iter().map(Vec::as_slice)) != expected {
            wrong.push(name);
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn four_steps() {
    let expected: [(&str, &[f64]); 9] = [
        ("simple", &[14.6146, 4.08173, 1.61289, 0.693205, 0.0]),
        ("sgm_uniform", &[14.6146, 4.08608, 1.61558, 0.69515, 0.0]),
        ("normal", &[14.6146, 2.91831, 0.932358, 0.0291672, 0.0]),
        ("karras", &[14.6146, 3.1686, 0.446919, 0.0291672, 0.0]),
        ("exponential", &[14.6146, 1.84002, 0.231664, 0.0291672, 0.0]),
        ("ddim_uniform", &[4.1167, 1.62369, 0.698398, 0.0413144, 0.0]),
        ("beta", &[14.6146, 5.68659, 1.61828, 0.515391, 0.0]),
        ("linear_quadratic", &[14.6146, 14.432, 14.2493, 10.5956, 0.0]),
        ("kl_optimal", &[14.6146, 1.59707, 0.572914, 0.0291672, 0.0]),
    ];
    for (name, expected) in expected {
        let levels = levels(name, 4);
        assert_eq!(levels.len(), expected.len(), "{name}");
        for (level, expected) in levels.iter().zip(expected) {
            assert!((f64::from(*level) - expected).abs() <= 5e-6 * expected, "{name}: {levels:?}");
        }
    }
}

#[test]
fn one_step() {
    for schedule in SCHEDULES {
        let levels = levels(schedule.name, 1);
        assert_eq!((levels.len(), levels[1]), (2, 0.0), "{}", schedule.name);
        match schedule.name {
            "kl_optimal" => assert!(levels[0].is_nan()),
            "ddim_uniform" => assert_eq!(levels[0], 0.041_314_412),
            _ => assert!((levels[0] - 14.61464).abs() < 4e-6, "{}: {}", schedule.name, levels[0]),
        }
    }
}

#[test]
fn some_schedules_have_their_own_length() {
    assert_eq!((levels("ddim_uniform", 7).len(), levels("ddim_uniform", 30).len()), (9, 32));
    assert_eq!(levels("beta", 300).len(), 294);
    assert_eq!(levels("beta", 2000).last(), Some(&0.0));
}

fn for_ksampler(name: &str, steps: usize, denoise: f64, discard: bool) -> Vec<f32> {
    let sampling = Parameterisation::sd15();
    Schedule::named(name).unwrap().for_ksampler(&sampling, steps, denoise, discard).unwrap().0
}

#[test]
fn denoise_runs_the_end_of_a_longer_schedule() {
    let half = for_ksampler("normal", 20, 0.5, false);
    assert_eq!((half.len(), half[0]), (21, 1.548_160_1));
    let third = for_ksampler("karras", 10, 0.3, false);
    assert_eq!((third.len(), third[0]), (11, 0.311_066_96));
    assert_eq!(for_ksampler("normal", 3, 0.9, false), levels("normal", 3));
    assert_eq!(for_ksampler("normal", 3, 0.99995, false), levels("normal", 3));
    assert_eq!(for_ksampler("normal", 3, 0.0, false), [0f32; 0]);
    assert_eq!(for_ksampler("normal", 3, -1.0, false), [0f32; 0]);
}

#[test]
fn the_penultimate_level_is_discarded() {
    let levels = for_ksampler("normal", 4, 1.0, true);
    assert_eq!(levels, [14.614_64, 4.086_081, 1.615_580_3, 0.695_149_54, 0.0]);
    assert_eq!(for_ksampler("karras", 1, 1.0, true).len(), 2);
}

#[test]
fn basic_scheduler_cuts_to_the_steps() {
    let sampling = Parameterisation::sd15();
    let schedule = Schedule::named("ddim_uniform").unwrap();
    assert_eq!(schedule.basic(&sampling, 7, 1.0).unwrap().0, levels("ddim_uniform", 7)[1..]);
    assert_eq!(schedule.basic(&sampling, 7, 0.0).unwrap(), Sigmas::default());
    let karras = Schedule::named("karras").unwrap().basic(&sampling, 20, 0.3).unwrap();
    assert_eq!(karras.0, levels("karras", 66)[46..]);
}

#[test]
fn settings_that_make_no_schedule_are_refused() {
    let sampling = Parameterisation::sd15();
    let schedule = Schedule::named("simple").unwrap();
    assert!(schedule.levels(&sampling, 0).is_err());
    assert!(schedule.for_ksampler(&sampling, 20, f64::NAN, false).is_err());
    let message = schedule.for_ksampler(&sampling, 20, 1e-9, false).unwrap_err().to_string();
    assert!(message.contains("use a larger denoise or fewer steps"), "{message}");
    let message = Schedule::named("kerras").unwrap_err().to_string();
    assert!(message.starts_with("no scheduler is called \"kerras\": use one of simple, sgm_uniform,"), "{message}");
}

#[test]
fn windows_of_a_schedule() {
    let sigmas = Sigmas(vec![4.0, 3.0, 2.0, 1.0, 0.0]);
    let cut = |start, end, force| window(&sigmas, start, end, force).map(|sigmas| sigmas.0);
    assert_eq!(cut(None, None, true), Some(sigmas.0.clone()));
    assert_eq!(cut(Some(0), Some(10000), true), Some(sigmas.0.clone()));
    assert_eq!(cut(Some(1), Some(3), false), Some(vec![3.0, 2.0, 1.0]));
    assert_eq!(cut(Some(1), Some(3), true), Some(vec![3.0, 2.0, 0.0]));
    assert_eq!(cut(Some(3), None, false), Some(vec![1.0, 0.0]));
    assert_eq!(cut(Some(4), None, false), None);
    assert_eq!(cut(Some(2), Some(2), false), None);
    assert_eq!(cut(Some(0), Some(0), true), None);
    assert_eq!(cut(Some(usize::MAX), Some(usize::MAX), false), None);
}
