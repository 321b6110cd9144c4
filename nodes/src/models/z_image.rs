//! Z-Image (Alibaba 2025), in the layout of Lumina 2: a transformer over the tokens of text and picture, a rectified flow.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::patches;
use crate::diffusion::network::{Inputs, Network};
use crate::files::weights::Weights;
use crate::models::unet::sinusoids;
use crate::ops::attention::attention_of_heads;
use crate::ops::gated::GatedFeed;
use crate::ops::layers::{Linear, RmsNorm, normalised};
use crate::ops::numerics::{Numerics, Placement};
use crate::ops::rotary::{grid, turned, turns};

/// How many latent points make a token, along a side.
const PATCH: i64 = 2;
/// Text and picture are filled up to a multiple of so many tokens each.
const MULTIPLE: i64 = 32;
/// How wide the noise level is spread, and at most what blocks read of it.
const SPREAD: i64 = 256;
/// What the noise level is multiplied by before.
const TIME_FACTOR: f64 = 1000.0;
/// The base of the rotary frequencies.
const THETA: f64 = 256.0;
/// What is added before roots of normalisations over tokens.
const EPS: f64 = 1e-5;

/// The network. Every size is read off the weights.
pub struct ZImage {
    placement: Placement,
    width: i64,
    picture: Linear,
    picture_fill: Tensor,
    text_norm: RmsNorm,
    text: Linear,
    text_fill: Tensor,
    time: [Linear; 2],
    text_blocks: Vec<Block>,
    picture_blocks: Vec<Block>,
    blocks: Vec<Block>,
    modulation: Linear,
    out: Linear,
    /// Channels of a head that are turned by index, y and x.
    axes: [i64; 3],
}

impl ZImage {
    /// Builds the network from the tensors below `weights` (`x_embedder.*`, `layers.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let (width, columns) = (w.dim("x_embedder.weight", 0)?, w.dim("x_embedder.weight", 1)?);
        let head = w.dim("layers.0.attention.q_norm.weight", 0)?;
        ensure!(
            width % head == 0 && head % 16 == 0,
            "{} is {width} wide with heads of {head}, which do not share it; the file is damaged",
            w.path().display()
        );
        let sizes = Sizes { width, head };
        let blocks = |name: &str| {
            let all = w.at(name);
            (0..all.children()).map(|i| Block::load(&all.at(i), sizes)).collect::<Result<Vec<_>>>()
        };
        let text = w.dim("cap_embedder.1.weight", 1)?;
        let time = w.at("t_embedder.mlp");
        let (first, second) = (time.dim("0.weight", 0)?, time.dim("2.weight", 0)?);
        let last = w.at("final_layer");
        Ok(Self {
            placement,
            width,
            picture: Linear::load(&w.at("x_embedder"), columns, width)?,
            picture_fill: w.tensor("x_pad_token", &[1, width])?,
            text_norm: RmsNorm::load(w, "cap_embedder.0.weight", text)?.with_eps(Some(EPS)),
            text: Linear::load(&w.at("cap_embedder.1"), text, width)?,
            text_fill: w.tensor("cap_pad_token", &[1, width])?,
            time: [
                Linear::load(&time.at(0), time.dim("0.weight", 1)?, first)?,
                Linear::load(&time.at(2), first, second)?,
            ],
            text_blocks: blocks("context_refiner")?,
            picture_blocks: blocks("noise_refiner")?,
            blocks: blocks("layers")?,
            modulation: Linear::load(&last.at("adaLN_modulation.1"), width.min(SPREAD), width)?,
            out: Linear::load(&last.at("linear"), width, last.dim("linear.weight", 0)?)?,
            axes: [head / 4, head * 3 / 8, head * 3 / 8],
        })
    }

    /// Tokens filled up to a multiple, B×N×width.
    fn filled(&self, tokens: Tensor, fill: &Tensor) -> Tensor {
        let (batch, count) = (tokens.size()[0], tokens.size()[1]);
        let missing = (MULTIPLE - count % MULTIPLE) % MULTIPLE;
        if missing == 0 {
            return tokens;
        }
        let fill = fill.to_kind(Kind::Float).unsqueeze(0).expand([batch, missing, self.width], false);
        Tensor::cat(&[tokens, fill], 1)
    }
}

