use std::cell::RefCell;
use std::rc::Rc;

use redraft_engine::Node;
use redraft_engine::cx::{Cx, Identity};
use redraft_engine::node::Run;
use tch::{Kind, Tensor};

use super::WHOLE;
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, RunStart};
use crate::values::memories::Memory;

/// Scales down the part of the guidance that is parallel to the positive prediction, which oversaturates pictures.
///
/// Adaptive projected guidance (Sadat et al. 2024, arXiv:2410.02416). A run that continues from the latent of another
/// run also continues with its momentum, unless it starts at a higher noise level.
#[derive(Node)]
#[node(class = "APG", category = "sampling/custom_sampling", display = "Adaptive Projected Guidance")]
struct Apg {
    model: Model,
    /// Factor on the part parallel to the positive prediction; 1 changes nothing.
    #[input(default = 1.0, min = -10.0, max = 10.0, step = 0.01)]
    eta: f64,
    /// The largest norm that the guidance may have; 0 sets no limit.
    #[input(default = 5.0, min = 0.0, max = 50.0, step = 0.1)]
    norm_threshold: f64,
    /// Momentum: the share of the guidance of earlier steps that is added; 0 is none.
    #[input(default = 0.0, min = -5.0, max = 1.0, step = 0.01)]
    momentum: f64,
}

impl Run for Apg {
    type Out = Model;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Model> {
        let settings = Settings { eta: self.eta, longest: self.norm_threshold, momentum: self.momentum };
        Ok(self.model.with_hook(Projected { settings, identity: cx.identity(), carried: RefCell::default() }))
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
    identity: Identity,
    /// The running sum of the guidance up to the last noise level.
    carried: RefCell<Option<Rc<Memory>>>,
}

impl Projected {
    /// The guidance with momentum. The momentum starts afresh if the noise level has risen since the last call.
    fn with_momentum(&self, guidance: Tensor, sigma: f64) -> Tensor {
        if self.settings.momentum == 0.0 {
            return guidance;
        }
        let size = guidance.size();
        let carried = match self.carried.take() {
            Some(last) if sigma <= last.sigma && spreads_over(&last.carried, &size) => {
                &last.carried * self.settings.momentum + guidance
            }
            _ => guidance,
        };
        self.carried.replace(Some(Rc::new(Memory { sigma, carried: carried.shallow_clone() })));
        carried
    }
}

/// Whether a tensor has this shape, or is a single image that broadcasts to it. Other nodes may have changed the
/// latent's shape between two runs.
fn spreads_over(tensor: &Tensor, shape: &[i64]) -> bool {
    let size = tensor.size();
    size[1..] == shape[1..] && (size[0] == shape[0] || size[0] == 1)
}

impl Hook for Projected {
    fn begin(&self, start: &RunStart) -> Option<Rc<dyn Hook>> {
        let carried = RefCell::new(start.memories.of(self.identity).cloned());
        Some(Rc::new(Projected { carried, ..*self }))
    }

    fn memory(&self) -> Option<(Identity, Rc<Memory>)> {
        Some((self.identity, self.carried.borrow().clone()?))
    }

    fn before_guidance(&self, predictions: &mut [Tensor], evaluation: &Evaluation) -> anyhow::Result<()> {
        let [cond, uncond, ..] = predictions else { return Ok(()) };
        let length = |tensor: &Tensor| tensor.norm_scalaropt_dim(2.0, WHOLE, true);
        let difference = &*cond - &*uncond;
        let mut guidance = self.with_momentum(difference.shallow_clone(), evaluation.sigma);
        if self.settings.longest > 0.0 {
            let allowed: Tensor = self.settings.longest / length(&guidance);
            guidance = &guidance * allowed.clamp_max(1.0);
        }
        let direction = &*cond / length(cond).clamp_min(1e-12);
        let along = (&guidance * &direction).sum_dim_intlist(WHOLE, true, Kind::Float) * direction;
        let across = guidance - &along;
        *cond = &*uncond + (across + along * self.settings.eta) + difference / evaluation.cfg;
        Ok(())
    }
}
