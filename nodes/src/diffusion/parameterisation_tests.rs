use super::*;

/// Equal within 8 roundings of float32. A level is a square root, or exp(x) with |x| < 2.7; log and exp differ in the last bit
/// between libtorch's kernels for different CPUs, and exp multiplies the rounding of x by x.
#[track_caller]
fn near(found: impl Into<f64>, expected: f64) {
    let found = found.into();
    assert!((found - expected).abs() <= 8.0 * f64::from(f32::EPSILON) * expected, "{found}, not {expected}");
}

#[test]
fn sigmas_of_sd15() {
    let sampling = Parameterisation::sd15();
    assert_eq!(sampling.sigmas().len(), 1000);
    near(sampling.sigma_min(), 0.029_167_159);
    near(sampling.sigma_max(), 14.614_641);
    near(sampling.sigmas()[499], 1.6128862);
    near(sampling.sigmas()[998], 14.526276);
}

#[test]
fn timestep_is_nearest_in_log_sigma() {
    let sampling = Parameterisation::sd15();
    for (index, &sigma) in sampling.sigmas().iter().enumerate() {
        assert_eq!(sampling.timestep(sigma), index as f32);
    }
    assert_eq!(sampling.timestep(1000.0), 999.0);
    assert_eq!(sampling.timestep(1e-9), 0.0);
}

#[test]
fn sigma_between_timesteps() {
    let sampling = Parameterisation::sd15();
    let at = |t: f32| sampling.sigma_at(&Tensor::from_slice(&[t])).double_value(&[0]) as f32;
    near(at(499.5), 1.6155803);
    assert_eq!(at(-3.0), at(0.0));
    assert_eq!(at(5000.0), at(999.0));
}

#[test]
fn percent_to_sigma() {
    let sampling = Parameterisation::sd15();
    assert_eq!(sampling.percent_to_sigma(0.0), 999_999_999.9);
    assert_eq!(sampling.percent_to_sigma(1.0), 0.0);
    near(sampling.percent_to_sigma(0.37), 2.5423052310943604);
    for (percent, sigma) in [(0.2, 5.092408), (0.5, 1.61558), (0.8, 0.571189)] {
        assert!((sampling.percent_to_sigma(percent) - sigma).abs() < 1e-6 * sigma);
    }
}

#[test]
fn zero_terminal_snr_ends_almost_at_pure_noise() {
    let sampling = Parameterisation::discrete(Prediction::Velocity, true);
    assert!((sampling.sigma_max() - 4518.76).abs() < 0.1, "{}", sampling.sigma_max());
    assert!((sampling.sigma_min() - 0.0291672).abs() < 1e-6);
}

#[test]
fn velocity_and_sample_recover_the_clean_latent() {
    // clean + σ·noise, with the outputs that a perfect network would give.
    let (clean, noise, sigma) = (0.7f64, -1.3f64, 2.5f32);
    let x = Tensor::from_slice(&[clean + f64::from(sigma) * noise]);
    let scale = f64::from(sigma * sigma + 1.0).sqrt();
    let velocity = (noise - f64::from(sigma) * clean) / scale;
    for (prediction, output) in
        [(Prediction::Epsilon, noise), (Prediction::Velocity, velocity), (Prediction::Sample, clean)]
    {
        let sampling = Parameterisation::discrete(prediction, false);
        let denoised = sampling.denoised(&x, sigma, &Tensor::from_slice(&[output]));
        assert!((denoised.double_value(&[0]) - clean).abs() < 1e-6, "{prediction:?}");
    }
}

#[test]
fn full_noise_is_scaled_to_unit_input() {
    let sampling = Parameterisation::sd15();
    let (zero, one) = (Tensor::from_slice(&[0f32]), Tensor::from_slice(&[1f32]));
    let highest = sampling.sigma_max();
    let input = sampling.scaled_input(&sampling.noised(&zero, &one, highest), highest);
    assert_eq!(input.double_value(&[0]), 1.0);
    assert_eq!(sampling.noised(&one, &one, 2.0).double_value(&[0]), 3.0);
}
