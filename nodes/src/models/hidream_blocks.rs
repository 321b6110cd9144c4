//! The blocks of HiDream.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use crate::files::weights::Weights;
use crate::ops::attention::attention;
use crate::ops::gated::GatedFeed;
use crate::ops::layers::{Linear, RmsNorm, normalised};
use crate::ops::rotary::turned;

/// How wide a head is.
pub(super) const HEAD: i64 = 128;
/// What is added before roots of the normalisations of queries and keys.
const EPS: f64 = 1e-5;
/// How many of the experts each token is given to.
const CHOSEN: i64 = 2;

/// What makes queries, keys and values of tokens, and what becomes of what attention gives.
struct Side {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    query_norm: RmsNorm,
    key_norm: RmsNorm,
}

impl Side {
    /// The layers whose names end so.
    fn load(w: &Weights, end: &str, width: i64) -> Result<Self> {
        let layer = |name: &str| Linear::load(&w.at(format!("{name}{end}")), width, width);
        let norm = |name: &str| {
            Ok::<_, anyhow::Error>(
                RmsNorm::load(w, &format!("{name}_rms_norm{end}.weight"), width)?.with_eps(Some(EPS)),
            )
        };
        Ok(Self {
            q: layer("to_q")?,
            k: layer("to_k")?,
            v: layer("to_v")?,
            out: layer("to_out")?,
            query_norm: norm("q")?,
            key_norm: norm("k")?,
        })
    }

    /// Queries and keys, normalised over all heads, and values: B×N×H×D each.
    fn heads(&self, x: &Tensor) -> [Tensor; 3] {
        let (batch, tokens) = (x.size()[0], x.size()[1]);
        let split = |t: Tensor| t.view([batch, tokens, -1, HEAD]);
        [
            split(self.query_norm.forward(&self.q.forward(x))),
            split(self.key_norm.forward(&self.k.forward(x))),
            split(self.v.forward(x)),
        ]
    }
}

/// Attention of B×N×H×D, queries and keys turned: B×N×(H·D).
fn attended([q, k, v]: [&Tensor; 3], turns: &Tensor) -> Tensor {
    let flat = |t: &Tensor| t.flatten(2, 3);
    attention(&flat(&turned(q, turns)), &flat(&turned(k, turns)), &flat(v), q.size()[2])
}

/// What gate, input and output of feed-forward layers are called.
const FEED: [&str; 3] = ["w1", "w3", "w2"];

/// Feed-forward layers for all tokens, and a mixture of those that each token is given to (Shazeer et al. 2017, arXiv:1701.06538).
struct Mixture {
    shared: GatedFeed,
    experts: Vec<GatedFeed>,
    /// How well each expert suits a token.
    gate: Linear,
}