impl Network for ZImage {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let device = self.placement.device;
        let place = |x: &Tensor| x.to_device_(device, Kind::Float, false, false);
        let (batch, _, height, width) = inputs.x.size4().context("Z-Image takes latents of pictures, B x C x h x w")?;
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.text.inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with a text encoder of the model's family"
        );
        // It counts from noise to picture.
        let time = (1f64 - inputs.timestep) * TIME_FACTOR;
        let time = sinusoids(&time, self.time[0].inputs(), device);
        let time = self.time[1].forward(&self.time[0].forward(&time).silu());
        let tokens = patches::tokens_last(&place(inputs.x), PATCH);
        ensure!(
            tokens.size()[2] == self.picture.inputs(),
            "the latent has {} channels, and the model takes {}: use a latent and a VAE of the model's family",
            tokens.size()[2] / (PATCH * PATCH),
            self.picture.inputs() / (PATCH * PATCH)
        );
        let text = self.text.forward(&self.text_norm.forward(&place(inputs.context)));
        let mut text = self.filled(text, &self.text_fill);
        let own = tokens.size()[1];
        let mut picture = self.filled(self.picture.forward(&tokens), &self.picture_fill);
        let (texts, pictures) = (text.size()[1], picture.size()[1]);
        let options = (Kind::Float, device);
        let places = (Tensor::arange(texts, options) + 1.0).unsqueeze(1);
        let text_ids = Tensor::cat(&[places, Tensor::zeros([texts, 2], options)], 1);
        let (rows, columns) = (patches::halved(height), patches::halved(width));
        let picture_ids = Tensor::cat(
            &[
                grid((texts + 1) as f64, (0.0, 0.0), (rows, columns), device),
                Tensor::zeros([pictures - own, 3], options),
            ],
            0,
        );
        let all = turns(&Tensor::cat(&[text_ids, picture_ids], 0), &self.axes, THETA).transpose(1, 2);
        let (of_text, of_picture) = (all.narrow(1, 0, texts), all.narrow(1, texts, pictures));
        for block in &self.text_blocks {
            text = block.forward(text, &of_text, None)?;
        }
        for block in &self.picture_blocks {
            picture = block.forward(picture, &of_picture, Some(&time))?;
        }
        let mut both = Tensor::cat(&[text, picture], 1);
        for block in &self.blocks {
            both = block.forward(both, &all, Some(&time))?;
        }
        let scale = self.modulation.forward(&time.silu());
        let out = self.out.forward(&(normalised(&both, self.width) * (1.0 + scale.unsqueeze(1))));
        Ok(-patches::picture_last(&out.narrow(1, texts, own), batch, PATCH, [height, width]))
    }

    fn repeats_text(&self) -> bool {
        false
    }

    fn device(&self) -> Device {
        self.placement.device
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    width: i64,
    head: i64,
}

/// A block: attention and feed-forward layers, each normalised before and behind.
struct Block {
    sizes: Sizes,
    qkv: Linear,
    query_norm: RmsNorm,
    key_norm: RmsNorm,
    out: Linear,
    feed: GatedFeed,
    /// Before and behind attention, before and behind the feed-forward layers.
    norms: [RmsNorm; 4],
    /// Missing in blocks that do not know the noise level.
    modulation: Option<Linear>,
}

impl Block {
    fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        let Sizes { width, head } = sizes;
        let attention = w.at("attention");
        let norm = |name: &str| Ok::<_, anyhow::Error>(RmsNorm::load(w, name, width)?.with_eps(Some(EPS)));
        let modulation = w.at("adaLN_modulation.0");
        Ok(Self {
            sizes,
            qkv: Linear::load(&attention.at("qkv"), width, 3 * width)?,
            query_norm: RmsNorm::load(&attention, "q_norm.weight", head)?.with_eps(None),
            key_norm: RmsNorm::load(&attention, "k_norm.weight", head)?.with_eps(None),
            out: Linear::load(&attention.at("out"), width, width)?,
            feed: GatedFeed::load(&w.at("feed_forward"), ["w1", "w3", "w2"], width)?,
            norms: [
                norm("attention_norm1.weight")?,
                norm("attention_norm2.weight")?,
                norm("ffn_norm1.weight")?,
                norm("ffn_norm2.weight")?,
            ],
            modulation: match modulation.is_empty() {
                true => None,
                false => Some(Linear::load(&modulation, width.min(SPREAD), 4 * width)?),
            },
        })
    }

    fn attention(&self, x: &Tensor, turns: &Tensor) -> Tensor {
        let Sizes { width, head } = self.sizes;
        let (batch, tokens) = (x.size()[0], x.size()[1]);
        let parts = self.qkv.forward(x).split(width, -1);
        let split = |t: &Tensor| t.view([batch, tokens, width / head, head]);
        let q = turned(&self.query_norm.forward(&split(&parts[0])), turns);
        let k = turned(&self.key_norm.forward(&split(&parts[1])), turns);
        let by_head = |t: &Tensor| t.movedim_int(1, 2);
        // Copied, as the reference does for models whose heads share keys and values.
        let whole = |t: &Tensor| t.unsqueeze(3).repeat([1, 1, 1, 1, 1]).flatten(2, 3);
        let (k, v) = (whole(&k), whole(&split(&parts[2])));
        self.out.forward(&attention_of_heads(&by_head(&q), &by_head(&k), &by_head(&v)))
    }

    fn forward(&self, x: Tensor, turns: &Tensor, time: Option<&Tensor>) -> Result<Tensor> {
        let [before, behind, before_feed, behind_feed] = &self.norms;
        let Some(modulation) = &self.modulation else {
            let x = &x + behind.forward(&self.attention(&before.forward(&x), turns));
            return Ok(&x + behind_feed.forward(&self.feed.forward(&before_feed.forward(&x))));
        };
        let time = time.context("a block of the text has a modulation; the file is damaged")?;
        let parts = modulation.forward(&time.narrow(1, 0, modulation.inputs())).chunk(4, 1);
        let scaled = |x: &Tensor, scale: &Tensor| x * (1.0 + scale.unsqueeze(1));
        let gate = |gate: &Tensor| gate.unsqueeze(1).tanh();
        let attended = self.attention(&scaled(&before.forward(&x), &parts[0]), turns);
        let x = &x + gate(&parts[1]) * behind.forward(&attended);
        let fed = self.feed.forward(&scaled(&before_feed.forward(&x), &parts[2]));
        Ok(&x + gate(&parts[3]) * behind_feed.forward(&fed))
    }
}
