//! T2I-Adapters (Mou et al. 2023, arXiv:2302.08453) of Stable Diffusion 1.x and SDXL: a small network that makes of a picture what is added in
//! a UNet's input blocks. It does not look at the states.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use crate::diffusion::control::Residuals;
use crate::files::weights::Weights;
use crate::ops::layers::Conv2d;
use crate::ops::numerics::{Numerics, Placement};

/// An adapter. Every size is read off the weights.
pub struct Adapter {
    placement: Placement,
    file: String,
    /// How many pixels along a side become channels of one point.
    fold: i64,
    channels: i64,
    first: Option<Conv2d>,
    /// For each of the four levels its layers.
    levels: Vec<Vec<Layer>>,
    of_sdxl: bool,
}

enum Layer {
    /// Half the size: the mean of four points.
    Mean,
    /// The same by a convolution.
    Strided(Conv2d),
    /// A convolution.
    Plain(Conv2d),
    /// Two convolutions beside a shortcut.
    Residual(Conv2d, Conv2d),
}

impl Adapter {
    /// Whether the tensors are those of an adapter.
    pub(super) fn is_in(w: &Weights) -> bool {
        let full =
            w.contains("conv_in.weight") && w.contains("body.0.block1.weight") && w.contains("body.0.block2.weight");
        full || (w.contains("body.0.in_conv.weight") && w.contains("body.0.body.0.block1.weight"))
    }

    /// Whether an adapter is for SDXL, by how many channels its first layer takes.
    pub(super) fn is_of_sdxl(w: &Weights) -> bool {
        w.dim("conv_in.weight", 1).is_ok_and(|inputs| inputs == 256 || inputs == 768)
    }

    /// Builds the adapter.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.unet();
        let w = &weights.placed(placement);
        let of_sdxl = Self::is_of_sdxl(w);
        let fold: i64 = if of_sdxl { 16 } else { 8 };
        let is_light = !w.contains("conv_in.weight");
        let inputs = w.dim(if is_light { "body.0.in_conv.weight" } else { "conv_in.weight" }, 1)?;
        ensure!(
            inputs % (fold * fold) == 0,
            "{} takes {inputs} channels, which are no pixels of a square; the file is of another kind, or damaged",
            w.path().display()
        );
        let (first, levels) = if is_light { (None, light(w, inputs)?) } else { full(w, inputs, of_sdxl)? };
        let file = w.path().display().to_string();
        Ok(Self { placement, file, fold, channels: inputs / (fold * fold), first, levels, of_sdxl })
    }

    /// Channels of its pictures: 3, or 1.
    pub fn channels(&self) -> i64 {
        self.channels
    }

    /// What it adds for pictures, B×C×H×W.
    ///
    /// # Errors
    /// If the pictures have other channels.
    pub fn residuals(&self, picture: &Tensor) -> Result<Residuals> {
        let has = picture.size()[1];
        ensure!(
            has == self.channels,
            "the picture for the T2I-Adapter {} has {has} channels and the network takes {}; connect one with {}",
            self.file,
            self.channels,
            self.channels
        );
        let x = picture.to_device_(self.placement.device, self.placement.kind, false, false).pixel_unshuffle(self.fold);
        let mut x = self.first.iter().fold(x, |x, first| first.forward(&x));
        let mut made = Vec::new();
        for layers in &self.levels {
            x = layers.iter().fold(x, |x, layer| layer.forward(x));
            made.push(x.to_kind(Kind::Float));
        }
        Ok(placed(&made, self.of_sdxl))
    }
}

/// What the levels make, at the blocks that take it: the last block of each level, for SDXL also those that change the size.
fn placed(made: &[Tensor], of_sdxl: bool) -> Residuals {
    let before = |level: usize| match (of_sdxl, level) {
        (false, _) | (true, 2) => 2,
        (true, 0) => 3,
        (true, _) => 1,
    };
    let mut all: Vec<Option<Tensor>> = Vec::new();
    for (level, tensor) in made.iter().enumerate() {
        all.extend(std::iter::repeat_with(|| None).take(before(level)));
        all.push(Some(tensor.shallow_clone()));
    }
    all.reverse();
    let middle: Vec<Option<Tensor>> = if of_sdxl { all.drain(..1.min(all.len())).collect() } else { Vec::new() };
    Residuals { input: all, middle, output: Vec::new() }
}

/// The first layer, and four levels of two residual blocks each.
fn full(w: &Weights, inputs: i64, of_sdxl: bool) -> Result<(Option<Conv2d>, Vec<Vec<Layer>>)> {
    let width = w.dim("conv_in.weight", 0)?;
    let body = w.at("body");
    let kernel = body.dim("0.block2.weight", 2)?;
    let strided = body.names().iter().any(|name| name.ends_with("down_opt.op.weight"));
    let mut channels = width;
    let mut levels = Vec::new();
    for (level, multiple) in [1, 2, 4, 4].into_iter().enumerate() {
        let outputs = width * multiple;
        let halves = if of_sdxl { level == 2 } else { level > 0 };
        let mut layers = Vec::new();
        for block in 0..2 {
            let at = body.at(2 * level + block);
            if halves && block == 0 {
                layers.push(match strided {
                    true => Layer::Strided(Conv2d::strided(&at.at("down_opt.op"), channels, channels, 3, 2, 1)?),
                    false => Layer::Mean,
                });
            }
            if channels != outputs {
                layers.push(Layer::Plain(Conv2d::load(&at.at("in_conv"), channels, outputs, kernel)?));
                channels = outputs;
            }
            let second = Conv2d::load(&at.at("block2"), channels, channels, kernel)?;
            layers.push(Layer::Residual(Conv2d::load(&at.at("block1"), channels, channels, 3)?, second));
        }
        levels.push(layers);
    }
    Ok((Some(Conv2d::load(&w.at("conv_in"), inputs, width, 3)?), levels))
}

/// Four levels of narrow residual blocks between two changes of width.
fn light(w: &Weights, inputs: i64) -> Result<Vec<Vec<Layer>>> {
    let mut channels = inputs;
    let levels = (0..4).map(|level| {
        let at = w.at("body").at(level);
        let (narrow, outputs) = (at.dim("in_conv.weight", 0)?, at.dim("out_conv.weight", 0)?);
        let mut layers = Vec::new();
        if level > 0 {
            layers.push(Layer::Mean);
        }
        layers.push(Layer::Plain(Conv2d::load(&at.at("in_conv"), channels, narrow, 1)?));
        for block in 0..at.at("body").children() {
            let block = at.at("body").at(block);
            let second = Conv2d::load(&block.at("block2"), narrow, narrow, 3)?;
            layers.push(Layer::Residual(Conv2d::load(&block.at("block1"), narrow, narrow, 3)?, second));
        }
        layers.push(Layer::Plain(Conv2d::load(&at.at("out_conv"), narrow, outputs, 1)?));
        channels = outputs;
        Ok(layers)
    });
    levels.collect()
}

impl Layer {
    fn forward(&self, x: Tensor) -> Tensor {
        match self {
            Layer::Mean => {
                let size = x.size();
                x.avg_pool2d([2, 2], [2, 2], [size[2] % 2, size[3] % 2], false, true, None)
            }
            Layer::Strided(conv) | Layer::Plain(conv) => conv.forward(&x),
            Layer::Residual(first, second) => second.forward(&first.forward(&x).relu()) + x,
        }
    }
}
