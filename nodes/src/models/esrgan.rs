//! ESRGAN (Wang et al. 2018) and Real-ESRGAN (Wang et al. 2021): a network of dense residual blocks that enlarges pictures.
//! Read from either of the ways in which its files name the layers.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::vae_tiled::{Scale, Side, count, tiled};
use crate::files::weights::Weights;
use crate::ops::layers::{Conv2d, upsample_nearest};
use crate::ops::numerics::{Numerics, channels_last};

/// By how much a block's result is scaled before it is added to what came in.
const RESIDUAL: f64 = 0.2;

/// Channels that each convolution inside a dense block adds.
const GROWTH: i64 = 32;

/// Pictures larger than this along a side are enlarged in tiles, which overlap; in pixels of the input.
const TILE: i64 = 512;

/// By how much they overlap.
const OVERLAP: i64 = 32;

fn leaky(x: &Tensor) -> Tensor {
    // x for x > 0, else 0.2 x.
    x.clamp_min(0.0) + x.clamp_max(0.0) * 0.2
}

/// Five convolutions, each of which sees what all before it gave.
struct DenseBlock([Conv2d; 5]);

impl DenseBlock {
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut seen = vec![x.shallow_clone()];
        for convolution in &self.0[..4] {
            seen.push(leaky(&convolution.forward(&Tensor::cat(&seen, 1))));
        }
        self.0[4].forward(&Tensor::cat(&seen, 1)) * RESIDUAL + x
    }
}

/// The names that a file has for the layers.
#[derive(Clone, Copy)]
enum Names {
    /// `model.1.sub.0.RDB1.conv1.0.weight`
    Old,
    /// `body.0.rdb1.conv1.weight`
    New,
    /// `RRDB_trunk.0.RDB1.conv1.weight`
    Trunk,
}

/// An enlarging network.
pub struct Esrgan {
    first: Conv2d,
    blocks: Vec<[DenseBlock; 3]>,
    body: Conv2d,
    up: Vec<Conv2d>,
    high: Conv2d,
    last: Conv2d,
    /// How many pixels along a side are put into channels first; 1 if none.
    unshuffle: i64,
    channels: i64,
    numerics: Numerics,
}

impl Esrgan {
    /// Whether the file holds such a network.
    pub fn is_in(weights: &Weights) -> bool {
        names(weights).is_some()
    }

