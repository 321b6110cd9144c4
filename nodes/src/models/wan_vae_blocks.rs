//! The blocks of Wan's autoencoder: convolutions over space and time that see no later frame than their own.

use anyhow::{Result, bail};
use tch::Tensor;

use crate::files::weights::Weights;
use crate::ops::attention::pixel_attention;
use crate::ops::layers::Conv2d;

/// How many earlier frames a convolution over three frames needs.
const KEPT: i64 = 2;

/// What the layers keep of a video's earlier frames. A video is worked through in groups of frames, so that memory does not grow with its
/// length.
#[derive(Default)]
pub(super) struct Earlier {
    /// In the order in which the layers are applied.
    kept: Vec<Kept>,
    next: usize,
}

/// What one layer keeps.
#[derive(Default)]
enum Kept {
    #[default]
    Nothing,
    /// The first group has gone by, and its frames do not count.
    Passed,
    Frames(Tensor),
}

impl Earlier {
    /// Begins the next group of frames.
    pub(super) fn next_group(&mut self) {
        self.next = 0;
    }

    /// What the next layer has kept. It has to put back what it keeps from now on.
    fn slot(&mut self) -> &mut Kept {
        if self.next == self.kept.len() {
            self.kept.push(Kept::Nothing);
        }
        self.next += 1;
        &mut self.kept[self.next - 1]
    }
}

/// The last frames of a B×C×T×H×W tensor, at most two, with the one that was kept before where there is but one.
fn last_frames(x: &Tensor, before: Option<&Tensor>) -> Tensor {
    let frames = x.size()[2];
    let last = x.narrow(2, (frames - KEPT).max(0), frames.min(KEPT)).copy();
    match before {
        Some(before) if frames < KEPT => Tensor::cat(&[before.select(2, -1).unsqueeze(2), last], 2),
        _ => last,
    }
}

/// A convolution over time, height and width. Zeros, or kept frames, stand in front of the first frame; there is nothing behind the last.
pub(super) struct CausalConv {
    weight: Tensor,
    bias: Tensor,
    /// Zeros in front, and around height and width.
    padding: [i64; 2],
    stride: i64,
}

impl CausalConv {
    /// A convolution that keeps the size, its kernel as the file has it.
    pub(super) fn load(w: &Weights, inputs: i64) -> Result<Self> {
        let shape = w.shape("weight")?;
        let [outputs, _, time, height, width] = shape[..] else {
            bail!("{} in {} is no convolution over time", w.full_name("weight"), w.path().display());
        };
        let weight = w.tensor("weight", &[outputs, inputs, time, height, width])?;
        let bias = w.tensor("bias", &[outputs])?;
        Ok(Self { weight, bias, padding: [time / 2 * 2, height / 2], stride: 1 })
    }

    /// One over time alone that makes one frame of two.
    fn halving(w: &Weights, inputs: i64) -> Result<Self> {
        Ok(Self { padding: [0, 0], stride: 2, ..Self::load(w, inputs)? })
    }

    pub(super) fn inputs(&self) -> i64 {
        self.weight.size()[1]
    }

    pub(super) fn outputs(&self) -> i64 {
        self.weight.size()[0]
    }

    /// `x` is B×C×T×H×W, `before` the frames in front of it.
    pub(super) fn forward(&self, x: &Tensor, before: Option<&Tensor>) -> Tensor {
        let [mut time, side] = self.padding;
        let joined = before.filter(|_| time > 0).map(|before| {
            time -= before.size()[2];
            Tensor::cat(&[before, x], 2)
        });
        let padded = joined.as_ref().unwrap_or(x).constant_pad_nd([side, side, side, side, time, 0]);
        drop(joined);
        padded.conv3d(&self.weight, Some(&self.bias), [self.stride, 1, 1], [0, 0, 0], [1, 1, 1], 1)
    }

    /// The same behind the groups of frames before.
    pub(super) fn forward_behind(&self, x: &Tensor, earlier: &mut Earlier) -> Tensor {
        let slot = earlier.slot();
        let before = match std::mem::take(slot) {
            Kept::Frames(frames) => Some(frames),
            _ => None,
        };
        *slot = Kept::Frames(last_frames(x, before.as_ref()));
        self.forward(x, before.as_ref())
    }
}

/// Scales the channels of each point to unit length, then by √C and a factor for each.
pub(super) struct ChannelNorm {
    gamma: Tensor,
    scale: f64,
}

