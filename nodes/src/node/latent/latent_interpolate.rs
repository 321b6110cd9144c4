use anyhow::ensure;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::fitted_to;
use crate::values::Latent;

/// Interpolates two latents. Directions and lengths of the vectors of channels are interpolated separately.
#[derive(Node)]
#[node(category = "latent/advanced")]
struct LatentInterpolate {
    samples1: Latent,
    samples2: Latent,
    /// The share of the first latent.
    #[input(default = 1.0, min = 0.0, max = 1.0, step = 0.01, beyond = Both)]
    ratio: f64,
}

impl Run for LatentInterpolate {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let (one, two) = (&self.samples1.samples, &fitted_to(&self.samples1, &self.samples2)?);
        // The lengths, B×H×W, are broadcast against the channels in the second dimension, as in ComfyUI.
        let (batch, channels) = (one.size()[0], one.size()[1]);
        ensure!(
            batch == 1 || batch == channels,
            "latents can be interpolated one at a time, but here are {batch}; take them apart with LatentFromBatch"
        );
        let lengths = |samples: &Tensor| samples.norm_scalaropt_dim(2.0, [1i64], false);
        let direction = |samples: &Tensor| (samples / lengths(samples)).nan_to_num(0.0, None, None);
        let mixed = |a: Tensor, b: Tensor| a * self.ratio + b * (1.0 - self.ratio);
        let turned = direction(&mixed(direction(one), direction(two)));
        Ok(self.samples1.with_samples(turned * mixed(lengths(one), lengths(two))))
    }
}
