//! Qwen's language models as text encoders: Qwen 2.5 (arXiv:2412.15115), also with eyes (2.5-VL, arXiv:2502.13923), and Qwen 3
//! (arXiv:2505.09388); and Llama 3 (arXiv:2407.21783), which is built alike.

use anyhow::{Context, Result, ensure};
use redraft_engine::memory;
use tch::{Device, Kind, Tensor};

use super::qwen_vision::Vision;
use super::token_table::{TokenTable, placement};
use crate::files::weights::Weights;
use crate::ops::attention::biased_attention_of_heads;
use crate::ops::gated::GatedFeed;
use crate::ops::layers::{Linear, RmsNorm};
use crate::ops::numerics::Numerics;
use crate::text::language::{Input, LanguageModel, Place, Seen};

/// How wide a head is.
const HEAD: i64 = 128;
/// The base of the rotary frequencies, Qwen's and Llama's.
const THETA: f64 = 1_000_000.0;
const THETA_OF_LLAMA: f64 = 500_000.0;
/// eps of norms, Qwen's and Llama's.
const EPS: f64 = 1e-6;
const EPS_OF_LLAMA: f64 = 1e-5;
/// How many of a head's channels are turned by time, y and x where pictures are among the tokens, twice over.
const AXES: [i64; 3] = [16, 24, 24];

/// The language model: token embeddings, and layers of causal self-attention in which several heads share keys and values.
///
/// Weights are held as the file has them if that is half precision or less, else in half precision, and computed with in float32: on a
/// CPU they stay mapped pages of the file. Sizes are read off the weights.
pub struct Qwen {
    tokens: TokenTable,
    blocks: Vec<Block>,
    norm: RmsNorm,
    vision: Option<Vision>,
    theta: f64,
}

impl Qwen {
    /// Whether the tensors are those of Llama 3: without norms of queries and keys, and without biases.
    pub fn is_llama(weights: &Weights) -> bool {
        let has = |name: &str| weights.contains(&format!("model.layers.0.{name}"));
        // Mistral is built alike, and wider; Gemma has further norms.
        Self::is_in(weights)
            && !has("self_attn.q_norm.weight")
            && !has("self_attn.k_proj.bias")
            && !has("post_feedforward_layernorm.weight")
            && weights.dim("model.embed_tokens.weight", 1).is_ok_and(|width| width <= 4096)
    }

    /// Whether the tensors are those of such a model.
    pub fn is_in(weights: &Weights) -> bool {
        weights.contains("model.embed_tokens.weight") && weights.contains("model.layers.0.self_attn.k_proj.weight")
    }

    /// Builds the model from the tensors below `weights` (`model.embed_tokens.weight`, `model.layers.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let all = weights.placed(placement(weights, "model.embed_tokens.weight", numerics)?);
        let (w, eyes) = (&all.at("model"), all.at("visual"));
        let tokens = TokenTable::load(w, "embed_tokens.weight")?;
        let width = tokens.width();
        let layers = w.at("layers");
        let llama = Self::is_llama(weights);
        let eps = if llama { EPS_OF_LLAMA } else { EPS };
        Ok(Self {
            tokens,
            blocks: (0..layers.children()).map(|i| Block::load(&layers.at(i), width, eps)).collect::<Result<_>>()?,
            norm: RmsNorm::load(w, "norm.weight", width)?.with_eps(Some(eps)),
            theta: if llama { THETA_OF_LLAMA } else { THETA },
            vision: if eyes.is_empty() { None } else { Some(Vision::load(&eyes, width)?) },
        })
    }
}

impl LanguageModel for Qwen {
    fn layers(&self) -> usize {
        self.blocks.len()
    }

