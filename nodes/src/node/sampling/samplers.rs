//! Nodes that give a sampler with settings.

use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::ops::resize::methods;
use crate::recipes::Model;
use crate::sampling::noise::NoiseKind;
use crate::sampling::samplers::{Adams, Form, Growth, Parameters, Sampler, StepControl};

/// Chooses one of KSampler's samplers.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/samplers")]
struct KSamplerSelect {
    sampler_name: &'static Sampler,
}

impl Run for KSamplerSelect {
    type Out = Sampler;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
        Ok(self.sampler_name.clone())
    }
}

/// A sampler of the table with other parameters.
fn with(name: &str, change: impl FnOnce(&mut Parameters)) -> anyhow::Result<Sampler> {
    let mut sampler = Sampler::named(name)?.clone();
    change(&mut sampler.parameters);
    Ok(sampler)
}

/// Where ComfyUI draws noise. Here it is always drawn on the CPU.
#[derive(Combo)]
enum NoiseDevice {
    Gpu,
    Cpu,
}

/// Declares the nodes of samplers with the settings `eta`, `s_noise` and, if given, `noise_device`.
macro_rules! stochastic {
    ($($(#[$doc:meta])* $node:ident($name:literal, $display:literal, eta $eta:literal, s_noise $s_noise:literal) $($device:ident)?;)*) => {$(
        $(#[$doc])*
        #[derive(Node)]
        #[node(category = "sampling/custom_sampling/samplers", display = $display)]
        #[allow(non_camel_case_types, reason = "its name in workflow files")]
        struct $node {
            /// The share of noise that is replaced in each step: 0 is deterministic.
            #[input(default = 1.0, min = 0.0, max = $eta, step = 0.01, beyond = Both)]
            eta: f64,
            /// Factor on the added noise.
            #[input(default = 1.0, min = 0.0, max = $s_noise, step = 0.01, beyond = Both)]
            s_noise: f64,
            $(
            #[expect(dead_code, reason = "noise is drawn on the CPU on every device")]
            $device: NoiseDevice,
            )?
        }

        impl Run for $node {
            type Out = Sampler;

            fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
                with($name, |p| (p.eta, p.s_noise) = (self.eta, self.s_noise))
            }
        }
    )*};
}

stochastic! {
    /// Euler's method with ancestral noise.
    SamplerEulerAncestral("euler_ancestral", "SamplerEulerAncestral", eta 100.0, s_noise 100.0);
    /// Euler's method with ancestral noise, in CFG++ form.
    SamplerEulerAncestralCFGPP("euler_ancestral_cfg_pp", "SamplerEulerAncestralCFG++", eta 1.0, s_noise 10.0);
    /// DPM-Solver++(2S) with ancestral noise.
    SamplerDPMPP_2S_Ancestral("dpmpp_2s_ancestral", "SamplerDPMPP_2S_Ancestral", eta 100.0, s_noise 100.0);
    /// DPM-Solver++(3M) for the stochastic equation.
    SamplerDPMPP_3M_SDE("dpmpp_3m_sde", "SamplerDPMPP_3M_SDE", eta 100.0, s_noise 100.0) noise_device;
}

/// DPM-Solver++(2M) for the stochastic equation.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/samplers")]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct SamplerDPMPP_2M_SDE {
    solver_type: Correction,
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01, beyond = Both)]
    eta: f64,
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01, beyond = Both)]
    s_noise: f64,
    #[expect(dead_code, reason = "noise is drawn on the CPU on every device")]
    noise_device: NoiseDevice,
}

#[derive(Combo)]
enum Correction {
    Midpoint,
    Heun,
}

impl Run for SamplerDPMPP_2M_SDE {
    type Out = Sampler;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
        let form = match self.solver_type {
            Correction::Midpoint => Form::First,
            Correction::Heun => Form::Second,
        };
        with("dpmpp_2m_sde", |p| (p.eta, p.s_noise, p.form) = (self.eta, self.s_noise, form))
    }
}

