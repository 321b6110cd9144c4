//! HunyuanVideo's autoencoder: 8×8 pixels of 4 frames become one point of 16 channels.

use anyhow::{Result, ensure};
use tch::Tensor;

use super::video_autoencoder::{VideoAutoencoder, host};
use crate::files::weights::Weights;
use crate::ops::attention::pixel_attention;
use crate::ops::layers::GroupNorm;
use crate::ops::numerics::{Numerics, Placement};

/// Frames of a latent frame behind the first, pixels of a point's side, and levels of different sizes.
const FRAMES: i64 = 4;
const FACTOR: i64 = 8;
const LEVELS: usize = 4;
/// Residual blocks of an encoder's level; a decoder's have one more.
const BLOCKS: usize = 2;
const EPS: f64 = 1e-6;

/// The last frames of what went through each convolution, for the group of frames behind.
#[derive(Default)]
struct Earlier {
    before: Option<Vec<Tensor>>,
    now: Vec<Tensor>,
    place: usize,
}

impl Earlier {
    fn next_group(&mut self) {
        if !self.now.is_empty() {
            self.before = Some(std::mem::take(&mut self.now));
        }
        self.place = 0;
    }

    fn is_first(&self) -> bool {
        self.before.is_none()
    }
}

/// A convolution over 3×3×3 points that goes on in front of the first frame, and around each, with what is at the edge.
struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: [i64; 3],
}

impl Conv {
    fn load(w: &Weights, inputs: i64, stride: [i64; 3]) -> Result<Self> {
        let w = w.at("conv");
        let outputs = w.dim("weight", 0)?;
        Ok(Self {
            weight: w.tensor("weight", &[outputs, inputs, 3, 3, 3])?,
            bias: w.tensor("bias", &[outputs])?,
            stride,
        })
    }

    fn outputs(&self) -> i64 {
        self.weight.size()[0]
    }

    /// Over a whole video, B×C×T×H×W.
    fn forward(&self, x: &Tensor) -> Tensor {
        self.apply(&x.pad([1, 1, 1, 1, 2, 0], "replicate", None))
    }

    /// Over a group of frames behind others.
    fn forward_behind(&self, x: &Tensor, earlier: &mut Earlier) -> Tensor {
        let place = earlier.place;
        let x = match earlier.before.as_ref().and_then(|before| before.get(place)) {
            None => x.pad([1, 1, 1, 1, 2, 0], "replicate", None),
            Some(before) => Tensor::cat(&[before, &x.pad([1, 1, 1, 1, 0, 0], "replicate", None)], 2),
        };
        earlier.place += 1;
        earlier.now.push(x.narrow(2, x.size()[2] - 2, 2).copy());
        self.apply(&x)
    }

    fn apply(&self, x: &Tensor) -> Tensor {
        x.conv3d(&self.weight, Some(&self.bias), self.stride, [0, 0, 0], [1, 1, 1], 1)
    }
}

/// A convolution over single points.
struct Point {
    weight: Tensor,
    bias: Tensor,
}

impl Point {
    fn load(w: &Weights) -> Result<Self> {
        let (outputs, inputs) = (w.dim("weight", 0)?, w.dim("weight", 1)?);
        Ok(Self { weight: w.tensor("weight", &[outputs, inputs, 1, 1, 1])?, bias: w.tensor("bias", &[outputs])? })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        x.conv3d(&self.weight, Some(&self.bias), [1, 1, 1], [0, 0, 0], [1, 1, 1], 1)
    }
}

struct Residual {
    norm1: GroupNorm,
    conv1: Conv,
    norm2: GroupNorm,
    conv2: Conv,
    shortcut: Option<Point>,
}

impl Residual {
    fn load(w: &Weights, channels: &mut i64) -> Result<Self> {
        let inputs = *channels;
        let conv1 = Conv::load(&w.at("conv1"), inputs, [1; 3])?;
        let outputs = conv1.outputs();
        *channels = outputs;
        Ok(Self {
            norm1: GroupNorm::load(&w.at("norm1"), inputs, EPS)?,
            conv1,
            norm2: GroupNorm::load(&w.at("norm2"), outputs, EPS)?,
            conv2: Conv::load(&w.at("conv2"), outputs, [1; 3])?,
            shortcut: (inputs != outputs).then(|| Point::load(&w.at("nin_shortcut.conv"))).transpose()?,
        })
    }

