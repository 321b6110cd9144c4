//! Encoder and decoder of the autoencoder, over the original's tensor names or those of diffusers.

use anyhow::{Result, ensure};
use tch::Tensor;

use super::unet_video::{TimeConv, TimeResBlock, as_pictures, as_videos};
use crate::files::weights::Weights;
use crate::ops::attention::pixel_attention;
use crate::ops::layers::{Conv2d, GroupNorm, upsample_nearest};

/// eps of every group normalisation in the autoencoder.
const EPS: f64 = 1e-6;

/// Which of the two common naming schemes a file follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    Original,
    Diffusers,
}

impl Naming {
    /// The scheme of an autoencoder file.
    pub(super) fn of(weights: &Weights) -> Self {
        let diffusers = weights.contains("decoder.mid_block.resnets.0.norm1.weight");
        if diffusers { Self::Diffusers } else { Self::Original }
    }

    /// How many levels of different resolution one side has.
    fn levels(self, side: &Weights) -> usize {
        let name = |original, diffusers| if self == Self::Original { original } else { diffusers };
        let down = side.at(name("down", "down_blocks")).children();
        if down > 0 { down } else { side.at(name("up", "up_blocks")).children() }
    }

    /// A level; 0 has the full resolution. diffusers counts the decoder's from the other end.
    fn level(self, side: &Weights, direction: &str, level: usize) -> Weights {
        match self {
            Self::Original => side.at(direction).at(level),
            Self::Diffusers if direction == "up" => side.at("up_blocks").at(self.levels(side) - 1 - level),
            Self::Diffusers => side.at("down_blocks").at(level),
        }
    }

    fn residual(self, level: &Weights) -> Weights {
        level.at(if self == Self::Original { "block" } else { "resnets" })
    }

    fn resize(self, level: &Weights, direction: &str) -> Weights {
        match self {
            Self::Original => level.at(format!("{direction}sample.conv")),
            Self::Diffusers => level.at(format!("{direction}samplers.0.conv")),
        }
    }

    fn norm_out(self) -> &'static str {
        if self == Self::Original { "norm_out" } else { "conv_norm_out" }
    }
}

/// Two normalised convolutions beside a shortcut.
struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
    time: Option<OverTime>,
}

/// A residual block over the frames of a video, and its share in the mixture with the block before.
struct OverTime {
    block: TimeResBlock,
    share: Tensor,
}

impl OverTime {
    /// Over a batch that is one video.
    fn forward(&self, pictures: &Tensor) -> Tensor {
        let video = as_videos(pictures, pictures.size()[0]);
        let over_time = self.block.forward(&video, None);
        as_pictures(&(&self.share * over_time + (1f64 - &self.share) * video))
    }
}

impl ResnetBlock {
    fn load(w: &Weights, naming: Naming, input: i64) -> Result<Self> {
        let output = w.dim("conv1.weight", 0)?;
        let shortcut = w.at(if naming == Naming::Original { "nin_shortcut" } else { "conv_shortcut" });
        Ok(Self {
            norm1: GroupNorm::load(&w.at("norm1"), input, EPS)?,
            conv1: Conv2d::load(&w.at("conv1"), input, output, 3)?,
            norm2: GroupNorm::load(&w.at("norm2"), output, EPS)?,
            conv2: Conv2d::load(&w.at("conv2"), output, output, 3)?,
            shortcut: if input != output { Some(Conv2d::load(&shortcut, input, output, 1)?) } else { None },
            time: match w.contains("mix_factor") {
                true => Some(OverTime {
                    block: TimeResBlock::load(&w.at("time_stack"), output, None)?,
                    share: w.tensor("mix_factor", &[1])?.sigmoid(),
                }),
                false => None,
            },
        })
    }

    fn channels(&self) -> i64 {
        self.conv2.outputs()
    }

    /// Every intermediate is freed before the next is made: at full resolution each takes hundreds of megabytes.
    fn forward(&self, x: Tensor) -> Tensor {
        let mut h = self.norm1.forward_silu(&x);
        h = self.conv1.forward(&h);
        h = self.norm2.forward_silu(&h);
        h = self.conv2.forward(&h);
        h += match &self.shortcut {
            Some(conv) => conv.forward(&x),
            None => x,
        };
        match &self.time {
            Some(time) => time.forward(&h),
            None => h,
        }
    }
}

/// Residual block, attention over all pixels with one head, residual block.
struct Middle {
    block1: ResnetBlock,
    norm: GroupNorm,
    q: Conv2d,
    k: Conv2d,
    v: Conv2d,
    out: Conv2d,
    block2: ResnetBlock,
}

