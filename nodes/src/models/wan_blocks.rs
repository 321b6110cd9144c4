//! The blocks of Wan.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use crate::files::weights::Weights;
use crate::ops::attention::attention;
use crate::ops::layers::{LayerNorm, Linear, RmsNorm, normalised};
use crate::ops::rotary::turned;

/// Channels of a head.
const HEAD: i64 = 128;
/// What is added before roots of normalisations.
const EPS: f64 = 1e-6;

/// What is shown beside the latent's own tokens.
pub(super) struct Shown<'a> {
    /// The prompt, behind the tokens of a picture if there are any: B×M×width.
    pub context: &'a Tensor,
    /// How many tokens in front are a picture's.
    pub picture: Option<i64>,
    /// What turns tokens at their positions.
    pub turns: &'a Tensor,
}

/// Queries, keys and values, the first two normalised over all heads at once.
struct Attention {
    width: i64,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    norm_q: RmsNorm,
    norm_k: RmsNorm,
}

impl Attention {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        let linear = |name: &str| Linear::load(&w.at(name), width, width);
        Ok(Self {
            width,
            q: linear("q")?,
            k: linear("k")?,
            v: linear("v")?,
            out: linear("o")?,
            norm_q: RmsNorm::load(w, "norm_q.weight", width)?,
            norm_k: RmsNorm::load(w, "norm_k.weight", width)?,
        })
    }

    fn heads(&self) -> i64 {
        self.width / HEAD
    }

    /// The tokens of a video among themselves.
    fn to_itself(&self, x: &Tensor, turns: &Tensor) -> Tensor {
        let size = x.size();
        let split = [size[0], size[1], self.heads(), HEAD];
        let by_place = |x: &Tensor| turned(&x.view(split), turns).view(size.as_slice());
        let q = by_place(&self.norm_q.forward(&self.q.forward(x)));
        let k = by_place(&self.norm_k.forward(&self.k.forward(x)));
        self.out.forward(&attention(&q, &k, &self.v.forward(x), self.heads()))
    }
}

/// Attention to the prompt, and with keys and values of its own to a picture.
struct CrossAttention {
    text: Attention,
    picture: Option<(Linear, Linear, RmsNorm)>,
}

impl CrossAttention {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        let picture = match w.contains("k_img.weight") {
            true => Some((
                Linear::load(&w.at("k_img"), width, width)?,
                Linear::load(&w.at("v_img"), width, width)?,
                RmsNorm::load(w, "norm_k_img.weight", width)?,
            )),
            false => None,
        };
        Ok(Self { text: Attention::load(w, width)?, picture })
    }

    fn forward(&self, x: &Tensor, shown: &Shown) -> Tensor {
        let text = &self.text;
        let q = text.norm_q.forward(&text.q.forward(x));
        // Without a picture, the prompt stands for it as well.
        let all = shown.context.size()[1];
        let (rows, from) = shown.picture.filter(|_| self.picture.is_some()).map_or((all, 0), |rows| (rows, rows));
        let of_picture = self.picture.as_ref().map(|(k, v, norm)| {
            let picture = shown.context.narrow(1, 0, rows.min(all));
            attention(&q, &norm.forward(&k.forward(&picture)), &v.forward(&picture), text.heads())
        });
        let context = shown.context.narrow(1, from.min(all), all - from.min(all));
        let k = text.norm_k.forward(&text.k.forward(&context));
        let attended = attention(&q, &k, &text.v.forward(&context), text.heads());
        text.out.forward(&match of_picture {
            Some(picture) => attended + picture,
            None => attended,
        })
    }
}

/// A block: the video's tokens among themselves, then to the prompt, then a feed-forward layer.
pub(super) struct Block {
    width: i64,
    itself: Attention,
    cross: CrossAttention,
    norm: LayerNorm,
    up: Linear,
    down: Linear,
    /// 1×1×6×width.
    modulation: Tensor,
}

