//! ControlNets of Stable Diffusion 3: of its own first blocks (InstantX, in the layout of diffusers), and of blocks without text (Stability AI,
//! for 3.5 large).

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::diffusion::control::{ControlInputs, ControlNetwork, Residuals};
use crate::diffusion::extra_conds::VECTOR;
use crate::files::weights::Weights;
use crate::models::flux_blocks::Embedder;
use crate::models::patches;
use crate::models::sd3::{HEAD, PATCH, Positions, SPREAD};
use crate::models::sd3_blocks::{JointBlock, Sizes, Stream};
use crate::models::unet::sinusoids;
use crate::ops::layers::{Conv2d, Linear};
use crate::ops::numerics::{Numerics, Placement};

/// What both kinds have.
struct Common {
    placement: Placement,
    file: String,
    width: i64,
    picture: Conv2d,
    /// What makes tokens of the hint.
    hint: Conv2d,
    time: Embedder,
    vector: Embedder,
    out: Vec<Linear>,
}

/// Of blocks in which text and picture attend to each other.
pub struct Sd3Control {
    common: Common,
    /// Missing where positions are computed.
    positions: Option<Positions>,
    text: Linear,
    blocks: Vec<JointBlock>,
}

/// Of blocks in which the picture attends to itself.
pub struct Sd35Control {
    common: Common,
    /// What embeds the pooled text before, which is the model's own; networks that lack it know where tokens lie, and chain their blocks.
    pooled: Option<Embedder>,
    blocks: Vec<Stream>,
}

fn embedder(w: &Weights, name: &str, width: i64) -> Result<Embedder> {
    Embedder::named(&w.at(name).at("mlp"), ["0", "2"], width)
}

fn patch_layer(w: &Weights, width: i64) -> Result<Conv2d> {
    let w = w.at("proj");
    Conv2d::strided(&w, w.dim("weight", 1)?, width, PATCH, PATCH, 0)
}

/// The tokens of a picture, B×N×width.
fn tokens(layer: &Conv2d, picture: &Tensor) -> Tensor {
    layer.forward(&patches::wrapped(picture, PATCH)).flatten(2, -1).transpose(1, 2)
}

impl Common {
    /// `picture`: where the layer that makes tokens of the states is.
    fn load(w: &Weights, picture: &Weights, placement: Placement, width: i64, blocks: usize) -> Result<Self> {
        let out = w.at("controlnet_blocks");
        ensure!(
            width % HEAD == 0,
            "{} is {width} wide, which heads of {HEAD} do not share; it is damaged",
            w.path().display()
        );
        Ok(Self {
            placement,
            file: w.path().display().to_string(),
            width,
            picture: patch_layer(picture, width)?,
            hint: patch_layer(&w.at("pos_embed_input"), width)?,
            time: embedder(w, "t_embedder", width)?,
            vector: embedder(w, "y_embedder", width)?,
            out: (0..blocks).map(|i| Linear::load(&out.at(i), width, width)).collect::<Result<_>>()?,
        })
    }

    fn place(&self, x: &Tensor) -> Tensor {
        x.to_device_(self.placement.device, Kind::Float, false, false)
    }

    fn sizes(&self) -> Sizes {
        Sizes { width: self.width, heads: self.width / HEAD }
    }

    fn check(&self, inputs: &ControlInputs) -> Result<(i64, i64)> {
        let Self { file, picture, hint, .. } = self;
        let (_, channels, height, width) =
            inputs.x.size4().context("Stable Diffusion 3 takes latents of pictures, B x C x h x w")?;
        ensure!(
            channels == picture.inputs(),
            "the ControlNet {file} takes latents of {} channels and the model's have {channels}; use a ControlNet made for the model's family",
            picture.inputs()
        );
        let shown = inputs.hint.size()[1];
        ensure!(
            shown == hint.inputs(),
            "the ControlNet {file} takes hints of {} channels, and the VAE makes {shown}; connect the VAE of the model's family",
            hint.inputs()
        );
        Ok((patches::halved(height), patches::halved(width)))
    }

    fn time(&self, inputs: &ControlInputs) -> Tensor {
        self.time.forward(&sinusoids(inputs.timestep, SPREAD, self.placement.device))
    }

    /// The pooled text, B×W, for a layer that takes it.
    fn pooled(&self, inputs: &ControlInputs, layer: &Embedder) -> Result<Option<Tensor>> {
        let Some(pooled) = inputs.extra.get(VECTOR) else { return Ok(None) };
        let (has, takes) = (pooled.size().last().copied().unwrap_or(0), layer.inputs());
        ensure!(
            has == takes,
            "the prompt's pooled output is {has} wide and the ControlNet {} takes {takes}: use one made for the model's family",
            self.file
        );
        Ok(Some(self.place(pooled)))
    }
}

impl Sd3Control {
    /// Builds the network from the tensors below `weights`, under the original's names.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let (width, blocks) = (w.dim("x_embedder.proj.weight", 0)?, w.at("joint_blocks"));
        let common = Common::load(w, &w.at("x_embedder"), placement, width, blocks.children())?;
        let sizes = common.sizes();
        Ok(Self {
            common,
            positions: w.contains("pos_embed").then(|| Positions::load(w, width)).transpose()?,
            text: Linear::load(&w.at("context_embedder"), w.dim("context_embedder.weight", 1)?, width)?,
            blocks: (0..blocks.children()).map(|i| JointBlock::load(&blocks.at(i), sizes)).collect::<Result<_>>()?,
        })
    }
}

