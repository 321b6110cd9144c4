//! ControlNets of Qwen-Image (InstantX): its own first blocks.

use anyhow::{Context, Result, ensure};
use tch::{Kind, Tensor};

use crate::diffusion::control::{ControlInputs, ControlNetwork, Residuals};
use crate::files::weights::Weights;
use crate::models::qwen_image::{PATCH, Trunk, places_of, size5, tokens_of};
use crate::ops::layers::Linear;
use crate::ops::numerics::Numerics;

/// How many blocks Qwen-Image has.
const BLOCKS: usize = 60;

/// The network. Every size is read off the weights.
pub struct QwenControl {
    trunk: Trunk,
    file: String,
    /// What makes states of the hint's tokens.
    hint: Linear,
    /// What is handed over of each block.
    out: Vec<Linear>,
}

impl QwenControl {
    /// Builds the network from the tensors below `weights`.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let trunk = Trunk::load(weights, numerics)?;
        let (w, width) = (&weights.placed(trunk.placement), trunk.width);
        let out = w.at("controlnet_blocks");
        Ok(Self {
            file: w.path().display().to_string(),
            hint: Linear::load(&w.at("controlnet_x_embedder"), w.dim("controlnet_x_embedder.weight", 1)?, width)?,
            out: (0..trunk.blocks.len()).map(|i| Linear::load(&out.at(i), width, width)).collect::<Result<_>>()?,
            trunk,
        })
    }
}

impl ControlNetwork for QwenControl {
    fn residuals(&self, inputs: &ControlInputs) -> Result<Residuals> {
        let (trunk, file) = (&self.trunk, &self.file);
        let device = trunk.placement.device;
        let place = |x: &Tensor| x.to_device_(device, Kind::Float, false, false);
        let (_, _, frames, height, width) = size5(inputs.x)?;
        let mut text = trunk.text(inputs.context).with_context(|| format!("in the ControlNet {file}"))?;
        let tokens = tokens_of(inputs.x);
        ensure!(
            tokens.size()[2] == trunk.picture.inputs(),
            "the ControlNet {file} takes latents of {} channels and the model's have {}; use one made for the model's family",
            trunk.picture.inputs() / (PATCH * PATCH),
            inputs.x.size()[1]
        );
        let shown = inputs.hint.size();
        ensure!(
            shown.len() == 5 && shown[1] * PATCH * PATCH == self.hint.inputs() && shown[2] == frames,
            "the ControlNet {file} takes hints of {} channels and {frames} frames, and the VAE makes {shown:?} of the pictures; connect one \
             picture, and the VAE of the model's family",
            self.hint.inputs() / (PATCH * PATCH)
        );
        let places = places_of(0.0, frames, [height, width], [0, 0], device);
        let turns = trunk.turns(inputs.context.size()[1], [height, width], &places);
        let mut picture = trunk.picture.forward(&place(&tokens)) + self.hint.forward(&place(&tokens_of(inputs.hint)));
        let time = trunk.time(&place(inputs.timestep), None);
        let each = BLOCKS.div_ceil(self.out.len().max(1));
        let mut input = Vec::with_capacity(BLOCKS);
        for (block, out) in trunk.blocks.iter().zip(&self.out) {
            (picture, text) = block.forward(&picture, &text, &time, &turns);
            let made = out.forward(&picture);
            input.extend((0..each).map(|_| Some(made.shallow_clone())));
        }
        input.truncate(BLOCKS);
        Ok(Residuals { input, ..Residuals::default() })
    }
}
