//! What image encoders see in pictures, and prompts made of it.

use std::rc::Rc;

use anyhow::{Context, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::error::Unsupported;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};
use tch::Tensor;

use crate::models::style_model;
use crate::networks::Networks;
use crate::recipes::{ClipVision, StyleModel};
use crate::values::{ClipVisionOutput, Conditioning, Image};

/// Shows pictures to an image encoder.
#[derive(Node)]
#[node(category = "conditioning", display = "CLIP Vision Encode")]
struct CLIPVisionEncode {
    /// The image encoder.
    clip_vision: ClipVision,
    /// The pictures.
    image: Image,
    /// Whether they are cropped to a square in the middle, or stretched to one.
    crop: Crop,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Crop {
    Center,
    None,
}

impl Run for CLIPVisionEncode {
    type Out = ClipVisionOutput;

    fn run(self, cx: &mut Cx) -> anyhow::Result<ClipVisionOutput> {
        let network = self.clip_vision.network(&*cx.service::<Networks>()?)?;
        network.encode(&self.image.0, self.crop == Crop::Center)
    }
}

/// Adds what an image encoder saw in a picture to prompts, as further tokens (Flux Redux).
#[derive(Node)]
#[node(category = "conditioning/style_model", display = "Apply Style Model")]
struct StyleModelApply {
    conditioning: Conditioning,
    style_model: StyleModel,
    clip_vision_output: ClipVisionOutput,
    /// How strongly the picture acts.
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.001, beyond = Both)]
    strength: f64,
    /// Whether the tokens are multiplied by the strength, or attention to them.
    strength_type: Strength,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Strength {
    Multiply,
    AttnBias,
}

impl Run for StyleModelApply {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        if self.strength_type == Strength::AttnBias && self.strength != 1.0 {
            let what = "the strength type attn_bias is not supported yet, except with the strength 1; use multiply";
            return Err(Unsupported(what.to_owned()).into());
        }
        let networks = cx.service::<Networks>()?;
        let network =
            networks.get(&self.style_model.weights, |w, n| style_model::StyleModel::load(w, n).map(Rc::new))?;
        let seen = self.clip_vision_output.last.as_ref();
        let seen = seen.context("clip_vision_output lacks the last states; take it from CLIPVisionEncode")?;
        let tokens = network.tokens(seen)?.flatten(0, 1).unsqueeze(0).to_device(tch::Device::Cpu);
        let tokens = if self.strength_type == Strength::Multiply { tokens * self.strength } else { tokens };
        let mut prompts = self.conditioning;
        for entry in &mut prompts.0 {
            let (text, style) = (entry.cond.size(), tokens.size());
            ensure!(
                text.len() == 3 && text[0] == 1 && text[2] == style[2],
                "the prompt has shape {text:?}, and the style model makes tokens of shape {style:?}; use the text encoders of the model that it belongs to"
            );
            entry.cond = Tensor::f_cat(&[&entry.cond, &tokens], 1)?;
        }
        Ok(prompts)
    }
}