    /// An error if a token is not in the vocabulary of this file.
    fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
        self.tokens.embed(tokens)
    }

    fn see(&self, picture: &Tensor) -> Result<Seen> {
        let vision = self.vision.as_ref().context(
            "the text encoder has no vision tower, so it cannot look at pictures: use a file of Qwen 2.5-VL that has one (visual.*)",
        )?;
        vision.see(&picture.to_device(self.tokens.device()))
    }

    fn forward(&self, input: &Input, layer: Option<usize>, normed: bool) -> Tensor {
        let mut taken = None;
        let last = self.run(input, |behind, x| {
            if layer == Some(behind) {
                taken = Some(x.shallow_clone());
            }
        });
        match taken {
            Some(hidden) if normed => self.norm.forward(&hidden),
            Some(hidden) => hidden,
            None => self.norm.forward(&last),
        }
    }

    fn all_layers(&self, input: &Input) -> Result<Tensor> {
        let count = self.blocks.len();
        let size = [input.embeds.size(), vec![count as i64 + 1]].concat();
        // The states, and all of them as one.
        memory::ask(memory::product(&size, 2 * 4), "the states behind every layer of the text encoder")?;
        let mut all = vec![input.embeds.to_device_(self.tokens.device(), Kind::Float, false, false)];
        let last = self.run(input, |behind, x| {
            if behind < count {
                all.push(x.shallow_clone());
            }
        });
        all.push(self.norm.forward(&last));
        Ok(Tensor::f_stack(&all, 1)?)
    }
}

impl Qwen {
    /// Runs all layers, telling `see` what leaves the first so many of them. Gives what leaves the last.
    fn run(&self, input: &Input, mut see: impl FnMut(usize, &Tensor)) -> Tensor {
        let mut x = input.embeds.to_device_(self.tokens.device(), Kind::Float, false, false);
        let (length, device) = (x.size()[1], x.device());
        let turns = Turns::at(&positions(length, &input.pictures).to_device(device), self.theta);
        let mut later = Tensor::full([length, length], f64::NEG_INFINITY, (Kind::Float, device)).triu(1);
        later = later.view([1, 1, length, length]);
        if let Some(present) = &input.present {
            let absent = present.to_device(device).eq(0.0).view([-1, 1, 1, length]);
            later = later.masked_fill(&absent, f64::NEG_INFINITY);
        }
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, &turns, &later);
            see(i + 1, &x);
        }
        x
    }
}

/// Where tokens stand, 1×N; with pictures among them by time, y and x, 3×N. A picture has one time and goes on in y and x from there; what
/// follows goes on behind its larger side.
fn positions(length: i64, pictures: &[Place]) -> Tensor {
    let line = |from: i64, count: i64| Tensor::arange_start(from, from + count, (Kind::Float, Device::Cpu));
    if pictures.is_empty() {
        return line(0, length).unsqueeze(0);
    }
    let (mut parts, mut next, mut done) = (Vec::new(), 0, 0);
    for Place { start, rows, columns } in pictures {
        let text = start - done;
        parts.push(line(next, text).expand([3, text], false));
        next += text;
        let size = [*rows, *columns];
        let time = Tensor::full(size, next, (Kind::Float, Device::Cpu));
        let y = line(next, *rows).unsqueeze(1).expand(size, false);
        let x = line(next, *columns).unsqueeze(0).expand(size, false);
        parts.push(Tensor::stack(&[time, y, x], 0).flatten(1, 2));
        (next, done) = (next + rows.max(columns), start + rows * columns);
    }
    let text = length - done;
    parts.push(line(next, text).expand([3, text], false));
    Tensor::cat(&parts, 1)
}

/// What turns tokens at their positions: the first half of a head's channels is paired with the second.
struct Turns {
    cos: Tensor,
    sin: Tensor,
}

impl Turns {
    /// For positions of one or three axes, axes×N.
    fn at(positions: &Tensor, theta: f64) -> Self {
        let (axes, device) = (positions.size()[0], positions.device());
        let numerator = Tensor::arange_start_step(0, HEAD, 2, (Kind::Int64, device)).to_kind(Kind::Float);
        let frequencies = Tensor::pow_scalar(theta, &(numerator / HEAD as f64)).reciprocal();
        let frequencies = frequencies.view([1, -1, 1]).expand([axes, -1, 1], false);
        let angles = frequencies.matmul(&positions.unsqueeze(1)).transpose(1, 2);
        let angles = Tensor::cat(&[&angles, &angles], -1);
        let of_axes = |t: Tensor| {
            if axes == 1 {
                return t.unsqueeze(1);
            }
            let parts = t.split_with_sizes([AXES, AXES].concat(), -1);
            let turning: Vec<Tensor> = (0..).zip(parts).map(|(i, part)| part.get(i % axes)).collect();
            Tensor::cat(&turning, -1).view([1, 1, -1, HEAD])
        };
        Self { cos: of_axes(angles.cos()), sin: of_axes(angles.sin()) }
    }

