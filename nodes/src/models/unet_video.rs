//! The layers of a UNet over time, as Stable Video Diffusion has them (Blattmann et al. 2023, arXiv:2311.15127): beside each layer of a
//! picture one over the frames of a video, and a mixture of both.

use anyhow::{Context, Result};
use tch::Tensor;

use super::unet::sinusoids;
use super::unet_blocks::{BlockInputs, Loading, Projection, ResBlock, SpatialTransformer, TransformerBlock};
use crate::files::weights::Weights;
use crate::ops::layers::{GroupNorm, Linear};

/// A convolution over 3 frames, point by point.
pub(super) struct TimeConv {
    weight: Tensor,
    bias: Tensor,
}

impl TimeConv {
    pub(super) fn load(w: &Weights, channels: i64) -> Result<Self> {
        let weight = w.tensor("weight", &[channels, channels, 3, 1, 1])?;
        Ok(Self { weight, bias: w.tensor("bias", &[channels])? })
    }

    /// Over B×C×T×H×W.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.conv3d(&self.weight, Some(&self.bias), [1, 1, 1], [1, 0, 0], [1, 1, 1], 1)
    }
}

/// Two normalised convolutions over time beside a shortcut.
pub(super) struct TimeResBlock {
    norm1: GroupNorm,
    conv1: TimeConv,
    /// Missing in autoencoders, which know no timestep.
    embedding: Option<Linear>,
    norm2: GroupNorm,
    conv2: TimeConv,
}

impl TimeResBlock {
    pub(super) fn load(w: &Weights, channels: i64, embedding: Option<i64>) -> Result<Self> {
        let linear = |width| Linear::load(&w.at("emb_layers.1"), width, channels);
        Ok(Self {
            norm1: GroupNorm::load(&w.at("in_layers.0"), channels, 1e-5)?,
            conv1: TimeConv::load(&w.at("in_layers.2"), channels)?,
            embedding: embedding.map(linear).transpose()?,
            norm2: GroupNorm::load(&w.at("out_layers.0"), channels, 1e-5)?,
            conv2: TimeConv::load(&w.at("out_layers.3"), channels)?,
        })
    }

    /// Over B×C×T×H×W. The embedded timesteps after SiLU are those of the frames, (B·T)×E.
    pub(super) fn forward(&self, x: &Tensor, embedding: Option<&Tensor>) -> Tensor {
        let mut h = self.conv1.forward(&self.norm1.forward_silu(x));
        if let (Some(linear), Some(embedding)) = (&self.embedding, embedding) {
            let size = x.size();
            let told = linear.forward(&embedding.view([size[0], size[2], -1]));
            h += told.transpose(1, 2).unsqueeze(-1).unsqueeze(-1);
        }
        x + self.conv2.forward(&self.norm2.forward_silu(&h))
    }
}

/// (B·T)×C×H×W as B×C×T×H×W.
pub(super) fn as_videos(pictures: &Tensor, frames: i64) -> Tensor {
    let size = pictures.size();
    pictures.reshape([-1, frames, size[1], size[2], size[3]]).permute([0, 2, 1, 3, 4])
}

/// B×C×T×H×W as (B·T)×C×H×W.
pub(super) fn as_pictures(videos: &Tensor) -> Tensor {
    let size = videos.size();
    videos.permute([0, 2, 1, 3, 4]).reshape([-1, size[1], size[3], size[4]])
}

/// How much of the picture's layer is in a mixture with the layer over time: σ(factor).
struct Mixture(Tensor);

impl Mixture {
    fn load(w: &Weights) -> Result<Self> {
        Ok(Self(w.tensor("mix_factor", &[1])?.sigmoid()))
    }

    fn of(&self, picture: &Tensor, video: &Tensor) -> Tensor {
        let share = self.0.view(vec![1; picture.dim()].as_slice());
        &share * picture + (1f64 - &share) * video
    }
}

/// A residual block, and one over time behind it.
pub(super) struct VideoResBlock {
    picture: ResBlock,
    time: TimeResBlock,
    mixture: Mixture,
}

