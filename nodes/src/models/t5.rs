//! T5's encoder (Raffel et al. 2020, arXiv:1910.10683) in version 1.1, and UMT5's (Chung et al. 2023, arXiv:2304.09151).

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::token_table::{TokenTable, placement};
use crate::files::weights::Weights;
use crate::ops::attention::biased_attention;
use crate::ops::layers::{Linear, added};
use crate::ops::numerics::Numerics;
use crate::text::t5::T5Network;

/// Offsets up to half of these have a bucket each, in either direction; wider ones share the rest, up to [`FAR`].
const BUCKETS: i64 = 16;
/// Offsets from here on share the last bucket.
const FAR: f64 = 128.0;

/// The text encoder: token embeddings, and layers of self-attention whose weights depend on the distance of tokens.
///
/// Weights are held as the file has them if that is half precision or less, else in half precision, and computed with in float32: on a
/// CPU they stay mapped pages of the file. Sizes are read off the weights.
pub struct T5 {
    tokens: TokenTable,
    blocks: Vec<Block>,
    norm: Norm,
    heads: i64,
}

impl T5 {
    /// Whether the tensors are those of such an encoder.
    pub fn is_in(weights: &Weights) -> bool {
        weights.contains("encoder.block.0.layer.0.SelfAttention.q.weight") && weights.contains("shared.weight")
    }

    /// Whether every layer knows the distance of tokens, as in UMT5, and not the first alone.
    pub fn has_distances_everywhere(weights: &Weights) -> bool {
        weights.contains("encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight")
    }

    /// Builds the encoder from the tensors below `weights` (`shared.weight`, `encoder.block.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let w = &weights.placed(placement(weights, "shared.weight", numerics)?);
        let tokens = TokenTable::load(w, "shared.weight")?;
        let width = tokens.width();
        let encoder = w.at("encoder");
        let heads = encoder.dim("block.0.layer.0.SelfAttention.relative_attention_bias.weight", 1)?;
        let blocks = encoder.at("block");
        ensure!(blocks.children() > 0, "{} holds a T5 without layers; it is incomplete", w.path().display());
        Ok(Self {
            tokens,
            blocks: (0..blocks.children())
                .map(|i| Block::load(&blocks.at(i).at("layer"), width, heads))
                .collect::<Result<_>>()?,
            norm: Norm::load(&encoder.at("final_layer_norm"), width)?,
            heads,
        })
    }
}

impl T5Network for T5 {
    fn width(&self) -> i64 {
        self.tokens.width()
    }

    fn layers(&self) -> usize {
        self.blocks.len()
    }

    /// An error if a token is not in the vocabulary of this file.
    fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
        self.tokens.embed(tokens)
    }

    fn forward(&self, embeds: &Tensor, layer: Option<usize>, present: Option<&Tensor>) -> Tensor {
        let mut x = embeds.to_device_(self.tokens.device(), Kind::Float, false, true);
        let length = x.size()[1];
        // Absent tokens are hidden from all.
        let hidden = present.map(|present| {
            let absent =
                (1f64 - present.to_kind(Kind::Float)).view([-1, 1, 1, length]).expand([-1, 1, length, length], false);
            absent.masked_fill(&absent.to_kind(Kind::Bool), -f64::from(f32::MAX))
        });
        let (mut bias, mut taken) = (None, None);
        for (i, block) in self.blocks.iter().enumerate() {
            if let Some(table) = &block.bias {
                let own = distances(table, length, self.heads);
                bias = Some(match &hidden {
                    Some(hidden) => hidden + own,
                    None => own,
                });
            }
            x = block.forward(x, self.heads, bias.as_ref());
            if layer == Some(i + 1) {
                // Blocks add to their input in place.
                taken = Some(x.copy());
            }
        }
        self.norm.forward(&taken.unwrap_or(x))
    }
}

/// What is added to the weights of attention for the distance of two tokens, 1×heads×N×N float32.
fn distances(table: &Tensor, length: i64, heads: i64) -> Tensor {
    let places = Tensor::arange(length, (Kind::Int64, table.device()));
    let offset = places.unsqueeze(0) - places.unsqueeze(1);
    let (ahead, distance) = (offset.gt(0).to_kind(Kind::Int64) * BUCKETS, offset.abs());
    let exact = BUCKETS / 2;
    let far =
        (distance.to_kind(Kind::Float) / exact as f64).log() / (FAR / exact as f64).ln() * (BUCKETS - exact) as f64;
    let far = (far.to_kind(Kind::Int64) + exact).clamp_max(BUCKETS - 1);
    let bucket = ahead + distance.where_self(&distance.lt(exact), &far);
    let values = table.to_kind(Kind::Float).index_select(0, &bucket.flatten(0, -1));
    values.view([length, length, heads]).permute([2, 0, 1]).unsqueeze(0).contiguous()
}

/// Root mean square normalisation as T5 rounds it, eps 1e-6.
struct Norm {
    weight: Tensor,
}

impl Norm {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        Ok(Self { weight: w.tensor("weight", &[width])?.to_kind(Kind::Float) })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let variance = x.square().mean_dim([-1i64].as_slice(), true, Kind::Float);
        &self.weight * (x * (variance + 1e-6).rsqrt())
    }
}

struct Block {
    norm1: Norm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    /// In T5's first block, and in each of UMT5's.
    bias: Option<Tensor>,
    norm2: Norm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn load(w: &Weights, width: i64, heads: i64) -> Result<Self> {
        let attention = w.at("0.SelfAttention");
        let feed = w.at("1.DenseReluDense");
        let inner = attention.dim("q.weight", 0)?;
        ensure!(
            inner % heads == 0,
            "attention in {} is {inner} wide, which {heads} heads cannot share; the file is damaged",
            w.path().display()
        );
        let hidden = feed.dim("wi_0.weight", 0)?;
        let matrix = |w: &Weights, name: &str, inputs: i64, outputs: i64| Linear::load(&w.at(name), inputs, outputs);
        let table = "relative_attention_bias.weight";
        let bias = attention.contains(table).then(|| attention.tensor(table, &[2 * BUCKETS, heads])).transpose()?;
        Ok(Self {
            norm1: Norm::load(&w.at("0.layer_norm"), width)?,
            q: matrix(&attention, "q", width, inner)?,
            k: matrix(&attention, "k", width, inner)?,
            v: matrix(&attention, "v", width, inner)?,
            out: matrix(&attention, "o", inner, width)?,
            bias,
            norm2: Norm::load(&w.at("1.layer_norm"), width)?,
            gate: matrix(&feed, "wi_0", width, hidden)?,
            up: matrix(&feed, "wi_1", width, hidden)?,
            down: matrix(&feed, "wo", hidden, width)?,
        })
    }

    /// `x` is nobody else's: the sums are made in place.
    fn forward(&self, x: Tensor, heads: i64, bias: Option<&Tensor>) -> Tensor {
        let n = self.norm1.forward(&x);
        let (q, k, v) = (self.q.forward(&n), self.k.forward(&n), self.v.forward(&n));
        // T5 does not divide by the root of the width, which attention does.
        let k = &k * ((k.size()[2] as f64 / heads as f64).powf(0.5));
        let none = Tensor::zeros([1, 1, 1, 1], (Kind::Float, x.device()));
        let attended = biased_attention(&q, &k, &v, heads, bias.unwrap_or(&none));
        let x = added(x, &self.out.forward(&attended));
        let n = self.norm2.forward(&x);
        let h = self.gate.forward(&n).gelu("tanh") * self.up.forward(&n);
        added(x, &self.down.forward(&h))
    }
}
