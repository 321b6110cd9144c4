//! What a UNet is made of: residual blocks, spatial transformers, and the convolutions that change size.

use anyhow::{Result, bail, ensure};
use tch::Tensor;

use super::unet_video::{VideoResBlock, VideoTransformer};
use crate::diffusion::patch::Site;
use crate::files::weights::Weights;
use crate::ops::attention::attention;
use crate::ops::layers::{Conv2d, GroupNorm, LayerNorm, Linear, added, upsample_nearest};

/// How attentions are split into heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// Into so many, whatever the width.
    Count(i64),
    /// Into heads of that width.
    Width(i64),
}

impl Heads {
    /// How many heads share so many channels; an error if they cannot.
    pub(super) fn over(self, channels: i64, weights: &Weights) -> Result<i64> {
        let (count, rest) = match self {
            Heads::Count(count) => (count, channels % count),
            Heads::Width(width) => (channels / width, channels % width),
        };
        ensure!(
            count > 0 && rest == 0,
            "{} in {} has {channels} channels, which attention heads cannot share ({self:?})",
            weights.full_name("norm.weight"),
            weights.path().display()
        );
        Ok(count)
    }
}

/// What every block is given besides the picture.
pub(super) struct BlockInputs<'a> {
    /// The embedded timestep after SiLU, B×E.
    pub(super) embedding: &'a Tensor,
    /// The text, B×T×W.
    pub(super) context: &'a Tensor,
    /// How many of a batch's pictures follow each other in a video, for layers over time.
    pub(super) frames: i64,
    /// Where it is, for patches.
    pub(super) site: Site<'a>,
}

/// Where in the network loading has come to.
pub(super) struct Loading {
    /// Channels that arrive from the block before.
    pub(super) channels: i64,
    /// Channels of the skip connection that is joined in front of the next layer; taken by it.
    pub(super) skip: i64,
    /// Width of the embedded timestep.
    pub(super) embedding: i64,
    /// Width of the context.
    pub(super) context: i64,
    /// How attentions are split.
    pub(super) heads: Heads,
    /// How many transformers there are so far.
    pub(super) transformers: usize,
}

/// One entry of `input_blocks`, `middle_block` or `output_blocks`.
pub(super) struct Block(Vec<BlockLayer>);

enum BlockLayer {
    Conv(Conv2d),
    Down(Conv2d),
    Up(Conv2d),
    Residual(ResBlock),
    Transformer(SpatialTransformer),
    VideoResidual(VideoResBlock),
    VideoTransformer(VideoTransformer),
}

impl Block {
    /// Reads the layers `0`, `1`, … below `weights`, each recognised by its tensors, and moves `place` past them.
    pub(super) fn load(weights: &Weights, place: &mut Loading) -> Result<Self> {
        let count = weights.children();
        ensure!(
            count > 0,
            "{} has no tensors below {}; the file is incomplete",
            weights.path().display(),
            weights.full_name("")
        );
        Ok(Self((0..count).map(|i| BlockLayer::load(&weights.at(i), place)).collect::<Result<_>>()?))
    }

    /// Applies the layers. `size` is the height and width that an enlarging layer returns to, twice its input's otherwise.
    pub(super) fn forward(&self, x: Tensor, inputs: &BlockInputs, size: Option<(i64, i64)>) -> Tensor {
        self.0.iter().fold(x, |x, layer| layer.forward(x, inputs, size))
    }
}

impl BlockLayer {
    fn load(w: &Weights, place: &mut Loading) -> Result<Self> {
        let input = place.channels + std::mem::take(&mut place.skip);
        let mut conv = |name: &str, stride| {
            let w = if name.is_empty() { w.clone() } else { w.at(name) };
            place.channels = w.dim("weight", 0)?;
            Conv2d::strided(&w, input, place.channels, 3, stride, 1)
        };
        if w.contains("weight") {
            return Ok(Self::Conv(conv("", 1)?));
        }
        if w.contains("op.weight") {
            return Ok(Self::Down(conv("op", 2)?));
        }
        if w.contains("conv.weight") {
            return Ok(Self::Up(conv("conv", 1)?));
        }
        if w.contains("in_layers.0.weight") {
            let block = ResBlock::load(w, input, place.embedding)?;
            place.channels = block.channels();
            return Ok(match w.contains("time_stack.in_layers.0.weight") {
                true => Self::VideoResidual(VideoResBlock::load(block, w, place.embedding)?),
                false => Self::Residual(block),
            });
        }
        if w.contains("transformer_blocks.0.attn1.to_q.weight") {
            place.channels = input;
            let transformer = SpatialTransformer::load(w, input, place)?;
            let layer = match w.contains("time_stack.0.attn1.to_q.weight") {
                true => Self::VideoTransformer(VideoTransformer::load(transformer, w, input, place)?),
                false => Self::Transformer(transformer),
            };
            place.transformers += 1;
            return Ok(layer);
        }
        bail!(
            "{} has a layer {} that is not part of a Stable Diffusion UNet; the file is of another kind",
            w.path().display(),
            w.full_name("").trim_end_matches('.')
        )
    }

