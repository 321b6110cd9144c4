use std::cell::RefCell;
use std::rc::Rc;

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Kind, Tensor};

use super::WHOLE;
use crate::ops::noise::Stream;
use crate::sampling::hooks::{Hook, Moment};
use crate::values::Model;

/// Weakens that part of the guidance which only makes the positive prediction longer.
///
/// Adaptive projected guidance (Sadat et al. 2024, arXiv:2410.02416). Each sampling run begins without momentum.
#[derive(Node)]
#[node(class = "APG", category = "sampling/custom_sampling", display = "Adaptive Projected Guidance")]
struct Apg {
    model: Model,
    /// Factor on the part along the positive prediction; 1 changes nothing.
    #[input(default = 1.0, min = -10.0, max = 10.0, step = 0.01)]
    eta: f64,
    /// The most length that the guidance may have; 0 sets no limit.
    #[input(default = 5.0, min = 0.0, max = 50.0, step = 0.1)]
    norm_threshold: f64,
    /// How much of the steps before is carried on; 0 is nothing.
    #[input(default = 0.0, min = -5.0, max = 1.0, step = 0.01)]
    momentum: f64,
}

impl Run for Apg {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let settings = Settings { eta: self.eta, longest: self.norm_threshold, momentum: self.momentum };
        Ok(self.model.with_hook(Projected { settings, carried: RefCell::default() }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    eta: f64,
    longest: f64,
    momentum: f64,
}

#[derive(Debug)]
struct Projected {
    settings: Settings,
    /// The last level, and the guidance carried on from it.
    carried: RefCell<Option<(f64, Tensor)>>,
}

impl Projected {
    /// The guidance with what was carried on from the steps before, if the level did not rise since.
    fn with_momentum(&self, guidance: Tensor, sigma: f64) -> Tensor {
        if self.settings.momentum == 0.0 {
            return guidance;
        }
        let carried = match self.carried.take() {
            Some((before, carried)) if sigma <= before => carried * self.settings.momentum + guidance,
            _ => guidance,
        };
        self.carried.replace(Some((sigma, carried.shallow_clone())));
        carried
    }
}

impl Hook for Projected {
    fn begin(&self, _: &Rc<RefCell<Stream>>) -> Option<Rc<dyn Hook>> {
        Some(Rc::new(Projected { settings: self.settings, carried: RefCell::default() }))
    }

    fn before_guidance(&self, predictions: &mut [Tensor], moment: &Moment) -> anyhow::Result<()> {
        let [cond, uncond, ..] = predictions else { return Ok(()) };
        let length = |tensor: &Tensor| tensor.norm_scalaropt_dim(2.0, WHOLE, true);
        let difference = &*cond - &*uncond;
        let mut guidance = self.with_momentum(difference.shallow_clone(), moment.sigma);
        if self.settings.longest > 0.0 {
            let allowed: Tensor = self.settings.longest / length(&guidance);
            guidance = &guidance * allowed.clamp_max(1.0);
        }
        let direction = &*cond / length(cond).clamp_min(1e-12);
        let along = (&guidance * &direction).sum_dim_intlist(WHOLE, true, Kind::Float) * direction;
        let across = guidance - &along;
        *cond = &*uncond + (across + along * self.settings.eta) + difference / moment.cfg;
        Ok(())
    }
}
