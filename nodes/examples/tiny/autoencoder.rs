//! Training the autoencoder.

use std::collections::HashMap;

use anyhow::{Context, Result};
use redraft_nodes::diffusion::latent_format::SD15;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::picture_autoencoder::PictureAutoencoder;
use redraft_nodes::models::vae::Vae;
use redraft_nodes::ops::numerics::Numerics;
use tch::{Kind, Tensor};

use crate::optimiser::Optimiser;
use crate::parameters::Parameters;

const PREFIX: &str = "first_stage_model.";

/// The logarithm of the latents' variance before training.
const FIRST_LOG_VARIANCE: f64 = -6.0;

/// Weights of the parts of the loss beside the mean absolute difference.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LossWeights {
    /// Weight of the differences of neighbouring pixels: edges.
    #[arg(long, default_value_t = 0.5)]
    edges: f64,
    /// Weight of the squared difference.
    #[arg(long, default_value_t = 3.0)]
    square: f64,
    /// Weight of the squared difference of each picture's mean colour.
    #[arg(long, default_value_t = 4.0)]
    colour: f64,
    /// Weight of the divergence of the latents from unit noise, at the end of its rise.
    #[arg(long, default_value_t = 3e-3)]
    kl: f64,
    /// The same at the start.
    #[arg(long, default_value_t = 1e-4)]
    kl_start: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self { edges: 0.5, square: 3.0, colour: 4.0, kl: 3e-3, kl_start: 1e-4 }
    }
}

impl LossWeights {
    /// The divergence's weight at a part of the training: it rises from a tenth to half of it.
    fn kl_at(&self, progress: f64) -> f64 {
        self.kl_start + (self.kl - self.kl_start) * ((progress - 0.1) / 0.4).clamp(0.0, 1.0)
    }
}

/// The autoencoder, its parameters and their optimisation.
pub(crate) struct Autoencoder {
    pub(crate) parameters: Parameters,
    pub(crate) optimiser: Optimiser,
    vae: Vae,
}

impl Autoencoder {
    /// The one in a checkpoint; with `untrained`, its latents have little noise at first, so that there is something to decode.
    pub(crate) fn new(weights: &Weights, numerics: &Numerics, untrained: bool) -> Result<Self> {
        let parameters = Parameters::of(weights, &[PREFIX], numerics.device)?;
        if untrained && let Some(bias) = parameters.named(&parameters.flat).get("first_stage_model.quant_conv.bias") {
            let half = bias.size()[0] / 2;
            let _ = bias.narrow(0, half, half).fill_(FIRST_LOG_VARIANCE);
        }
        let vae = Vae::load(&weights.trained(parameters.by_name()).at("first_stage_model"), numerics)?;
        Ok(Self { optimiser: Optimiser::new(&parameters), parameters, vae })
    }

    /// The loss over pictures B×3×H×W in -1…1 at a part of the training, and the mean absolute difference alone.
    ///
    /// `noise` is unit noise of the latents' shape.
    pub(crate) fn loss(&self, pictures: &Tensor, noise: &Tensor, weights: &LossWeights, progress: f64) -> [Tensor; 2] {
        let [mean, log_variance] = self.vae.moments(pictures);
        let log_variance = log_variance.clamp(-30.0, 20.0);
        let latent = &mean + (&log_variance * 0.5).exp() * noise;
        let difference = self.vae.decode_latent(&latent) - pictures;
        let absolute = difference.abs().mean(Kind::Float);
        let step = |dim: i64| {
            let size = difference.size()[dim as usize] - 1;
            (difference.narrow(dim, 1, size) - difference.narrow(dim, 0, size)).abs().mean(Kind::Float)
        };
        let colour = difference.mean_dim([2i64, 3].as_slice(), false, Kind::Float).square().mean(Kind::Float);
        let divergence = (mean.square() + log_variance.exp() - 1.0 - &log_variance).mean(Kind::Float) * 0.5;
        let loss = &absolute
            + (step(2) + step(3)) * (0.5 * weights.edges)
            + difference.square().mean(Kind::Float) * weights.square
            + colour * weights.colour
            + divergence * weights.kl_at(progress);
        [loss, absolute.detach()]
    }

    /// The shape of the latents of a batch of square pictures.
    pub(crate) fn latent_shape(&self, pictures: &Tensor) -> [i64; 4] {
        let (size, factor) = (pictures.size(), self.vae.factor());
        [size[0], self.vae.latent_channels(), size[2] / factor, size[3] / factor]
    }
}

/// Mean and standard deviation of each channel of latents.
#[derive(Debug)]
pub(crate) struct Spread {
    /// 4 values, float32 on the CPU.
    pub(crate) mean: Tensor,
    /// The same.
    pub(crate) std: Tensor,
}

impl Spread {
    /// That of latents B×4×h×w.
    pub(crate) fn of(latents: &Tensor) -> Self {
        let each = latents.transpose(0, 1).flatten(1, -1).to_kind(Kind::Double);
        let host = |t: Tensor| t.to_device(tch::Device::Cpu).to_kind(Kind::Float);
        Self { mean: host(each.mean_dim(1, false, Kind::Double)), std: host(each.std_dim(1, true, false)) }
    }

    /// Moves it into the 1×1 convolutions around the latent, so that latents get mean 0 and the standard deviation that the
    /// network's scale makes 1. Decoded pictures stay as they are.
    ///
    /// # Errors
    /// If the tensors hold no autoencoder.
    pub(crate) fn fold(&self, tensors: &mut HashMap<String, Tensor>) -> Result<()> {
        let get = |tensors: &HashMap<String, Tensor>, name: &str| -> Result<Tensor> {
            let tensor =
                tensors.get(&format!("{PREFIX}{name}")).with_context(|| format!("there is no {PREFIX}{name}"))?;
            Ok(tensor.to_device(tch::Device::Cpu).to_kind(Kind::Double))
        };
        let (mean, std) = (self.mean.to_kind(Kind::Double), self.std.to_kind(Kind::Double));
        // A latent z becomes (z - mean) · scale.
        let scale: Tensor = (std * SD15.scale).reciprocal();
        let channels = scale.size()[0];
        let (weight, bias) = (get(tensors, "quant_conv.weight")?, get(tensors, "quant_conv.bias")?);
        let halves = |t: &Tensor| [0, 1].map(|half| t.narrow(0, half * channels, channels));
        let ([weight, log_weight], [bias, log_bias]) = (halves(&weight), halves(&bias));
        let weight = Tensor::cat(&[weight * scale.view([-1, 1, 1, 1]), log_weight], 0);
        let bias = Tensor::cat(&[(bias - &mean) * &scale, log_bias + scale.log() * 2.0], 0);
        let (back, back_bias) = (get(tensors, "post_quant_conv.weight")?, get(tensors, "post_quant_conv.bias")?);
        let moved = (&back * mean.view([1, -1, 1, 1])).sum_dim_intlist([1i64, 2, 3].as_slice(), false, Kind::Double);
        let parts = [
            ("quant_conv.weight", weight),
            ("quant_conv.bias", bias),
            ("post_quant_conv.weight", back / scale.view([1, -1, 1, 1])),
            ("post_quant_conv.bias", back_bias + moved),
        ];
        for (name, tensor) in parts {
            tensors.insert(format!("{PREFIX}{name}"), tensor.to_kind(Kind::Float));
        }
        Ok(())
    }
}
