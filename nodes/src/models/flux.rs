//! Flux (Black Forest Labs 2024): a transformer over the tokens of text and picture, a rectified flow.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::flux_blocks::{Around, DoubleBlock, Embedder, LastLayer, SingleBlock, Sizes, blocks, pooled};
use super::patches;
use super::placing::{Placing, Positions};
use crate::diffusion::control::{self, Residuals};
use crate::diffusion::extra_conds::{ExtraConds, REFERENCE_METHOD, REFERENCES};
use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::patch::TransformerBlock;
use crate::files::weights::Weights;
use crate::models::unet::sinusoids;
use crate::ops::layers::Linear;
use crate::ops::numerics::{Numerics, Placement};
use crate::ops::rotary;

/// Flux's name for how strongly it follows the text, one number for each state.
pub const GUIDANCE: &str = "guidance";

/// How many latent points make a token, along a side.
const PATCH: i64 = 2;
/// How wide noise level and guidance are spread.
const SPREAD: i64 = 256;
/// The base of the rotary frequencies.
const THETA: f64 = 10000.0;
/// What noise level and guidance are multiplied by before.
const TIME_FACTOR: f64 = 1000.0;

/// The network. Every size is read off the weights.
pub struct Flux {
    trunk: Trunk,
    last: LastLayer,
}

/// All of the network but its last layer, which networks that steer it have, too.
pub(super) struct Trunk {
    pub(super) placement: Placement,
    pub(super) sizes: Sizes,
    pub(super) picture: Linear,
    pub(super) text: Linear,
    time: Embedder,
    /// What embeds the guidance, in models that were distilled with one.
    guidance: Option<Embedder>,
    vector: Option<Embedder>,
    pub(super) double: Vec<DoubleBlock>,
    pub(super) single: Vec<SingleBlock>,
}

impl Trunk {
    /// Builds it from the tensors below `weights` (`img_in.*`, `double_blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub(super) fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let (width, columns) = (w.dim("img_in.weight", 0)?, w.dim("img_in.weight", 1)?);
        let sizes = Sizes::of(w, width)?;
        let embedder = |name: &str| Embedder::load(&w.at(name), width);
        let optional = |name: &str| (!w.at(name).is_empty()).then(|| embedder(name)).transpose();
        let (double, single) = blocks(w, sizes)?;
        Ok(Self {
            placement,
            sizes,
            picture: Linear::load(&w.at("img_in"), columns, width)?,
            text: Linear::load(&w.at("txt_in"), w.dim("txt_in.weight", 1)?, width)?,
            time: embedder("time_in")?,
            guidance: optional("guidance_in")?,
            vector: optional("vector_in")?,
            double,
            single,
        })
    }

    /// The embedded noise level, guidance and pooled text, B×width.
    pub(super) fn vector(&self, timestep: &Tensor, extra: &ExtraConds) -> Result<Tensor> {
        let spread = |numbers: &Tensor| sinusoids(&(numbers * TIME_FACTOR), SPREAD, self.placement.device);
        let mut vector = self.time.forward(&spread(timestep));
        if let (Some(embedder), Some(guidance)) = (&self.guidance, extra.get(GUIDANCE)) {
            vector += embedder.forward(&spread(guidance));
        }
        let Some(embedder) = &self.vector else { return Ok(vector) };
        let nothing =
            || embedder.forward(&Tensor::zeros([vector.size()[0], embedder.inputs()], (Kind::Float, vector.device())));
        let pooled = pooled(extra, embedder)?.unwrap_or_else(nothing);
        Ok(vector + pooled)
    }

    /// How the channels of all tokens' heads are turned: those of so many of text, then those of the picture, whose positions are given.
    pub(super) fn turns(&self, text_tokens: i64, picture_ids: Tensor) -> Tensor {
        let text_ids = Tensor::zeros([text_tokens, 3], (Kind::Float, self.placement.device));
        rotary::turns(&Tensor::cat(&[text_ids, picture_ids], 0), &self.sizes.axes(), THETA)
    }
}