impl VideoResBlock {
    pub(super) fn load(picture: ResBlock, w: &Weights, embedding: i64) -> Result<Self> {
        let time = TimeResBlock::load(&w.at("time_stack"), picture.channels(), Some(embedding))?;
        Ok(Self { picture, time, mixture: Mixture::load(&w.at("time_mixer"))? })
    }

    pub(super) fn forward(&self, x: Tensor, inputs: &BlockInputs) -> Tensor {
        let x = as_videos(&self.picture.forward(x, inputs.embedding), inputs.frames);
        let over_time = self.time.forward(&x, Some(inputs.embedding));
        as_pictures(&self.mixture.of(&x, &over_time))
    }
}

/// A transformer whose blocks are each followed by one over time.
pub(super) struct VideoTransformer {
    picture: SpatialTransformer,
    time: Vec<TransformerBlock>,
    /// What makes a vector of a frame's number.
    numbers: [Linear; 2],
    mixture: Mixture,
}

impl VideoTransformer {
    pub(super) fn load(picture: SpatialTransformer, w: &Weights, channels: i64, place: &Loading) -> Result<Self> {
        let heads = place.heads.over(channels, w)?;
        let (stack, numbers) = (w.at("time_stack"), w.at("time_pos_embed"));
        let hidden = numbers.dim("0.weight", 0)?;
        let block = |i| TransformerBlock::load(&stack.at(i), channels, place.context, heads);
        Ok(Self {
            time: (0..picture.blocks.len()).map(block).collect::<Result<_>>()?,
            picture,
            numbers: [Linear::load(&numbers.at(0), channels, hidden)?, Linear::load(&numbers.at(2), hidden, channels)?],
            mixture: Mixture::load(&w.at("time_mixer"))
                .context("a transformer over time has no share in the mixture")?,
        })
    }

    pub(super) fn forward(&self, x: Tensor, inputs: &BlockInputs) -> Tensor {
        let (size, frames, picture) = (x.size(), inputs.frames, &self.picture);
        let (batch, channels, points) = (size[0], size[1], size[2] * size[3]);
        // Not in one piece in memory, as in ComfyUI: kernels round otherwise.
        let in_a_row = |picture: &Tensor| picture.permute([0, 2, 3, 1]).reshape([batch, points, channels]);
        let normed = picture.norm.forward(&x);
        let mut h = match &picture.proj_in {
            Projection::Convolution(conv) => in_a_row(&conv.forward(&normed)),
            Projection::Matrix(linear) => linear.forward(&in_a_row(&normed)),
        };
        // Each point of a video looks at the text of its first frame.
        let first = inputs.context.slice(0, 0, None, frames);
        let context = first.repeat_interleave_self_int(points, 0, None);
        let over_time = BlockInputs { context: &context, ..*inputs };
        let numbers = self.numbers_of_frames(batch / frames, frames, &h);
        for (block, time) in picture.blocks.iter().zip(&self.time) {
            h = block.forward(h, inputs, picture.number);
            let by_point = (&h + &numbers).reshape([-1, frames, points, channels]).permute([0, 2, 1, 3]);
            let mixed = time.forward(by_point.reshape([-1, frames, channels]), &over_time, picture.number);
            let by_frame = mixed.reshape([-1, points, frames, channels]).permute([0, 2, 1, 3]);
            h = self.mixture.of(&h, &by_frame.reshape([batch, points, channels]));
        }
        let as_picture = |row: &Tensor| row.reshape([batch, size[2], size[3], channels]).permute([0, 3, 1, 2]);
        let h = match &picture.proj_out {
            Projection::Convolution(conv) => conv.forward(&as_picture(&h)),
            Projection::Matrix(linear) => as_picture(&linear.forward(&h)),
        };
        h + x
    }

    /// A vector for each frame of so many videos, (B·T)×1×C.
    fn numbers_of_frames(&self, videos: i64, frames: i64, like: &Tensor) -> Tensor {
        let numbers = Tensor::arange(frames, (tch::Kind::Float, like.device())).repeat([videos]);
        let [first, second] = &self.numbers;
        let waves = sinusoids(&numbers, first.inputs(), like.device()).to_kind(like.kind());
        second.forward(&first.forward(&waves).silu()).unsqueeze(1)
    }
}
