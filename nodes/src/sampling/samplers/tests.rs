#![allow(clippy::unwrap_used)]
use super::*;
use crate::sampling::denoise::Denoised;
use crate::sampling::schedules::karras;

/// The scalar toy of the specification, section 12.3.
struct Toy {
    evaluations: usize,
    steps: Vec<(usize, usize)>,
    cancel_at: Option<usize>,
}

impl Toy {
    fn new() -> Toy {
        Toy { evaluations: 0, steps: Vec::new(), cancel_at: None }
    }
}

impl Denoise for Toy {
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Denoised> {
        self.evaluations += 1;
        let share = 1.0 / (1.0 + sigma * sigma);
        let cond = x * (0.9 * share) + x.sin() * 0.1;
        let uncond = x * (0.8 * share) + x.cos() * 0.05;
        Ok(Denoised { denoised: &uncond + (cond - &uncond) * 1.7, uncond })
    }

    fn on_step(&mut self, step: usize, total: usize, _: &Tensor) -> Result<()> {
        if self.cancel_at == Some(step) {
            bail!("cancelled");
        }
        self.steps.push((step, total));
        Ok(())
    }
}

/// The k-th draw is cos k.
struct Cosines(f64);

impl Noise for Cosines {
    fn draw(&mut self, _: f64, _: f64) -> Result<Tensor> {
        let value = self.0.cos();
        self.0 += 1.0;
        Ok(Tensor::from_slice(&[value]).view([1, 1, 1, 1]))
    }
}

fn levels() -> Vec<f64> {
    let (low, high) = (0.0291675f64.powf(1.0 / 7.0), 14.614642f64.powf(1.0 / 7.0));
    (0..8).map(|k| (high + f64::from(k) / 7.0 * (low - high)).powi(7)).chain([0.0]).collect()
}

fn run(name: &str, toy: &mut Toy) -> Result<f64> {
    let x = Tensor::from_slice(&[10.0f64]).view([1, 1, 1, 1]);
    let result = Sampler::named(name)?.run(toy, x, &levels(), &mut Cosines(0.0))?;
    Ok(result.double_value(&[0, 0, 0, 0]))
}

const NAMES: &str = "euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 exp_heun_2_x0 \
    exp_heun_2_x0_sde dpm_2 dpm_2_ancestral lms dpm_fast dpm_adaptive dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp \
    dpmpp_sde dpmpp_sde_gpu dpmpp_2m dpmpp_2m_cfg_pp dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_2m_sde_heun \
    dpmpp_2m_sde_heun_gpu dpmpp_3m_sde dpmpp_3m_sde_gpu ddpm lcm ipndm ipndm_v deis res_multistep \
    res_multistep_cfg_pp res_multistep_ancestral res_multistep_ancestral_cfg_pp gradient_estimation \
    gradient_estimation_cfg_pp er_sde seeds_2 seeds_3 sa_solver sa_solver_pece ddim uni_pc uni_pc_bh2";