impl Flux {
    /// Builds the network from the tensors below `weights` (`img_in.*`, `double_blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let trunk = Trunk::load(weights, numerics)?;
        let last = weights.placed(trunk.placement).at("final_layer");
        Ok(Self { last: LastLayer::load(&last, trunk.sizes)?, trunk })
    }

    /// Channels of the input: 16, 32 where a picture is shown beside the latent, 96 where a mask is, too.
    pub fn in_channels(&self) -> i64 {
        self.trunk.picture.inputs() / (PATCH * PATCH)
    }

    /// The tokens of the states and of the pictures to go by, and their positions.
    fn picture_tokens(&self, inputs: &Inputs) -> Result<(Tensor, Tensor)> {
        let device = self.trunk.placement.device;
        let (_, _, height, width) = inputs.x.size4().context("Flux takes latents of pictures, B x C x h x w")?;
        let (rows, columns) = (patches::halved(height), patches::halved(width));
        let mut tokens = vec![patches::tokens(inputs.x, PATCH)];
        let mut ids = vec![rotary::grid(0.0, (0.0, 0.0), (rows, columns), device)];
        let positions = match inputs.extra.constant(REFERENCE_METHOD) {
            Some("index") => Positions::Index,
            Some("uxo") => Positions::Diagonal,
            _ => Positions::Offset,
        };
        let mut placed = Placing::new(positions, [rows * PATCH, columns * PATCH]);
        for reference in inputs.extra.list(REFERENCES) {
            let (_, _, height, width) = reference.size4().context("reference latents are those of pictures")?;
            let (index, top, left) = placed.place(height, width);
            let at = (patches::halved(top) as f64, patches::halved(left) as f64);
            tokens.push(patches::tokens(reference, PATCH));
            ids.push(rotary::grid(index, at, (patches::halved(height), patches::halved(width)), device));
        }
        Ok((Tensor::cat(&tokens, 1), Tensor::cat(&ids, 0)))
    }
}

impl Network for Flux {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let place = |x: &Tensor| x.to_device_(self.trunk.placement.device, Kind::Float, false, false);
        let (batch, _, height, width) = inputs.x.size4().context("Flux takes latents of pictures, B x C x h x w")?;
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.trunk.text.inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with a text encoder of the model's family"
        );
        let (tokens, picture_ids) = self.picture_tokens(inputs)?;
        ensure!(
            tokens.size()[2] == self.trunk.picture.inputs(),
            "the latent has {} channels, and the model takes {}: use a latent and a VAE of the model's family",
            tokens.size()[2] / (PATCH * PATCH),
            self.in_channels()
        );
        let own_tokens = patches::halved(height) * patches::halved(width);
        let mut picture = self.trunk.picture.forward(&place(&tokens));
        let vector = self.trunk.vector(inputs.timestep, inputs.extra)?;
        let mut text = self.trunk.text.forward(&place(inputs.context));
        let text_tokens = text.size()[1];
        let turns = self.trunk.turns(text_tokens, picture_ids);
        for (i, block) in self.trunk.double.iter().enumerate() {
            if !inputs.call.skips(TransformerBlock::Double(i)) {
                (picture, text) = block.forward(picture, text, &vector, Around::plain(&turns));
            }
            control::add_in_front(&picture, inputs.control.and_then(|control| Residuals::of_block(&control.input, i)));
        }
        let mut all = Tensor::cat(&[text, picture], 1);
        for (i, block) in self.trunk.single.iter().enumerate() {
            if !inputs.call.skips(TransformerBlock::Single(i)) {
                all = block.forward(all, &vector, Around::plain(&turns));
            }
            let residual = inputs.control.and_then(|control| Residuals::of_block(&control.output, i));
            control::add_in_front(&all.narrow(1, text_tokens, all.size()[1] - text_tokens), residual);
        }
        let picture = all.narrow(1, text_tokens, all.size()[1] - text_tokens);
        let out = self.last.forward(&picture, &vector, None).narrow(1, 0, own_tokens);
        Ok(patches::picture(&out, batch, PATCH, [height, width]))
    }

    fn repeats_text(&self) -> bool {
        false
    }

    fn device(&self) -> Device {
        self.trunk.placement.device
    }
}