    /// Behind other frames, or, without any, over a whole video.
    fn forward(&self, x: &Tensor, mut earlier: Option<&mut Earlier>) -> Tensor {
        let mut conv = |conv: &Conv, x: &Tensor| match earlier.as_deref_mut() {
            Some(earlier) => conv.forward_behind(x, earlier),
            None => conv.forward(x),
        };
        let h = conv(&self.conv1, &self.norm1.forward_silu(x));
        let h = conv(&self.conv2, &self.norm2.forward_silu(&h));
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x) + h,
            None => x + h,
        }
    }
}

/// Two residual blocks around attention over all points.
struct Middle {
    first: Residual,
    norm: GroupNorm,
    qkv: [Point; 3],
    out: Point,
    second: Residual,
}

impl Middle {
    fn load(w: &Weights, mut channels: i64) -> Result<Self> {
        let attention = w.at("attn_1");
        Ok(Self {
            first: Residual::load(&w.at("block_1"), &mut channels)?,
            norm: GroupNorm::load(&attention.at("norm"), channels, EPS)?,
            qkv: [Point::load(&attention.at("q"))?, Point::load(&attention.at("k"))?, Point::load(&attention.at("v"))?],
            out: Point::load(&attention.at("proj_out"))?,
            second: Residual::load(&w.at("block_2"), &mut channels)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.first.forward(x, None);
        let n = self.norm.forward(&x);
        let [q, k, v] = &self.qkv;
        let [q, k, v] = [q, k, v].map(|layer| layer.forward(&n).flatten(2, -1));
        let attended = pixel_attention(&q, &k, &v).reshape(x.size());
        let x = &x + self.out.forward(&attended);
        self.second.forward(&x, None)
    }
}

/// A level: residual blocks, and a change of size behind them.
struct Level {
    blocks: Vec<Residual>,
    resized: Option<Conv>,
    /// Whether the number of frames changes, too.
    time: bool,
}

struct Encoder {
    conv_in: Conv,
    levels: Vec<Level>,
    middle: Middle,
    norm: GroupNorm,
    conv_out: Conv,
}

struct Decoder {
    conv_in: Conv,
    middle: Middle,
    /// From the smallest size to the full one.
    levels: Vec<Level>,
    norm: GroupNorm,
    conv_out: Conv,
}

/// The autoencoder. Frames are worked through in groups of eight, which bounds memory.
pub struct HunyuanVideoVae {
    placement: Placement,
    encoder: Encoder,
    decoder: Decoder,
    quant: Point,
    post_quant: Point,
    channels: i64,
}

impl Encoder {
    fn load(w: &Weights) -> Result<Self> {
        let conv_in = Conv::load(&w.at("conv_in"), 3, [1; 3])?;
        let mut channels = conv_in.outputs();
        let level = |i: usize, channels: &mut i64| -> Result<Level> {
            let w = w.at("down").at(i);
            let blocks = (0..BLOCKS).map(|j| Residual::load(&w.at("block").at(j), channels)).collect::<Result<_>>()?;
            let time = i > 0;
            let stride = [if time { 2 } else { 1 }, 2, 2];
            let resized =
                (i + 1 < LEVELS).then(|| Conv::load(&w.at("downsample.conv"), *channels, stride)).transpose()?;
            Ok(Level { blocks, resized, time })
        };
        let levels = (0..LEVELS).map(|i| level(i, &mut channels)).collect::<Result<_>>()?;
        Ok(Self {
            conv_in,
            levels,
            middle: Middle::load(&w.at("mid"), channels)?,
            norm: GroupNorm::load(&w.at("norm_out"), channels, EPS)?,
            conv_out: Conv::load(&w.at("conv_out"), channels, [1; 3])?,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut groups = vec![x.narrow(2, 0, 1)];
        let behind = (x.size()[2] - 1) / FRAMES * FRAMES;
        if behind > 0 {
            groups.extend(x.narrow(2, 1, behind).split(2 * FRAMES, 2));
        }
        let mut earlier = Earlier::default();
        let group = |x: Tensor| {
            earlier.next_group();
            let mut h = self.conv_in.forward_behind(&x, &mut earlier);
            for level in &self.levels {
                h = level.blocks.iter().fold(h, |h, block| block.forward(&h, Some(&mut earlier)));
                if let Some(conv) = &level.resized {
                    h = conv.forward_behind(&h, &mut earlier);
                }
            }
            h
        };
        let h = self.middle.forward(&joined(groups.into_iter().map(group).collect()));
        self.conv_out.forward(&self.norm.forward_silu(&h))
    }
}

impl Decoder {
    fn load(w: &Weights, inputs: i64) -> Result<Self> {
        let conv_in = Conv::load(&w.at("conv_in"), inputs, [1; 3])?;
        let mut channels = conv_in.outputs();
        let middle = Middle::load(&w.at("mid"), channels)?;
        let level = |i: usize, channels: &mut i64| -> Result<Level> {
            let w = w.at("up").at(i);
            let blocks = (0..=BLOCKS).map(|j| Residual::load(&w.at("block").at(j), channels)).collect::<Result<_>>()?;
            let resized = (i > 0).then(|| Conv::load(&w.at("upsample.conv"), *channels, [1; 3])).transpose()?;
            Ok(Level { blocks, resized, time: i < LEVELS - 1 })
        };
        let levels = (0..LEVELS).rev().map(|i| level(i, &mut channels)).collect::<Result<_>>()?;
        Ok(Self {
            conv_in,
            middle,
            levels,
            norm: GroupNorm::load(&w.at("norm_out"), channels, EPS)?,
            conv_out: Conv::load(&w.at("conv_out"), channels, [1; 3])?,
        })
    }

    fn forward(&self, z: &Tensor) -> Tensor {
        let h = self.middle.forward(&self.conv_in.forward(z));
        let mut earlier = Earlier::default();
        let group = |x: Tensor| {
            earlier.next_group();
            let mut h = x;
            for level in &self.levels {
                h = level.blocks.iter().fold(h, |h, block| block.forward(&h, Some(&mut earlier)));
                if let Some(conv) = &level.resized {
                    let larger = enlarged(&h, level.time, earlier.is_first());
                    h = conv.forward_behind(&larger, &mut earlier);
                }
            }
            self.conv_out.forward_behind(&self.norm.forward_silu(&h), &mut earlier)
        };
        joined(h.split(2, 2).into_iter().map(group).collect())
    }
}

/// Twice as large, with twice as many frames if `time`; the first frame of all stays one.
fn enlarged(x: &Tensor, time: bool, first_group: bool) -> Tensor {
    let size = x.size();
    let (frames, height, width) = (size[2], size[3] * 2, size[4] * 2);
    let whole = |x: &Tensor, frames: i64| x.upsample_nearest3d([frames, height, width], None, None, None);
    if !time {
        return whole(x, frames);
    }
    if !first_group {
        return whole(x, 2 * frames);
    }
    let first = x.narrow(2, 0, 1).squeeze_dim(2).upsample_nearest2d([height, width], None, None).unsqueeze(2);
    if frames == 1 {
        return first;
    }
    Tensor::cat(&[first, whole(&x.narrow(2, 1, frames - 1), 2 * (frames - 1))], 2)
}

fn joined(mut parts: Vec<Tensor>) -> Tensor {
    if parts.len() == 1 { parts.swap_remove(0) } else { Tensor::cat(&parts, 2) }
}

impl HunyuanVideoVae {
    /// Whether the tensors below `weights` are those of such an autoencoder.
    pub fn is_in(weights: &Weights) -> bool {
        weights.contains("decoder.conv_in.conv.weight")
            && weights.contains("encoder.down.0.block.0.conv1.conv.weight")
            && weights.contains("post_quant_conv.weight")
    }

    /// Builds it from the tensors below `weights` (`encoder.*`, `decoder.*`, …). Errors name the tensor that is missing or has another
    /// shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.vae();
        let w = &weights.placed(placement);
        let channels = w.dim("decoder.conv_in.conv.weight", 1)?;
        let this = Self {
            placement,
            encoder: Encoder::load(&w.at("encoder"))?,
            decoder: Decoder::load(&w.at("decoder"), channels)?,
            quant: Point::load(&w.at("quant_conv"))?,
            post_quant: Point::load(&w.at("post_quant_conv"))?,
            channels,
        };
        ensure!(
            this.encoder.conv_out.outputs() == 2 * channels && this.decoder.conv_out.outputs() == 3,
            "encoder and decoder in {} do not fit together; the file is of another kind, or damaged",
            w.path().display()
        );
        Ok(this)
    }
}

impl VideoAutoencoder for HunyuanVideoVae {
    fn latent_channels(&self) -> i64 {
        self.channels
    }

    fn factor(&self) -> i64 {
        FACTOR
    }

    fn frames(&self) -> i64 {
        FRAMES
    }

    fn made_by(&self) -> &'static str {
        "EmptyHunyuanLatentVideo"
    }

    /// Frames behind the last full group are left out.
    fn check_frames(&self, _: i64) -> Result<()> {
        Ok(())
    }

    fn encode_video(&self, pixels: &Tensor) -> Tensor {
        let moments = self.quant.forward(&self.encoder.forward(&self.placement.place(&(pixels * 2.0 - 1.0))));
        host(&moments.narrow(1, 0, self.channels))
    }

    fn decode_video(&self, latent: &Tensor) -> Tensor {
        host(&self.decoder.forward(&self.post_quant.forward(&self.placement.place(latent))))
    }
}