    fn forward(&self, x: Tensor, inputs: &BlockInputs, size: Option<(i64, i64)>) -> Tensor {
        match self {
            Self::Conv(conv) | Self::Down(conv) => conv.forward(&x),
            Self::Up(conv) => {
                let (height, width) = size.unwrap_or((x.size()[2] * 2, x.size()[3] * 2));
                let enlarged = upsample_nearest(&x, height, width);
                drop(x);
                conv.forward(&enlarged)
            }
            Self::Residual(block) => block.forward(x, inputs.embedding),
            Self::Transformer(transformer) => transformer.forward(x, inputs),
            Self::VideoResidual(block) => block.forward(x, inputs),
            Self::VideoTransformer(transformer) => transformer.forward(x, inputs),
        }
    }
}

/// Two normalised convolutions around the addition of the timestep, beside a shortcut.
pub(super) struct ResBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    embedding: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

impl ResBlock {
    fn load(w: &Weights, input: i64, embedding: i64) -> Result<Self> {
        let output = w.dim("in_layers.2.weight", 0)?;
        let shortcut = w.contains("skip_connection.weight");
        Ok(Self {
            norm1: GroupNorm::load(&w.at("in_layers.0"), input, 1e-5)?,
            conv1: Conv2d::load(&w.at("in_layers.2"), input, output, 3)?,
            embedding: Linear::load(&w.at("emb_layers.1"), embedding, output)?,
            norm2: GroupNorm::load(&w.at("out_layers.0"), output, 1e-5)?,
            conv2: Conv2d::load(&w.at("out_layers.3"), output, output, 3)?,
            // Without one the shortcut is the input itself, which must then have as many channels.
            shortcut: if shortcut || input != output {
                Some(Conv2d::load(&w.at("skip_connection"), input, output, 1)?)
            } else {
                None
            },
        })
    }

    pub(super) fn channels(&self) -> i64 {
        self.conv2.outputs()
    }

    pub(super) fn forward(&self, x: Tensor, embedding: &Tensor) -> Tensor {
        let mut h = self.conv1.forward(&self.norm1.forward_silu(&x));
        h += self.embedding.forward(embedding).unsqueeze(-1).unsqueeze(-1);
        h = self.norm2.forward_silu(&h);
        h = self.conv2.forward(&h);
        h += match &self.shortcut {
            Some(conv) => conv.forward(&x),
            None => x,
        };
        h
    }
}

/// A transformer over the pixels of a picture, beside a shortcut.
pub(super) struct SpatialTransformer {
    pub(super) norm: GroupNorm,
    pub(super) proj_in: Projection,
    pub(super) blocks: Vec<TransformerBlock>,
    pub(super) proj_out: Projection,
    channels_last: bool,
    /// How many transformers lie before it in the network.
    pub(super) number: usize,
}

/// A change of each pixel's channels.
pub(super) enum Projection {
    /// Of a picture, B×C×H×W: SD1.x.
    Convolution(Conv2d),
    /// Of its pixels in a row, B×N×C: SD2.x and SDXL.
    Matrix(Linear),
}

impl Projection {
    fn load(w: &Weights, channels: i64) -> Result<Self> {
        Ok(match w.shape("weight")?.len() {
            2 => Self::Matrix(Linear::load(w, channels, channels)?),
            _ => Self::Convolution(Conv2d::load(w, channels, channels, 1)?),
        })
    }
}

impl SpatialTransformer {
    fn load(w: &Weights, channels: i64, place: &Loading) -> Result<Self> {
        let heads = place.heads.over(channels, w)?;
        let blocks = w.at("transformer_blocks");
        Ok(Self {
            norm: GroupNorm::load(&w.at("norm"), channels, 1e-6)?,
            proj_in: Projection::load(&w.at("proj_in"), channels)?,
            blocks: (0..blocks.children())
                .map(|i| TransformerBlock::load(&blocks.at(i), channels, place.context, heads))
                .collect::<Result<_>>()?,
            proj_out: Projection::load(&w.at("proj_out"), channels)?,
            channels_last: w.placement().channels_last,
            number: place.transformers,
        })
    }

    fn forward(&self, x: Tensor, inputs: &BlockInputs) -> Tensor {
        let size = x.size();
        let in_a_row = |picture: &Tensor| picture.flatten(2, 3).transpose(1, 2).contiguous();
        let normed = self.norm.forward(&x);
        let mut h = match &self.proj_in {
            Projection::Convolution(conv) => in_a_row(&conv.forward(&normed)),
            Projection::Matrix(linear) => linear.forward(&in_a_row(&normed)),
        };
        for block in &self.blocks {
            h = block.forward(h, inputs, self.number);
        }
        let as_picture = |row: &Tensor| {
            let picture = row.view([size[0], size[2], size[3], size[1]]).permute([0, 3, 1, 2]);
            if self.channels_last { picture } else { picture.contiguous() }
        };
        let h = match &self.proj_out {
            Projection::Convolution(conv) => conv.forward(&as_picture(&h)),
            Projection::Matrix(linear) => as_picture(&linear.forward(&h)),
        };
        x + h
    }
}

