//! AuraFlow (fal 2024): a transformer over the tokens of text and picture, first with weights of their own and then with common ones; a
//! rectified flow.

use anyhow::{Context, Result, ensure};
use redraft_engine::memory;
use tch::{Device, Kind, Tensor};

use super::flux_blocks::Embedder;
use super::patches;
use crate::diffusion::network::{Inputs, Network};
use crate::files::weights::Weights;
use crate::ops::attention::attention_of_heads;
use crate::ops::gated::GatedFeed;
use crate::ops::layers::Linear;
use crate::ops::numerics::{Numerics, Placement};

/// How many latent points make a token, along a side.
const PATCH: i64 = 2;
/// How wide the noise level is spread, and what it is multiplied by.
const SPREAD: i64 = 256;
const TIME_FACTOR: f64 = 1000.0;
const HEADS: i64 = 12;
/// What is added before roots of normalisations.
const EPS: f64 = 1e-5;

/// The network. Every size is read off the weights.
pub struct AuraFlow {
    placement: Placement,
    picture: Linear,
    positions: Positions,
    time: Embedder,
    text: Linear,
    /// Tokens in front of each text, 1×8×width.
    registers: Tensor,
    double: Vec<DoubleBlock>,
    single: Vec<SingleBlock>,
    modulation: Linear,
    out: Linear,
}

impl AuraFlow {
    /// Builds the network from the tensors below `weights` (`init_x_linear.*`, `double_layers.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let (width, columns) = (w.dim("init_x_linear.weight", 0)?, w.dim("init_x_linear.weight", 1)?);
        ensure!(
            width > 0 && width % HEADS == 0 && columns % (PATCH * PATCH) == 0,
            "{} is {width} wide with patches of {columns} numbers, which {HEADS} heads and squares of {PATCH} points cannot share; the file \
             is damaged",
            w.path().display()
        );
        let (double, single) = (w.at("double_layers"), w.at("single_layers"));
        let vector = w.dim("t_embedder.mlp.2.weight", 0)?;
        let sizes = Sizes { width, vector };
        Ok(Self {
            placement,
            picture: Linear::load(&w.at("init_x_linear"), columns, width)?,
            positions: Positions::load(w, width)?,
            time: Embedder::named(&w.at("t_embedder.mlp"), ["0", "2"], vector)?,
            text: Linear::load(&w.at("cond_seq_linear"), w.dim("cond_seq_linear.weight", 1)?, width)?,
            registers: w.tensor("register_tokens", &[1, w.dim("register_tokens", 1)?, width])?,
            double: (0..double.children()).map(|i| DoubleBlock::load(&double.at(i), sizes)).collect::<Result<_>>()?,
            single: (0..single.children()).map(|i| SingleBlock::load(&single.at(i), sizes)).collect::<Result<_>>()?,
            modulation: Linear::load(&w.at("modF.1"), vector, 2 * width)?,
            out: Linear::load(&w.at("final_linear"), width, columns)?,
        })
    }
}

/// The noise level as cosines and sines, B×[`SPREAD`]. The frequencies are multiplied, and not the level, which rounds otherwise.
fn spread(level: &Tensor, device: Device) -> Tensor {
    let half = SPREAD / 2;
    let frequencies =
        (Tensor::arange(half, (Kind::Float, device)) * -(10000f64.ln()) / half as f64).exp() * TIME_FACTOR;
    let angles = level.to_device_(device, Kind::Float, false, false).unsqueeze(1) * frequencies.unsqueeze(0);
    Tensor::cat(&[angles.cos(), angles.sin()], -1)
}

