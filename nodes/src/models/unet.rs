//! The UNet of Stable Diffusion (Rombach et al. 2022) in the layout of the original repository: 1.x, 2.x and SDXL.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

pub use super::unet_blocks::Heads;
use super::unet_blocks::{Block, BlockInputs, Loading};
use crate::diffusion::control;
use crate::diffusion::extra_conds::{ExtraConds, FRAMES, VECTOR};
use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::patch::{Site, UNetPart};
use crate::files::weights::Weights;
use crate::ops::layers::{Conv2d, GroupNorm, Linear};
use crate::ops::numerics::{Numerics, Placement};

/// The noise predictor: a latent, its noise level and a text go in, a prediction of the latent's shape comes out.
///
/// Every size is read off the weights: channels, levels, blocks per level, where transformers are and how deep, the widths
/// of the context and of the vector, 4 input channels or more (inpainting). How attentions are split into heads is not in them.
pub struct UNet {
    placement: Placement,
    in_channels: i64,
    model_channels: i64,
    context_width: i64,
    level: Level,
    /// Whether it has layers over time.
    is_video: bool,
    input: Vec<Block>,
    middle: Option<Block>,
    output: Vec<Block>,
    norm: GroupNorm,
    conv: Conv2d,
}

impl UNet {
    /// Builds the network from the tensors below `weights` (`time_embed.*`, `input_blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics, heads: Heads) -> Result<Self> {
        let placement = numerics.unet();
        let w = &weights.placed(placement);
        let model_channels = w.dim("input_blocks.0.0.weight", 0)?;
        let in_channels = w.dim("input_blocks.0.0.weight", 1)?;
        let embedding = w.dim("time_embed.0.weight", 0)?;
        let context_width = Self::context_width_of(w)?;
        let mut place =
            Loading { channels: in_channels, skip: 0, embedding, context: context_width, heads, transformers: 0 };
        let mut skips = Vec::new();
        let mut input = Vec::new();
        for i in 0..w.at("input_blocks").children() {
            input.push(Block::load(&w.at("input_blocks").at(i), &mut place)?);
            skips.push(place.channels);
        }
        // Some of SDXL's smaller relatives have none.
        let middle = w.at("middle_block");
        let middle = if middle.is_empty() { None } else { Some(Block::load(&middle, &mut place)?) };
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
            level: Level::load(w, model_channels)?,
            is_video: w.contains("input_blocks.1.0.time_stack.in_layers.0.weight"),
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

    /// Predicts the noise in the states.
    ///
    /// States are B×C×H×W of any size; timesteps lie in 0…999; the text is [`UNet::context_width`] wide. All are brought to the
    /// network's element type first. The result is B×4×H×W in float32, on the network's device.
    ///
    /// # Errors
    /// If the network needs a vector beside the text and there is none, or one of another width.
    pub fn forward(&self, inputs: &Inputs) -> Result<Tensor> {
        let context = self.placement.place(inputs.context);
        let width = context.size().last().copied().unwrap_or(0);
        ensure!(
            width == self.context_width,
            "the prompt's embedding is {width} wide and the model takes {}: encode it with a text encoder of the model's family",
            self.context_width
        );
        let embedding = self.level.embedded(inputs.timestep, inputs.extra, self.placement)?.silu_();
        let frames = if self.is_video { frames(inputs)? } else { 1 };
        let at = |part: UNetPart, block: usize| {
            let site = Site { call: inputs.call, part, block, model_channels: self.model_channels };
            BlockInputs { embedding: &embedding, context: &context, frames, site }
        };
        let residual = |h: &mut Tensor, part: UNetPart, block: usize| {
            control::add(h, inputs.control.and_then(|control| control.of_unet(part, block)));
        };
        let mut h = self.placement.image(inputs.x);
        let mut skips = Vec::with_capacity(self.input.len());
        for (i, block) in self.input.iter().enumerate() {
            let inputs = at(UNetPart::Input, i);
            h = block.forward(h, &inputs, None);
            residual(&mut h, UNetPart::Input, i);
            h = inputs.site.after_input_block(h);
            skips.push(h.shallow_clone());
            h = inputs.site.after_skip(h);
        }
        if let Some(middle) = &self.middle {
            h = middle.forward(h, &at(UNetPart::Middle, 0), None);
        }
        residual(&mut h, UNetPart::Middle, 0);
        for (i, block) in self.output.iter().enumerate() {
            let inputs = at(UNetPart::Output, i);
            if let Some(mut skip) = skips.pop() {
                residual(&mut skip, UNetPart::Output, i);
                let (before, skip) = inputs.site.before_output_block(h, skip);
                h = Tensor::cat(&[before, skip], 1);
            }
            // Sizes that are no multiple of 8 were rounded up on the way down; the next skip has the size to return to.
            let size = skips.last().map(|s| (s.size()[2], s.size()[3]));
            h = block.forward(h, &inputs, size);
        }
        Ok(self.conv.forward(&self.norm.forward_silu(&h)).to_kind(Kind::Float))
    }

    /// The width of the context that a network's first cross-attention expects.
    pub fn context_width_of(weights: &Weights) -> Result<i64> {
        let key = "1.transformer_blocks.0.attn2.to_k.weight";
        let blocks = weights.at("input_blocks");
        let first = (0..blocks.children()).map(|i| blocks.at(i)).find(|block| block.contains(key));
        first.unwrap_or_else(|| weights.at("middle_block")).dim(key, 1)
    }
}