impl Block {
    pub(super) fn load(w: &Weights, width: i64) -> Result<Self> {
        ensure!(
            width % HEAD == 0,
            "{} is {width} wide, which heads of {HEAD} do not share; the file is damaged",
            w.path().display()
        );
        let hidden = w.dim("ffn.0.weight", 0)?;
        Ok(Self {
            width,
            itself: Attention::load(&w.at("self_attn"), width)?,
            cross: CrossAttention::load(&w.at("cross_attn"), width)?,
            norm: LayerNorm::load_as(&w.at("norm3"), width, Kind::Float)?.with_eps(EPS),
            up: Linear::load(&w.at("ffn.0"), width, hidden)?,
            down: Linear::load(&w.at("ffn.2"), hidden, width)?,
            modulation: w.tensor("modulation", &[1, 6, width])?.to_kind(Kind::Float).unsqueeze(0),
        })
    }

    /// `x` is B×N×width, `time` B×F×6×width, with F 1 or the number of frames.
    pub(super) fn forward(&self, x: &Tensor, time: &Tensor, shown: &Shown) -> Tensor {
        let x = x.contiguous();
        let tokens = x.size()[1];
        let parts: Vec<Tensor> =
            (&self.modulation + time).unbind(2).iter().map(|part| for_tokens(part, tokens)).collect();
        let n = modulated(&x, self.width, &parts[0], &parts[1]);
        let x = x.addcmul(&self.itself.to_itself(&n, shown.turns), &parts[2]);
        let x = &x + self.cross.forward(&self.norm.forward(&x), shown);
        let n = modulated(&x, self.width, &parts[3], &parts[4]);
        x.addcmul(&self.down.forward(&self.up.forward(&n).gelu("tanh")), &parts[5])
    }
}

/// From tokens to patches.
pub(super) struct Head {
    width: i64,
    out: Linear,
    /// 1×1×2×width.
    modulation: Tensor,
}

impl Head {
    pub(super) fn load(w: &Weights, width: i64) -> Result<Self> {
        let out = Linear::load(&w.at("head"), width, w.dim("head.weight", 0)?)?;
        Ok(Self { width, out, modulation: w.tensor("modulation", &[1, 2, width])?.to_kind(Kind::Float).unsqueeze(0) })
    }

    pub(super) fn forward(&self, x: &Tensor, time: &Tensor) -> Tensor {
        let parts = (&self.modulation + time.unsqueeze(2)).unbind(2);
        let part = |place: usize| for_tokens(&parts[place], x.size()[1]);
        self.out.forward(&modulated(x, self.width, &part(0), &part(1)))
    }
}

/// `x`, normalised, scaled by 1 + `scale` and shifted.
fn modulated(x: &Tensor, width: i64, shift: &Tensor, scale: &Tensor) -> Tensor {
    shift.addcmul(&normalised(x, width), &(1.0 + scale))
}

/// B×F×width for each token: the tokens of a frame lie together, if they do not come out even, the last frames have fewer.
fn for_tokens(part: &Tensor, tokens: i64) -> Tensor {
    let frames = part.size()[1];
    if frames == 1 || tokens == frames {
        return part.shallow_clone();
    }
    let each = tokens / frames + i64::from(tokens % frames != 0);
    part.repeat_interleave_self_int(each, 1, None).narrow(1, 0, tokens)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn each_frame_has_its_time() {
        let part = Tensor::from_slice(&[1f32, 2.0, 3.0]).view([1, 3, 1]);
        let of = |tokens: i64| Vec::<f32>::try_from(for_tokens(&part, tokens).flatten(0, -1)).unwrap_or_default();
        assert_eq!(of(3), [1.0, 2.0, 3.0]);
        assert_eq!(of(6), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
        assert_eq!(of(7), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0]);
        let one = Tensor::ones([2, 1, 4], (Kind::Float, Device::Cpu));
        assert_eq!(for_tokens(&one, 9).size(), [2, 1, 4]);
    }
}