impl ChannelNorm {
    /// `dimensions`: 2 for B×C×H×W, 3 for B×C×T×H×W.
    pub(super) fn load(w: &Weights, channels: i64, dimensions: usize) -> Result<Self> {
        let mut shape = vec![1; dimensions + 1];
        shape[0] = channels;
        Ok(Self { gamma: w.tensor("gamma", &shape)?, scale: (channels as f64).sqrt() })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let length = x.norm_scalaropt_dim(2.0, [1i64].as_slice(), true).clamp_min(1e-12);
        x / length.expand_as(x) * self.scale * &self.gamma
    }

    pub(super) fn forward_silu(&self, x: &Tensor) -> Tensor {
        self.forward(x).silu_()
    }
}

/// Two normalised convolutions beside a shortcut.
pub(super) struct Residual {
    norms: [ChannelNorm; 2],
    convs: [CausalConv; 2],
    shortcut: Option<CausalConv>,
}

impl Residual {
    fn load(w: &Weights, inputs: i64) -> Result<Self> {
        let at = |place: usize| w.at("residual").at(place);
        let first = CausalConv::load(&at(2), inputs)?;
        let outputs = first.outputs();
        let shortcut = w.at("shortcut");
        Ok(Self {
            norms: [ChannelNorm::load(&at(0), inputs, 3)?, ChannelNorm::load(&at(3), outputs, 3)?],
            convs: [first, CausalConv::load(&at(6), outputs)?],
            shortcut: if inputs == outputs { None } else { Some(CausalConv::load(&shortcut, inputs)?) },
        })
    }

    fn forward(&self, x: Tensor, earlier: &mut Earlier) -> Tensor {
        let mut h = self.norms[0].forward_silu(&x);
        h = self.convs[0].forward_behind(&h, earlier);
        h = self.norms[1].forward_silu(&h);
        h = self.convs[1].forward_behind(&h, earlier);
        match &self.shortcut {
            Some(conv) => h + conv.forward(&x, None),
            None => h + x,
        }
    }
}

/// Attention over the pixels of each frame, with one head.
struct Attention {
    norm: ChannelNorm,
    qkv: Conv2d,
    out: Conv2d,
}