/// Self-attention, cross-attention and a gated feed-forward layer, each normalised first and added to its input.
pub(super) struct TransformerBlock {
    /// A feed-forward layer in front, in blocks over time.
    first: Option<(LayerNorm, FeedForward)>,
    norm1: LayerNorm,
    self_attention: Attention,
    /// Missing in some blocks over time.
    cross_attention: Option<(LayerNorm, Attention)>,
    norm3: LayerNorm,
    feed_forward: FeedForward,
}

impl TransformerBlock {
    pub(super) fn load(w: &Weights, width: i64, context: i64, heads: i64) -> Result<Self> {
        let of_time = |name: &str| w.contains(&format!("{name}.weight"));
        let first = of_time("norm_in").then(|| {
            Ok::<_, anyhow::Error>((
                LayerNorm::load(&w.at("norm_in"), width)?,
                FeedForward::load(&w.at("ff_in"), width)?,
            ))
        });
        let cross = (first.is_none() || of_time("norm2")).then(|| {
            let attention = Attention::load(&w.at("attn2"), width, context, heads)?;
            Ok::<_, anyhow::Error>((LayerNorm::load(&w.at("norm2"), width)?, attention))
        });
        Ok(Self {
            first: first.transpose()?,
            norm1: LayerNorm::load(&w.at("norm1"), width)?,
            self_attention: Attention::load(&w.at("attn1"), width, width, heads)?,
            cross_attention: cross.transpose()?,
            norm3: LayerNorm::load(&w.at("norm3"), width)?,
            feed_forward: FeedForward::load(&w.at("ff"), width)?,
        })
    }

    /// `x` is B×N×W and nobody else's: the sums are made in place. `transformer` is the number of its transformer in the network.
    pub(super) fn forward(&self, x: Tensor, inputs: &BlockInputs, transformer: usize) -> Tensor {
        let site = &inputs.site;
        let x = match &self.first {
            Some((norm, feed_forward)) => added(feed_forward.forward(&norm.forward(&x)), &x),
            None => x,
        };
        let [q, k, v] = site.before_self_attention(&self.norm1.forward(&x));
        let attention = &self.self_attention;
        let attended = attention.forward([&q, &k, &v], |qkv| site.self_attention(qkv, attention.heads));
        let mut x = added(x, &site.after_self_attention(attended));
        drop([q, k, v]);
        x = site.between_attentions(x, transformer);
        if let Some((norm, attention)) = &self.cross_attention {
            let [q, k, v] = site.before_cross_attention(&norm.forward(&x), inputs.context);
            x = added(x, &attention.forward([&q, &k, &v], |_| None));
        }
        let fed = self.feed_forward.forward(&self.norm3.forward(&x));
        added(x, &fed)
    }
}

/// GEGLU (Shazeer 2020): one half of the hidden values, gated by GELU of the other.
pub(super) struct FeedForward {
    gate: Linear,
    down: Linear,
}

impl FeedForward {
    /// Reads `net`, which takes and gives vectors of that width.
    pub(super) fn load(w: &Weights, width: i64) -> Result<Self> {
        let hidden = w.dim("net.2.weight", 1)?;
        let gate = Linear::load(&w.at("net.0.proj"), width, hidden.saturating_mul(2))?;
        Ok(Self { gate, down: Linear::load(&w.at("net.2"), hidden, width)? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let hidden = self.gate.forward(x);
        let parts = hidden.chunk(2, -1);
        let mut gated = parts[1].gelu("none");
        gated *= &parts[0];
        drop((hidden, parts));
        self.down.forward(&gated)
    }
}

pub(super) struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    heads: i64,
}

impl Attention {
    pub(super) fn load(w: &Weights, width: i64, context: i64, heads: i64) -> Result<Self> {
        Ok(Self {
            heads,
            q: Linear::load(&w.at("to_q"), width, width)?,
            k: Linear::load(&w.at("to_k"), context, width)?,
            v: Linear::load(&w.at("to_v"), context, width)?,
            out: Linear::load(&w.at("to_out.0"), width, width)?,
        })
    }

    /// Attends from the first to the second, and takes from the third; `replace` may take the place of the attention.
    pub(super) fn forward(&self, inputs: [&Tensor; 3], replace: impl FnOnce([&Tensor; 3]) -> Option<Tensor>) -> Tensor {
        let (q, k, v) = (self.q.forward(inputs[0]), self.k.forward(inputs[1]), self.v.forward(inputs[2]));
        let attended = replace([&q, &k, &v]).unwrap_or_else(|| attention(&q, &k, &v, self.heads));
        self.out.forward(&attended)
    }
}
