//! The samplers: one table, and one function per method.
//!
//! Notation, everywhere in this folder: σ the current noise level and σ' the next one (`sigma`, `next`); x the state,
//! D the denoised latent that the network expects behind it (`denoised`), U the same under the negative prompt alone
//! (`uncond`); d = (x − D)/σ the slope dx/dσ; λ = −ln σ and h = λ' − λ; n unit noise. Coefficients are
//! [`Real`] numbers: they round as the state does.

mod adams;
mod deis;
mod dpm;
mod dpmpp;
mod er_sde;
mod euler;
pub mod flow;
mod heun;
mod lcm_upscale;
mod res;
mod run;
mod sa_solver;
mod seeds;
mod step;
mod unipc;

use anyhow::{Result, bail};
use redraft_engine::table::Row;
use tch::Tensor;

use super::denoise::Denoise;
use super::noise::{Noise, NoiseKind};
use crate::diffusion::parameterisation::Parameterisation;
use crate::diffusion::real::Real;
use crate::ops::resize::Method;
use flow::OnFlow;
pub use run::{SamplerRun, Solve};

/// A sampler with its settings: a row of [`SAMPLER_TABLES`], or a copy of one with other parameters.
#[derive(Debug, Clone)]
pub struct Sampler {
    /// ComfyUI's name of it.
    pub name: &'static str,
    /// The method's settings.
    pub parameters: Parameters,
    /// The noise that it adds on the way.
    pub noise: NoiseKind,
    /// Whether it needs the negative prediction, even if guidance does not.
    pub needs_uncond: bool,
    /// Whether KSampler leaves the last level above 0 out of its schedule.
    pub discards_penultimate: bool,
    /// Whether the kept parts of a masked latent get noise from a fresh draw (seed + 1) instead of the initial noise.
    pub fresh_mask_noise: bool,
    /// Whether it stops just above a last level of 0.
    pub stops_short: bool,
    solve: Solve,
    /// How it samples flow models.
    on_flow: OnFlow,
    /// The level that replaces σ = 1, if the model is a flow model.
    flow_start: Option<f64>,
}

/// The settings of all methods. Each method reads those that it knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// How stochastic the method is: 0 solves the ordinary differential equation, 1 the usual stochastic one.
    pub eta: f64,
    /// Factor on the added noise.
    pub s_noise: f64,
    /// The position of a second evaluation between two levels, 0 to 1 in λ.
    pub r: f64,
    /// The highest order of a multistep method, or the order of DPM-Solver-adaptive (2 or 3).
    pub order: usize,
    /// The CFG++ form (Chung et al. 2024, arXiv:2406.08070): steps away from U instead of D.
    pub cfg_pp: bool,
    /// The form of a second-order correction.
    pub form: Form,
    /// Step control of DPM-Solver-adaptive.
    pub control: StepControl,
    /// SA-Solver's settings.
    pub adams: Adams,
    /// ER-SDE's noise scaling: the exponent η + 1 of the reverse-time equation instead of the paper's own.
    pub scaling_power: Option<f64>,
    /// How the state grows during the run. Only for [`Sampler::lcm_upscale`].
    pub growth: Growth,
}

/// How a state grows during a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// The factor on both sides at the end.
    pub ratio: f64,
    /// The number of steps in which it grows; by default half of all.
    pub steps: Option<usize>,
    pub method: Method,
}

/// The settings of SA-Solver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adams {
    /// The order of the predictor, at least 1.
    pub predictor: usize,
    /// The order of the corrector; 0 is no corrector.
    pub corrector: usize,
    /// Whether the corrected state is evaluated again.
    pub evaluate_corrected: bool,
    /// Whether order 2 uses the paper's simple weights.
    pub simple: bool,
    /// The highest and the lowest level between which noise is added. The default is 20 % and 80 % of the model's
    /// schedule.
    pub noisy: Option<(f64, f64)>,
}

/// Forms of a second-order correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Midpoint (DPM-Solver++), φ₁ (SEEDS), B(h) = h (UniPC).
    First,
    /// Heun (DPM-Solver++), φ₂ (SEEDS), B(h) = eʰ − 1 (UniPC).
    Second,
}

/// The step control of DPM-Solver-adaptive: a proportional-integral-derivative controller in λ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepControl {
    /// Allowed error relative to the state.
    pub relative: f64,
    /// Allowed absolute error.
    pub absolute: f64,
    /// The first step.
    pub first_step: f64,
    /// Proportional coefficient.
    pub proportional: f64,
    /// Integral coefficient.
    pub integral: f64,
    /// Derivative coefficient.
    pub derivative: f64,
    /// A step is accepted if the controller's factor on the step size is at least this.
    pub safety: f64,
}

