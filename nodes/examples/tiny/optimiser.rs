//! AdamW (Loshchilov and Hutter 2019) over one tensor, with clipped gradients and a moving average of the parameters.
//! Nothing waits for the device.

use tch::{Kind, Tensor};

use crate::parameters::Parameters;

const BETAS: (f64, f64) = (0.9, 0.99);
const EPS: f64 = 1e-8;
const WEIGHT_DECAY: f64 = 0.01;
/// Gradients with a larger norm are scaled down to it.
const LARGEST_NORM: f64 = 1.0;
const LONGEST_AVERAGE: f64 = 0.9995;

/// The state of the optimisation of one stage.
pub(crate) struct Optimiser {
    first: Tensor,
    second: Tensor,
    /// The moving average of the parameters: what is used in the end.
    pub(crate) average: Tensor,
    decayed: Tensor,
    /// How many updates were made.
    pub(crate) steps: u64,
}

impl Optimiser {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let flat = &parameters.flat;
        Self {
            first: flat.zeros_like(),
            second: flat.zeros_like(),
            average: flat.copy(),
            decayed: parameters.decayed(),
            steps: 0,
        }
    }

    /// One update. If the gradient is not finite, nothing changes but the count.
    pub(crate) fn update(&mut self, parameters: &mut Parameters, gradient: &Tensor, rate: f64) {
        let _guard = tch::no_grad_guard();
        self.steps += 1;
        let steps = self.steps as f64;
        let norm = gradient.norm();
        // 1 or 0, on the device.
        let good = norm.isfinite().to_kind(Kind::Float);
        let scale = (LARGEST_NORM / (&norm + 1e-6)).clamp_max(1.0).nan_to_num(0.0, 0.0, 0.0);
        let gradient = gradient.nan_to_num(0.0, 0.0, 0.0) * scale;
        let _ = self.first.lerp_tensor_(&gradient, &(&good * (1.0 - BETAS.0)));
        let _ = self.second.lerp_tensor_(&gradient.square(), &(&good * (1.0 - BETAS.1)));
        let corrected = |beta: f64| 1.0 - beta.powf(steps);
        let spread = (&self.second / corrected(BETAS.1)).sqrt() + EPS;
        let step = &self.first / corrected(BETAS.0) / spread + &parameters.flat * &self.decayed * WEIGHT_DECAY;
        parameters.flat -= step * (good * rate);
        let kept = LONGEST_AVERAGE.min((1.0 + steps) / (10.0 + steps));
        let _ = self.average.lerp_(&parameters.flat, 1.0 - kept);
    }

    /// What has to be kept to go on later, by name.
    pub(crate) fn state(&self) -> [(&'static str, &Tensor); 3] {
        [("first", &self.first), ("second", &self.second), ("average", &self.average)]
    }

    /// Goes on from what [`Optimiser::state`] gave, in its order.
    pub(crate) fn restore(&mut self, [first, second, average]: [Tensor; 3], steps: u64) {
        for (into, from) in [(&mut self.first, first), (&mut self.second, second), (&mut self.average, average)] {
            into.copy_(&from);
        }
        self.steps = steps;
    }
}
