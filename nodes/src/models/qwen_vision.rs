//! The eyes of Qwen 2.5-VL (arXiv:2502.13923): a transformer over the patches of a picture, most of whose blocks look within windows.

use anyhow::{Result, bail, ensure};
use tch::{Kind, Tensor};

use crate::files::weights::Weights;
use crate::ops::attention::short_attention_of_heads;
use crate::ops::gated::GatedFeed;
use crate::ops::layers::{Linear, RmsNorm};
use crate::text::language::Seen;

/// How many heads attention has.
const HEADS: i64 = 16;
/// How many pixels a patch has along a side, and how many frames it spans.
const PATCH: i64 = 14;
const FRAMES: i64 = 2;
/// How many patches become one place of the text, along a side.
const MERGED: i64 = 2;
/// How many such places a window has along a side: 112 pixels.
const WINDOW: i64 = 4;
/// The blocks that look at the whole picture.
const WHOLE: [usize; 4] = [7, 15, 23, 31];
/// The base of the rotary frequencies.
const THETA: f64 = 10_000.0;
/// The least and the largest number of pixels.
const PIXELS: [f64; 2] = [3136.0, 12_845_056.0];
/// Mean and spread of red, green and blue that the model was trained with (CLIP's).
const MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const SPREAD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// The network. Sizes are read off the weights.
pub(super) struct Vision {
    patches: Tensor,
    blocks: Vec<Block>,
    norm: RmsNorm,
    merge: [Linear; 2],
    width: i64,
}

impl Vision {
    /// Builds it from the tensors below `w` (`patch_embed.*`, `blocks.*`, `merger.*`), for a language model of a width.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub(super) fn load(w: &Weights, text: i64) -> Result<Self> {
        let width = w.dim("patch_embed.proj.weight", 0)?;
        ensure!(
            width % (4 * HEADS) == 0,
            "the vision tower of {} is {width} wide, which is no multiple of {}; the file is damaged",
            w.path().display(),
            4 * HEADS
        );
        let (blocks, merger) = (w.at("blocks"), w.at("merger"));
        let merged = MERGED * MERGED * width;
        Ok(Self {
            patches: w.tensor("patch_embed.proj.weight", &[width, 3, FRAMES, PATCH, PATCH])?,
            blocks: (0..blocks.children()).map(|i| Block::load(&blocks.at(i), width)).collect::<Result<_>>()?,
            norm: RmsNorm::load(&merger, "ln_q.weight", width)?,
            merge: [
                Linear::load(&merger.at("mlp.0"), merged, merged)?,
                Linear::load(&merger.at("mlp.2"), merged, text)?,
            ],
            width,
        })
    }

    /// The first picture of B×H×W×3 as places of a text: window by window, as the reference leaves them.
    ///
    /// # Errors
    /// The tensor is no batch of pictures of three channels.
    pub(super) fn see(&self, pictures: &Tensor) -> Result<Seen> {
        let size = pictures.size();
        let [count, height, width, 3] = size[..] else {
            bail!(
                "the vision tower looks at pictures of red, green and blue, and this is shaped {size:?}: connect an image"
            );
        };
        ensure!(count * height * width > 0, "a picture shaped {size:?} has no pixels: connect a larger one");
        let pixels = prepared(&pictures.permute([0, 3, 1, 2]).get(0), fitted(height, width));
        let (rows, columns) = (pixels.size()[1] / PATCH / MERGED, pixels.size()[2] / PATCH / MERGED);
        let windows = Windows::over(rows, columns);
        let patches = patched(&pixels).view([-1, 3, FRAMES, PATCH, PATCH]);
        let patches = patches.conv3d(
            &self.patches.to_kind(Kind::Float),
            None::<&Tensor>,
            [FRAMES, PATCH, PATCH],
            [0, 0, 0],
            [1, 1, 1],
            1,
        );
        let order = Tensor::from_slice(&windows.order).to_device(patches.device());
        let of_four = patches.view([-1, MERGED * MERGED, self.width]);
        let mut x = of_four.index_select(0, &order).view([-1, self.width]);
        let turns = windows.turns(columns, self.width / HEADS).map(|t| t.to_device(x.device()));
        let all = [rows * columns * MERGED * MERGED];
        for (i, block) in self.blocks.iter().enumerate() {
            let spans = if WHOLE.contains(&i) { &all[..] } else { &windows.lengths };
            x = block.forward(&x, &turns, spans);
        }
        let merged = self.norm.forward(&x).reshape([-1, MERGED * MERGED * self.width]);
        let embeds = self.merge[1].forward(&self.merge[0].forward(&merged).gelu("none"));
        Ok(Seen { embeds, rows, columns })
    }
}

