//! The UNet of Stable Diffusion 1.x (Rombach et al. 2022) in the layout of the original repository.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::unet_blocks::{Block, Inputs, Place};
use crate::diffusion::patch::{Call, Part, Site};
use crate::files::weights::Weights;
use crate::ops::layers::{Conv2d, GroupNorm, Linear};
use crate::ops::numerics::{Numerics, Placement};

/// The noise predictor: a latent, its noise level and a text go in, a prediction of the latent's shape comes out.
///
/// Every size is read off the weights: channels, levels, blocks per level, where transformers are and how deep, the width
/// of the context, 4 input channels or 9 (inpainting). SD1.x always has 8 attention heads.
pub struct UNet {
    placement: Placement,
    in_channels: i64,
    model_channels: i64,
    context_width: i64,
    time: [Linear; 2],
    input: Vec<Block>,
    middle: Block,
    output: Vec<Block>,
    norm: GroupNorm,
    conv: Conv2d,
}

impl UNet {
    /// Builds the network from the tensors below `weights` (`time_embed.*`, `input_blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.unet();
        let w = &weights.placed(placement);
        let model_channels = w.dim("input_blocks.0.0.weight", 0)?;
        let in_channels = w.dim("input_blocks.0.0.weight", 1)?;
        let embedding = w.dim("time_embed.0.weight", 0)?;
        let context_width = context_width(w)?;
        ensure!(
            !w.contains("label_emb.0.0.weight"),
            "{} has a UNet with vector conditioning (SDXL, SD2 unCLIP), which is not supported",
            w.path().display()
        );
        let mut place = Place { channels: in_channels, skip: 0, embedding, context: context_width };
        let mut skips = Vec::new();
        let mut input = Vec::new();
        for i in 0..w.at("input_blocks").children() {
            input.push(Block::load(&w.at("input_blocks").at(i), &mut place)?);
            skips.push(place.channels);
        }
        let middle = Block::load(&w.at("middle_block"), &mut place)?;
        let mut output = Vec::new();
        ensure!(
            w.at("output_blocks").children() == input.len(),
            "{} has {} input blocks and {} output blocks; a UNet has as many of one as of the other",
            w.path().display(),
            input.len(),
            w.at("output_blocks").children()
        );
        for (i, skip) in skips.into_iter().rev().enumerate() {
            place.skip = skip;
            output.push(Block::load(&w.at("output_blocks").at(i), &mut place)?);
        }
        let out_channels = w.dim("out.2.weight", 0)?;
        Ok(Self {
            placement,
            in_channels,
            model_channels,
            context_width,
            time: [
                Linear::load(&w.at("time_embed.0"), model_channels, embedding)?,
                Linear::load(&w.at("time_embed.2"), embedding, embedding)?,
            ],
            input,
            middle,
            output,
            norm: GroupNorm::load(&w.at("out.0"), place.channels, 1e-5)?,
            conv: Conv2d::load(&w.at("out.2"), place.channels, out_channels, 3)?,
        })
    }

    /// Channels of the input: 4, or 9 for an inpainting model (latent, mask, masked latent).
    pub fn in_channels(&self) -> i64 {
        self.in_channels
    }

    /// Width of the context's vectors: 768 in SD1.x.
    pub fn context_width(&self) -> i64 {
        self.context_width
    }

    /// Where the network's weights are.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Predicts the noise in `x`.
    ///
    /// `x` is B×C×H×W in latent units of any size, already scaled for its noise level; `timesteps` holds B numbers in
    /// 0…999; `context` is B×T×[`UNet::context_width`]. All are brought to the network's device and element type first. The
    /// result is B×4×H×W in float32, on the network's device.
    pub fn forward(&self, x: &Tensor, timesteps: &Tensor, context: &Tensor) -> Tensor {
        self.patched(x, timesteps, context, &Call::plain())
    }

    /// The same with the call's patches.
    pub fn patched(&self, x: &Tensor, timesteps: &Tensor, context: &Tensor, call: &Call) -> Tensor {
        let (embedding, context) = (self.embed_time(timesteps).silu_(), self.placement.place(context));
        let at = |part: Part, block: usize| {
            let site = Site { call, part, block, model_channels: self.model_channels };
            Inputs { embedding: &embedding, context: &context, site }
        };
        let mut h = self.placement.image(x);
        let mut skips = Vec::with_capacity(self.input.len());
        for (i, block) in self.input.iter().enumerate() {
            let inputs = at(Part::Input, i);
            h = inputs.site.after_input_block(block.forward(h, &inputs, None));
            skips.push(h.shallow_clone());
            h = inputs.site.after_skip(h);
        }
        h = self.middle.forward(h, &at(Part::Middle, 0), None);
        for (i, block) in self.output.iter().enumerate() {
            let inputs = at(Part::Output, i);
            if let Some(skip) = skips.pop() {
                let (before, skip) = inputs.site.before_output_block(h, skip);
                h = Tensor::cat(&[before, skip], 1);
            }
            // Sizes that are no multiple of 8 were rounded up on the way down; the next skip has the size to return to.
            let size = skips.last().map(|s| (s.size()[2], s.size()[3]));
            h = block.forward(h, &inputs, size);
        }
        self.conv.forward(&self.norm.forward_silu(&h)).to_kind(Kind::Float)
    }

    /// Sinusoidal embedding of the timesteps (cosines first, base 10000) through two linear layers.
    fn embed_time(&self, timesteps: &Tensor) -> Tensor {
        let half = self.model_channels / 2;
        let options = (Kind::Float, self.placement.device);
        let frequencies = (Tensor::arange(half, options) * -(10000f64.ln()) / half as f64).exp();
        let angles = timesteps.to_device_(options.1, Kind::Float, false, false).unsqueeze(1) * frequencies;
        let embedded = Tensor::cat(&[angles.cos(), angles.sin()], 1).to_kind(self.placement.kind);
        self.time[1].forward(&self.time[0].forward(&embedded).silu_())
    }
}

