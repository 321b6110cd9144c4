//! Training the UNet and the text encoder together, on latents.

use anyhow::Result;
use redraft_nodes::diffusion::control::Residuals;
use redraft_nodes::diffusion::extra_conds::ExtraConds;
use redraft_nodes::diffusion::network::Inputs;
use redraft_nodes::diffusion::parameterisation::Parameterisation;
use redraft_nodes::diffusion::patch::Call;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::clip_text::ClipText;
use redraft_nodes::models::unet::{Heads, UNet};
use redraft_nodes::ops::numerics::Numerics;
use redraft_nodes::text::encode::{ClipNetwork, HiddenLayer};
use tch::{Device, Kind, Tensor};

use crate::data::{token_rows, tokens};
use crate::optimiser::Optimiser;
use crate::parameters::Parameters;

const PREFIXES: [&str; 2] = ["model.diffusion_model.", "cond_stage_model."];
/// γ of min-SNR weighting (Hang et al. 2023, arXiv:2303.09556).
const GAMMA: f64 = 5.0;
/// The part of captions that is left out, for guidance.
const DROPOUT: f64 = 0.1;

/// What a UNet is asked in, and how: noise levels and text.
pub(crate) struct Denoiser {
    pub(crate) parameters: Parameters,
    pub(crate) optimiser: Optimiser,
    networks: Networks,
    objective: Objective,
}

/// A UNet with its text encoder.
pub(crate) struct Networks {
    pub(crate) unet: UNet,
    text: ClipText,
}

impl Networks {
    /// Those in a checkpoint.
    pub(crate) fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        Self::with_unet(weights, weights, numerics)
    }

    /// The UNet of one file and the text encoder of another.
    pub(crate) fn with_unet(unet: &Weights, weights: &Weights, numerics: &Numerics) -> Result<Self> {
        Ok(Self {
            unet: load_unet(unet, numerics)?,
            text: ClipText::load(&weights.at("cond_stage_model.transformer"), numerics)?,
        })
    }

    /// Prompts, B×77 tokens, as the UNet takes them: B×77×W.
    pub(crate) fn encode(&self, tokens: &Tensor) -> Result<Tensor> {
        self.encode_vectors(&self.vectors(tokens))
    }

    /// The vectors of tokens, …×W.
    pub(crate) fn vectors(&self, tokens: &Tensor) -> Tensor {
        self.text.embed_known(tokens)
    }

    /// The same as [`Networks::encode`] for the vectors of prompts, B×77×W.
    pub(crate) fn encode_vectors(&self, vectors: &Tensor) -> Result<Tensor> {
        Ok(self.text.forward(vectors, HiddenLayer::Last)?.1)
    }

    /// The noise in states that are scaled as the network takes them, at timesteps, under encoded prompts.
    pub(crate) fn predict(&self, x: &Tensor, timestep: &Tensor, context: &Tensor) -> Result<Tensor> {
        self.steered(x, timestep, context, None)
    }

    /// The same with what a ControlNet adds.
    pub(crate) fn steered(
        &self,
        x: &Tensor,
        timestep: &Tensor,
        context: &Tensor,
        control: Option<&Residuals>,
    ) -> Result<Tensor> {
        let (extra, call) = (ExtraConds::default(), Call::plain());
        self.unet.forward(&Inputs { x, timestep, context, extra: &extra, control, call: &call })
    }
}

/// The UNet of a checkpoint.
pub(crate) fn load_unet(weights: &Weights, numerics: &Numerics) -> Result<UNet> {
    UNet::load(&weights.at("model.diffusion_model"), numerics, Heads::Count(8))
}

/// What is drawn at random for a step, all on the device.
pub(crate) struct Draw {
    /// B timesteps, 0…999.
    pub(crate) timesteps: Tensor,
    /// Like the latents.
    pub(crate) noise: Tensor,
    /// B×1, true where the caption is left out.
    pub(crate) dropped: Tensor,
}

impl Draw {
    /// For a batch of latents; `offset` is the standard deviation of noise that is the same all over a channel.
    pub(crate) fn new(latents: &Tensor, offset: f64) -> Self {
        let (size, options) = (latents.size(), (Kind::Float, latents.device()));
        let noise = Tensor::randn(size.as_slice(), options);
        Self {
            timesteps: Tensor::randint(1000, [size[0]], (Kind::Int64, latents.device())),
            noise: if offset > 0.0 { noise + Tensor::randn([size[0], size[1], 1, 1], options) * offset } else { noise },
            dropped: Tensor::rand([size[0], 1], options).lt(DROPOUT),
        }
    }
}

