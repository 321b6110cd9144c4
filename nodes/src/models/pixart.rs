//! PixArt (Chen et al. 2023, arXiv:2310.00426, and 2024, arXiv:2403.04692): a transformer over the tokens of a picture that attends to a text.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::patches;
use crate::diffusion::network::{Inputs, Network};
use crate::files::weights::Weights;
use crate::models::unet::sinusoids;
use crate::ops::attention::{attention, attention_of_heads};
use crate::ops::layers::{Linear, normalised};
use crate::ops::numerics::{Numerics, Placement};

/// Height and width that the picture is taken to have, B×2.
pub const SIZE: &str = "c_size";
/// Height by width, B×1.
pub const ASPECT: &str = "c_ar";

/// How many latent points make a token, along a side.
const PATCH: i64 = 2;
/// How wide noise level and sizes are spread.
const SPREAD: i64 = 256;
const HEADS: i64 = 16;
/// Pixels of a latent point's side.
const FACTOR: i64 = 8;

/// The network. Every size is read off the weights.
pub struct PixArt {
    placement: Placement,
    picture: (Tensor, Tensor),
    time: Perceptron,
    modulation: Linear,
    text: Perceptron,
    /// What embeds the picture's size and its aspect, in PixArt-α.
    sizes: Option<[Perceptron; 2]>,
    blocks: Vec<Block>,
    table: Tensor,
    out: Linear,
    width: i64,
    channels: i64,
    /// By what positions are divided; without it, by what the picture's size calls for.
    stretch: Option<i64>,
}

/// Two linear layers.
struct Perceptron {
    first: Linear,
    second: Linear,
    gelu: bool,
}

impl Perceptron {
    fn load(w: &Weights, [first, second]: [&str; 2], gelu: bool) -> Result<Self> {
        let load = |name: &str| {
            let w = w.at(name);
            Linear::load(&w, w.dim("weight", 1)?, w.dim("weight", 0)?)
        };
        Ok(Self { first: load(first)?, second: load(second)?, gelu })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let h = self.first.forward(x);
        self.second.forward(&if self.gelu { h.gelu("tanh") } else { h.silu() })
    }
}

impl PixArt {
    /// Builds the network from the tensors below `weights` (`x_embedder.proj.*`, `blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let (width, channels) = (w.dim("x_embedder.proj.weight", 0)?, w.dim("x_embedder.proj.weight", 1)?);
        ensure!(
            width % HEADS == 0 && width % 4 == 0,
            "{} is {width} wide, which {HEADS} heads cannot share; the file is damaged",
            w.path().display()
        );
        let blocks = w.at("blocks");
        let embedder = |name: &str| Perceptron::load(&w.at(name).at("mlp"), ["0", "2"], false);
        let stretch = match w.contains("pos_embed") {
            true => Some(((w.dim("pos_embed", 1)? as f64).sqrt() as i64 * PATCH / (512 / FACTOR)).max(1)),
            false => None,
        };
        Ok(Self {
            placement,
            picture: (
                w.tensor("x_embedder.proj.weight", &[width, channels, PATCH, PATCH])?,
                w.tensor("x_embedder.proj.bias", &[width])?,
            ),
            time: embedder("t_embedder")?,
            modulation: Linear::load(&w.at("t_block.1"), width, 6 * width)?,
            text: Perceptron::load(&w.at("y_embedder.y_proj"), ["fc1", "fc2"], true)?,
            sizes: match w.contains("ar_embedder.mlp.0.weight") {
                true => Some([embedder("csize_embedder")?, embedder("ar_embedder")?]),
                false => None,
            },
            blocks: (0..blocks.children()).map(|i| Block::load(&blocks.at(i), width)).collect::<Result<_>>()?,
            table: w.tensor("final_layer.scale_shift_table", &[2, width])?,
            out: Linear::load(&w.at("final_layer.linear"), width, w.dim("final_layer.linear.weight", 0)?)?,
            width,
            channels,
            stretch,
        })
    }

    /// What is added to the tokens of a picture of so many latent points, 1×N×W.
    fn positions(&self, height: i64, width: i64) -> Tensor {
        let middle = (height + width) / 2;
        let round = |x: f64| x.round_ties_even();
        let stretch = self.stretch.map_or_else(|| round(middle as f64 / 64.0), |stretch| stretch as f64);
        let base = (round(middle as f64 / 64.0) as i64 * 64 / PATCH) as f64;
        let (rows, columns) = (height / PATCH, width / PATCH);
        let device = self.placement.device;
        let line = |count: i64| Tensor::arange(count, (Kind::Float, device)) / (count as f64 / base) / stretch;
        let shape = [rows, columns];
        let y = line(rows).unsqueeze(1).expand(shape, false);
        let x = line(columns).unsqueeze(0).expand(shape, false);
        Tensor::cat(&[spread(&x, self.width / 2), spread(&y, self.width / 2)], 1).unsqueeze(0)
    }

    /// The embedded noise level and, in PixArt-α, sizes, B×W.
    fn level(&self, inputs: &Inputs, [height, width]: [i64; 2]) -> Tensor {
        let device = self.placement.device;
        let level = self.time.forward(&sinusoids(inputs.timestep, SPREAD, device));
        let Some([sizes, aspect]) = &self.sizes else { return level };
        let batch = level.size()[0];
        let told = |name: &str, or: &[f32]| match inputs.extra.get(name) {
            Some(told) => told.to_kind(Kind::Float).to_device(device),
            None => Tensor::from_slice(or).to_device(device).unsqueeze(0).repeat([batch, 1]),
        };
        let embed = |layers: &Perceptron, numbers: Tensor| {
            layers.forward(&sinusoids(&numbers.flatten(0, 1), SPREAD, device)).reshape([batch, -1])
        };
        let size = embed(sizes, told(SIZE, &[(height * FACTOR) as f32, (width * FACTOR) as f32]));
        let aspect = embed(aspect, told(ASPECT, &[(height as f64 / width as f64) as f32]));
        level + Tensor::cat(&[size, aspect], 1)
    }
}

