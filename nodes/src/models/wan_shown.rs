//! What models of Wan's layout take besides latent and prompt: a picture as CLIP sees it, and VACE's control frames (Jiang et al. 2025,
//! arXiv:2503.07598).

use anyhow::{Context, Result, ensure};
use tch::{Kind, Tensor};

use super::wan::PatchConv;
use super::wan_blocks::{Block, Shown};
use crate::diffusion::extra_conds::ExtraConds;
use crate::files::weights::Weights;
use crate::ops::layers::{LayerNorm, Linear};

/// VACE's control frames: B×N×C×T×h×w, N videos of latents and masks.
pub const VACE_CONTEXT: &str = "vace_context";
/// How strongly each of them acts: B×N.
pub const VACE_STRENGTH: &str = "vace_strength";

/// CLIP's view of a picture as tokens.
pub(super) struct PictureEmbedder {
    norms: [LayerNorm; 2],
    up: Linear,
    down: Linear,
    /// 1×N×width of the view: added to it where there are several pictures.
    places: Option<Tensor>,
}

impl PictureEmbedder {
    /// Nothing if the model has none.
    pub(super) fn load(w: &Weights, width: i64) -> Result<Option<Self>> {
        if w.is_empty() {
            return Ok(None);
        }
        let layers = w.at("proj");
        let (inputs, hidden) = (layers.dim("1.weight", 1)?, layers.dim("1.weight", 0)?);
        let places = match w.contains("emb_pos") {
            true => Some(w.tensor("emb_pos", &[1, w.dim("emb_pos", 1)?, inputs])?.to_kind(Kind::Float)),
            false => None,
        };
        Ok(Some(Self {
            norms: [
                LayerNorm::load_as(&layers.at(0), inputs, Kind::Float)?,
                LayerNorm::load_as(&layers.at(4), width, Kind::Float)?,
            ],
            up: Linear::load(&layers.at(1), inputs, hidden)?,
            down: Linear::load(&layers.at(3), hidden, width)?,
            places,
        }))
    }

    /// `seen` is B×N×W.
    pub(super) fn forward(&self, seen: &Tensor) -> Result<Tensor> {
        let (size, takes) = (seen.size(), self.up.inputs());
        ensure!(
            size.len() == 3 && size[2] == takes,
            "what CLIP saw of a picture is shaped {size:?}, and the model takes batch, tokens and {takes} channels: use the CLIP vision \
             encoder of the model's family"
        );
        let placed = self.places.as_ref().map(|places| {
            let tokens = places.size()[1].min(size[1]);
            seen.narrow(1, 0, tokens) + places.narrow(1, 0, tokens)
        });
        let x = self.norms[0].forward(placed.as_ref().unwrap_or(seen));
        Ok(self.norms[1].forward(&self.down.forward(&self.up.forward(&x).gelu("none"))))
    }
}

/// VACE: blocks beside the model's own, which see control frames and add to what it computes.
pub(super) struct Vace {
    patches: PatchConv,
    before: Linear,
    blocks: Vec<(Block, Linear)>,
    /// After every so many blocks of the model one of these acts.
    every: usize,
}

impl Vace {
    /// Nothing if the model has none.
    pub(super) fn load(w: &Weights, width: i64, model_blocks: usize) -> Result<Option<Self>> {
        let patches = w.at("vace_patch_embedding");
        if patches.is_empty() {
            return Ok(None);
        }
        let all = w.at("vace_blocks");
        let count = all.children();
        ensure!(
            count > 0 && count <= model_blocks,
            "{} has {count} blocks for control frames beside {model_blocks}; the file is damaged",
            w.path().display()
        );
        let block = |i: usize| {
            let w = all.at(i);
            Ok((Block::load(&w, width)?, Linear::load(&w.at("after_proj"), width, width)?))
        };
        Ok(Some(Self {
            patches: PatchConv::load(&patches, width)?,
            before: Linear::load(&all.at("0.before_proj"), width, width)?,
            blocks: (0..count).map(block).collect::<Result<_>>()?,
            every: model_blocks / count,
        }))
    }

    /// The control frames' tokens. `x` are the model's own.
    pub(super) fn begin(&self, extra: &ExtraConds, x: &Tensor) -> Result<ControlFrames<'_>> {
        let missing = "the prompt shows no control frames; this is a bug";
        let frames = extra.get(VACE_CONTEXT).context(missing)?;
        let strength = extra.get(VACE_STRENGTH).context(missing)?;
        let size = frames.size();
        ensure!(
            size.len() == 6 && size[2] == self.patches.inputs(),
            "control frames are shaped {size:?}, and the model takes latents of {} channels: use WanVaceToVideo with the model's VAE",
            self.patches.inputs()
        );
        let place = |t: &Tensor| t.to_device_(x.device(), Kind::Float, false, false);
        let flat = place(frames).movedim_int(0, 1).reshape([&[-1], &size[2..]].concat());
        let tokens = self.patches.forward(&flat).flatten(2, -1).transpose(1, 2);
        ensure!(
            tokens.size()[1] == x.size()[1],
            "the control frames have {} tokens and the latent {}: make both with the same width, height and length",
            tokens.size()[1],
            x.size()[1]
        );
        Ok(ControlFrames {
            vace: self,
            tokens: tokens.split(size[0], 0),
            own: x.shallow_clone(),
            strength: place(strength),
        })
    }
}

/// Control frames on their way through the blocks.
pub(super) struct ControlFrames<'a> {
    vace: &'a Vace,
    /// Of each of them, B×N×width.
    tokens: Vec<Tensor>,
    /// The model's own as they came in.
    own: Tensor,
    strength: Tensor,
}

impl ControlFrames<'_> {
    /// What leaves the model's block of this number, with what they add to it.
    pub(super) fn after(&mut self, block: usize, x: Tensor, time: &Tensor, shown: &Shown) -> Tensor {
        let (place, beside) = (block / self.vace.every, block % self.vace.every);
        let Some((own, after)) = self.vace.blocks.get(place).filter(|_| beside == 0) else { return x };
        (0..).zip(&mut self.tokens).fold(x, |x, (video, tokens)| {
            let first = (place == 0).then(|| self.vace.before.forward(tokens) + &self.own);
            *tokens = own.forward(first.as_ref().unwrap_or(tokens), time, shown);
            x + after.forward(tokens) * self.strength.select(1, video).view([-1, 1, 1])
        })
    }
}
