//! DPM-Solver: Lu et al. (2022), arXiv:2206.00927, in noise prediction.

use anyhow::{Result, ensure};
use tch::{Device, Tensor};

use super::StepControl;
use super::run::SamplerRun;
use super::step::{ancestral_split, lambda, level, slope};
use crate::diffusion::real::Real;

/// The midpoint method with the middle at √(σσ'): DPM-Solver-2 in the manner of Karras et al. (2022). With `eta` above
/// 0 it steps to σ_down and adds noise.
pub(super) fn dpm_2(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    for (i, sigma, next) in run.steps() {
        let denoised = run.start_step(i, &x)?.denoised;
        let (down, up) = ancestral_split(sigma, next, p.eta);
        let d = slope(&x, sigma, &denoised);
        if down == 0.0 {
            x = &x + d * (down - sigma);
            continue;
        }
        let middle = level(lambda(sigma).lerp(lambda(down), 0.5));
        let x2 = &x + d * (middle - sigma);
        let d2 = slope(&x2, middle, &run.denoise(&x2, middle)?.denoised);
        x = &x + d2 * (down - sigma);
        if p.eta > 0.0 {
            x += run.draw(sigma, next)? * p.s_noise * up;
        }
    }
    Ok(x)
}

/// ε = (x − D)/σ at the time t = −ln σ.
fn epsilon(run: &mut SamplerRun, x: &Tensor, t: Real) -> Result<Tensor> {
    Ok(slope(x, level(t), &run.denoise(x, level(t))?.denoised))
}

/// DPM-Solver-1 from t over h, with ε at t.
fn first_order(x: &Tensor, t: Real, h: Real, e: &Tensor) -> Tensor {
    x - e * (level(t + h) * h.exp_m1())
}

/// DPM-Solver-2 from t to t', with ε at t and at t + r·h.
fn second_order(x: &Tensor, t: Real, next: Real, r: f64, e: &Tensor, e1: &Tensor) -> Tensor {
    let rise = (next - t).exp_m1();
    x - e * (level(next) * rise) - (e1 - e) * (level(next) / (2.0 * r) * rise)
}

/// DPM-Solver-3 from t to t' with inner points at 1/3 and 2/3; `e` and `e1` are ε at t and at the first of them.
fn third_order(run: &mut SamplerRun, x: &Tensor, t: Real, next: Real, e: &Tensor, e1: &Tensor) -> Result<Tensor> {
    let (r1, r2) = (1.0 / 3.0, 2.0 / 3.0);
    let h = next - t;
    let (inner, part) = (t + r2 * h, r2 * h);
    let curved = level(inner) * (r2 / r1) * (part.exp_m1() / part - 1.0);
    let u2 = x - e * (level(inner) * part.exp_m1()) - (e1 - e) * curved;
    let e2 = epsilon(run, &u2, inner)?;
    Ok(x - e * (level(next) * h.exp_m1()) - (e2 - e) * (level(next) / r2 * (h.exp_m1() / h - 1.0)))
}

/// ε at the first-order state at t + r·h, which the higher orders need.
fn inner_epsilon(run: &mut SamplerRun, x: &Tensor, t: Real, next: Real, r: f64, e: &Tensor) -> Result<Tensor> {
    let part = r * (next - t);
    epsilon(run, &first_order(x, t, part, e), t + part)
}

/// The first and the last level above 0, as times −ln σ. The methods below ignore the levels between.
fn time_range(sigmas: &[Real]) -> Result<(Real, Real)> {
    let (first, last) = match sigmas {
        [.., before, last] if *last == 0.0 => (sigmas[0], *before),
        [.., last] => (sigmas[0], *last),
        [] => anyhow::bail!("DPM-Solver needs sigmas, but there are none: give at least two"),
    };
    ensure!(
        first > 0.0 && last > 0.0,
        "DPM-Solver needs sigmas above 0 at both ends (a single 0 may follow), but they are {} and {}",
        first.value(),
        last.value()
    );
    Ok((lambda(first), lambda(last)))
}

/// DPM-Solver-fast: as many evaluations as steps, in equal intervals of −ln σ, mostly of order 3. It ends at the
/// lowest level above 0.
pub(super) fn dpm_fast(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let sigmas = run.sigmas;
    let (start, end) = time_range(sigmas)?;
    let budget = sigmas.len() - 1;
    let intervals = budget / 3 + 1;
    let order = |i: usize| match (budget % 3, intervals - i) {
        (0, 2) => 2,
        (0, 1) => 1,
        (rest, 1) => rest,
        _ => 3,
    };
    let times = Tensor::linspace(start, end, intervals as i64 + 1, (start.kind(), Device::Cpu));
    let time = |i: usize| Real::of(&times.get(i as i64));
    for i in 0..intervals {
        let (t, next) = (time(i), time(i + 1));
        let e = epsilon(run, &x, t)?;
        run.report(i, &(&x - &e * level(t)))?;
        x = match order(i) {
            1 => first_order(&x, t, next - t, &e),
            2 => {
                let e1 = inner_epsilon(run, &x, t, next, 0.5, &e)?;
                second_order(&x, t, next, 0.5, &e, &e1)
            }
            _ => {
                let e1 = inner_epsilon(run, &x, t, next, 1.0 / 3.0, &e)?;
                third_order(run, &x, t, next, &e, &e1)?
            }
        };
    }
    Ok(x)
}

