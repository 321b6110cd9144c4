#![allow(clippy::unwrap_used)]
use super::*;

fn levels(name: &str, steps: usize) -> Vec<f32> {
    Schedule::named(name).unwrap().levels(&Parameterisation::sd15(), steps).unwrap().0
}

/// How far a level may be off, relative to it: 16 roundings of float32. Most levels are exp(x) with |x| < 3.6 or x^7 of an x that
/// was rounded, which multiplies its rounding by up to 7, and libtorch's kernels for other CPUs round x, exp and pow otherwise.
const ROUNDING: f32 = 16.0 * f32::EPSILON;

#[track_caller]
fn near(found: &[f32], expected: &[f32]) {
    let same = |(found, expected): (&f32, &f32)| (found - expected).abs() <= ROUNDING * expected;
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(same), "{found:?}, not {expected:?}");
}

/// A level on the border between two timesteps falls on either: which, the last bit decides.
#[test]
fn levels_fall_on_their_timesteps() {
    let sampling = Parameterisation::sd15();
    let halves: Vec<f32> = (0..1999).map(|t| t as f32 / 2.0).collect();
    let sigmas = to_vec(&sampling.sigma_at(&Tensor::from_slice(&halves)));
    for (half, sigma) in halves.iter().zip(sigmas) {
        let found = sampling.timestep(sigma);
        assert!(found == half.floor() || found == half.ceil(), "{half}: {found}");
    }
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
            "ddim_uniform" => near(&levels[..1], &[0.041_314_412]),
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
    assert_eq!(half.len(), 21);
    near(&half[..1], &[1.548_160_1]);
    let third = for_ksampler("karras", 10, 0.3, false);
    assert_eq!(third.len(), 11);
    near(&third[..1], &[0.311_066_96]);
    assert_eq!(for_ksampler("normal", 3, 0.9, false), levels("normal", 3));
    assert_eq!(for_ksampler("normal", 3, 0.99995, false), levels("normal", 3));
    assert_eq!(for_ksampler("normal", 3, 0.0, false), [0f32; 0]);
    assert_eq!(for_ksampler("normal", 3, -1.0, false), [0f32; 0]);
}

#[test]
fn the_penultimate_level_is_discarded() {
    let levels = for_ksampler("normal", 4, 1.0, true);
    near(&levels, &[14.614_64, 4.086_081, 1.615_580_3, 0.695_149_54, 0.0]);
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