/// Sines and cosines of places, in any shape, as N×`width`.
fn spread(places: &Tensor, width: i64) -> Tensor {
    let half = width / 2;
    let omega = Tensor::arange(half, (Kind::Float, places.device())) / half as f64;
    let omega = Tensor::pow_scalar(10000.0, &omega).reciprocal();
    let angles = places.reshape([-1]).outer(&omega);
    Tensor::cat(&[angles.sin(), angles.cos()], 1)
}

impl Network for PixArt {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let place = |x: &Tensor| x.to_device_(self.placement.device, Kind::Float, false, false);
        let (batch, channels, height, width) =
            inputs.x.size4().context("PixArt takes latents of pictures, B x C x h x w")?;
        ensure!(
            channels == self.channels,
            "the latent has {channels} channels, and the model takes {}: use a latent and a VAE of the model's family",
            self.channels
        );
        ensure!(
            height % PATCH == 0 && width % PATCH == 0 && height + width > 64,
            "the latent is {width}x{height} points, and PixArt takes even sides, of more than 32 points in the mean: set a width and height \
             that are multiples of 16, and 272 or more"
        );
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.text.first.inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with T5, CLIPLoader's type pixart"
        );
        let (weight, bias) = &self.picture;
        let tokens = place(inputs.x).conv2d(weight, Some(bias), [PATCH, PATCH], [0, 0], [1, 1], 1);
        let mut x = tokens.flatten(2, -1).transpose(1, 2) + self.positions(height, width);
        let level = self.level(inputs, [height, width]);
        let modulation = self.modulation.forward(&level.silu());
        let text = self.text.forward(&place(inputs.context));
        for block in &self.blocks {
            x = block.forward(&x, &text, &modulation);
        }
        let parts = (self.table.unsqueeze(0) + level.unsqueeze(1)).chunk(2, 1);
        let x = normalised(&x, self.width) * (&parts[1] + 1.0) + &parts[0];
        let out = patches::picture_last(&self.out.forward(&x), batch, PATCH, [height, width]);
        Ok(out.narrow(1, 0, self.channels))
    }

    fn repeats_text(&self) -> bool {
        false
    }

    fn may_be_left_out(&self) -> bool {
        false
    }

    fn device(&self) -> Device {
        self.placement.device
    }
}

struct Block {
    qkv: Linear,
    out: Linear,
    query: Linear,
    key_value: Linear,
    text_out: Linear,
    feed: Perceptron,
    table: Tensor,
    width: i64,
}

impl Block {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        let text = w.at("cross_attn");
        Ok(Self {
            qkv: Linear::load(&w.at("attn.qkv"), width, 3 * width)?,
            out: Linear::load(&w.at("attn.proj"), width, width)?,
            query: Linear::load(&text.at("q_linear"), width, width)?,
            key_value: Linear::load(&text.at("kv_linear"), width, 2 * width)?,
            text_out: Linear::load(&text.at("proj"), width, width)?,
            feed: Perceptron::load(&w.at("mlp"), ["fc1", "fc2"], true)?,
            table: w.tensor("scale_shift_table", &[6, width])?,
            width,
        })
    }

    fn forward(&self, x: &Tensor, text: &Tensor, modulation: &Tensor) -> Tensor {
        let (batch, tokens) = (x.size()[0], x.size()[1]);
        let parts = (self.table.unsqueeze(0) + modulation.reshape([batch, 6, -1])).chunk(6, 1);
        let modulated = |x: &Tensor, at: usize| normalised(x, self.width) * (&parts[at + 1] + 1.0) + &parts[at];
        let qkv = self.qkv.forward(&modulated(x, 0)).reshape([batch, tokens, 3, HEADS, -1]);
        let [q, k, v] = [0, 1, 2].map(|at| qkv.select(2, at).transpose(1, 2));
        let x = x + &parts[2] * self.out.forward(&attention_of_heads(&q, &k, &v));
        let kv = self.key_value.forward(text);
        let (k, v) = (kv.narrow(2, 0, self.width), kv.narrow(2, self.width, self.width));
        let x = &x + self.text_out.forward(&attention(&self.query.forward(&x), &k, &v, HEADS));
        &x + &parts[5] * self.feed.forward(&modulated(&x, 3))
    }
}