/// How many pictures of a batch follow each other in a video: all of a prompt's.
fn frames(inputs: &Inputs) -> Result<i64> {
    let frames = inputs.extra.constant(FRAMES).and_then(|frames| frames.parse::<i64>().ok());
    let (frames, batch) =
        (frames.context("a model of videos is not told how many frames there are")?, inputs.x.size()[0]);
    ensure!(
        frames > 0 && batch % frames == 0,
        "{batch} latents are no whole number of videos of {frames} frames; use as many latents in a batch as the video has frames"
    );
    Ok(frames)
}

/// What embeds the noise level, and the vector that goes with the text.
pub(super) struct Level {
    time: [Linear; 2],
    /// Missing in networks that take none.
    vector: Option<[Linear; 2]>,
}

impl Level {
    /// Reads `time_embed`, which takes sinusoids of that width, and, if it is there, `label_emb`.
    pub(super) fn load(w: &Weights, width: i64) -> Result<Self> {
        let embedding = w.dim("time_embed.0.weight", 0)?;
        let two = |name: &str, inputs: i64| {
            let layers = w.at(name);
            let first = Linear::load(&layers.at(0), inputs, embedding)?;
            Ok::<_, anyhow::Error>([first, Linear::load(&layers.at(2), embedding, embedding)?])
        };
        let vector = match w.contains("label_emb.0.0.weight") {
            true => Some(two("label_emb.0", w.dim("label_emb.0.0.weight", 1)?)?),
            false => None,
        };
        Ok(Self { time: two("time_embed", width)?, vector })
    }

    /// The timesteps' sinusoids through two linear layers, and the vector's embedding on top.
    pub(super) fn embedded(&self, timestep: &Tensor, extra: &ExtraConds, placement: Placement) -> Result<Tensor> {
        self.with_vector(self.time(timestep, placement), extra, placement)
    }

    /// The timesteps' sinusoids through two linear layers.
    pub(super) fn time(&self, timestep: &Tensor, placement: Placement) -> Tensor {
        let sinusoids = sinusoids(timestep, self.time[0].inputs(), placement.device);
        through(&self.time, &sinusoids.to_kind(placement.kind))
    }

    /// An embedding with the vector's on top.
    pub(super) fn with_vector(&self, embedded: Tensor, extra: &ExtraConds, placement: Placement) -> Result<Tensor> {
        let Some(layers) = &self.vector else { return Ok(embedded) };
        let vector = extra.get(VECTOR).context("the model needs a vector beside the text, and the prompt has none")?;
        let (have, want) = (vector.size().last().copied().unwrap_or(0), layers[0].inputs());
        ensure!(
            have == want,
            "the prompt's pooled output and sizes make a vector of {have} and the model takes {want}: encode the prompt with a \
             text encoder of the model's family"
        );
        Ok(embedded + through(layers, &placement.place(vector)))
    }
}

fn through([first, second]: &[Linear; 2], x: &Tensor) -> Tensor {
    second.forward(&first.forward(x).silu_())
}

impl Network for UNet {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        self.forward(inputs)
    }

    fn device(&self) -> Device {
        self.placement.device
    }
}

/// Sinusoidal embedding of N numbers (Vaswani et al. 2017), N×`width`: cosines first, base 10000.
pub fn sinusoids(numbers: &Tensor, width: i64, device: Device) -> Tensor {
    let angles = angles(numbers, width, device);
    Tensor::cat(&[angles.cos(), angles.sin()], 1)
}

/// [`sinusoids`] of angles that are `factor` times as large. It is multiplied last, which rounds otherwise than numbers that are larger.
pub fn sinusoids_of_times(numbers: &Tensor, factor: f64, width: i64, device: Device) -> Tensor {
    let angles = angles(numbers, width, device) * factor;
    Tensor::cat(&[angles.cos(), angles.sin()], 1)
}

fn angles(numbers: &Tensor, width: i64, device: Device) -> Tensor {
    let half = width / 2;
    let options = (Kind::Float, device);
    let frequencies = (Tensor::arange(half, options) * -(10000f64.ln()) / half as f64).exp();
    numbers.to_device_(device, Kind::Float, false, false).unsqueeze(1) * frequencies
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::diffusion::patch::Call;
    use crate::models::reference::{checkpoint, figures};
    use crate::ops::noise::randn;

    fn predict(unet: &UNet, x: &Tensor, timesteps: &[f32], context: &Tensor) -> Tensor {
        let (timestep, extra, call) = (Tensor::from_slice(timesteps), ExtraConds::default(), Call::plain());
        unet.forward(&Inputs { x, timestep: &timestep, context, extra: &extra, control: None, call: &call }).unwrap()
    }

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
            let unet = UNet::load(&weights.at("model.diffusion_model"), &Numerics::cpu(), Heads::Count(8)).unwrap();
            assert_eq!(unet.context_width(), 64);
            let x = randn(3, &[2, unet.in_channels(), height, width]);
            let y = predict(&unet, &x, &[999.0, 37.0], &randn(7, &[2, 77, 64]));
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
            let unet = UNet::load(&weights, numerics, Heads::Count(8)).unwrap();
            predict(&unet, &randn(3, &[1, 4, 16, 24]), &[500.0], &randn(7, &[1, 77, 64]))
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
        let message =
            UNet::load(&weights.at("first_stage_model"), &Numerics::cpu(), Heads::Count(8)).err().unwrap().to_string();
        assert!(message.contains("first_stage_model.input_blocks.0.0.weight"), "{message}");
    }
}