/// DPM-Solver++(S) for the stochastic equation, with a second evaluation inside of each step.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/samplers")]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct SamplerDPMPP_SDE {
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01, beyond = Both)]
    eta: f64,
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01, beyond = Both)]
    s_noise: f64,
    /// The position of the second evaluation in a step.
    #[input(default = 0.5, min = 0.0, max = 100.0, step = 0.01, beyond = Both)]
    r: f64,
    #[expect(dead_code, reason = "noise is drawn on the CPU on every device")]
    noise_device: NoiseDevice,
}

impl Run for SamplerDPMPP_SDE {
    type Out = Sampler;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
        with("dpmpp_sde", |p| (p.eta, p.s_noise, p.r) = (self.eta, self.s_noise, self.r))
    }
}

/// The linear multistep method.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/samplers")]
struct SamplerLMS {
    #[input(default = 4, min = 1, max = 100)]
    order: usize,
}

impl Run for SamplerLMS {
    type Out = Sampler;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
        with("lms", |p| p.order = self.order)
    }
}

/// DPM-Solver with adaptive steps between the first and the last noise level.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/samplers")]
struct SamplerDPMAdaptative {
    #[input(default = 3, min = 2, max = 3)]
    order: usize,
    /// Allowed error relative to the state.
    #[input(default = 0.05, min = 0.0, max = 100.0, step = 0.01)]
    rtol: f64,
    /// Allowed absolute error.
    #[input(default = 0.0078, min = 0.0, max = 100.0, step = 0.01)]
    atol: f64,
    /// The first step.
    #[input(default = 0.05, min = 0.0, max = 100.0, step = 0.01)]
    h_init: f64,
    #[input(default = 0.0, min = 0.0, max = 100.0, step = 0.01)]
    pcoeff: f64,
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    icoeff: f64,
    #[input(default = 0.0, min = 0.0, max = 100.0, step = 0.01)]
    dcoeff: f64,
    /// A step is accepted if the controller would not shrink the next one below this share of it.
    #[input(default = 0.81, min = 0.0, max = 100.0, step = 0.01)]
    accept_safety: f64,
    #[input(default = 0.0, min = 0.0, max = 100.0, step = 0.01)]
    eta: f64,
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    s_noise: f64,
}

impl Run for SamplerDPMAdaptative {
    type Out = Sampler;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
        let control = StepControl {
            relative: self.rtol,
            absolute: self.atol,
            first_step: self.h_init,
            proportional: self.pcoeff,
            integral: self.icoeff,
            derivative: self.dcoeff,
            safety: self.accept_safety,
        };
        let mut sampler = with("dpm_adaptive", |p| {
            (p.order, p.control, p.eta, p.s_noise) = (self.order, control, self.eta, self.s_noise);
        })?;
        sampler.noise = NoiseKind::Independent;
        Ok(sampler)
    }
}

/// ER-SDE-Solver, or its formulas for the plain reverse-time or probability-flow equation.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/samplers")]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct SamplerER_SDE {
    solver_type: Equation,
    #[input(default = 3, min = 1, max = 3)]
    max_stage: usize,
    /// The strength of the noise. Only for the reverse-time equation.
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    eta: f64,
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    s_noise: f64,
}

#[derive(Combo, PartialEq)]
enum Equation {
    #[combo(name = "ER-SDE")]
    Extended,
    #[combo(name = "Reverse-time SDE")]
    ReverseTime,
    #[combo(name = "ODE")]
    Flow,
}

impl Run for SamplerER_SDE {
    type Out = Sampler;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
        let (scaling_power, s_noise) = match self.solver_type {
            Equation::Extended => (None, self.s_noise),
            Equation::ReverseTime if self.eta != 0.0 => (Some(self.eta + 1.0), self.s_noise),
            _ => (Some(1.0), 0.0),
        };
        with("er_sde", |p| (p.order, p.s_noise, p.scaling_power) = (self.max_stage, s_noise, scaling_power))
    }
}

