//! ControlNets of Stable Diffusion 1.x, 2.x and SDXL (Zhang et al. 2023, arXiv:2302.05543): the first half of a UNet, whose states are handed
//! to the UNet that it steers.

use anyhow::{Context, Result, ensure};
use tch::{Kind, Tensor};

use super::union::Union;
use crate::diffusion::control::{ControlInputs, ControlNetwork, Residuals};
use crate::diffusion::patch::{Call, Site, UNetPart};
use crate::files::weights::Weights;
use crate::models::unet::{Heads, Level, UNet};
use crate::models::unet_blocks::{Block, BlockInputs, Loading};
use crate::ops::layers::Conv2d;
use crate::ops::numerics::{Numerics, Placement};

/// How the convolutions that take the picture are strided.
const STRIDES: [i64; 8] = [1, 1, 2, 1, 2, 1, 2, 1];

/// The network. Every size is read off the weights.
pub struct UNetControl {
    placement: Placement,
    file: String,
    in_channels: i64,
    model_channels: i64,
    context_width: i64,
    level: Level,
    /// What makes states of the picture.
    hint: Vec<Conv2d>,
    union: Option<Union>,
    input: Vec<Block>,
    middle: Block,
    /// What is handed over of each input block, and of the middle.
    out: Vec<Conv2d>,
    middle_out: Conv2d,
}

impl UNetControl {
    /// Builds the network: the half UNet from the tensors below `trunk` (`time_embed.*`, `input_blocks.*`, `middle_block.*`), what it has
    /// beyond that (`input_hint_block.*`, `zero_convs.*`, `middle_block_out.*`) from those below `own`. Both are one in most files.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(trunk: &Weights, own: &Weights, numerics: &Numerics, heads: Heads) -> Result<Self> {
        let placement = numerics.unet();
        let (w, own) = (&trunk.placed(placement), &own.placed(placement));
        let model_channels = w.dim("input_blocks.0.0.weight", 0)?;
        let in_channels = w.dim("input_blocks.0.0.weight", 1)?;
        let embedding = w.dim("time_embed.0.weight", 0)?;
        let context_width = UNet::context_width_of(w)?;
        let mut place =
            Loading { channels: in_channels, skip: 0, embedding, context: context_width, heads, transformers: 0 };
        let handed = |w: Weights, channels: i64| Conv2d::load(&w, channels, channels, 1);
        let (mut input, mut out) = (Vec::new(), Vec::new());
        for i in 0..w.at("input_blocks").children() {
            input.push(Block::load(&w.at("input_blocks").at(i), &mut place)?);
            out.push(handed(own.at("zero_convs").at(i).at(0), place.channels)?);
        }
        let middle = Block::load(&w.at("middle_block"), &mut place)?;
        Ok(Self {
            placement,
            file: own.path().display().to_string(),
            in_channels,
            model_channels,
            context_width,
            level: Level::load(w, model_channels)?,
            hint: hint_layers(own, model_channels)?,
            union: Union::is_in(own).then(|| Union::load(own, model_channels, embedding)).transpose()?,
            input,
            middle,
            out,
            middle_out: handed(own.at("middle_block_out").at(0), place.channels)?,
        })
    }

    /// The states that the picture gives.
    fn guided(&self, inputs: &ControlInputs) -> Tensor {
        let hint = inputs.hint.to_device_(self.placement.device, self.placement.kind, false, false);
        let last = self.hint.len() - 1;
        let layers = self.hint.iter().enumerate();
        let states = layers.fold(hint, |h, (i, conv)| {
            let mut h = conv.forward(&h);
            if i < last { h.silu_() } else { h }
        });
        match (&self.union, inputs.types.first()) {
            (Some(union), Some(kind)) => union.merged(states, *kind),
            _ => states,
        }
    }
}

/// The convolutions that make states of a picture.
fn hint_layers(w: &Weights, width: i64) -> Result<Vec<Conv2d>> {
    let layers = w.at("input_hint_block");
    let mut channels = layers.dim("0.weight", 1)?;
    let convs = STRIDES.iter().enumerate().map(|(i, &stride)| {
        let layer = layers.at(2 * i);
        let outputs = if i + 1 == STRIDES.len() { width } else { layer.dim("weight", 0)? };
        let inputs = std::mem::replace(&mut channels, outputs);
        Conv2d::strided(&layer, inputs, outputs, 3, stride, 1)
    });
    convs.collect()
}

impl ControlNetwork for UNetControl {
    fn residuals(&self, inputs: &ControlInputs) -> Result<Residuals> {
        let (file, channels) = (&self.file, inputs.x.size()[1]);
        ensure!(
            channels == self.in_channels,
            "the ControlNet {file} takes latents of {} channels and the model's have {channels}; use a ControlNet made for the model's family",
            self.in_channels
        );
        let width = inputs.context.size().last().copied().unwrap_or(0);
        ensure!(
            width == self.context_width,
            "the ControlNet {file} takes prompts {} wide and the model's are {width} wide; use a ControlNet made for the model's family",
            self.context_width
        );
        let (has, takes) = (inputs.hint.size()[1], self.hint.first().map_or(0, Conv2d::inputs));
        ensure!(
            has == takes,
            "the picture for the ControlNet {file} has {has} channels and the network takes {takes}; connect one with {takes}"
        );
        let context = self.placement.place(inputs.context);
        let mut embedded = self.level.time(inputs.timestep, self.placement);
        if let Some(union) = &self.union {
            embedded +=
                union.told(inputs.types, self.placement).with_context(|| format!("in the ControlNet {file}"))?;
        }
        let guided = self.guided(inputs);
        let embedded = self.level.with_vector(embedded, inputs.extra, self.placement);
        let embedding = embedded.with_context(|| format!("in the ControlNet {file}"))?.silu();
        let call = Call::plain();
        let at = |part: UNetPart, block: usize| {
            let site = Site { call: &call, part, block, model_channels: self.model_channels };
            BlockInputs { embedding: &embedding, context: &context, frames: 1, site }
        };
        let handed = |conv: &Conv2d, h: &Tensor| Some(conv.forward(h).to_kind(Kind::Float));
        let mut h = self.placement.image(inputs.x);
        let mut output = Vec::with_capacity(self.input.len());
        for (i, (block, out)) in self.input.iter().zip(&self.out).enumerate() {
            h = block.forward(h, &at(UNetPart::Input, i), None);
            if i == 0 {
                h += &guided;
            }
            output.push(handed(out, &h));
        }
        let middle = self.middle.forward(h, &at(UNetPart::Middle, 0), None);
        Ok(Residuals { input: Vec::new(), middle: vec![handed(&self.middle_out, &middle)], output })
    }
}
