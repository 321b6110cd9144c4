//! The block of Qwen-Image: text and picture attend to each other, each with weights of its own.

use anyhow::Result;
use tch::Tensor;

use crate::files::weights::Weights;
use crate::ops::attention::attention_of_heads;
use crate::ops::layers::{Linear, RmsNorm, normalised};
use crate::ops::rotary::turned;

/// What all blocks have in common.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub width: i64,
    pub head: i64,
}

/// The embedded noise level of a call.
pub(super) struct Time {
    /// B×width
    pub level: Tensor,
    /// What picture tokens from a place on have instead: the embedded level 0.
    pub clean: Option<(i64, Tensor)>,
}

/// What shifts, scales and gates one half of a block, B×1×width each.
struct Modulation {
    shift: Tensor,
    scale: Tensor,
    gate: Tensor,
}

impl Modulation {
    /// From B×(3·width).
    fn of(parts: &Tensor) -> Self {
        let [shift, scale, gate] = [0, 1, 2].map(|i| {
            let width = parts.size()[1] / 3;
            parts.narrow(-1, i * width, width).unsqueeze(1)
        });
        Self { shift, scale, gate }
    }

    /// `x`, normalised already.
    fn modulated(&self, x: &Tensor) -> Tensor {
        self.shift.addcmul(x, &(1.0 + &self.scale))
    }
}

/// The modulation of all tokens of one side; from a place on, there may be another.
struct Modulations {
    first: Modulation,
    rest: Option<(i64, Modulation)>,
}

impl Modulations {
    fn modulated(&self, x: &Tensor) -> Tensor {
        let Some((from, rest)) = &self.rest else { return self.first.modulated(x) };
        let (one, other) = (x.narrow(1, 0, *from), x.narrow(1, *from, x.size()[1] - from));
        Tensor::cat(&[self.first.modulated(&one), rest.modulated(&other)], 1)
    }

    /// `x` + gate · `y`
    fn added(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let Some((from, rest)) = &self.rest else { return x.addcmul(&self.first.gate, y) };
        let (one, other) = (y.narrow(1, 0, *from), y.narrow(1, *from, y.size()[1] - from));
        x + Tensor::cat(&[one * &self.first.gate, other * &rest.gate], 1)
    }
}

/// One side, text or picture.
struct Side {
    sizes: Sizes,
    modulation: Linear,
    q: Linear,
    k: Linear,
    v: Linear,
    query_norm: RmsNorm,
    key_norm: RmsNorm,
    out: Linear,
    up: Linear,
    down: Linear,
}

/// What the tensors of a side are called: side, queries, keys, values, their norms, what attention gives.
type Names = [&'static str; 7];
const PICTURE: Names = ["img", "to_q", "to_k", "to_v", "norm_q.weight", "norm_k.weight", "to_out.0"];
const TEXT: Names =
    ["txt", "add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q.weight", "norm_added_k.weight", "to_add_out"];

impl Side {
    fn load(w: &Weights, [side, q, k, v, query_norm, key_norm, out]: Names, sizes: Sizes) -> Result<Self> {
        let Sizes { width, head } = sizes;
        let (attention, feed) = (w.at("attn"), w.at(format!("{side}_mlp.net")));
        let square = |name: &str| Linear::load(&attention.at(name), width, width);
        let hidden = feed.dim("0.proj.weight", 0)?;
        Ok(Self {
            sizes,
            modulation: Linear::load(&w.at(format!("{side}_mod.1")), width, 6 * width)?,
            q: square(q)?,
            k: square(k)?,
            v: square(v)?,
            query_norm: RmsNorm::load(&attention, query_norm, head)?,
            key_norm: RmsNorm::load(&attention, key_norm, head)?,
            out: square(out)?,
            up: Linear::load(&feed.at("0.proj"), width, hidden)?,
            down: Linear::load(&feed.at(2), hidden, width)?,
        })
    }

    /// The modulations of attention and of the feed-forward layers.
    fn modulations(&self, time: &Time, clean: Option<&(i64, Tensor)>) -> [Modulations; 2] {
        let Some((from, clean)) = clean else {
            let parts = self.modulation.forward(&time.level.silu()).chunk(2, -1);
            return [0, 1].map(|i: usize| Modulations { first: Modulation::of(&parts[i]), rest: None });
        };
        // In one batch, as in the reference.
        let batch = time.level.size()[0];
        let parts = self.modulation.forward(&Tensor::cat(&[&time.level, clean], 0).silu()).chunk(2, -1);
        [0, 1].map(|i: usize| Modulations {
            first: Modulation::of(&parts[i].narrow(0, 0, batch)),
            rest: Some((*from, Modulation::of(&parts[i].narrow(0, batch, batch)))),
        })
    }

    /// Queries, keys and values of the heads, B×H×N×D; queries and keys normalised.
    fn heads(&self, x: &Tensor, modulations: &Modulations) -> [Tensor; 3] {
        let x = modulations.modulated(&normalised(x, self.sizes.width));
        let (batch, tokens) = (x.size()[0], x.size()[1]);
        let split = |layer: &Linear| layer.forward(&x).view([batch, tokens, -1, self.sizes.head]).transpose(1, 2);
        let [q, k] = [&self.q, &self.k].map(|layer| split(layer).contiguous());
        [self.query_norm.forward(&q), self.key_norm.forward(&k), split(&self.v)]
    }

    fn feed(&self, x: &Tensor, modulations: &Modulations) -> Tensor {
        let x = modulations.modulated(&normalised(x, self.sizes.width));
        self.down.forward(&self.up.forward(&x).gelu("tanh"))
    }
}

pub(super) struct Block {
    picture: Side,
    text: Side,
}

impl Block {
    pub(super) fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        Ok(Self { picture: Side::load(w, PICTURE, sizes)?, text: Side::load(w, TEXT, sizes)? })
    }

    /// Picture and text, B×N×width each, in that order as in the result.
    pub(super) fn forward(&self, picture: &Tensor, text: &Tensor, time: &Time, turns: &Tensor) -> (Tensor, Tensor) {
        let [of_picture, of_picture_feed] = self.picture.modulations(time, time.clean.as_ref());
        let [of_text, of_text_feed] = self.text.modulations(time, None);
        let ours = self.picture.heads(picture, &of_picture);
        let theirs = self.text.heads(text, &of_text);
        let [q, k, v] = [0, 1, 2].map(|i: usize| Tensor::cat(&[&theirs[i], &ours[i]], 2));
        let attended = attention_of_heads(&turned(&q, turns), &turned(&k, turns), &v);
        let (tokens, all) = (text.size()[1], attended.size()[1]);
        let for_picture = self.picture.out.forward(&attended.narrow(1, tokens, all - tokens));
        let for_text = self.text.out.forward(&attended.narrow(1, 0, tokens));
        let picture = of_picture.added(picture, &for_picture);
        // Rounded between product and sum, unlike the others, as in the reference.
        let text = text + &of_text.first.gate * for_text;
        let picture = of_picture_feed.added(&picture, &self.picture.feed(&picture, &of_picture_feed));
        let text = of_text_feed.added(&text, &self.text.feed(&text, &of_text_feed));
        (picture, text)
    }
}
