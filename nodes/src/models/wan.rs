//! Wan 2.1 and 2.2 (Wan Team 2025, arXiv:2503.20314): a transformer over the tokens of a video, a rectified flow.

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use super::patches;
use super::wan_blocks::{Block, Head, Shown};
use super::wan_shown::{PictureEmbedder, Vace};
use crate::diffusion::extra_conds::ExtraConds;
use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::patch::TransformerBlock;
use crate::files::weights::Weights;
use crate::ops::layers::{Conv2d, Linear};
use crate::ops::numerics::{Numerics, Placement};
use crate::ops::rotary::{grid, turns};

/// Under this name a prompt brings what CLIP saw in a picture, B×N×1280.
pub const CLIP_VISION: &str = "clip_fea";
/// A latent by which the video goes, B×C×h×w in the network's scale.
pub const REFERENCE: &str = "reference_latent";
/// Frames that are put behind the latent's, B×C×T×h×w in the network's scale.
pub const FRAMES_BEHIND: &str = "time_dim_concat";
/// What of a latent is to be made anew, of its shape: frames that are known have the time of a clean latent.
pub const KNOWN_FRAMES: &str = "denoise_mask";

/// How many latent points make a token, along height and width.
const PATCH: i64 = 2;
/// How wide the noise level is spread.
const SPREAD: i64 = 256;
/// The base of the rotary frequencies.
const THETA: f64 = 10000.0;

/// The network. Every size is read off the weights.
pub struct Wan {
    placement: Placement,
    width: i64,
    patches: PatchConv,
    text: [Linear; 2],
    time: [Linear; 2],
    time_projection: Linear,
    blocks: Vec<Block>,
    head: Head,
    channels: i64,
    picture: Option<PictureEmbedder>,
    reference: Option<Conv2d>,
    vace: Option<Vace>,
    /// Channels of a head that are turned by frame, y and x.
    axes: [i64; 3],
}

impl Wan {
    /// Builds the network from the tensors below `weights` (`patch_embedding.*`, `blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let width = w.dim("head.modulation", 2)?;
        let blocks = w.at("blocks");
        ensure!(blocks.children() > 0, "{} holds a Wan model without blocks; it is incomplete", w.path().display());
        let (outputs, head) = (w.dim("head.head.weight", 0)?, 128);
        let text = w.at("text_embedding");
        let time = w.at("time_embedding");
        let reference = w.at("ref_conv");
        Ok(Self {
            placement,
            width,
            patches: PatchConv::load(&w.at("patch_embedding"), width)?,
            text: [
                Linear::load(&text.at(0), text.dim("0.weight", 1)?, width)?,
                Linear::load(&text.at(2), width, width)?,
            ],
            time: [Linear::load(&time.at(0), SPREAD, width)?, Linear::load(&time.at(2), width, width)?],
            time_projection: Linear::load(&w.at("time_projection.1"), width, 6 * width)?,
            blocks: (0..blocks.children()).map(|i| Block::load(&blocks.at(i), width)).collect::<Result<_>>()?,
            head: Head::load(&w.at("head"), width)?,
            channels: outputs / (PATCH * PATCH),
            picture: PictureEmbedder::load(&w.at("img_emb"), width)?,
            reference: match reference.is_empty() {
                true => None,
                false => Some(Conv2d::strided(&reference, reference.dim("weight", 1)?, width, PATCH, PATCH, 0)?),
            },
            vace: Vace::load(w, width, blocks.children())?,
            axes: [head - 4 * (head / 6), 2 * (head / 6), 2 * (head / 6)],
        })
    }

    /// The noise level spread and embedded, B×F×width, with F 1 or the number of frames, each of which has a level of its own then.
    fn time(&self, inputs: &Inputs) -> Tensor {
        let device = self.placement.device;
        let level = inputs.timestep.to_device_(device, Kind::Float, false, false);
        let batch = level.size()[0];
        let level = match inputs.extra.get(KNOWN_FRAMES) {
            None => level,
            Some(mask) => {
                let of_frames = mask.to_device(device).mean_dim([1i64, 3, 4].as_slice(), true, Kind::Float);
                (of_frames * level.view([batch, 1, 1, 1, 1])).flatten(0, -1)
            }
        };
        let time = self.time[1].forward(&self.time[0].forward(&spread(&level)).silu());
        time.reshape([batch, -1, self.width])
    }

    /// The tokens of the prompt behind those of the picture that it shows, and how many these are.
    fn context(&self, inputs: &Inputs, device: Device) -> Result<(Tensor, Option<i64>)> {
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.text[0].inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with a text encoder of the model's family"
        );
        let place = |x: &Tensor| x.to_device_(device, Kind::Float, false, false);
        let text = self.text[1].forward(&self.text[0].forward(&place(inputs.context)).gelu("tanh"));
        let Some(seen) = inputs.extra.get(CLIP_VISION) else { return Ok((text, None)) };
        let tokens = seen.size().get(1).copied();
        Ok(match &self.picture {
            Some(embedder) => (Tensor::cat(&[embedder.forward(&place(seen))?, text], 1), tokens),
            None => (text, tokens),
        })
    }

    /// The tokens of the latent by which the video goes, as one more frame in front.
    fn reference(&self, extra: &ExtraConds) -> Option<Tensor> {
        let conv = self.reference.as_ref()?;
        let latent = extra.get(REFERENCE)?.to_device_(self.placement.device, Kind::Float, false, false);
        Some(conv.forward(&latent).flatten(2, -1).transpose(1, 2))
    }

    /// What turns the tokens of so many frames of so many rows and columns.
    fn turns(&self, [frames, rows, columns]: [i64; 3]) -> Tensor {
        let frame = |frame: i64| grid(frame as f64, (0.0, 0.0), (rows, columns), self.placement.device);
        let places: Vec<Tensor> = (0..frames).map(frame).collect();
        turns(&Tensor::cat(&places, 0), &self.axes, THETA).transpose(1, 2)
    }

    /// Tokens, B×N×(4·C), as a latent B×C×T×h×w.
    fn unpatched(&self, tokens: &Tensor, [frames, rows, columns]: [i64; 3]) -> Tensor {
        let split = tokens.reshape([-1, frames, rows, columns, 1, PATCH, PATCH, self.channels]);
        split.permute([0, 7, 1, 4, 2, 5, 3, 6]).reshape([-1, self.channels, frames, rows * PATCH, columns * PATCH])
    }
}