const PARAMETERS: Parameters = Parameters {
    eta: 1.0,
    s_noise: 1.0,
    r: 0.5,
    order: 4,
    cfg_pp: false,
    form: Form::First,
    control: StepControl {
        relative: 0.05,
        absolute: 0.0078,
        first_step: 0.05,
        proportional: 0.0,
        integral: 1.0,
        derivative: 0.0,
        safety: 0.81,
    },
    adams: Adams { predictor: 3, corrector: 4, evaluate_corrected: false, simple: false, noisy: None },
    scaling_power: None,
    growth: Growth { ratio: 1.0, steps: None, method: Method::Bislerp },
};
/// Parameters without added noise.
const STILL: Parameters = Parameters { eta: 0.0, ..PARAMETERS };
const PLUS: Parameters = Parameters { cfg_pp: true, ..PARAMETERS };
const STILL_PLUS: Parameters = Parameters { cfg_pp: true, ..STILL };
const PECE: Parameters = Parameters { adams: Adams { evaluate_corrected: true, ..PARAMETERS.adams }, ..PARAMETERS };
const SECOND: Parameters = Parameters { form: Form::Second, ..PARAMETERS };

/// A deterministic sampler.
pub const fn plain(name: &'static str, solve: Solve) -> Sampler {
    Sampler {
        name,
        solve,
        parameters: STILL,
        noise: NoiseKind::None,
        needs_uncond: false,
        discards_penultimate: false,
        fresh_mask_noise: false,
        stops_short: false,
        on_flow: OnFlow::Same,
        flow_start: None,
    }
}

/// A sampler that runs on the states x/(1−σ) of flow models.
const fn unmixed(sampler: Sampler) -> Sampler {
    Sampler { on_flow: OnFlow::Unmixed, ..sampler }
}

/// A sampler with another method for flow models.
const fn or_own(sampler: Sampler, solve: Solve) -> Sampler {
    Sampler { on_flow: OnFlow::Own(solve), ..sampler }
}

/// A sampler that adds independent noise in each step.
pub const fn ancestral(name: &'static str, solve: Solve) -> Sampler {
    Sampler { parameters: PARAMETERS, noise: NoiseKind::Independent, ..plain(name, solve) }
}

/// A sampler that adds the increments of a Brownian path.
pub const fn brownian(name: &'static str, solve: Solve) -> Sampler {
    Sampler { parameters: PARAMETERS, noise: NoiseKind::Brownian, ..plain(name, solve) }
}

redraft_engine::open_table!(
    /// Tables of samplers; another crate may add one.
    pub SAMPLER_TABLES: Sampler = SAMPLERS, "sampler"
);

/// ComfyUI's samplers, in its order. The `_gpu` rows differ from their namesakes only in where ComfyUI draws the
/// noise; here it is always drawn on the CPU.
pub static SAMPLERS: &[Sampler] = &[
    plain("euler", euler::euler),
    unmixed(Sampler { parameters: STILL_PLUS, needs_uncond: true, ..plain("euler_cfg_pp", euler::euler_cfg_pp) }),
    or_own(ancestral("euler_ancestral", euler::euler_ancestral), flow::euler_ancestral),
    unmixed(Sampler {
        parameters: PLUS,
        needs_uncond: true,
        ..ancestral("euler_ancestral_cfg_pp", euler::euler_cfg_pp)
    }),
    plain("heun", heun::heun),
    plain("heunpp2", heun::heunpp2),
    unmixed(Sampler {
        parameters: Parameters { eta: 0.0, r: 1.0, ..SECOND },
        ..plain("exp_heun_2_x0", seeds::seeds_2)
    }),
    unmixed(Sampler { parameters: Parameters { r: 1.0, ..SECOND }, ..ancestral("exp_heun_2_x0_sde", seeds::seeds_2) }),
    Sampler { discards_penultimate: true, ..plain("dpm_2", dpm::dpm_2) },
    or_own(Sampler { discards_penultimate: true, ..ancestral("dpm_2_ancestral", dpm::dpm_2) }, flow::dpm_2_ancestral),
    plain("lms", adams::lms),
    plain("dpm_fast", dpm::dpm_fast),
    Sampler { parameters: Parameters { order: 3, ..STILL }, ..plain("dpm_adaptive", dpm::dpm_adaptive) },
    or_own(ancestral("dpmpp_2s_ancestral", dpmpp::dpmpp_2s), flow::dpmpp_2s_ancestral),
    Sampler { parameters: PLUS, needs_uncond: true, ..ancestral("dpmpp_2s_ancestral_cfg_pp", dpmpp::dpmpp_2s) },
    unmixed(brownian("dpmpp_sde", dpmpp::dpmpp_sde)),
    unmixed(brownian("dpmpp_sde_gpu", dpmpp::dpmpp_sde)),
    plain("dpmpp_2m", dpmpp::dpmpp_2m),
    Sampler { parameters: STILL_PLUS, needs_uncond: true, ..plain("dpmpp_2m_cfg_pp", dpmpp::dpmpp_2m_cfg_pp) },
    unmixed(brownian("dpmpp_2m_sde", dpmpp::dpmpp_2m_sde)),
    unmixed(brownian("dpmpp_2m_sde_gpu", dpmpp::dpmpp_2m_sde)),
    unmixed(Sampler { parameters: SECOND, ..brownian("dpmpp_2m_sde_heun", dpmpp::dpmpp_2m_sde) }),
    unmixed(Sampler { parameters: SECOND, ..brownian("dpmpp_2m_sde_heun_gpu", dpmpp::dpmpp_2m_sde) }),
    unmixed(brownian("dpmpp_3m_sde", dpmpp::dpmpp_3m_sde)),
    unmixed(brownian("dpmpp_3m_sde_gpu", dpmpp::dpmpp_3m_sde)),
    ancestral("ddpm", euler::ddpm),
    or_own(ancestral("lcm", euler::lcm), flow::lcm),
    plain("ipndm", adams::ipndm),
    plain("ipndm_v", adams::ipndm_v),
    Sampler { parameters: Parameters { order: 3, ..STILL }, ..plain("deis", deis::deis) },
    plain("res_multistep", res::res_multistep),
    Sampler { parameters: STILL_PLUS, needs_uncond: true, ..plain("res_multistep_cfg_pp", res::res_multistep) },
    ancestral("res_multistep_ancestral", res::res_multistep),
    Sampler { parameters: PLUS, needs_uncond: true, ..ancestral("res_multistep_ancestral_cfg_pp", res::res_multistep) },
    plain("gradient_estimation", euler::gradient_estimation),
    Sampler {
        parameters: STILL_PLUS,
        needs_uncond: true,
        ..plain("gradient_estimation_cfg_pp", euler::gradient_estimation)
    },
    unmixed(Sampler { parameters: Parameters { order: 3, ..PARAMETERS }, ..ancestral("er_sde", er_sde::er_sde) }),
    unmixed(ancestral("seeds_2", seeds::seeds_2)),
    unmixed(ancestral("seeds_3", seeds::seeds_3)),
    unmixed(ancestral("sa_solver", sa_solver::sa_solver)),
    unmixed(Sampler { parameters: PECE, ..ancestral("sa_solver_pece", sa_solver::sa_solver) }),
    Sampler { fresh_mask_noise: true, ..plain("ddim", euler::euler) },
    Sampler { discards_penultimate: true, stops_short: true, ..plain("uni_pc", unipc::unipc) },
    Sampler {
        discards_penultimate: true,
        stops_short: true,
        parameters: Parameters { form: Form::Second, ..STILL },
        ..plain("uni_pc_bh2", unipc::unipc)
    },
];