impl Attention {
    fn load(w: &Weights, channels: i64) -> Result<Self> {
        Ok(Self {
            norm: ChannelNorm::load(&w.at("norm"), channels, 2)?,
            qkv: Conv2d::load(&w.at("to_qkv"), channels, 3 * channels, 1)?,
            out: Conv2d::load(&w.at("proj"), channels, channels, 1)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let pictures = pictures(x);
        let qkv = self.qkv.forward(&self.norm.forward(&pictures)).chunk(3, 1);
        let flat = |part: &Tensor| part.flatten(2, 3);
        let h = pixel_attention(&flat(&qkv[0]), &flat(&qkv[1]), &flat(&qkv[2])).view(pictures.size().as_slice());
        video(&self.out.forward(&h), x.size()[2]) + x
    }
}

/// B×C×T×H×W as (B·T)×C×H×W.
fn pictures(x: &Tensor) -> Tensor {
    let size = x.size();
    x.permute([0, 2, 1, 3, 4]).reshape([-1, size[1], size[3], size[4]])
}

/// The inverse of [`pictures`].
fn video(x: &Tensor, frames: i64) -> Tensor {
    let size = x.size();
    x.reshape([-1, frames, size[1], size[2], size[3]]).permute([0, 2, 1, 3, 4])
}

/// Halves height and width, and the frames behind the first group's where there is a convolution over time.
struct Halving {
    conv: Conv2d,
    time: Option<CausalConv>,
}

impl Halving {
    fn load(w: &Weights, channels: i64) -> Result<Self> {
        let conv = w.at("resample.1");
        let time = w.at("time_conv");
        Ok(Self {
            conv: Conv2d::strided(&conv, channels, conv.dim("weight", 0)?, 3, 2, 0)?,
            time: if time.is_empty() { None } else { Some(CausalConv::halving(&time, channels)?) },
        })
    }

    fn forward(&self, x: &Tensor, earlier: &mut Earlier) -> Tensor {
        // One row and one column of zeros, at the bottom and on the right only.
        let h = video(&self.conv.forward(&pictures(x).constant_pad_nd([0, 1, 0, 1])), x.size()[2]);
        let Some(conv) = &self.time else { return h };
        let slot = earlier.slot();
        let last = h.narrow(2, h.size()[2] - 1, 1).copy();
        match std::mem::replace(slot, Kept::Frames(last)) {
            Kept::Frames(before) => conv.forward(&Tensor::cat(&[before, h], 2), None),
            _ => h,
        }
    }
}

/// Doubles height and width, and the frames behind the first group's where there is a convolution over time.
struct Doubling {
    conv: Conv2d,
    time: Option<CausalConv>,
}

impl Doubling {
    fn load(w: &Weights, channels: i64) -> Result<Self> {
        let conv = w.at("resample.1");
        let time = w.at("time_conv");
        Ok(Self {
            conv: Conv2d::load(&conv, channels, conv.dim("weight", 0)?, 3)?,
            time: if time.is_empty() { None } else { Some(CausalConv::load(&time, channels)?) },
        })
    }

    fn forward(&self, x: &Tensor, earlier: &mut Earlier) -> Tensor {
        let more = self.time.as_ref().and_then(|conv| Self::more_frames(conv, x, earlier));
        let x = more.as_ref().unwrap_or(x);
        let flat = pictures(x);
        let large =
            flat.internal_upsample_nearest_exact2d([flat.size()[2] * 2, flat.size()[3] * 2], Some(2.0), Some(2.0));
        drop(flat);
        video(&self.conv.forward(&large), x.size()[2])
    }

    /// Two frames for each, unless these are the first group's. That group does not count as earlier frames.
    fn more_frames(conv: &CausalConv, x: &Tensor, earlier: &mut Earlier) -> Option<Tensor> {
        let slot = earlier.slot();
        let before = match std::mem::replace(slot, Kept::Passed) {
            Kept::Nothing => return None,
            Kept::Passed => None,
            Kept::Frames(frames) => Some(frames),
        };
        let zeros = before.is_none().then(|| x.narrow(2, 0, 1).zeros_like());
        *slot = Kept::Frames(last_frames(x, before.as_ref().or(zeros.as_ref())));
        let [batch, channels, frames, height, width] = x.size()[..] else { return None };
        let pairs = conv.forward(x, before.as_ref()).reshape([batch, 2, channels, frames, height, width]);
        let pairs = Tensor::stack(&[pairs.select(1, 0), pairs.select(1, 1)], 3);
        Some(pairs.reshape([batch, channels, frames * 2, height, width]))
    }
}

/// A layer of a side.
enum Layer {
    Residual(Residual),
    Attention(Attention),
    Halving(Halving),
    Doubling(Doubling),
}

/// Layers that are applied one after the other.
pub(super) struct Layers(Vec<Layer>);

impl Layers {
    /// The numbered layers below `w`. `channels` goes from their input's to their output's.
    pub(super) fn load(w: &Weights, channels: &mut i64) -> Result<Self> {
        (0..w.children()).map(|place| Self::layer(&w.at(place), channels)).collect::<Result<_>>().map(Self)
    }

    fn layer(w: &Weights, channels: &mut i64) -> Result<Layer> {
        if w.contains("to_qkv.weight") {
            return Ok(Layer::Attention(Attention::load(w, *channels)?));
        }
        if w.contains("resample.1.weight") {
            let outputs = w.dim("resample.1.weight", 0)?;
            let inputs = std::mem::replace(channels, outputs);
            // A doubling halves the channels.
            return Ok(if outputs < inputs {
                Layer::Doubling(Doubling::load(w, inputs)?)
            } else {
                Layer::Halving(Halving::load(w, inputs)?)
            });
        }
        let block = Residual::load(w, *channels)?;
        *channels = block.convs[1].outputs();
        Ok(Layer::Residual(block))
    }

    /// How many of them halve or double the size.
    pub(super) fn resizings(&self) -> usize {
        self.0.iter().filter(|layer| matches!(layer, Layer::Halving(_) | Layer::Doubling(_))).count()
    }

    /// How many of them change the number of frames.
    pub(super) fn over_time(&self) -> usize {
        let changes = |layer: &&Layer| {
            matches!(
                layer,
                Layer::Halving(Halving { time: Some(_), .. }) | Layer::Doubling(Doubling { time: Some(_), .. })
            )
        };
        self.0.iter().filter(changes).count()
    }

    /// `x` is B×C×T×H×W, a group of frames.
    pub(super) fn forward(&self, x: Tensor, earlier: &mut Earlier) -> Tensor {
        self.0.iter().fold(x, |x, layer| match layer {
            Layer::Residual(block) => block.forward(x, earlier),
            Layer::Attention(attention) => attention.forward(&x),
            Layer::Halving(halving) => halving.forward(&x, earlier),
            Layer::Doubling(doubling) => doubling.forward(&x, earlier),
        })
    }
}