impl Denoiser {
    /// The one in a checkpoint; with `untrained`, it predicts 0 at first.
    pub(crate) fn new(weights: &Weights, numerics: &Numerics, untrained: bool) -> Result<Self> {
        let device = numerics.device;
        let parameters = Parameters::of(weights, &PREFIXES, device)?;
        if untrained {
            let named = parameters.named(&parameters.flat);
            for part in ["weight", "bias"] {
                if let Some(tensor) = named.get(&format!("model.diffusion_model.out.2.{part}")) {
                    let _ = tensor.shallow_clone().zero_();
                }
            }
        }
        Ok(Self {
            optimiser: Optimiser::new(&parameters),
            networks: Networks::load(&weights.trained(parameters.by_name()), numerics)?,
            objective: Objective::new(device),
            parameters,
        })
    }

    /// The weighted loss over latents in the network's scale with their captions B×77, and the plain one.
    pub(crate) fn loss(&self, latents: &Tensor, tokens: &Tensor, draw: &Draw) -> Result<[Tensor; 2]> {
        let context = self.networks.encode(&self.objective.captions(tokens, draw))?;
        self.objective.loss(latents, draw, |x, timesteps| self.networks.predict(x, timesteps, &context))
    }
}

/// What is minimised, whatever part of the networks is trained.
pub(crate) struct Objective {
    /// The noise level of each timestep, on the device.
    sigmas: Tensor,
    /// 1×77.
    empty: Tensor,
}

impl Objective {
    pub(crate) fn new(device: Device) -> Self {
        Self {
            sigmas: Tensor::from_slice(Parameterisation::sd15().sigmas()).to_device(device),
            empty: token_rows([tokens("").as_slice()], device),
        }
    }

    /// Captions B×77, the empty one where they are left out.
    pub(crate) fn captions(&self, tokens: &Tensor, draw: &Draw) -> Tensor {
        self.empty.where_self(&draw.dropped, tokens)
    }

    /// The weighted loss over latents in the network's scale, and the plain one. `predict` is given noised latents and timesteps.
    pub(crate) fn loss(
        &self,
        latents: &Tensor,
        draw: &Draw,
        predict: impl FnOnce(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<[Tensor; 2]> {
        let sigma = self.sigmas.index_select(0, &draw.timesteps);
        let wide = sigma.view([-1, 1, 1, 1]);
        let x = (latents + &draw.noise * &wide) / (wide.square() + 1.0).sqrt();
        let predicted = predict(&x, &draw.timesteps.to_kind(Kind::Float))?;
        let each = (predicted - &draw.noise).square().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float);
        // Signal to noise is 1/σ²; predicting noise, the weight is min(SNR, γ)/SNR.
        let weight = (sigma.square() * GAMMA).clamp_max(1.0);
        Ok([(&each * weight).mean(Kind::Float), each.detach().mean(Kind::Float)])
    }
}

/// Samples latents in the network's scale for prompts B×77, with Euler's method and guidance.
pub(crate) fn sample(
    networks: &Networks,
    tokens: &Tensor,
    noise: &Tensor,
    levels: &[f32],
    guidance: f64,
) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    let (sampling, device) = (Parameterisation::sd15(), noise.device());
    let count = noise.size()[0];
    let empty = token_rows([crate::data::tokens("").as_slice()], device).expand_as(tokens);
    let context = networks.encode(&Tensor::cat(&[empty, tokens.shallow_clone()], 0))?;
    let mut x = sampling.noised(&noise.zeros_like(), noise, levels[0]);
    for pair in levels.windows(2) {
        let (sigma, next) = (pair[0], pair[1]);
        let scaled = sampling.scaled_input(&x, sigma);
        let timestep = Tensor::full([2 * count], f64::from(sampling.timestep(sigma)), (Kind::Float, device));
        let output = networks.predict(&Tensor::cat(&[&scaled, &scaled], 0), &timestep, &context)?;
        let (empty, prompted) = (output.narrow(0, 0, count), output.narrow(0, count, count));
        let denoised = sampling.denoised(&x, sigma, &(&empty + (prompted - &empty) * guidance));
        x = &x + (&x - denoised) * f64::from((next - sigma) / sigma);
    }
    Ok(x)
}