impl Sampler {
    /// The sampler of that name; an error that lists the names if there is none.
    pub fn named(name: &str) -> Result<&'static Sampler> {
        let Some(sampler) = Sampler::find(name) else {
            let names: Vec<_> = Sampler::all().iter().map(|sampler| sampler.name).collect();
            bail!("no sampler is called {name:?}: use one of {}", names.join(", "));
        };
        Ok(sampler)
    }

    /// The sampler of the node SamplerEulerCFG++ in its alternative version. KSampler does not offer it.
    pub fn euler_pp() -> Sampler {
        Sampler { parameters: STILL_PLUS, needs_uncond: true, ..plain("euler_pp", euler::euler_pp) }
    }

    /// The sampler of the node SamplerLCMUpscale. KSampler does not offer it.
    pub fn lcm_upscale(growth: Growth) -> Sampler {
        let parameters = Parameters { growth, ..PARAMETERS };
        Sampler { parameters, noise: NoiseKind::Continued, ..plain("lcm_upscale", lcm_upscale::lcm_upscale) }
    }

    /// The level at which a run on `sigmas` ends.
    pub fn end(&self, sigmas: &[f64]) -> f64 {
        let last = sigmas.last().copied().unwrap_or_default();
        if self.stops_short && last == 0.0 { unipc::ALMOST_CLEAN } else { last }
    }

    /// The sampler with those settings filled in that depend on the model.
    pub(super) fn for_model(&self, sampling: &Parameterisation) -> Sampler {
        let mut sampler = self.clone();
        let level = |percent: f64| sampling.percent_to_sigma(percent);
        let noisy = sampler.parameters.adams.noisy.get_or_insert_with(|| (level(0.2), level(0.8)));
        if sampling.is_flow() {
            sampler.flow_start = Some(level(1e-4));
            *noisy = (flow::unmixed_level(noisy.0), flow::unmixed_level(noisy.1));
        }
        sampler
    }

    /// Samples from the state `x` at the first of `sigmas` to the last one. With fewer than two levels `x` is returned.
    pub fn run(&self, model: &mut dyn Denoise, x: Tensor, sigmas: &[f64], noise: &mut dyn Noise) -> Result<Tensor> {
        if sigmas.len() < 2 {
            return Ok(x);
        }
        let sigmas: Vec<Real> = sigmas.iter().map(|&sigma| Real::new(sigma, x.kind())).collect();
        let mut run = SamplerRun { model, noise, sigmas: &sigmas, parameters: &self.parameters };
        match (self.flow_start, self.on_flow) {
            (Some(first), OnFlow::Unmixed) => flow::unmixed(self.solve, &mut run, x, first),
            (Some(_), OnFlow::Own(solve)) => solve(&mut run, x),
            _ => (self.solve)(&mut run, x),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