impl ControlNetwork for Sd3Control {
    fn residuals(&self, inputs: &ControlInputs) -> Result<Residuals> {
        let common = &self.common;
        let (rows, columns) = common.check(inputs)?;
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.text.inputs());
        ensure!(
            has == takes,
            "the ControlNet {} takes prompts {takes} wide and the model's are {has} wide; use one made for the model's family",
            common.file
        );
        let positions = match &self.positions {
            Some(table) => table.of(rows, columns)?,
            None => computed_positions(common.width, rows, columns, common.placement.device),
        };
        let mut picture = tokens(&common.picture, &common.place(inputs.x)) + positions;
        picture += tokens(&common.hint, &common.place(inputs.hint));
        let time = common.time(inputs);
        // It was trained on no pooled text.
        let none = match common.pooled(inputs, &common.vector)? {
            Some(pooled) => pooled.zeros_like(),
            None => Tensor::zeros([inputs.x.size()[0], common.vector.inputs()], (Kind::Float, common.placement.device)),
        };
        let vector = time + common.vector.forward(&none);
        let mut text = Some(self.text.forward(&common.place(inputs.context)));
        // As many blocks as the models that these networks are made of have.
        let depth = (common.width / HEAD) as usize;
        let each = depth / self.blocks.len().max(1);
        let mut output = Vec::with_capacity(depth);
        for (i, (block, out)) in self.blocks.iter().zip(&common.out).enumerate() {
            let given = text.take().context("a block but the last gives no text; the file is damaged")?;
            (text, picture) = block.forward(given, picture, &vector);
            let made = out.forward(&picture);
            let count = if i + 1 == self.blocks.len() { each.saturating_sub(1) } else { each };
            output.extend((0..count).map(|_| Some(made.shallow_clone())));
        }
        Ok(Residuals { output, ..Residuals::default() })
    }
}

impl Sd35Control {
    /// Builds the network from the tensors below `weights`, under the original's names, and layers of the model that it steers, below `base`.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, base: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let (w, base) = (&weights.placed(placement), &base.placed(placement));
        let (width, inputs) = (w.dim("y_embedder.mlp.0.weight", 0)?, w.dim("y_embedder.mlp.0.weight", 1)?);
        let twice = width == inputs;
        let blocks = w.at("transformer_blocks");
        let picture = if twice { w.at("x_embedder") } else { base.at("x_embedder") };
        let common = Common::load(w, &picture, placement, width, blocks.children())?;
        let sizes = common.sizes();
        Ok(Self {
            common,
            pooled: if twice { Some(embedder(base, "y_embedder", width)?) } else { None },
            blocks: (0..blocks.children()).map(|i| Stream::load(&blocks.at(i), sizes)).collect::<Result<_>>()?,
        })
    }
}

impl ControlNetwork for Sd35Control {
    fn residuals(&self, inputs: &ControlInputs) -> Result<Residuals> {
        let common = &self.common;
        let (rows, columns) = common.check(inputs)?;
        let mut picture = tokens(&common.picture, &common.place(inputs.x));
        if self.pooled.is_none() {
            picture += computed_positions(common.width, rows, columns, common.placement.device);
        }
        let mut vector = common.time(inputs);
        let first = self.pooled.as_ref().unwrap_or(&common.vector);
        if let Some(pooled) = common.pooled(inputs, first)? {
            let pooled = self.pooled.iter().fold(pooled, |pooled, layers| layers.forward(&pooled));
            vector += common.vector.forward(&pooled);
        }
        picture += tokens(&common.hint, &common.place(inputs.hint));
        let depth = (common.width / HEAD) as usize;
        let each = depth.div_ceil(self.blocks.len().max(1));
        let mut output = Vec::with_capacity(depth);
        for (block, out) in self.blocks.iter().zip(&common.out) {
            let made =
                block.alone(&picture, &vector).context("a block lacks its feed-forward layers; the file is damaged")?;
            let handed = out.forward(&made);
            if self.pooled.is_none() {
                picture = made;
            }
            output.extend((0..each).map(|_| Some(handed.shallow_clone())));
        }
        Ok(Residuals { output, ..Residuals::default() })
    }
}

/// Sines and cosines of where tokens lie, N×width: the middle is at 7.5, and the shorter side reaches from 0 to 15.
fn computed_positions(width: i64, rows: i64, columns: i64, device: Device) -> Tensor {
    const MIDDLE: f64 = 7.5;
    let options = (Kind::Float, device);
    let shorter = rows.min(columns) as f64;
    let line = |count: i64| {
        let reach = count as f64 / shorter * MIDDLE;
        Tensor::linspace(MIDDLE - reach, reach + MIDDLE, count, options)
    };
    let half = width / 2;
    let powers = Tensor::arange(half / 2, options) / (half as f64 / 2.0);
    let frequencies = Tensor::pow_scalar(10000.0, &powers).reciprocal();
    let spread = |places: &Tensor| {
        let angles = places.reshape([-1]).unsqueeze(1) * frequencies.unsqueeze(0);
        Tensor::cat(&[angles.sin(), angles.cos()], 1)
    };
    let down = line(rows).unsqueeze(1).expand([rows, columns], false);
    let across = line(columns).unsqueeze(0).expand([rows, columns], false);
    Tensor::cat(&[spread(&across), spread(&down)], 1)
}