impl Middle {
    fn load(side: &Weights, naming: Naming, channels: i64) -> Result<Self> {
        let (blocks, attn) = match naming {
            Naming::Original => ([side.at("mid.block_1"), side.at("mid.block_2")], side.at("mid.attn_1")),
            Naming::Diffusers => {
                ([side.at("mid_block.resnets.0"), side.at("mid_block.resnets.1")], side.at("mid_block.attentions.0"))
            }
        };
        // diffusers renamed its layers once; files of both ages are about.
        let names = match naming {
            Naming::Original => ["norm", "q", "k", "v", "proj_out"],
            Naming::Diffusers if attn.contains("query.weight") => ["group_norm", "query", "key", "value", "proj_attn"],
            Naming::Diffusers => ["group_norm", "to_q", "to_k", "to_v", "to_out.0"],
        };
        let linear = |i: usize| Conv2d::load(&attn.at(names[i]), channels, channels, 1);
        Ok(Self {
            block1: ResnetBlock::load(&blocks[0], naming, channels)?,
            norm: GroupNorm::load(&attn.at(names[0]), channels, EPS)?,
            q: linear(1)?,
            k: linear(2)?,
            v: linear(3)?,
            out: linear(4)?,
            block2: ResnetBlock::load(&blocks[1], naming, channels)?,
        })
    }

    fn forward(&self, x: Tensor) -> Tensor {
        let x = self.block1.forward(x);
        let size = x.size();
        let normed = self.norm.forward(&x);
        let flat = |conv: &Conv2d| conv.forward(&normed).flatten(2, 3);
        let (q, k, v) = (flat(&self.q), flat(&self.k), flat(&self.v));
        let h = self.out.forward(&pixel_attention(&q, &k, &v).view(size.as_slice()));
        self.block2.forward(x + h)
    }
}

/// The residual blocks of one resolution, and the convolution that leads to the next.
struct Level {
    blocks: Vec<ResnetBlock>,
    resize: Option<Conv2d>,
}

impl Level {
    fn load(w: &Weights, naming: Naming, direction: &str, channels: &mut i64) -> Result<Self> {
        ensure!(
            w.at("attn").is_empty() && w.at("attentions").is_empty(),
            "{} is an autoencoder with attention at every size, not Stable Diffusion's; use an SD1.x VAE",
            w.path().display()
        );
        let list = naming.residual(w);
        let mut blocks = Vec::new();
        for i in 0..list.children() {
            let block = ResnetBlock::load(&list.at(i), naming, *channels)?;
            *channels = block.channels();
            blocks.push(block);
        }
        let resize = naming.resize(w, direction);
        let resize = if resize.is_empty() {
            None
        } else if direction == "down" {
            Some(Conv2d::strided(&resize, *channels, *channels, 3, 2, 0)?)
        } else {
            Some(Conv2d::load(&resize, *channels, *channels, 3)?)
        };
        Ok(Self { blocks, resize })
    }
}

/// Pixels to the moments of the latent's distribution.
pub(super) struct Encoder {
    conv_in: Conv2d,
    levels: Vec<Level>,
    middle: Middle,
    norm: GroupNorm,
    conv_out: Conv2d,
}

impl Encoder {
    pub(super) fn load(w: &Weights, naming: Naming) -> Result<Self> {
        let mut channels = w.dim("conv_in.weight", 0)?;
        let conv_in = Conv2d::load(&w.at("conv_in"), 3, channels, 3)?;
        let levels = (0..naming.levels(w))
            .map(|i| Level::load(&naming.level(w, "down", i), naming, "down", &mut channels))
            .collect::<Result<Vec<_>>>()?;
        let moments = w.dim("conv_out.weight", 0)?;
        Ok(Self {
            conv_in,
            levels,
            middle: Middle::load(w, naming, channels)?,
            norm: GroupNorm::load(&w.at(naming.norm_out()), channels, EPS)?,
            conv_out: Conv2d::load(&w.at("conv_out"), channels, moments, 3)?,
        })
    }

    /// Channels of the result: mean and log variance, so twice the latent's.
    pub(super) fn outputs(&self) -> i64 {
        self.conv_out.outputs()
    }

    /// How many times height and width are halved.
    pub(super) fn halvings(&self) -> usize {
        self.levels.iter().filter(|level| level.resize.is_some()).count()
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let mut h = self.conv_in.forward(x);
        for level in &self.levels {
            h = level.blocks.iter().fold(h, |h, block| block.forward(h));
            if let Some(conv) = &level.resize {
                // One row and one column of zeros, at the bottom and on the right only.
                h = h.constant_pad_nd([0, 1, 0, 1]);
                h = conv.forward(&h);
            }
        }
        h = self.middle.forward(h);
        h = self.norm.forward_silu(&h);
        self.conv_out.forward(&h)
    }
}

/// Latent to pixels.
pub(super) struct Decoder {
    conv_in: Conv2d,
    middle: Middle,
    /// From the smallest resolution to the full one.
    levels: Vec<Level>,
    norm: GroupNorm,
    conv_out: Conv2d,
    /// A convolution over time behind the last one, in autoencoders of videos.
    conv_time: Option<TimeConv>,
}