#[test]
fn names_are_comfyuis_in_its_order() {
    let names: Vec<&str> = SAMPLERS.iter().map(|sampler| sampler.name).collect();
    assert_eq!(names, NAMES.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn unknown_names_are_refused_with_the_list() {
    let message = Sampler::named("oiler").unwrap_err().to_string();
    assert!(message.starts_with("no sampler is called \"oiler\": use one of euler, euler_cfg_pp,"), "{message}");
}

/// ComfyUI's own functions on the toy in float64 (specification, section 12.3), with the number of evaluations.
const GOLDEN: &[(&str, f64, usize)] = &[
    ("euler", 0.822915732, 8),
    ("ddim", 0.822915732, 8),
    ("euler_cfg_pp", 1.193246536, 8),
    ("euler_ancestral", -0.875288422, 8),
    ("euler_ancestral_cfg_pp", -0.980979863, 8),
    ("heun", 1.379472612, 15),
    ("heunpp2", 0.868852229, 21),
    ("exp_heun_2_x0", 1.049166342, 15),
    ("exp_heun_2_x0_sde", 0.186672808, 15),
    ("dpm_2", 1.273015603, 15),
    ("dpm_2_ancestral", -0.794541976, 15),
    ("lms", 0.971548946, 8),
    ("dpm_fast", 1.453720439, 8),
    ("dpmpp_2s_ancestral", -0.899338894, 15),
    ("dpmpp_2s_ancestral_cfg_pp", -1.224877057, 15),
    ("dpmpp_sde", 0.255459820, 15),
    ("dpmpp_sde_gpu", 0.255459820, 15),
    ("dpmpp_2m", 1.195830633, 8),
    ("dpmpp_2m_cfg_pp", 2.208310679, 8),
    ("dpmpp_2m_sde", -1.629004735, 8),
    ("dpmpp_2m_sde_heun", -1.990875585, 8),
    ("dpmpp_3m_sde", -2.404625224, 8),
    ("ddpm", -0.875288422, 8),
    ("lcm", -1.213279661, 8),
    ("ipndm", 1.138115294, 8),
    ("ipndm_v", 1.093444605, 8),
    ("deis", 1.042001187, 8),
    ("res_multistep", 1.283539679, 8),
    ("res_multistep_cfg_pp", 0.849987339, 8),
    ("res_multistep_ancestral", -1.990875585, 8),
    ("res_multistep_ancestral_cfg_pp", -0.651955688, 8),
    ("gradient_estimation", 1.239137348, 8),
    ("gradient_estimation_cfg_pp", 1.150417951, 8),
    ("seeds_2", 0.273606896, 15),
    ("seeds_3", -0.266213711, 22),
    ("sa_solver", 0.773000394, 8),
    ("sa_solver_pece", 0.685414936, 15),
    ("uni_pc", 1.201881893, 8),
    ("uni_pc_bh2", 1.154725848, 8),
];

#[test]
fn golden_values() {
    let mut wrong = Vec::new();
    for &(name, expected, evaluations) in GOLDEN {
        let mut toy = Toy::new();
        let result = run(name, &mut toy).unwrap();
        if (result - expected).abs() > 2e-9 || toy.evaluations != evaluations {
            wrong.push(format!("{name}: {result} in {} evaluations, not {expected}", toy.evaluations));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn golden_values_of_looser_samplers() {
    // 200-point sums, and a controller that amplifies rounding.
    for (name, expected) in [("er_sde", 0.902257238), ("dpm_adaptive", 1.091696690)] {
        let result = run(name, &mut Toy::new()).unwrap();
        assert!((result - expected).abs() < 1e-7, "{name}: {result}, not {expected}");
    }
}

#[test]
fn every_sampler_tells_its_steps_in_order() {
    for sampler in SAMPLERS {
        let mut toy = Toy::new();
        run(sampler.name, &mut toy).unwrap();
        let steps: Vec<usize> = toy.steps.iter().map(|step| step.0).collect();
        assert_eq!(steps, (0..steps.len()).collect::<Vec<_>>(), "{}", sampler.name);
        assert!(toy.steps.iter().all(|step| step.1 == 8));
        let expected = match sampler.name {
            "dpm_fast" => 3,
            "dpm_adaptive" => steps.len(),
            _ => 8,
        };
        assert_eq!(steps.len(), expected, "{}", sampler.name);
    }
}

#[test]
fn cancelling_ends_every_sampler_at_once() {
    for sampler in SAMPLERS {
        let mut toy = Toy { cancel_at: Some(1), ..Toy::new() };
        let error = run(sampler.name, &mut toy).unwrap_err();
        assert_eq!(error.to_string(), "cancelled", "{}", sampler.name);
        assert_eq!(toy.steps, [(0, 8)], "{}", sampler.name);
    }
}

#[test]
fn a_list_of_one_level_changes_nothing() {
    for sampler in SAMPLERS {
        let x = Tensor::from_slice(&[3.0f64]).view([1, 1, 1, 1]);
        let result = sampler.run(&mut Toy::new(), x, &[2.0], &mut Cosines(0.0)).unwrap();
        assert_eq!(result.double_value(&[0, 0, 0, 0]), 3.0, "{}", sampler.name);
    }
}

#[test]
fn single_steps_are_finite() {
    for sampler in SAMPLERS {
        let x = Tensor::from_slice(&[3.0f64]).view([1, 1, 1, 1]);
        let result = sampler.run(&mut Toy::new(), x, &[2.0, 0.0], &mut Cosines(0.0)).unwrap();
        assert!(result.double_value(&[0, 0, 0, 0]).is_finite(), "{}", sampler.name);
    }
}

#[test]
fn karras_levels_of_the_toy() {
    let expected = karras(8, 0.0291675, 14.614642, 7.0);
    for (level, expected) in levels().iter().zip(expected) {
        assert!((level - f64::from(expected)).abs() <= 1e-6 * level.max(1e-3));
    }
}