impl Network for Wan {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let device = self.placement.device;
        let [_, channels, frames, height, width] = inputs.x.size()[..] else {
            bail!("Wan takes latents of videos, B x C x T x h x w");
        };
        ensure!(
            channels == self.patches.inputs(),
            "the latent and what is shown beside it have {channels} channels, and the model takes {}: use a latent, a VAE and \
             conditioning nodes of the model's kind",
            self.patches.inputs()
        );
        let place = |x: &Tensor| patches::wrapped(&x.to_device_(device, Kind::Float, false, false), PATCH);
        let mut x = place(inputs.x);
        if let Some(behind) = inputs.extra.get(FRAMES_BEHIND) {
            x = Tensor::cat(&[x, place(behind)], 2);
        }
        let patched = self.patches.forward(&x);
        let shape: [i64; 3] = patched.size()[2..].try_into().context("patches of a video have three sides")?;
        let mut x = patched.flatten(2, -1).transpose(1, 2);
        let reference = self.reference(inputs.extra);
        let in_front = reference.as_ref().map_or(0, |reference| reference.size()[1]);
        if let Some(reference) = reference {
            x = Tensor::cat(&[reference, x], 1);
        }
        let turns = self.turns([shape[0] + i64::from(in_front > 0), shape[1], shape[2]]);
        ensure!(
            turns.size()[1] == x.size()[1],
            "the reference latent has another size than the video's: make it with the same width and height"
        );
        let time = self.time(inputs);
        let of_blocks = self.time_projection.forward(&time.silu()).unflatten(2, [6, self.width]);
        let (context, picture) = self.context(inputs, device)?;
        let shown = Shown { context: &context, picture, turns: &turns };
        let mut vace = self.vace.as_ref().map(|vace| vace.begin(inputs.extra, &x)).transpose()?;
        for (i, block) in self.blocks.iter().enumerate() {
            if !inputs.call.skips(TransformerBlock::Double(i)) {
                x = block.forward(&x, &of_blocks, &shown);
            }
            if let Some(vace) = &mut vace {
                x = vace.after(i, x, &of_blocks, &shown);
            }
        }
        let x = self.head.forward(&x, &time).narrow(1, in_front, shape.iter().product());
        Ok(self.unpatched(&x, shape).narrow(2, 0, frames).narrow(3, 0, height).narrow(4, 0, width))
    }

    fn repeats_text(&self) -> bool {
        false
    }

    fn takes_known_clean(&self) -> bool {
        // Wan 2.2's model with latents of 48 channels has a noise level for each frame.
        self.channels == 48
    }

    fn device(&self) -> Device {
        self.placement.device
    }
}

/// A convolution over squares of one frame, each of which becomes a token.
pub(super) struct PatchConv {
    weight: Tensor,
    bias: Tensor,
}

impl PatchConv {
    pub(super) fn load(w: &Weights, width: i64) -> Result<Self> {
        let shape = [width, w.dim("weight", 1)?, 1, PATCH, PATCH];
        // Computed in float32 whatever the other weights are held in.
        let read = |name: &str, shape: &[i64]| Ok::<_, anyhow::Error>(w.tensor(name, shape)?.to_kind(Kind::Float));
        Ok(Self { weight: read("weight", &shape)?, bias: read("bias", &[width])? })
    }

    pub(super) fn inputs(&self) -> i64 {
        self.weight.size()[1]
    }

    /// B×C×T×h×w to B×width×T×h/2×w/2.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.conv3d(&self.weight, Some(&self.bias), [1, PATCH, PATCH], [0, 0, 0], [1, 1, 1], 1)
    }
}

/// Sinusoids of N numbers, N×256: cosines first, base 10000.
fn spread(numbers: &Tensor) -> Tensor {
    let half = SPREAD / 2;
    let exponents = -(Tensor::arange(half, (Kind::Float, numbers.device())) / half as f64);
    let angles = numbers.outer(&Tensor::pow_scalar(THETA, &exponents));
    Tensor::cat(&[angles.cos(), angles.sin()], 1)
}