/// The size that a picture is given: sides of whole places of the text, within the limits.
fn fitted(height: i64, width: i64) -> [i64; 2] {
    let place = (PATCH * MERGED) as f64;
    let sides = [height as f64, width as f64];
    let [least, most] = PIXELS;
    let nearest = sides.map(|side| (side / place).round_ties_even() * place);
    let (pixels, new) = (sides[0] * sides[1], nearest[0] * nearest[1]);
    let fitted = if new > most {
        let times = (pixels / most).sqrt();
        sides.map(|side| ((side / times / place).floor() * place).max(place))
    } else if new < least {
        let times = (least / pixels).sqrt();
        sides.map(|side| (side * times / place).ceil() * place)
    } else {
        nearest
    };
    fitted.map(|side| side as i64)
}

/// A picture, 3×H×W, in another size and in the scale of the model.
fn prepared(picture: &Tensor, [height, width]: [i64; 2]) -> Tensor {
    let resized = picture.unsqueeze(0).upsample_bilinear2d([height, width], false, None, None).squeeze_dim(0);
    let channels = (0..).zip(MEAN.into_iter().zip(SPREAD));
    let scaled: Vec<Tensor> = channels.map(|(c, (mean, spread))| (resized.get(c) - mean) / spread).collect();
    Tensor::stack(&scaled, 0)
}

/// The patches of 3×H×W, a row of pixels each, those that are merged next to each other. A picture is two equal frames.
fn patched(pixels: &Tensor) -> Tensor {
    let (rows, columns) = (pixels.size()[1] / PATCH / MERGED, pixels.size()[2] / PATCH / MERGED);
    let frames = pixels.unsqueeze(0).repeat([FRAMES, 1, 1, 1]);
    let split = frames.reshape([1, FRAMES, 3, rows, MERGED, PATCH, columns, MERGED, PATCH]);
    let patches = split.permute([0, 3, 6, 4, 7, 2, 1, 5, 8]);
    patches.reshape([rows * columns * MERGED * MERGED, 3 * FRAMES * PATCH * PATCH])
}

/// The places of a picture by windows.
struct Windows {
    /// The number of each place, row by row, in the order of the windows.
    order: Vec<i64>,
    /// How many patches each window has; those at the edges may have fewer.
    lengths: Vec<i64>,
}

impl Windows {
    fn over(rows: i64, columns: i64) -> Self {
        let (mut order, mut lengths) = (Vec::new(), Vec::new());
        let starts = |side: i64| (0..side).step_by(WINDOW as usize);
        for (top, left) in starts(rows).flat_map(|top| starts(columns).map(move |left| (top, left))) {
            let (bottom, right) = ((top + WINDOW).min(rows), (left + WINDOW).min(columns));
            order.extend((top..bottom).flat_map(|y| (left..right).map(move |x| y * columns + x)));
            lengths.push((bottom - top) * (right - left) * MERGED * MERGED);
        }
        Self { order, lengths }
    }

