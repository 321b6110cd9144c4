//! MODEL, CLIP and VAE: recipes for networks. Making one is free; the network is built when something uses it.

use std::rc::Rc;

use anyhow::{Result, anyhow};

use crate::diffusion::latent_format::LatentFormat;
use crate::diffusion::parameterisation::Parameterisation;
use crate::files::weights::Weights;
use crate::models::clip_text::ClipText;
use crate::models::families::Family;
use crate::models::unet::UNet;
use crate::models::vae::Vae;
use crate::networks::Networks;
use crate::sampling::hooks::{Hook, Hooks};

/// MODEL: a noise predictor.
#[derive(Clone)]
pub struct Model {
    pub family: Family,
    pub weights: Weights,
    /// What nodes have changed about how it is sampled.
    pub hooks: Hooks,
    /// What its network's output means, and on which noise levels it was trained.
    sampling: Rc<Parameterisation>,
    /// The latent space that it works in.
    pub latent_format: LatentFormat,
}

/// CLIP: a text encoder, if the file it was taken from has one.
#[derive(Clone)]
pub struct Clip {
    pub weights: Option<Weights>,
    /// CLIPSetLastLayer's choice: -1 is the last layer; without one the family's default is taken.
    pub last_layer: Option<i64>,
}

/// VAE: an autoencoder, if the file it was taken from has one.
#[derive(Clone)]
pub struct VaeRecipe {
    pub weights: Option<Weights>,
}

impl Model {
    /// A model as its file has it.
    pub fn new(family: Family, weights: Weights) -> Model {
        let sampling = Rc::new(Parameterisation::sd15());
        Model { family, weights, hooks: Hooks::default(), sampling, latent_format: LatentFormat::SD15 }
    }

    pub fn network(&self, networks: &Networks) -> Result<Rc<UNet>> {
        networks.get(&self.weights, |weights, numerics| UNet::load(weights, numerics).map(Rc::new))
    }

    /// The same over other weights: its own with a delta more.
    pub fn with_weights(self, weights: Weights) -> Model {
        Model { weights, ..self }
    }

    /// What its network's output means, and on which noise levels it was trained.
    pub fn sampling(&self) -> &Parameterisation {
        &self.sampling
    }

    /// The same, its network's output read in another way.
    pub fn with_sampling(self, sampling: Parameterisation) -> Model {
        Model { sampling: Rc::new(sampling), ..self }
    }

    /// The same with one more change to how it is sampled.
    pub fn with_hook(self, hook: impl Hook + 'static) -> Model {
        Model { hooks: self.hooks.with(hook), ..self }
    }
}

impl Clip {
    /// The network. Fails, with ComfyUI's words, where the checkpoint had none.
    pub fn network(&self, networks: &Networks) -> Result<Rc<ClipText>> {
        let missing = || {
            anyhow!(
                "ERROR: clip input is invalid: None\n\nIf the clip is from a checkpoint loader node your checkpoint does not \
                 contain a valid clip or text encoder model."
            )
        };
        networks.get(self.weights.as_ref().ok_or_else(missing)?, |weights, numerics| {
            Ok(Rc::new(ClipText::load(weights, numerics)?))
        })
    }
}

impl VaeRecipe {
    /// The network. Fails, with ComfyUI's words, where the checkpoint had none.
    pub fn network(&self, networks: &Networks) -> Result<Rc<Vae>> {
        let missing = || {
            anyhow!(
                "ERROR: VAE is invalid: None\n\nIf the VAE is from a checkpoint loader node your checkpoint does not contain \
                 a valid VAE."
            )
        };
        networks.get(self.weights.as_ref().ok_or_else(missing)?, |weights, numerics| {
            Vae::load(weights, numerics).map(Rc::new)
        })
    }
}
