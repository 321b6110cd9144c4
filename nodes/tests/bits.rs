//! Noise and noise levels in every bit, as ComfyUI 0.8.0 gives them on a CPU with AVX-512.
//!
//! libtorch's log, exp, pow and cos round otherwise in the kernels for other CPUs, and what ComfyUI gives there differs as well.
//! There these tests count as ignored; the tests beside the code hold the same numbers within that rounding on every CPU.
#![allow(clippy::unwrap_used)]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use redraft_nodes::diffusion::parameterisation::{Parameterisation, Prediction};
use redraft_nodes::ops::noise::randn;
use redraft_nodes::sampling::schedules::{SCHEDULES, Schedule};
use tch::Tensor;

/// What a test does.
type Check = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let tests: [(&str, Check); 5] = [
        ("noise", noise),
        ("trained_levels", trained_levels),
        ("levels_between_timesteps_fall_on_comfyuis_timestep", levels_between_timesteps),
        ("percent_to_sigma", percent_to_sigma),
        ("schedules", schedules),
    ];
    let elsewhere = !uses_avx512();
    let trials = tests.map(|(name, test)| Trial::test(name, test).with_ignored_flag(elsewhere));
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// Whether libtorch takes its kernels for AVX-512: if the CPU has it and the environment does not ask for others.
fn uses_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    has && !std::env::var("ATEN_CPU_CAPABILITY").is_ok_and(|asked| asked != "avx512")
}

/// FNV-1a of bytes.
fn digest(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn digest_of<'a>(values: impl IntoIterator<Item = &'a f32>) -> u64 {
    digest(values.into_iter().flat_map(|value| value.to_le_bytes()))
}

fn expect(what: &str, found: u64, expected: u64) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:#x}, not {expected:#x}").into()) }
}

fn noise() -> Result<(), Failed> {
    let values: Vec<f32> = randn(42, &[1, 4, 64, 64]).flatten(0, -1).try_into()?;
    let first = [1.926_915_3, 1.487_284_1, 0.900_717_2, -2.105_521, 0.678_418_46];
    expect("the first values of seed 42", digest_of(&values[..5]), digest_of(&first))
}

fn trained_levels() -> Result<(), Failed> {
    expect("plain", digest_of(Parameterisation::sd15().sigmas()), 0x2b7b_4ae2_df88_63bc)?;
    let rescaled = Parameterisation::discrete(Prediction::Velocity, true);
    expect("zero terminal SNR", digest_of(rescaled.sigmas()), 0xbcec_647f_b204_b244)
}

/// σ(t) at every half timestep, and back: those at .5 lie on the border between two.
fn levels_between_timesteps() -> Result<(), Failed> {
    let sampling = Parameterisation::sd15();
    let halves: Vec<f32> = (0..1999).map(|t| t as f32 / 2.0).collect();
    let sigmas: Vec<f32> = sampling.sigma_at(&Tensor::from_slice(&halves)).try_into()?;
    let timesteps = sigmas.iter().map(|&sigma| sampling.timestep(sigma) as i32);
    expect("timesteps", digest(timesteps.flat_map(i32::to_le_bytes)), 0x5d6a_0293_f966_38ae)
}

fn percent_to_sigma() -> Result<(), Failed> {
    let sampling = Parameterisation::sd15();
    let levels = (0..=100).map(|percent| sampling.percent_to_sigma(f64::from(percent) / 100.0));
    expect("levels", digest(levels.flat_map(f64::to_le_bytes)), 0x7f24_ec6b_4b5d_daba)
}

/// Each schedule's lists for 2 to 60, 100, 300 and 1000 steps, one after the other.
fn schedules() -> Result<(), Failed> {
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
    let sampling = Parameterisation::sd15();
    for (name, expected) in expected {
        let schedule = Schedule::named(name)?;
        let steps = (2..=60).chain([100, 300, 1000]);
        let lists = steps.map(|steps| schedule.levels(&sampling, steps)).collect::<Result<Vec<_>, _>>()?;
        expect(name, digest_of(lists.iter().flat_map(|list| &list.0)), expected)?;
    }
    Ok(())
}
