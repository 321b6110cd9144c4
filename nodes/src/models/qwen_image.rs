//! Qwen-Image (Alibaba 2025, arXiv:2508.02324): a transformer over the tokens of text and picture, a rectified flow. Its latents are those of
//! videos; a picture is one frame.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::patches;
use super::placing::{Placing, Positions};
use super::qwen_image_block::{Block, Sizes, Time};
use crate::diffusion::control::{self, Residuals};
use crate::diffusion::extra_conds::{REFERENCE_METHOD, REFERENCES};
use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::patch::TransformerBlock;
use crate::files::weights::Weights;
use crate::models::unet::sinusoids_of_times;
use crate::ops::layers::{Linear, RmsNorm, normalised};
use crate::ops::numerics::{Numerics, Placement};
use crate::ops::rotary;

/// How many latent points make a token, along a side.
pub(super) const PATCH: i64 = 2;
/// What the noise level is multiplied by.
const TIME_FACTOR: f64 = 1000.0;
/// The base of the rotary frequencies.
const THETA: f64 = 10000.0;

/// The network. Every size is read off the weights.
pub struct QwenImage {
    trunk: Trunk,
    modulation: Linear,
    out: Linear,
    /// How pictures to go by are laid unless a prompt says it.
    usual: Referring,
}

/// All of the network but its last layers, which networks that steer it have, too.
pub(super) struct Trunk {
    pub(super) placement: Placement,
    pub(super) width: i64,
    pub(super) picture: Linear,
    text_norm: RmsNorm,
    text: Linear,
    time: [Linear; 2],
    /// What is added to the embedded noise level, in models of pictures in layers.
    layered: Option<Tensor>,
    pub(super) blocks: Vec<Block>,
    /// Channels of a head that are turned by index, y and x.
    axes: [i64; 3],
}

/// How a network goes by pictures.
#[derive(Clone, Copy)]
struct Referring {
    positions: Positions,
    /// Whether it takes them as free of noise.
    clean: bool,
}

impl Referring {
    /// By ComfyUI's name of it.
    fn of(name: &str) -> Self {
        let positions = match name {
            "index" | "index_timestep_zero" => Positions::Index,
            "negative_index" => Positions::NegativeIndex,
            _ => Positions::Offset,
        };
        Self { positions, clean: name == "index_timestep_zero" }
    }
}

/// Tokens of all pictures, and where they lie.
struct Tokens {
    /// B×N×columns
    tokens: Tensor,
    /// N×3: index, y and x.
    places: Tensor,
    /// How many of them are of the picture that is drawn.
    own: i64,
}