/// The most steps that DPM-Solver-adaptive tries.
const MOST_ATTEMPTS: usize = 100_000;

/// DPM-Solver-12 or -23 with adaptive steps (appendix C of the paper): a step is accepted if the two orders agree. It
/// ends at the lowest level above 0.
pub(super) fn dpm_adaptive(run: &mut SamplerRun, mut x: Tensor) -> Result<Tensor> {
    let p = run.parameters;
    let sigmas = run.sigmas;
    ensure!(p.order == 2 || p.order == 3, "dpm_adaptive has order 2 or 3, not {}: choose one of them", p.order);
    let (mut t, end) = time_range(sigmas)?;
    let forward = end > t;
    ensure!(forward || p.eta == 0.0, "dpm_adaptive cannot add noise while sigmas rise: set eta to 0");
    let controlled_order = if p.eta > 0.0 { 1.5 } else { p.order as f64 };
    let mut controller = Controller::new(&p.control, controlled_order, forward);
    let mut x_low_before = x.shallow_clone();
    for attempt in 0..MOST_ATTEMPTS {
        if (forward && t >= end - 1e-5) || (!forward && t <= end + 1e-5) {
            return Ok(x);
        }
        let next = if forward { end.min(t + controller.h) } else { end.max(t + controller.h) };
        let (down, _) = ancestral_split(level(t), level(next), p.eta);
        let target = if p.eta > 0.0 { end.min(lambda(down)) } else { next };
        let e = epsilon(run, &x, t)?;
        let denoised = &x - &e * level(t);
        let (low, high) = both_orders(run, &x, t, target, p.order, &e)?;
        let tolerance = (low.abs().maximum(&x_low_before.abs()) * p.control.relative).clamp_min(p.control.absolute);
        let error = Real::of(&((&low - &high) / tolerance).norm()) / (x.numel() as f64).sqrt();
        ensure!(
            error.value().is_finite(),
            "dpm_adaptive found no step size at sigma {}: the model gave NaN",
            level(t).value()
        );
        if controller.accepts(error.value()) {
            x_low_before = low;
            x = high;
            if p.eta > 0.0 {
                let up = (level(next).powf(2.0) - level(target).powf(2.0)).powf(0.5);
                x += run.draw(level(t), level(next))? * (up * p.s_noise);
            }
            t = next;
        }
        run.report(attempt, &denoised)?;
    }
    anyhow::bail!("dpm_adaptive did not reach the end in {MOST_ATTEMPTS} attempts: use another sampler or tolerances")
}

/// A step computed in the order below the given one, and in the given order.
fn both_orders(
    run: &mut SamplerRun,
    x: &Tensor,
    t: Real,
    next: Real,
    order: usize,
    e: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let r = if order == 2 { 0.5 } else { 1.0 / 3.0 };
    let e1 = inner_epsilon(run, x, t, next, r, e)?;
    let second = second_order(x, t, next, r, e, &e1);
    if order == 2 {
        Ok((first_order(x, t, next - t, e), second))
    } else {
        Ok((second, third_order(run, x, t, next, e, &e1)?))
    }
}

/// A proportional-integral-derivative controller of the step size, as in diffrax and torchsde.
struct Controller {
    h: f64,
    powers: [f64; 3],
    safety: f64,
    /// Inverse errors of this attempt and of the last two accepted ones.
    inverse_errors: Option<[f64; 3]>,
}

impl Controller {
    fn new(control: &StepControl, order: f64, forward: bool) -> Controller {
        let StepControl { proportional: p, integral: i, derivative: d, .. } = *control;
        Controller {
            h: control.first_step.abs() * if forward { 1.0 } else { -1.0 },
            powers: [(p + i + d) / order, -(p + 2.0 * d) / order, d / order],
            safety: control.safety,
            inverse_errors: None,
        }
    }

    /// Whether a step with this error is accepted. Sets the next step size in any case.
    fn accepts(&mut self, error: f64) -> bool {
        let inverse = 1.0 / (error + 1e-8);
        let [_, one, two] = self.inverse_errors.unwrap_or([inverse; 3]);
        let raw: f64 = [inverse, one, two].iter().zip(self.powers).map(|(e, power)| e.powf(power)).product();
        let factor = 1.0 + (raw - 1.0).atan();
        let accept = factor >= self.safety;
        self.inverse_errors = Some(if accept { [inverse, inverse, one] } else { [inverse, one, two] });
        self.h *= factor;
        accept
    }
}