impl Network for AuraFlow {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let device = self.placement.device;
        let place = |x: &Tensor| x.to_device_(device, Kind::Float, false, false);
        let (batch, channels, height, width) =
            inputs.x.size4().context("AuraFlow takes latents of pictures, B x C x h x w")?;
        let takes = self.picture.inputs() / (PATCH * PATCH);
        ensure!(
            channels == takes,
            "the latent has {channels} channels, and the model takes {takes}: use a latent and a VAE of the model's family"
        );
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.text.inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with Pile-T5-XL, by CLIPLoader"
        );
        let (rows, columns) = (patches::halved(height), patches::halved(width));
        let tokens = self.picture.forward(&patches::tokens(&place(inputs.x), PATCH));
        let mut picture = tokens + self.positions.of(rows, columns)?;
        let text = self.text.forward(&place(inputs.context));
        let registers = self.registers.to_kind(Kind::Float).repeat([text.size()[0], 1, 1]);
        let mut text = Tensor::cat(&[registers, text], 1);
        let vector = self.time.forward(&spread(inputs.timestep, device)).silu();
        for block in &self.double {
            (text, picture) = block.forward(&text, &picture, &vector);
        }
        let own = picture.size()[1];
        let mut both = Tensor::cat(&[text, picture], 1);
        for block in &self.single {
            both = block.forward(&both, &vector);
        }
        let picture = both.narrow(1, both.size()[1] - own, own);
        let parts = self.modulation.forward(&vector).chunk(2, 1);
        let out = self.out.forward(&modulated(&picture, &parts[0], &parts[1]));
        Ok(patches::picture_last(&out, batch, PATCH, [height, width]))
    }

    fn repeats_text(&self) -> bool {
        false
    }

    fn device(&self) -> Device {
        self.placement.device
    }
}

/// What tells a token where it is.
struct Positions {
    /// 1×side×side×width
    table: Tensor,
    side: i64,
}

impl Positions {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        let places = w.dim("positional_encoding", 1)?;
        let side = (places as f64).sqrt().round() as i64;
        ensure!(
            side > 0 && side.checked_mul(side) == Some(places),
            "the positions in {} are no square; it is damaged",
            w.path().display()
        );
        let table = w.tensor("positional_encoding", &[1, places, width])?;
        Ok(Self { table: table.view([1, side, side, width]), side })
    }

    /// Those of a picture of so many tokens, 1×N×width: from the middle of the table, which is enlarged for larger pictures.
    fn of(&self, rows: i64, columns: i64) -> Result<Tensor> {
        let largest = rows.max(columns);
        let width = self.table.size()[3];
        let table = self.table.to_kind(Kind::Float);
        let (table, side) = match largest > self.side {
            true => {
                memory::ask(memory::product(&[largest, largest, width], 2 * 4), "the positions of so large a picture")?;
                let enlarged = table.movedim_int(-1, 1).f_upsample_bilinear2d([largest, largest], false, None, None)?;
                (enlarged.movedim_int(1, -1), largest)
            }
            false => (table, self.side),
        };
        let cropped = table.narrow(1, (side - rows) / 2, rows).narrow(2, (side - columns) / 2, columns);
        Ok(cropped.reshape([1, -1, width]))
    }
}

/// Widths of tokens, and of the vector that modulates blocks.
#[derive(Clone, Copy)]
struct Sizes {
    width: i64,
    vector: i64,
}

impl Sizes {
    /// The layer that makes `count` tensors of the vector.
    fn modulation(self, w: &Weights, count: i64) -> Result<Linear> {
        Linear::load(w, self.vector, count * self.width)
    }
}

