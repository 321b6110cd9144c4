//! Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv:2403.03206): a transformer over the tokens of text and picture, a rectified flow.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::flux_blocks::Embedder;
use super::patches;
use super::sd3_blocks::{JointBlock, Sizes, modulated};
use crate::diffusion::control::{self, Residuals};
use crate::diffusion::extra_conds::VECTOR;
use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::patch::TransformerBlock;
use crate::files::weights::Weights;
use crate::models::unet::sinusoids;
use crate::ops::layers::{Conv2d, Linear, normalised};
use crate::ops::numerics::{Numerics, Placement};

/// How many latent points make a token, along a side.
pub(super) const PATCH: i64 = 2;
/// How wide a head is.
pub(super) const HEAD: i64 = 64;
/// How wide the noise level is spread.
pub(super) const SPREAD: i64 = 256;

/// What tells a token where it is.
pub(super) struct Positions {
    width: i64,
    /// 1×(side·side)×width
    table: Tensor,
    /// How many tokens the table has along a side.
    side: i64,
}

/// The network. Every size is read off the weights.
pub struct Sd3 {
    placement: Placement,
    width: i64,
    picture: Conv2d,
    positions: Positions,
    time: Embedder,
    vector: Embedder,
    text: Linear,
    blocks: Vec<JointBlock>,
    modulation: Linear,
    out: Linear,
}

impl Sd3 {
    /// Builds the network from the tensors below `weights` (`x_embedder.*`, `joint_blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let (width, channels) = (w.dim("x_embedder.proj.weight", 0)?, w.dim("x_embedder.proj.weight", 1)?);
        ensure!(
            width % HEAD == 0 && !w.contains("context_processor.norm.weight"),
            "{} is a relative of Stable Diffusion 3 that is not supported; use Stable Diffusion 3 or 3.5 itself",
            w.path().display()
        );
        let sizes = Sizes { width, heads: width / HEAD };
        let embedder = |name: &str| Embedder::named(&w.at(name).at("mlp"), ["0", "2"], width);
        let blocks = w.at("joint_blocks");
        let last = w.at("final_layer");
        Ok(Self {
            placement,
            width,
            picture: Conv2d::strided(&w.at("x_embedder.proj"), channels, width, PATCH, PATCH, 0)?,
            positions: Positions::load(w, width)?,
            time: embedder("t_embedder")?,
            vector: embedder("y_embedder")?,
            text: Linear::load(&w.at("context_embedder"), w.dim("context_embedder.weight", 1)?, width)?,
            blocks: (0..blocks.children()).map(|i| JointBlock::load(&blocks.at(i), sizes)).collect::<Result<_>>()?,
            modulation: Linear::load(&last.at("adaLN_modulation.1"), width, 2 * width)?,
            out: Linear::load(&last.at("linear"), width, last.dim("linear.weight", 0)?)?,
        })
    }

    /// The embedded noise level and pooled text, B×width.
    fn vector(&self, inputs: &Inputs) -> Result<Tensor> {
        let time = self.time.forward(&sinusoids(inputs.timestep, SPREAD, self.placement.device));
        let Some(pooled) = inputs.extra.get(VECTOR) else { return Ok(time) };
        let (has, takes) = (pooled.size().last().copied().unwrap_or(0), self.vector.inputs());
        ensure!(
            has == takes,
            "the prompt's pooled output is {has} wide and the model takes {takes}: encode the prompt with a text encoder of the model's \
             family"
        );
        Ok(time + self.vector.forward(&pooled.to_kind(Kind::Float)))
    }
}

impl Positions {
    /// Reads `pos_embed`.
    pub(super) fn load(w: &Weights, width: i64) -> Result<Self> {
        let places = w.dim("pos_embed", 1)?;
        let side = (places as f64).sqrt().round() as i64;
        ensure!(side * side == places, "the positions in {} are no square; it is damaged", w.path().display());
        Ok(Self { width, table: w.tensor("pos_embed", &[1, places, width])?, side })
    }

    /// The positions of a picture of so many tokens, about the middle of the table.
    pub(super) fn of(&self, rows: i64, columns: i64) -> Result<Tensor> {
        let side = self.side;
        ensure!(
            rows <= side && columns <= side,
            "a picture of {} x {} pixels is larger than the model's positions reach ({most} x {most}); set a smaller size",
            columns * PATCH * 8,
            rows * PATCH * 8,
            most = side * PATCH * 8
        );
        let all = self.table.view([1, side, side, self.width]);
        let (top, left) = ((side - rows) / 2, (side - columns) / 2);
        let cropped = all.narrow(1, top, rows).narrow(2, left, columns);
        Ok(cropped.reshape([1, rows * columns, self.width]).to_kind(Kind::Float))
    }
}

impl Network for Sd3 {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let place = |x: &Tensor| x.to_device_(self.placement.device, Kind::Float, false, false);
        let (_, channels, height, width) = inputs.x.size4().context("SD3 takes latents of pictures, B x C x h x w")?;
        ensure!(
            channels == self.picture.inputs(),
            "the latent has {channels} channels, and the model takes {}: use a latent and a VAE of the model's family",
            self.picture.inputs()
        );
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.text.inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with a text encoder of the model's family"
        );
        let (rows, columns) = (patches::halved(height), patches::halved(width));
        let x = self.picture.forward(&patches::wrapped(&place(inputs.x), PATCH));
        let mut picture = x.flatten(2, -1).transpose(1, 2) + self.positions.of(rows, columns)?;
        let vector = self.vector(inputs)?;
        let mut text = Some(self.text.forward(&place(inputs.context)));
        for (i, block) in self.blocks.iter().enumerate() {
            if !inputs.call.skips(TransformerBlock::Double(i)) {
                let given = text.take().context("a block but the last gives no text; the file is damaged")?;
                (text, picture) = block.forward(given, picture, &vector);
            }
            control::add(&mut picture, inputs.control.and_then(|control| Residuals::of_block(&control.output, i)));
        }
        let parts = self.modulation.forward(&vector.silu()).chunk(2, 1);
        let x = self.out.forward(&modulated(&normalised(&picture, self.width), &parts[0], &parts[1]));
        let batch = x.size()[0];
        let split = x.reshape([batch, rows, columns, PATCH, PATCH, -1]).permute([0, 5, 1, 3, 2, 4]);
        let whole = split.reshape([batch, -1, rows * PATCH, columns * PATCH]);
        Ok(whole.narrow(2, 0, height).narrow(3, 0, width))
    }

    fn repeats_text(&self) -> bool {
        false
    }

    fn may_be_left_out(&self) -> bool {
        false
    }

    fn device(&self) -> Device {
        self.placement.device
    }
}