    /// Builds the network. Fails, naming file and tensor, if one is missing or of another shape.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let weights = &weights.placed(numerics.vae());
        let Some(names) = names(weights) else {
            anyhow::bail!("{} holds no ESRGAN network; choose another file", weights.path().display());
        };
        let at = |old: &str, new: &str, trunk: &str| match names {
            Names::Old => weights.at(old),
            Names::New => weights.at(new),
            Names::Trunk => weights.at(trunk),
        };
        let layers = |name: &str| (1..).take_while(|i| !weights.at(format!("{name}{i}")).is_empty()).count();
        // In the old order: convolution, blocks, (enlarge, convolution, activation) for each doubling, ...
        let doublings = match names {
            Names::Old => (0..).take_while(|i| !weights.at(format!("model.{}", 3 * i + 3)).is_empty()).count(),
            Names::New => layers("conv_up"),
            Names::Trunk => layers("upconv"),
        };
        let blocks_at = at("model.1.sub", "body", "RRDB_trunk");
        let count = blocks_at.children() - usize::from(matches!(names, Names::Old));
        let after = 3 * doublings + 2;
        let (high, last) = (format!("model.{after}"), format!("model.{}", after + 2));
        let body = at(&format!("model.1.sub.{count}"), "conv_body", "trunk_conv");
        let (high, last) = (at(&high, "conv_hr", "HRconv"), at(&last, "conv_last", "conv_last"));
        let first = at("model.0", "conv_first", "conv_first");
        let (width, inputs, outputs) = (first.dim("weight", 0)?, first.dim("weight", 1)?, last.dim("weight", 0)?);
        let unshuffle = [1, 2, 4].into_iter().find(|factor| inputs == outputs * factor * factor);
        let Some(unshuffle) = unshuffle else {
            anyhow::bail!(
                "{} takes {inputs} channels and gives {outputs}; such networks are not supported",
                weights.path().display()
            );
        };
        let dense = |at: &Weights, number: usize| -> Result<DenseBlock> {
            let block = at.at(format!("{}{number}", if matches!(names, Names::New) { "rdb" } else { "RDB" }));
            let convolution = |i: i64| {
                let at = block.at(format!("conv{i}"));
                let at = if matches!(names, Names::Old) { at.at(0) } else { at };
                Conv2d::load(&at, width + (i - 1) * GROWTH, if i < 5 { GROWTH } else { width }, 3)
            };
            Ok(DenseBlock([convolution(1)?, convolution(2)?, convolution(3)?, convolution(4)?, convolution(5)?]))
        };
        let block = |i| {
            let at = blocks_at.at(i);
            Ok([dense(&at, 1)?, dense(&at, 2)?, dense(&at, 3)?])
        };
        let up = |i: usize| {
            let at = at(&format!("model.{}", 3 * i), &format!("conv_up{i}"), &format!("upconv{i}"));
            Conv2d::load(&at, width, width, 3)
        };
        Ok(Self {
            first: Conv2d::load(&first, inputs, width, 3)?,
            blocks: (0..count).map(block).collect::<Result<_>>()?,
            body: Conv2d::load(&body, width, width, 3)?,
            up: (1..=doublings).map(up).collect::<Result<_>>()?,
            high: Conv2d::load(&high, width, width, 3)?,
            last: Conv2d::load(&last, width, outputs, 3)?,
            unshuffle,
            channels: outputs,
            numerics: *numerics,
        })
    }

    /// By how much a picture grows along a side.
    pub fn scale(&self) -> i64 {
        (1 << self.up.len()) / self.unshuffle
    }

    /// Enlarges pictures: B×H×W×C with values in 0…1 to B×sH×sW×C, float32 on the CPU. Large ones are worked on in tiles of
    /// 512 pixels, whose seams are blended. `progress` is told of tiles done and in all.
    pub fn upscale(&self, images: &Tensor, progress: &mut dyn FnMut(usize, usize) -> Result<()>) -> Result<Tensor> {
        let size = images.size();
        ensure!(
            size.last() == Some(&self.channels),
            "the picture has {} channels, and the upscaling model takes {}; use a picture of {}",
            size.last().unwrap_or(&0),
            self.channels,
            if self.channels == 3 { "three channels, without alpha" } else { "that many" }
        );
        let x = images.movedim_int(-1, -3);
        let side = Side { tile: TILE, overlap: OVERLAP, scale: Scale::Times(self.scale() as f64) };
        let total = count(&x, &[side; 2])?;
        let mut done = 0;
        let enlarged = tiled(&x, &[side; 2], self.channels, |tile| {
            let tile = self.tile(tile);
            done += 1;
            progress(done, total)?;
            Ok(tile)
        })?;
        Ok(enlarged.movedim_int(-3, -1).clamp(0.0, 1.0).contiguous())
    }

    /// Enlarges one tile, 1×C×H×W.
    fn tile(&self, x: &Tensor) -> Tensor {
        let (height, width) = (x.size()[2], x.size()[3]);
        let place = self.numerics.vae();
        let x = padded(x, if self.unshuffle > 1 { 4 } else { 1 });
        let x = self.forward(&channels_last(&place.place(&x))).to_kind(Kind::Float).clamp(0.0, 1.0);
        let scale = self.scale();
        x.narrow(2, 0, height * scale).narrow(3, 0, width * scale)
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = if self.unshuffle > 1 { x.pixel_unshuffle(self.unshuffle) } else { x.shallow_clone() };
        let first = self.first.forward(&x);
        let blocks = self.blocks.iter().fold(first.shallow_clone(), |x, block| {
            let dense = block.iter().fold(x.shallow_clone(), |x, dense| dense.forward(&x));
            dense * RESIDUAL + x
        });
        let mut x = first + self.body.forward(&blocks);
        for convolution in &self.up {
            let (height, width) = (x.size()[2], x.size()[3]);
            x = leaky(&convolution.forward(&upsample_nearest(&x, height * 2, width * 2)));
        }
        self.last.forward(&leaky(&self.high.forward(&x)))
    }
}

/// How the file names its layers, if it holds such a network.
fn names(weights: &Weights) -> Option<Names> {
    let has = |name: &str| weights.contains(name);
    if has("model.0.weight") && has("model.1.sub.0.RDB1.conv1.0.weight") {
        Some(Names::Old)
    } else if has("conv_first.weight") && has("body.0.rdb1.conv1.weight") {
        Some(Names::New)
    } else if has("conv_first.weight") && has("RRDB_trunk.0.RDB1.conv1.weight") {
        Some(Names::Trunk)
    } else {
        None
    }
}

/// Makes the sides multiples of a number, and at least 2, by reflection at the right and lower edge; what reflection cannot
/// give is repeated.
fn padded(x: &Tensor, multiple: i64) -> Tensor {
    let lacks = |side: i64| (side.max(2) + multiple - 1) / multiple * multiple - side;
    let (height, width) = (x.size()[2], x.size()[3]);
    let (down, right) = (lacks(height), lacks(width));
    if down == 0 && right == 0 {
        return x.shallow_clone();
    }
    let (reflected_down, reflected_right) = (down.min(height - 1), right.min(width - 1));
    let x = x.reflection_pad2d([0, reflected_right, 0, reflected_down]);
    x.replication_pad2d([0, right - reflected_right, 0, down - reflected_down])
}