/// SA-Solver with all its settings.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/samplers")]
struct SamplerSASolver {
    model: Model,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    eta: f64,
    /// Where in the schedule adding noise starts: 0 is pure noise.
    #[input(default = 0.2, min = 0.0, max = 1.0, step = 0.001)]
    sde_start_percent: f64,
    /// Where in the schedule adding noise ends.
    #[input(default = 0.8, min = 0.0, max = 1.0, step = 0.001)]
    sde_end_percent: f64,
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    s_noise: f64,
    #[input(default = 3, min = 1, max = 6)]
    predictor_order: usize,
    #[input(default = 4, min = 0, max = 6)]
    corrector_order: usize,
    /// Whether the corrected state is evaluated again.
    use_pece: bool,
    /// Whether order 2 takes the paper's simple weights.
    simple_order_2: bool,
}

impl Run for SamplerSASolver {
    type Out = Sampler;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
        let sampling = self.model.sampling();
        let level = |percent: f64| sampling.percent_to_sigma(percent);
        let adams = Adams {
            predictor: self.predictor_order,
            corrector: self.corrector_order,
            evaluate_corrected: self.use_pece,
            simple: self.simple_order_2,
            noisy: Some((level(self.sde_start_percent), level(self.sde_end_percent))),
        };
        with("sa_solver", |p| (p.eta, p.s_noise, p.adams) = (self.eta, self.s_noise, adams))
    }
}

/// SEEDS-2; with phi_2 and r = 1 the exponential Heun method.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/samplers")]
struct SamplerSEEDS2 {
    solver_type: Phi,
    /// Strength of the noise.
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    eta: f64,
    /// Factor on the added noise.
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    s_noise: f64,
    /// The position of the second evaluation in a step.
    #[input(default = 0.5, min = 0.01, max = 1.0, step = 0.01)]
    r: f64,
}

#[derive(Combo)]
enum Phi {
    #[combo(name = "phi_1")]
    One,
    #[combo(name = "phi_2")]
    Two,
}

impl Run for SamplerSEEDS2 {
    type Out = Sampler;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
        let form = match self.solver_type {
            Phi::One => Form::First,
            Phi::Two => Form::Second,
        };
        with("seeds_2", |p| (p.eta, p.s_noise, p.r, p.form) = (self.eta, self.s_noise, self.r, form))
    }
}

methods! {
    /// The methods for upscaling a latent.
    GrowthMethod: Bislerp, NearestExact, Bilinear, Area, Bicubic
}

/// LCM sampling that upscales the latent during the run.
#[derive(Node)]
#[node(category = "sampling/custom_sampling/samplers")]
struct SamplerLCMUpscale {
    /// The factor on width and height at the end.
    #[input(default = 1.0, min = 0.1, max = 20.0, step = 0.01)]
    scale_ratio: f64,
    /// The number of steps in which the latent grows; -1 is half of all.
    #[input(default = -1, min = -1, max = 1000, step = 1)]
    scale_steps: i64,
    upscale_method: GrowthMethod,
}

impl Run for SamplerLCMUpscale {
    type Out = Sampler;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
        let steps = usize::try_from(self.scale_steps).ok();
        Ok(Sampler::lcm_upscale(Growth { ratio: self.scale_ratio, steps, method: self.upscale_method.0 }))
    }
}

/// Euler's method in CFG++ form, in one of two versions.
#[derive(Node)]
#[node(category = "_for_testing", display = "SamplerEulerCFG++", experimental)]
struct SamplerEulerCFGpp {
    version: Version,
}

#[derive(Combo)]
enum Version {
    Regular,
    Alternative,
}

impl Run for SamplerEulerCFGpp {
    type Out = Sampler;

    fn run(self, _: &mut Cx) -> anyhow::Result<Sampler> {
        match self.version {
            Version::Regular => with("euler_cfg_pp", |_| ()),
            Version::Alternative => Ok(Sampler::euler_pp()),
        }
    }
}