impl Mixture {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        let experts = w.at("experts");
        let count = experts.children();
        ensure!(
            count as i64 >= CHOSEN,
            "{} has {count} experts in {}, and each token is given to {CHOSEN}; the file is incomplete",
            w.path().display(),
            w.full_name("experts")
        );
        Ok(Self {
            shared: GatedFeed::load(&w.at("shared_experts"), FEED, width)?,
            experts: (0..count).map(|i| GatedFeed::load(&experts.at(i), FEED, width)).collect::<Result<_>>()?,
            gate: Linear::load(&w.at("gate"), width, count as i64)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let flat = x.reshape([-1, size[2]]);
        let scores = self.gate.forward(&flat).softmax(-1, None::<Kind>);
        let (weights, chosen) = scores.topk(CHOSEN, -1, true, false);
        let chosen = chosen.flatten(0, -1);
        let spread = flat.repeat_interleave_self_int(CHOSEN, 0, None);
        let mut made = spread.empty_like();
        for (i, expert) in (0i64..).zip(&self.experts) {
            let own = chosen.eq(i).nonzero().flatten(0, -1);
            if own.numel() > 0 {
                let _ = made.index_copy_(0, &own, &expert.forward(&spread.index_select(0, &own)));
            }
        }
        let weighted = made.view([-1, CHOSEN, size[2]]) * weights.unsqueeze(-1);
        let mixed = weighted.sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        mixed.view(size.as_slice()) + self.shared.forward(x)
    }
}

/// `x`, normalised, scaled by 1 + `scale` and shifted, B×1×width each.
fn modulated(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Tensor {
    normalised(x, x.size()[2]) * (1.0 + scale) + shift
}

/// What shifts, scales and gates tokens, B×1×width each: `count` tensors.
fn parts(layer: &Linear, vector: &Tensor, count: i64) -> Vec<Tensor> {
    layer.forward(vector).unsqueeze(1).chunk(count, -1)
}

/// A block in which picture and text attend to each other with weights of their own.
pub(super) struct DoubleBlock {
    modulation: Linear,
    picture: Side,
    text: Side,
    mixture: Mixture,
    feed: GatedFeed,
}

impl DoubleBlock {
    pub(super) fn load(w: &Weights, width: i64) -> Result<Self> {
        let attention = w.at("attn1");
        Ok(Self {
            modulation: Linear::load(&w.at("adaLN_modulation.1"), width, 12 * width)?,
            picture: Side::load(&attention, "", width)?,
            text: Side::load(&attention, "_t", width)?,
            mixture: Mixture::load(&w.at("ff_i"), width)?,
            feed: GatedFeed::load(&w.at("ff_t"), FEED, width)?,
        })
    }

    /// Picture and text, B×N×width each. `vector` went through SiLU; `turns` are those of the picture's tokens, then of the text's.
    pub(super) fn forward(&self, picture: &Tensor, text: &Tensor, vector: &Tensor, turns: &Tensor) -> (Tensor, Tensor) {
        let all = parts(&self.modulation, vector, 12);
        let (of_picture, of_text) = all.split_at(6);
        let ours = self.picture.heads(&modulated(picture, &of_picture[0], &of_picture[1]));
        let theirs = self.text.heads(&modulated(text, &of_text[0], &of_text[1]));
        let [q, k, v] = [0, 1, 2].map(|at: usize| Tensor::cat(&[&ours[at], &theirs[at]], 1));
        let attended = attended([&q, &k, &v], turns);
        let (own, tokens) = (picture.size()[1], text.size()[1]);
        let picture = &of_picture[2] * self.picture.out.forward(&attended.narrow(1, 0, own)) + picture;
        let text = &of_text[2] * self.text.out.forward(&attended.narrow(1, own, tokens)) + text;
        let mixed = self.mixture.forward(&modulated(&picture, &of_picture[3], &of_picture[4]));
        let fed = self.feed.forward(&modulated(&text, &of_text[3], &of_text[4]));
        (&of_picture[5] * mixed + picture, &of_text[5] * fed + text)
    }
}

/// A block in which all tokens share their weights.
pub(super) struct SingleBlock {
    modulation: Linear,
    side: Side,
    mixture: Mixture,
}

impl SingleBlock {
    pub(super) fn load(w: &Weights, width: i64) -> Result<Self> {
        Ok(Self {
            modulation: Linear::load(&w.at("adaLN_modulation.1"), width, 6 * width)?,
            side: Side::load(&w.at("attn1"), "", width)?,
            mixture: Mixture::load(&w.at("ff_i"), width)?,
        })
    }

    /// As [`DoubleBlock::forward`], of all tokens.
    pub(super) fn forward(&self, x: &Tensor, vector: &Tensor, turns: &Tensor) -> Tensor {
        let parts = parts(&self.modulation, vector, 6);
        let [q, k, v] = self.side.heads(&modulated(x, &parts[0], &parts[1]));
        let x = &parts[2] * self.side.out.forward(&attended([&q, &k, &v], turns)) + x;
        &parts[5] * self.mixture.forward(&modulated(&x, &parts[3], &parts[4])) + x
    }
}