/// The width of the context that the first cross-attention found expects.
fn context_width(weights: &Weights) -> Result<i64> {
    let key = "1.transformer_blocks.0.attn2.to_k.weight";
    for i in 0..weights.at("input_blocks").children() {
        let block = weights.at("input_blocks").at(i);
        if block.contains(key) {
            return block.dim(key, 1);
        }
    }
    weights.dim("middle_block.1.transformer_blocks.0.attn2.to_k.weight", 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models::reference::{checkpoint, figures};
    use crate::ops::noise::randn;

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn agrees_with_the_reference_on_the_tiny_checkpoints() {
        let _guard = tch::no_grad_guard();
        // Figures: the reference's diffusion_model called with these inputs, on a CPU.
        let cases = [
            (
                "sd15-tiny-random",
                16,
                16,
                -0.000_829_691_616,
                0.984_794_931,
                [-0.383_079_71, -0.250_216_72, 0.057_447_381, 0.921_094_3, -0.201_205_28, 0.069_602_296],
            ),
            (
                "sd15-tiny-random",
                15,
                13,
                -0.006_397_518_63,
                0.977_294_994,
                [-0.244_879_22, -0.307_607_11, -0.617_982_51, -0.415_225_63, 0.049_417_973, 1.160_215_9],
            ),
            (
                "sd15-tiny-random-inpainting",
                16,
                16,
                -0.005_065_650_39,
                0.897_535_959,
                [-0.493_108_03, -0.008_348_345_8, 0.179_566_41, 0.321_473_39, 0.019_442_037, 0.485_298_25],
            ),
            (
                "sd15-tiny-random-inpainting",
                15,
                13,
                0.001_238_257_04,
                0.903_179_749,
                [0.163_892_37, -0.252_345_5, -0.163_929_13, 0.257_178_22, -0.232_939_2, -0.396_769_88],
            ),
        ];
        for (name, height, width, mean, std, values) in cases {
            let weights = checkpoint(name);
            let unet = UNet::load(&weights.at("model.diffusion_model"), &Numerics::cpu()).unwrap();
            assert_eq!(unet.context_width(), 64);
            let x = randn(3, &[2, unet.in_channels(), height, width]);
            let y = unet.forward(&x, &Tensor::from_slice(&[999f32, 37.0]), &randn(7, &[2, 77, 64]));
            assert_eq!(y.size(), [2, 4, height, width]);
            figures(&y, mean, std, &values);
        }
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn channels_last_changes_nothing_but_memory() {
        let _guard = tch::no_grad_guard();
        let weights = checkpoint("sd15-tiny-random");
        let weights = weights.at("model.diffusion_model");
        let run = |numerics: &Numerics| {
            let unet = UNet::load(&weights, numerics).unwrap();
            unet.forward(&randn(3, &[1, 4, 16, 24]), &Tensor::from_slice(&[500f32]), &randn(7, &[1, 77, 64]))
        };
        let plain = run(&Numerics { channels_last: false, ..Numerics::cpu() });
        let last = run(&Numerics { channels_last: true, ..Numerics::cpu() });
        let difference = (plain - last).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{difference}");
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn a_file_of_another_kind_is_refused_by_name() {
        let weights = checkpoint("sd15-tiny-random");
        let message = UNet::load(&weights.at("first_stage_model"), &Numerics::cpu()).err().unwrap().to_string();
        assert!(message.contains("first_stage_model.input_blocks.0.0.weight"), "{message}");
    }
}