    /// `x`, B×H×N×D, turned.
    fn turn(&self, x: &Tensor) -> Tensor {
        let half = x.size()[3] / 2;
        let swapped = Tensor::cat(&[-x.narrow(-1, half, half), x.narrow(-1, 0, half)], -1);
        x * &self.cos + swapped * &self.sin
    }
}

struct Block {
    norm1: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    /// Qwen 3's, of queries and keys.
    norms: Option<[RmsNorm; 2]>,
    out: Linear,
    norm2: RmsNorm,
    feed: GatedFeed,
    heads: i64,
    /// How many heads keys and values have.
    shared: i64,
}

impl Block {
    fn load(w: &Weights, width: i64, eps: f64) -> Result<Self> {
        let attention = w.at("self_attn");
        let (inner, kept) = (attention.dim("q_proj.weight", 0)?, attention.dim("k_proj.weight", 0)?);
        ensure!(
            inner % HEAD == 0 && kept % HEAD == 0 && inner % kept == 0,
            "attention in {} is {inner} and {kept} wide, which heads of {HEAD} cannot share; the file is damaged",
            w.path().display()
        );
        let matrix = |w: &Weights, name: &str, inputs: i64, outputs: i64| Linear::load(&w.at(name), inputs, outputs);
        Ok(Self {
            norm1: RmsNorm::load(w, "input_layernorm.weight", width)?.with_eps(Some(eps)),
            q: matrix(&attention, "q_proj", width, inner)?,
            k: matrix(&attention, "k_proj", width, kept)?,
            v: matrix(&attention, "v_proj", width, kept)?,
            norms: match attention.contains("q_norm.weight") {
                true => Some([
                    RmsNorm::load(&attention, "q_norm.weight", HEAD)?,
                    RmsNorm::load(&attention, "k_norm.weight", HEAD)?,
                ]),
                false => None,
            },
            out: matrix(&attention, "o_proj", inner, width)?,
            norm2: RmsNorm::load(w, "post_attention_layernorm.weight", width)?.with_eps(Some(eps)),
            feed: GatedFeed::load(&w.at("mlp"), ["gate_proj", "up_proj", "down_proj"], width)?,
            heads: inner / HEAD,
            shared: kept / HEAD,
        })
    }

    fn forward(&self, x: &Tensor, turns: &Turns, later: &Tensor) -> Tensor {
        let (batch, tokens) = (x.size()[0], x.size()[1]);
        let n = self.norm1.forward(x);
        let split = |t: Tensor, heads: i64| t.view([batch, tokens, heads, HEAD]).transpose(1, 2);
        let mut q = split(self.q.forward(&n), self.heads);
        let mut k = split(self.k.forward(&n), self.shared);
        let v = split(self.v.forward(&n), self.shared);
        if let Some([query, key]) = &self.norms {
            (q, k) = (query.forward(&q), key.forward(&k));
        }
        let whole = |t: &Tensor| t.repeat_interleave_self_int(self.heads / self.shared, 1, None);
        let (k, v) = (whole(&turns.turn(&k)), whole(&v));
        let x = x + self.out.forward(&biased_attention_of_heads(&turns.turn(&q), &k, &v, later));
        &x + self.feed.forward(&self.norm2.forward(&x))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// By ComfyUI 0.8.0's `Qwen25_7BVLI`, for pictures of 2 x 3 and 3 x 1 places.
    #[test]
    fn text_goes_on_behind_a_pictures_larger_side() {
        let pictures = [Place { start: 2, rows: 2, columns: 3 }, Place { start: 9, rows: 3, columns: 1 }];
        let found: Vec<i64> = Vec::try_from(positions(13, &pictures).flatten(0, 1).to_kind(Kind::Int64)).unwrap();
        let [time, y, x] = [&found[..13], &found[13..26], &found[26..]];
        assert_eq!(time, [0, 1, 2, 2, 2, 2, 2, 2, 5, 6, 6, 6, 9]);
        assert_eq!(y, [0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 7, 8, 9]);
        assert_eq!(x, [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 6, 6, 9]);
        assert_eq!(positions(3, &[]).size(), [1, 3]);
    }
}