impl Decoder {
    pub(super) fn load(w: &Weights, naming: Naming) -> Result<Self> {
        let mut channels = w.dim("conv_in.weight", 0)?;
        let conv_in = Conv2d::load(&w.at("conv_in"), w.dim("conv_in.weight", 1)?, channels, 3)?;
        let middle = Middle::load(w, naming, channels)?;
        let levels = (0..naming.levels(w))
            .rev()
            .map(|i| Level::load(&naming.level(w, "up", i), naming, "up", &mut channels))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            conv_in,
            middle,
            levels,
            norm: GroupNorm::load(&w.at(naming.norm_out()), channels, EPS)?,
            conv_out: Conv2d::load(&w.at("conv_out"), channels, 3, 3)?,
            conv_time: match w.contains("conv_out.time_mix_conv.weight") {
                true => Some(TimeConv::load(&w.at("conv_out.time_mix_conv"), 3)?),
                false => None,
            },
        })
    }

    /// Channels of the latent.
    pub(super) fn inputs(&self) -> i64 {
        self.conv_in.inputs()
    }

    /// Whether a batch is the frames of one video.
    pub(super) fn is_video(&self) -> bool {
        self.conv_time.is_some() || self.middle.block1.time.is_some()
    }

    /// How many times height and width are doubled.
    pub(super) fn doublings(&self) -> usize {
        self.levels.iter().filter(|level| level.resize.is_some()).count()
    }

    pub(super) fn forward(&self, z: &Tensor) -> Tensor {
        let mut h = self.middle.forward(self.conv_in.forward(z));
        for level in &self.levels {
            h = level.blocks.iter().fold(h, |h, block| block.forward(h));
            if let Some(conv) = &level.resize {
                h = upsample_nearest(&h, h.size()[2] * 2, h.size()[3] * 2);
                h = conv.forward(&h);
            }
        }
        h = self.norm.forward_silu(&h);
        h = self.conv_out.forward(&h);
        match &self.conv_time {
            Some(conv) => as_pictures(&conv.forward(&as_videos(&h, h.size()[0]))),
            None => h,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::picture_autoencoder::PictureAutoencoder;
    use crate::models::reference::{agree, shared};
    use crate::models::vae::Vae;
    use crate::ops::noise::randn;
    use crate::ops::numerics::Numerics;

    /// The original's tensor name as diffusers writes it; `old` is how it did before attention layers were renamed.
    fn diffusers_name(name: &str, old: bool) -> String {
        let attention = if old {
            [".q.", ".query.", ".k.", ".key.", ".v.", ".value.", ".proj_out.", ".proj_attn."]
        } else {
            [".q.", ".to_q.", ".k.", ".to_k.", ".v.", ".to_v.", ".proj_out.", ".to_out.0."]
        };
        let mut name =
            name.replace("mid.block_1.", "mid_block.resnets.0.").replace("mid.block_2.", "mid_block.resnets.1.");
        if name.contains("mid.attn_1.") {
            name = name.replace("mid.attn_1.norm.", "mid_block.attentions.0.group_norm.");
            name = name.replace("mid.attn_1.", "mid_block.attentions.0.");
            return attention.chunks(2).fold(name, |name, pair| name.replace(pair[0], pair[1]));
        }
        for level in 0..4 {
            name = name.replace(&format!("decoder.up.{level}."), &format!("decoder.up_blocks.{}.", 3 - level));
            name = name.replace(&format!("encoder.down.{level}."), &format!("encoder.down_blocks.{level}."));
        }
        [
            (".block.", ".resnets."),
            ("nin_shortcut", "conv_shortcut"),
            ("downsample.conv", "downsamplers.0.conv"),
            ("upsample.conv", "upsamplers.0.conv"),
            ("coder.norm_out", "coder.conv_norm_out"),
        ]
        .iter()
        .fold(name, |name, (from, to)| name.replace(from, to))
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn the_layout_of_diffusers_gives_the_same_picture() {
        let _guard = tch::no_grad_guard();
        let path = shared("conformance/base/models/vae/sd15-tiny-random-vae.safetensors");
        let vae = Vae::load(&Weights::open(&path).unwrap(), &Numerics::cpu()).unwrap();
        let bytes = fs_err::read(path).unwrap();
        let original = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let (x, pixels) = (randn(1, &[1, 4, 5, 6]), randn(2, &[1, 40, 48, 3]).sigmoid());
        let expected = (vae.decode(&x).unwrap(), vae.encode(&pixels).unwrap());
        for old in [false, true] {
            let views = original.iter().map(|(name, view)| {
                let renamed = diffusers_name(name, old);
                // Its attention layers are matrices.
                let flat = renamed.contains("attentions") && view.shape().len() == 4;
                let shape = view.shape()[..if flat { 2 } else { view.shape().len() }].to_vec();
                (renamed, safetensors::tensor::TensorView::new(view.dtype(), shape, view.data()).unwrap())
            });
            let file = tempfile::NamedTempFile::new().unwrap();
            safetensors::serialize_to_file(views, None, file.path()).unwrap();
            let vae = Vae::load(&Weights::open(file.path()).unwrap(), &Numerics::cpu()).unwrap();
            agree(&vae.decode(&x).unwrap(), &expected.0);
            agree(&vae.encode(&pixels).unwrap(), &expected.1);
        }
    }
}