impl Trunk {
    /// Builds it from the tensors below `weights` (`img_in.*`, `transformer_blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub(super) fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let (width, columns) = (w.dim("img_in.weight", 0)?, w.dim("img_in.weight", 1)?);
        let head = w.dim("transformer_blocks.0.attn.norm_q.weight", 0)?;
        ensure!(
            width % head == 0 && head % 16 == 0,
            "{} is {width} wide with heads of {head}, which do not share it; the file is damaged",
            w.path().display()
        );
        let (blocks, time) = (w.at("transformer_blocks"), w.at("time_text_embed"));
        let text = w.dim("txt_in.weight", 1)?;
        let embedder = time.at("timestep_embedder");
        let layered = time.contains("addition_t_embedding.weight");
        Ok(Self {
            placement,
            width,
            picture: Linear::load(&w.at("img_in"), columns, width)?,
            text_norm: RmsNorm::load(w, "txt_norm.weight", text)?,
            text: Linear::load(&w.at("txt_in"), text, width)?,
            time: [
                Linear::load(&embedder.at("linear_1"), embedder.dim("linear_1.weight", 1)?, width)?,
                Linear::load(&embedder.at("linear_2"), width, width)?,
            ],
            // There are two; the first stands for a picture like others.
            layered: match layered {
                true => Some(time.tensor("addition_t_embedding.weight", &[2, width])?.get(0).to_kind(Kind::Float)),
                false => None,
            },
            blocks: (0..blocks.children())
                .map(|i| Block::load(&blocks.at(i), Sizes { width, head }))
                .collect::<Result<_>>()?,
            axes: [head / 8, head * 7 / 16, head * 7 / 16],
        })
    }

    /// The tokens of a text, B×N×width.
    ///
    /// # Errors
    /// If it has another width than the network takes.
    pub(super) fn text(&self, context: &Tensor) -> Result<Tensor> {
        let (has, takes) = (context.size().last().copied().unwrap_or(0), self.text.inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with a text encoder of the model's family"
        );
        let context = context.to_device_(self.placement.device, Kind::Float, false, false);
        Ok(self.text.forward(&self.text_norm.forward(&context)))
    }

    /// How the channels of all tokens' heads are turned: those of so many of text, then those of pictures, whose places are given. The
    /// latent is so high and wide.
    pub(super) fn turns(&self, words: i64, [height, width]: [i64; 2], places: &Tensor) -> Tensor {
        // The text lies on the diagonal, from the picture's edge on.
        let edge = (patches::halved(width) / 2).max(patches::halved(height) / 2);
        let options = (Kind::Float, self.placement.device);
        let of_text = Tensor::arange_start(edge, edge + words, options).unsqueeze(1).expand([words, 3], false);
        rotary::turns(
            &Tensor::cat(&[of_text, places.to_device_(options.1, Kind::Float, false, false)], 0),
            &self.axes,
            THETA,
        )
    }

    /// The embedded noise level, B×width.
    fn level(&self, timestep: &Tensor) -> Tensor {
        let spread = sinusoids_of_times(timestep, TIME_FACTOR, self.time[0].inputs(), self.placement.device);
        let level = self.time[1].forward(&self.time[0].forward(&spread).silu());
        match &self.layered {
            Some(added) => level + added,
            None => level,
        }
    }

    pub(super) fn time(&self, timestep: &Tensor, clean_from: Option<i64>) -> Time {
        let Some(from) = clean_from else { return Time { level: self.level(timestep), clean: None } };
        // In one batch, as in the reference.
        let both = self.level(&Tensor::cat(&[timestep, &timestep.zeros_like()], 0)).chunk(2, 0);
        Time { level: both[0].shallow_clone(), clean: Some((from, both[1].shallow_clone())) }
    }
}

impl QwenImage {
    /// Builds the network from the tensors below `weights` (`img_in.*`, `transformer_blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let trunk = Trunk::load(weights, numerics)?;
        let (w, width) = (&weights.placed(trunk.placement), trunk.width);
        let usual = match (trunk.layered.is_some(), w.contains("__index_timestep_zero__")) {
            (true, _) => "negative_index",
            (false, true) => "index_timestep_zero",
            (false, false) => "index",
        };
        Ok(Self {
            modulation: Linear::load(&w.at("norm_out.linear"), width, 2 * width)?,
            out: Linear::load(&w.at("proj_out"), width, w.dim("proj_out.weight", 0)?)?,
            usual: Referring::of(usual),
            trunk,
        })
    }

    fn referring(&self, inputs: &Inputs) -> Referring {
        inputs.extra.constant(REFERENCE_METHOD).map_or(self.usual, Referring::of)
    }

    /// The tokens of the states and of the pictures to go by.
    fn tokens(&self, inputs: &Inputs, positions: Positions) -> Result<Tokens> {
        let (_, _, frames, height, width) = size5(inputs.x)?;
        let device = inputs.x.device();
        let own = tokens_of(inputs.x);
        let count = own.size()[1];
        let mut placed = Placing::new(positions, [height, width]);
        let mut tokens = vec![own];
        let mut places = vec![places_of(0.0, frames, [height, width], [0, 0], device)];
        for reference in inputs.extra.list(REFERENCES) {
            let (_, _, frames, height, width) = size5(reference)?;
            let (index, top, left) = placed.place(height, width);
            tokens.push(tokens_of(reference));
            places.push(places_of(index, frames, [height, width], [top, left], device));
        }
        Ok(Tokens { tokens: Tensor::cat(&tokens, 1), places: Tensor::cat(&places, 0), own: count })
    }
}

