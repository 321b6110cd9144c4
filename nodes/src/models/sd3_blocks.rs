//! The blocks of Stable Diffusion 3.

use anyhow::Result;
use tch::{Kind, Tensor};

use crate::files::weights::Weights;
use crate::ops::attention::attention;
use crate::ops::layers::{Linear, RmsNorm, normalised};

/// What all blocks have in common.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub width: i64,
    pub heads: i64,
}

/// `x`, B×N×W, scaled by 1 + `scale` and shifted, B×W each.
pub(super) fn modulated(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Tensor {
    shift.unsqueeze(1).addcmul(x, &(1.0 + scale.unsqueeze(1)))
}

/// What a self-attention computes with.
struct Attention {
    sizes: Sizes,
    qkv: Linear,
    norms: Option<[RmsNorm; 2]>,
    /// Missing where nothing takes what it gives.
    out: Option<Linear>,
}

impl Attention {
    fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        let Sizes { width, heads } = sizes;
        let norm = |name: &str| RmsNorm::load(w, name, width / heads);
        let out = w.at("proj");
        Ok(Self {
            sizes,
            qkv: Linear::load(&w.at("qkv"), width, 3 * width)?,
            norms: match w.contains("ln_q.weight") {
                true => Some([norm("ln_q.weight")?, norm("ln_k.weight")?]),
                false => None,
            },
            out: (!out.is_empty()).then(|| Linear::load(&out, width, width)).transpose()?,
        })
    }

    /// Queries, keys and values, B×N×W each.
    fn qkv(&self, x: &Tensor) -> [Tensor; 3] {
        let Sizes { width, heads } = self.sizes;
        let (batch, tokens) = (x.size()[0], x.size()[1]);
        let split = self.qkv.forward(x).reshape([batch, tokens, 3, heads, width / heads]).movedim_int(2, 0);
        let flat = |t: Tensor| t.reshape([batch, tokens, width]);
        let [q, k] = [0, 1].map(|i| match &self.norms {
            Some(norms) => flat(norms[i as usize].forward(&split.get(i))),
            None => flat(split.get(i)),
        });
        [q, k, flat(split.get(2))]
    }

    fn out(&self, attended: &Tensor) -> Tensor {
        self.out.as_ref().map_or_else(|| attended.shallow_clone(), |out| out.forward(attended))
    }
}

/// One side, text or picture, of a block.
pub(super) struct Stream {
    sizes: Sizes,
    modulation: Linear,
    attention: Attention,
    /// Of a picture alone, in some blocks of 3.5 medium.
    second: Option<Attention>,
    /// Missing where nothing takes what it gives: of the text in the last block.
    feed: Option<[Linear; 2]>,
}

impl Stream {
    pub(super) fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        let width = sizes.width;
        let (feed, second) = (w.at("mlp"), w.at("attn2"));
        let parts = w.dim("adaLN_modulation.1.weight", 0)?;
        let feed = match feed.is_empty() {
            true => None,
            false => {
                let hidden = feed.dim("fc1.weight", 0)?;
                Some([Linear::load(&feed.at("fc1"), width, hidden)?, Linear::load(&feed.at("fc2"), hidden, width)?])
            }
        };
        Ok(Self {
            sizes,
            modulation: Linear::load(&w.at("adaLN_modulation.1"), width, parts)?,
            attention: Attention::load(&w.at("attn"), sizes)?,
            second: (!second.is_empty()).then(|| Attention::load(&second, sizes)).transpose()?,
            feed,
        })
    }

    /// What shifts, scales and gates it, B×width each.
    fn parts(&self, vector: &Tensor) -> Vec<Tensor> {
        let parts = self.modulation.forward(&vector.silu());
        let count = parts.size()[1] / self.sizes.width;
        parts.chunk(count, 1)
    }

    /// The picture, B×N×width, attending to itself alone; nothing if layers are missing.
    pub(super) fn alone(&self, x: &Tensor, vector: &Tensor) -> Option<Tensor> {
        let parts = self.parts(vector);
        let norm = modulated(&normalised(x, self.sizes.width), &parts[0], &parts[1]);
        let [q, k, v] = self.attention.qkv(&norm);
        self.finish(x, &attention(&q, &k, &v, self.sizes.heads), None, &parts)
    }

    /// The picture or text with what attention gave and what the feed-forward layers make of the sum.
    fn finish(&self, x: &Tensor, attended: &Tensor, second: Option<Tensor>, parts: &[Tensor]) -> Option<Tensor> {
        let [up, down] = self.feed.as_ref()?;
        let gate = |i: usize| parts[i].unsqueeze(1);
        let own = gate(2) * self.attention.out(attended);
        let x = match second {
            Some(second) => Tensor::stack(&[x, &own, &(gate(8) * second)], 0).sum_dim_intlist(0, false, None::<Kind>),
            None => x + own,
        };
        let h = up.forward(&modulated(&normalised(&x, self.sizes.width), &parts[3], &parts[4])).gelu("tanh");
        Some(&x + gate(5) * down.forward(&h))
    }
}

/// A block in which text and picture attend to each other with weights of their own.
pub(super) struct JointBlock {
    text: Stream,
    picture: Stream,
}

impl JointBlock {
    pub(super) fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        Ok(Self { text: Stream::load(&w.at("context_block"), sizes)?, picture: Stream::load(&w.at("x_block"), sizes)? })
    }

    /// Text and picture, B×N×width each. The last block gives no text.
    pub(super) fn forward(&self, text: Tensor, picture: Tensor, vector: &Tensor) -> (Option<Tensor>, Tensor) {
        let Sizes { width, heads } = self.picture.sizes;
        let (of_text, of_picture) = (self.text.parts(vector), self.picture.parts(vector));
        let theirs = self.text.attention.qkv(&modulated(&normalised(&text, width), &of_text[0], &of_text[1]));
        let norm = normalised(&picture, width);
        let ours = self.picture.attention.qkv(&modulated(&norm, &of_picture[0], &of_picture[1]));
        let [q, k, v] = [0, 1, 2].map(|i| Tensor::cat(&[&theirs[i], &ours[i]], 1));
        let attended = attention(&q, &k, &v, heads);
        let (tokens, all) = (text.size()[1], attended.size()[1]);
        let second = self.picture.second.as_ref().map(|second| {
            let [q, k, v] = second.qkv(&modulated(&norm, &of_picture[6], &of_picture[7]));
            second.out(&attention(&q, &k, &v, heads))
        });
        let text = self.text.finish(&text, &attended.narrow(1, 0, tokens), None, &of_text);
        let own = attended.narrow(1, tokens, all - tokens);
        // Only text may lack what is behind attention.
        let picture = self.picture.finish(&picture, &own, second, &of_picture).unwrap_or(picture);
        (text, picture)
    }
}