/// `x`, B×N×width, scaled by 1 + `scale` and shifted, B×width each.
fn modulated(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Tensor {
    x * (1.0 + scale.unsqueeze(1)) + shift.unsqueeze(1)
}

/// Layer normalisation over the last dimension, of `width`, without factors.
fn normalised(x: &Tensor, width: i64) -> Tensor {
    x.layer_norm([width], None::<&Tensor>, None::<&Tensor>, EPS, true)
}

/// What makes queries, keys and values of tokens, and what becomes of what attention gives.
struct Attention {
    layers: [Linear; 3],
    out: Linear,
    width: i64,
}

impl Attention {
    /// The layers whose names have this `number`.
    fn load(w: &Weights, number: u8, width: i64) -> Result<Self> {
        let layer = |name: char| Linear::load(&w.at(format!("w{number}{name}")), width, width);
        Ok(Self { layers: [layer('q')?, layer('k')?, layer('v')?], out: layer('o')?, width })
    }

    /// Queries and keys, normalised, and values: B×N×H×D each.
    fn heads(&self, x: &Tensor) -> [Tensor; 3] {
        let (batch, tokens, head) = (x.size()[0], x.size()[1], self.width / HEADS);
        let split = |layer: &Linear| layer.forward(x).view([batch, tokens, HEADS, head]);
        let [q, k, v] = [0, 1, 2].map(|at: usize| split(&self.layers[at]));
        [normalised(&q, head), normalised(&k, head), v]
    }
}

/// Attention of B×N×H×D: B×N×(H·D).
fn attended([q, k, v]: [&Tensor; 3]) -> Tensor {
    let by_head = |t: &Tensor| t.permute([0, 2, 1, 3]);
    attention_of_heads(&by_head(q), &by_head(k), &by_head(v))
}

/// What gate, input and output of feed-forward layers are called.
const FEED: [&str; 3] = ["c_fc1", "c_fc2", "c_proj"];

/// Tokens that share their weights, in a block.
struct Stream {
    modulation: Linear,
    attention: Attention,
    feed: GatedFeed,
    width: i64,
}

impl Stream {
    /// What shifts, scales and gates it, B×width each.
    fn parts(&self, vector: &Tensor) -> Vec<Tensor> {
        self.modulation.forward(vector).chunk(6, 1)
    }

    fn heads(&self, x: &Tensor, parts: &[Tensor]) -> [Tensor; 3] {
        self.attention.heads(&modulated(&normalised(x, self.width), &parts[0], &parts[1]))
    }

    /// The tokens with what attention gave, of which the feed-forward layers make what is added to them.
    fn finish(&self, x: &Tensor, attended: &Tensor, parts: &[Tensor]) -> Tensor {
        let gate = |at: usize| parts[at].unsqueeze(1);
        let h = normalised(&(x + gate(2) * self.attention.out.forward(attended)), self.width);
        x + gate(5) * self.feed.forward(&modulated(&h, &parts[3], &parts[4]))
    }
}

/// A block in which text and picture attend to each other with weights of their own.
struct DoubleBlock {
    text: Stream,
    picture: Stream,
}

impl DoubleBlock {
    fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        let stream = |letter: char, number: u8| {
            Ok::<_, anyhow::Error>(Stream {
                modulation: sizes.modulation(&w.at(format!("mod{letter}.1")), 6)?,
                attention: Attention::load(&w.at("attn"), number, sizes.width)?,
                feed: GatedFeed::load(&w.at(format!("mlp{letter}")), FEED, sizes.width)?,
                width: sizes.width,
            })
        };
        Ok(Self { text: stream('C', 1)?, picture: stream('X', 2)? })
    }

    /// Text and picture, in that order as in the result.
    fn forward(&self, text: &Tensor, picture: &Tensor, vector: &Tensor) -> (Tensor, Tensor) {
        let (of_text, of_picture) = (self.text.parts(vector), self.picture.parts(vector));
        let (theirs, ours) = (self.text.heads(text, &of_text), self.picture.heads(picture, &of_picture));
        let [q, k, v] = [0, 1, 2].map(|at: usize| Tensor::cat(&[&theirs[at], &ours[at]], 1));
        let attended = attended([&q, &k, &v]);
        let (tokens, own) = (text.size()[1], picture.size()[1]);
        let text = self.text.finish(text, &attended.narrow(1, 0, tokens), &of_text);
        (text, self.picture.finish(picture, &attended.narrow(1, tokens, own), &of_picture))
    }
}

/// A block in which all tokens share their weights.
struct SingleBlock(Stream);

impl SingleBlock {
    fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        Ok(Self(Stream {
            modulation: sizes.modulation(&w.at("modCX.1"), 6)?,
            attention: Attention::load(&w.at("attn"), 1, sizes.width)?,
            feed: GatedFeed::load(&w.at("mlp"), FEED, sizes.width)?,
            width: sizes.width,
        }))
    }

    fn forward(&self, x: &Tensor, vector: &Tensor) -> Tensor {
        let parts = self.0.parts(vector);
        let [q, k, v] = self.0.heads(x, &parts);
        self.0.finish(x, &attended([&q, &k, &v]), &parts)
    }
}