impl Network for QwenImage {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let trunk = &self.trunk;
        let place = |x: &Tensor| x.to_device_(trunk.placement.device, Kind::Float, false, false);
        let (batch, _, frames, height, width) = size5(inputs.x)?;
        let mut text = trunk.text(inputs.context)?;
        let Referring { positions, clean } = self.referring(inputs);
        let Tokens { tokens, places, own } = self.tokens(inputs, positions)?;
        ensure!(
            tokens.size()[2] == trunk.picture.inputs(),
            "the latent has {} channels, and the model takes {}: use a latent and a VAE of the model's family",
            tokens.size()[2] / (PATCH * PATCH),
            trunk.picture.inputs() / (PATCH * PATCH)
        );
        let clean_from = (clean && tokens.size()[1] > own).then_some(own);
        let turns = trunk.turns(inputs.context.size()[1], [height, width], &places);
        let mut picture = trunk.picture.forward(&place(&tokens));
        let time = trunk.time(&place(inputs.timestep), clean_from);
        for (i, block) in trunk.blocks.iter().enumerate() {
            if !inputs.call.skips(TransformerBlock::Double(i)) {
                (picture, text) = block.forward(&picture, &text, &time, &turns);
            }
            control::add_in_front(&picture, inputs.control.and_then(|control| Residuals::of_block(&control.input, i)));
        }
        let parts = self.modulation.forward(&time.level.silu()).chunk(2, 1);
        let (scale, shift) = (parts[0].unsqueeze(1), parts[1].unsqueeze(1));
        let out = self.out.forward(&shift.addcmul(&normalised(&picture, trunk.width), &(1.0 + scale)));
        let frame = patches::picture(&out.narrow(1, 0, own), batch * frames, PATCH, [height, width]);
        Ok(frame.unflatten(0, [batch, frames]).transpose(1, 2))
    }

    fn repeats_text(&self) -> bool {
        false
    }

    fn device(&self) -> Device {
        self.trunk.placement.device
    }
}

pub(super) fn size5(latent: &Tensor) -> Result<(i64, i64, i64, i64, i64)> {
    latent.size5().with_context(|| {
        format!("Qwen-Image takes latents with frames, B x C x T x h x w, and this one is shaped {:?}", latent.size())
    })
}

/// The tokens of B×C×T×h×w, frame by frame.
pub(super) fn tokens_of(latent: &Tensor) -> Tensor {
    let size = latent.size();
    let tokens = patches::tokens(&latent.transpose(1, 2).flatten(0, 1), PATCH);
    tokens.reshape([size[0], -1, size[1] * PATCH * PATCH])
}

