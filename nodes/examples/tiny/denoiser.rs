//! Training the UNet and the text encoder together, on latents.

use anyhow::Result;
use redraft_nodes::diffusion::extra_conds::ExtraConds;
use redraft_nodes::diffusion::latent_format::SD15;
use redraft_nodes::diffusion::network::Inputs;
use redraft_nodes::diffusion::parameterisation::Parameterisation;
use redraft_nodes::diffusion::patch::Call;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::clip_text::ClipText;
use redraft_nodes::models::unet::{Heads, UNet};
use redraft_nodes::models::vae::Vae;
use redraft_nodes::ops::numerics::Numerics;
use redraft_nodes::text::encode::{ClipNetwork, HiddenLayer};
use tch::{Kind, Tensor};

use crate::data::{LENGTH, Sample, pictures, token_rows, tokens};
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
    /// The noise level of each timestep, on the device.
    sigmas: Tensor,
    /// 1×77.
    empty: Tensor,
}

/// A UNet with its text encoder.
pub(crate) struct Networks {
    unet: UNet,
    text: ClipText,
}

impl Networks {
    /// Those in a checkpoint.
    pub(crate) fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        Ok(Self {
            unet: UNet::load(&weights.at("model.diffusion_model"), numerics, Heads::Count(8))?,
            text: ClipText::load(&weights.at("cond_stage_model.transformer"), numerics)?,
        })
    }

    /// Prompts, B×77 tokens, as the UNet takes them: B×77×W.
    pub(crate) fn encode(&self, tokens: &Tensor) -> Result<Tensor> {
        Ok(self.text.forward(&self.text.embed_known(tokens), HiddenLayer::Last)?.1)
    }

    /// The noise in states that are scaled as the network takes them, at timesteps, under encoded prompts.
    pub(crate) fn predict(&self, x: &Tensor, timestep: &Tensor, context: &Tensor) -> Result<Tensor> {
        let (extra, call) = (ExtraConds::default(), Call::plain());
        self.unet.forward(&Inputs { x, timestep, context, extra: &extra, call: &call })
    }
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
            sigmas: Tensor::from_slice(Parameterisation::sd15().sigmas()).to_device(device),
            empty: token_rows([tokens("").as_slice()], device),
            parameters,
        })
    }

    /// The weighted loss over latents in the network's scale with their captions B×77, and the plain one.
    pub(crate) fn loss(&self, latents: &Tensor, tokens: &Tensor, draw: &Draw) -> Result<[Tensor; 2]> {
        let sigma = self.sigmas.index_select(0, &draw.timesteps);
        let wide = sigma.view([-1, 1, 1, 1]);
        let x = (latents + &draw.noise * &wide) / (wide.square() + 1.0).sqrt();
        let tokens = self.empty.where_self(&draw.dropped, tokens);
        let context = self.networks.encode(&tokens)?;
        let predicted = self.networks.predict(&x, &draw.timesteps.to_kind(Kind::Float), &context)?;
        let each = (predicted - &draw.noise).square().mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float);
        // Signal to noise is 1/σ²; predicting noise, the weight is min(SNR, γ)/SNR.
        let weight = (sigma.square() * GAMMA).clamp_max(1.0);
        Ok([(&each * weight).mean(Kind::Float), each.detach().mean(Kind::Float)])
    }
}

/// Latents of drawings with their captions, on the device; the oldest are replaced by new ones.
pub(crate) struct Pool {
    vae: Vae,
    latents: Tensor,
    tokens: Tensor,
    filled: i64,
    next: i64,
}

impl Pool {
    /// An empty one for so many drawings of `size` pixels, encoded by the autoencoder in a checkpoint.
    pub(crate) fn new(weights: &Weights, numerics: &Numerics, capacity: i64, size: u32) -> Result<Self> {
        let device = numerics.device;
        let vae = Vae::load(&weights.at("first_stage_model"), numerics)?;
        let side = i64::from(size) / vae.factor();
        let latents = Tensor::zeros([capacity, vae.latent_channels(), side, side], (Kind::Float, device));
        let tokens = Tensor::zeros([capacity, LENGTH as i64], (Kind::Int64, device));
        Ok(Self { vae, latents, tokens, filled: 0, next: 0 })
    }

    /// How many drawings there are.
    pub(crate) fn filled(&self) -> i64 {
        self.filled
    }

    /// Adds drawings, whose number divides the capacity.
    pub(crate) fn add(&mut self, samples: &[Sample], size: u32) {
        let _guard = tch::no_grad_guard();
        let (count, device) = (samples.len() as i64, self.latents.device());
        let [mean, _] = self.vae.moments(&pictures(samples, size, device));
        self.latents.narrow(0, self.next, count).copy_(&(mean * SD15.scale));
        let tokens = token_rows(samples.iter().map(|sample| sample.tokens.as_slice()), device);
        self.tokens.narrow(0, self.next, count).copy_(&tokens);
        self.filled = self.filled.max(self.next + count);
        self.next = (self.next + count) % self.latents.size()[0];
    }

    /// All latents as the autoencoder gives them.
    pub(crate) fn in_vae_units(&self) -> Tensor {
        self.latents.narrow(0, 0, self.filled) / SD15.scale
    }

    /// So many at random: latents and captions.
    pub(crate) fn batch(&self, count: i64) -> (Tensor, Tensor) {
        let places = Tensor::randint(self.filled, [count], (Kind::Int64, self.latents.device()));
        (self.latents.index_select(0, &places), self.tokens.index_select(0, &places))
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