    /// Cosine and sine of what turns the patches, N×1×D each, for heads of D channels.
    fn turns(&self, columns: i64, head: i64) -> [Tensor; 2] {
        let within = (0..MERGED).flat_map(|y| (0..MERGED).map(move |x| (y, x))).collect::<Vec<_>>();
        let places = self.order.iter().flat_map(|place| {
            let (top, left) = (place / columns * MERGED, place % columns * MERGED);
            within.iter().map(move |(y, x)| [(top + y) as f32, (left + x) as f32])
        });
        let places = Tensor::from_slice(&places.collect::<Vec<_>>().concat()).view([-1, 2, 1]);
        let half = head / 2;
        let exponents = Tensor::arange_start_step(0, half, 2, (Kind::Float, places.device())) / half as f64;
        let angles = (places * Tensor::pow_scalar(THETA, &exponents).reciprocal()).flatten(1, 2);
        let angles = Tensor::cat(&[&angles, &angles], -1).unsqueeze(-2);
        [angles.cos(), angles.sin()]
    }
}

struct Block {
    norm1: RmsNorm,
    qkv: Linear,
    out: Linear,
    norm2: RmsNorm,
    feed: GatedFeed,
}

impl Block {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        let attention = w.at("attn");
        Ok(Self {
            norm1: RmsNorm::load(w, "norm1.weight", width)?,
            qkv: Linear::load(&attention.at("qkv"), width, 3 * width)?,
            out: Linear::load(&attention.at("proj"), width, width)?,
            norm2: RmsNorm::load(w, "norm2.weight", width)?,
            feed: GatedFeed::load(&w.at("mlp"), ["gate_proj", "up_proj", "down_proj"], width)?,
        })
    }

    /// `x`, N×width, of which each of the `spans` looks at itself.
    fn forward(&self, x: &Tensor, turns: &[Tensor; 2], spans: &[i64]) -> Tensor {
        let x = x + self.attention(&self.norm1.forward(x), turns, spans);
        &x + self.feed.forward(&self.norm2.forward(&x))
    }

    fn attention(&self, x: &Tensor, turns: &[Tensor; 2], spans: &[i64]) -> Tensor {
        let tokens = x.size()[0];
        let parts = self.qkv.forward(&x.unsqueeze(0)).reshape([tokens, 3, HEADS, -1]).permute([1, 0, 2, 3]);
        let split = |t: &Tensor| t.transpose(0, 1).unsqueeze(0).split_with_sizes(spans, 2);
        let (q, k) = (split(&turned(&parts.get(0), turns)), split(&turned(&parts.get(1), turns)));
        let v = split(&parts.get(2));
        let attended = q.iter().zip(&k).zip(&v).map(|((q, k), v)| short_attention_of_heads(q, k, v));
        let attended = Tensor::cat(&attended.collect::<Vec<_>>(), 1);
        self.out.forward(&attended.reshape([tokens, -1]))
    }
}

/// `x`, N×H×D, turned: the first half of a head's channels is paired with the second.
fn turned(x: &Tensor, [cos, sin]: &[Tensor; 2]) -> Tensor {
    let half = x.size()[2] / 2;
    let swapped = Tensor::cat(&[-x.narrow(-1, half, half), x.narrow(-1, 0, half)], -1);
    x * cos + swapped * sin
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures from ComfyUI 0.8.0's `process_qwen2vl_images`.
    #[test]
    fn pictures_get_sides_of_whole_places() {
        for (size, expected) in [
            ((384, 384), [392, 392]),
            ((1024, 1024), [1036, 1036]),
            ((313, 470), [308, 476]),
            ((10, 10), [56, 56]),
            ((1, 4000), [28, 3556]),
            ((5000, 4000), [4004, 3192]),
        ] {
            assert_eq!(fitted(size.0, size.1), expected, "{size:?}");
        }
    }

    #[test]
    fn windows_at_the_edges_are_smaller() {
        let windows = Windows::over(5, 6);
        assert_eq!(windows.lengths, [64, 32, 16, 8]);
        assert_eq!(windows.order[..6], [0, 1, 2, 3, 6, 7]);
        assert_eq!(windows.order[16..20], [4, 5, 10, 11]);
        let mut all = windows.order;
        all.sort_unstable();
        assert_eq!(all, (0..30).collect::<Vec<_>>());
    }
}