/// Where the tokens of a latent lie: frames count from 0 as indices, a picture has one of its own; the middle is at 0, and moved by `corner`, in
/// latent points.
pub(super) fn places_of(
    index: f64,
    frames: i64,
    [height, width]: [i64; 2],
    corner: [i64; 2],
    device: Device,
) -> Tensor {
    let (rows, columns) = (patches::halved(height), patches::halved(width));
    let [top, left] = corner.map(patches::halved);
    let from = ((top - rows / 2) as f64, (left - columns / 2) as f64);
    if frames == 1 {
        return rotary::grid(index, from, (rows, columns), device);
    }
    let all: Vec<Tensor> = (0..frames).map(|frame| rotary::grid(frame as f64, from, (rows, columns), device)).collect();
    Tensor::cat(&all, 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::diffusion::extra_conds::{ExtraCond, ExtraConds};
    use crate::diffusion::patch::Call;
    use crate::models::reference::{figures, file};
    use crate::ops::noise::randn;

    fn tiny() -> QwenImage {
        QwenImage::load(&file("base/models/diffusion_models/qwen-image-tiny.safetensors"), &Numerics::cpu()).unwrap()
    }

    fn predict(network: &QwenImage, x: &Tensor, extra: &ExtraConds) -> Tensor {
        let (timestep, context) = (Tensor::from_slice(&[0.7f32; 2]), randn(2, &[2, 7, 12]));
        let call = Call::plain();
        network
            .predict(&Inputs { x, timestep: &timestep, context: &context, extra, control: None, call: &call })
            .unwrap()
    }

    /// Three, one of them of two frames, laid by a method or as usual.
    fn references(method: Option<&str>) -> ExtraConds {
        let sizes = [(3, [2, 16, 1, 4, 4]), (4, [2, 16, 1, 3, 6]), (5, [2, 16, 2, 6, 2])];
        let all = sizes.map(|(seed, size)| randn(seed, &size));
        let conds = ExtraConds::default().with(REFERENCES, ExtraCond::Lists(all.into()));
        match method {
            Some(method) => conds.with(REFERENCE_METHOD, ExtraCond::Constant(method.to_owned())),
            None => conds,
        }
    }

    /// Figures from ComfyUI 0.8.0's network on the same numbers.
    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn agrees_with_the_reference() {
        let _guard = tch::no_grad_guard();
        let (mut network, x) = (tiny(), randn(1, &[2, 16, 1, 5, 6]));
        let plain = ExtraConds::default();
        #[rustfmt::skip]
        let table = [
            (&plain, 0.00886838, 0.50361908, [-0.1433511, 0.6332695, 0.5662773, -0.8844714, -0.8622290, -0.2842040]),
            (&references(None), 0.00720298, 0.50378440, [-0.1367370, 0.6239321, 0.5725729, -0.8791187, -0.8554631, -0.2788552]),
            (&references(Some("index")), 0.00720298, 0.50378440, [-0.1367370, 0.6239321, 0.5725729, -0.8791187, -0.8554631, -0.2788552]),
            (&references(Some("offset")), 0.00707072, 0.50350429, [-0.1309062, 0.6164168, 0.5724548, -0.8750454, -0.8582134, -0.2818640]),
            (&references(Some("uxo")), 0.00707072, 0.50350429, [-0.1309062, 0.6164168, 0.5724548, -0.8750454, -0.8582134, -0.2818640]),
            (&references(Some("negative_index")), 0.00708996, 0.50368724, [-0.1419846, 0.6212671, 0.5675110, -0.8774677, -0.8591161, -0.2804725]),
            (&references(Some("index_timestep_zero")), 0.00597360, 0.50387337, [-0.1419388, 0.6343645, 0.5753535, -0.8815767, -0.8573637, -0.2605770]),
        ];
        for (extra, mean, std, values) in table {
            figures(&predict(&network, &x, extra), mean, std, &values);
        }
        let frames = predict(&network, &randn(6, &[2, 16, 3, 4, 4]), &plain);
        figures(
            &frames,
            -0.00779605,
            0.50027180,
            &[-0.2390134, -0.0078504, -0.5055882, -0.6740539, -0.7586451, 0.0124526],
        );
        // As a file of Qwen-Image-Layered is.
        network.trunk.layered = Some(randn(9, &[2, 64]).get(0));
        network.usual = Referring::of("negative_index");
        figures(
            &predict(&network, &x, &references(None)),
            -0.05777704,
            0.63273227,
            &[0.2632435, 0.5188608, 0.2213114, 0.4027620, -0.8379084, -0.6774190],
        );
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn a_latent_without_frames_is_named() {
        let x = randn(1, &[2, 16, 5, 6]);
        let (timestep, context, extra) =
            (Tensor::from_slice(&[0.7f32; 2]), randn(2, &[2, 7, 12]), ExtraConds::default());
        let call = Call::plain();
        let inputs =
            Inputs { x: &x, timestep: &timestep, context: &context, extra: &extra, control: None, call: &call };
        let message = tiny().predict(&inputs).unwrap_err().to_string();
        assert!(message.contains("[2, 16, 5, 6]"), "{message}");
    }
}
