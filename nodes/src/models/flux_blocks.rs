//! The blocks of Flux.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::diffusion::extra_conds::{ExtraConds, VECTOR};
use crate::files::weights::Weights;
use crate::ops::attention::attention_of_heads;
use crate::ops::layers::{Linear, RmsNorm, added, normalised};
use crate::ops::rotary::turned;

/// What all blocks have in common.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub width: i64,
    pub heads: i64,
    /// Whether each has layers of its own that make of a vector what modulates it. Chroma's are told instead.
    pub modulates: bool,
}

impl Sizes {
    /// Those of the blocks below `w`, whose tokens are `width` wide.
    ///
    /// # Errors
    /// There are no such blocks, or their heads do not share the width.
    pub(super) fn of(w: &Weights, width: i64) -> Result<Self> {
        let head = w.dim("double_blocks.0.img_attn.norm.key_norm.scale", 0)?;
        ensure!(
            head > 0 && width % head == 0 && head % 16 == 0,
            "{} is {width} wide with heads of {head}, which do not share it; the file is damaged",
            w.path().display()
        );
        Ok(Self { width, heads: width / head, modulates: true })
    }

    /// Channels of a head that are turned by index, or frame, y and x.
    pub(super) fn axes(&self) -> [i64; 3] {
        let head = self.width / self.heads;
        [head / 8, head * 7 / 16, head * 7 / 16]
    }

    /// The layer that makes `count` tensors of a vector, where blocks have one.
    fn modulation(&self, w: &Weights, count: i64) -> Result<Option<Linear>> {
        self.modulates.then(|| Linear::load(w, self.width, count * self.width)).transpose()
    }
}

/// All blocks below `w`: those with weights of their own for text and picture, and those with common ones.
pub(super) fn blocks(w: &Weights, sizes: Sizes) -> Result<(Vec<DoubleBlock>, Vec<SingleBlock>)> {
    let (double, single) = (w.at("double_blocks"), w.at("single_blocks"));
    let doubles = (0..double.children()).map(|i| DoubleBlock::load(&double.at(i), sizes));
    let singles = (0..single.children()).map(|i| SingleBlock::load(&single.at(i), sizes));
    Ok((doubles.collect::<Result<_>>()?, singles.collect::<Result<_>>()?))
}

/// As much of a prompt's pooled output as `embedder` takes, if the prompt has one.
///
/// # Errors
/// It is narrower than that.
pub(super) fn pooled(extra: &ExtraConds, embedder: &Embedder) -> Result<Option<Tensor>> {
    let Some(pooled) = extra.get(VECTOR) else { return Ok(None) };
    let (has, takes) = (pooled.size().last().copied().unwrap_or(0), embedder.inputs());
    ensure!(
        has >= takes,
        "the prompt's pooled output is {has} wide and the model takes {takes}: encode the prompt with a text encoder of the model's family"
    );
    Ok(Some(embedder.forward(&pooled.narrow(-1, 0, takes).to_device_(embedder.device(), Kind::Float, false, false))))
}

/// Two linear layers with SiLU in between.
pub(super) struct Embedder {
    first: Linear,
    second: Linear,
}

impl Embedder {
    pub(super) fn load(w: &Weights, width: i64) -> Result<Self> {
        Self::named(w, ["in_layer", "out_layer"], width)
    }

    /// The same of layers that have these names.
    pub(super) fn named(w: &Weights, [first, second]: [&str; 2], width: i64) -> Result<Self> {
        let first = w.at(first);
        let first = Linear::load(&first, first.dim("weight", 1)?, width)?;
        Ok(Self { first, second: Linear::load(&w.at(second), width, width)? })
    }

    pub(super) fn inputs(&self) -> i64 {
        self.first.inputs()
    }

    fn device(&self) -> Device {
        self.first.device()
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        self.second.forward(&self.first.forward(x).silu())
    }
}

/// What shifts, scales and gates a block, B×1×width each.
pub(super) type Parts = Vec<Tensor>;

/// `count` tensors, made of the vector; none by blocks that are told.
fn made(layer: Option<&Linear>, vector: &Tensor, count: i64) -> Parts {
    let Some(layer) = layer else { return Vec::new() };
    let vector = if vector.dim() == 2 { &vector.unsqueeze(1) } else { vector };
    layer.forward(&vector.silu()).chunk(count, -1)
}

/// `x`, normalised, scaled by 1 + `scale` and shifted.
fn modulated(x: &Tensor, width: i64, shift: &Tensor, scale: &Tensor) -> Tensor {
    let n = normalised(x, width);
    match shift.size()[1] {
        1 => shift.addcmul(&n, &(1.0 + scale)),
        // Those that differ from token to token are applied one after the other, which rounds otherwise.
        _ => n * (1.0 + scale) + shift,
    }
}

/// What shifts, scales and gates tokens of which the first `first` belong to one vector of two and the others to the other: for each token.
pub(super) fn by_token(parts: &[Tensor], first: i64, tokens: i64) -> Parts {
    let spread = |part: &Tensor| {
        let of = |at: i64, count: i64| part.narrow(1, at, 1).expand([-1, count, -1], false);
        Tensor::cat(&[of(0, first), of(1, tokens - first)], 1)
    };
    parts.iter().map(spread).collect()
}

/// What a block's attention goes by.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// What turns queries and keys.
    pub turns: &'a Tensor,
    /// Whether the picture's tokens stand in front of the text's.
    pub picture_first: bool,
    /// Where the vector is one of two: how many of the picture's tokens belong to the first.
    pub first: Option<i64>,
}

impl<'a> Around<'a> {
    /// Text in front, and one vector for all tokens.
    pub(super) fn plain(turns: &'a Tensor) -> Self {
        Self { turns, picture_first: false, first: None }
    }
}

/// Queries, keys and values of the heads, B×H×N×D, from B×N×(3·width); queries and keys normalised.
fn heads(qkv: &Tensor, heads: i64, [query, key]: [&RmsNorm; 2]) -> [Tensor; 3] {
    let (batch, tokens) = (qkv.size()[0], qkv.size()[1]);
    let split = qkv.view([batch, tokens, 3, heads, -1]).permute([2, 0, 3, 1, 4]);
    [query.forward(&split.get(0)), key.forward(&split.get(1)), split.get(2)]
}

fn attended([q, k, v]: [&Tensor; 3], around: Around) -> Tensor {
    attention_of_heads(&turned(q, around.turns), &turned(k, around.turns), v)
}

/// One side, text or picture, of a block in which both have weights of their own.
struct Stream {
    sizes: Sizes,
    modulation: Option<Linear>,
    qkv: Linear,
    query_norm: RmsNorm,
    key_norm: RmsNorm,
    out: Linear,
    up: Linear,
    down: Linear,
}

impl Stream {
    fn load(w: &Weights, side: &str, sizes: Sizes) -> Result<Self> {
        let Sizes { width, heads, .. } = sizes;
        let (attention, feed) = (w.at(format!("{side}_attn")), w.at(format!("{side}_mlp")));
        let hidden = feed.dim("0.weight", 0)?;
        Ok(Self {
            sizes,
            modulation: sizes.modulation(&w.at(format!("{side}_mod")).at("lin"), 6)?,
            qkv: Linear::load(&attention.at("qkv"), width, 3 * width)?,
            query_norm: RmsNorm::load(&attention, "norm.query_norm.scale", width / heads)?,
            key_norm: RmsNorm::load(&attention, "norm.key_norm.scale", width / heads)?,
            out: Linear::load(&attention.at("proj"), width, width)?,
            up: Linear::load(&feed.at(0), width, hidden)?,
            down: Linear::load(&feed.at(2), hidden, width)?,
        })
    }

    fn heads(&self, x: &Tensor, shift: &Tensor, scale: &Tensor) -> [Tensor; 3] {
        let qkv = self.qkv.forward(&modulated(x, self.sizes.width, shift, scale));
        heads(&qkv, self.sizes.heads, [&self.query_norm, &self.key_norm])
    }

    /// Adds what attention gave, and what the feed-forward layers make of the sum. `x` is nobody else's.
    fn finish(&self, x: Tensor, attended: &Tensor, parts: &[Tensor]) -> Tensor {
        let x = added(x, &(self.out.forward(attended) * &parts[2]));
        let h = self.up.forward(&modulated(&x, self.sizes.width, &parts[3], &parts[4])).gelu("tanh");
        added(x, &(self.down.forward(&h) * &parts[5]))
    }
}

/// A block in which text and picture attend to each other with weights of their own.
pub(super) struct DoubleBlock {
    picture: Stream,
    text: Stream,
}

impl DoubleBlock {
    pub(super) fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        Ok(Self { picture: Stream::load(w, "img", sizes)?, text: Stream::load(w, "txt", sizes)? })
    }

    /// Picture and text, B×N×width each and nobody else's, in that order as in the result.
    pub(super) fn forward(&self, picture: Tensor, text: Tensor, vector: &Tensor, around: Around) -> (Tensor, Tensor) {
        let parts = |side: &Stream| made(side.modulation.as_ref(), vector, 6);
        let (mut of_picture, mut of_text) = (parts(&self.picture), parts(&self.text));
        if let Some(first) = around.first {
            of_picture = by_token(&of_picture, first, picture.size()[1]);
            of_text = by_token(&of_text, 0, text.size()[1]);
        }
        self.modulated(picture, text, [of_picture, of_text], around)
    }

    /// The same with what modulates picture and text, six tensors each.
    pub(super) fn modulated(
        &self,
        picture: Tensor,
        text: Tensor,
        [of_picture, of_text]: [Parts; 2],
        around: Around,
    ) -> (Tensor, Tensor) {
        let ours = self.picture.heads(&picture, &of_picture[0], &of_picture[1]);
        let theirs = self.text.heads(&text, &of_text[0], &of_text[1]);
        let [q, k, v] = [0, 1, 2].map(|i| match around.picture_first {
            true => Tensor::cat(&[&ours[i], &theirs[i]], 2),
            false => Tensor::cat(&[&theirs[i], &ours[i]], 2),
        });
        let attended = attended([&q, &k, &v], around);
        let (own, tokens) = (picture.size()[1], text.size()[1]);
        let (from, of_theirs) = if around.picture_first { (0, own) } else { (tokens, 0) };
        let picture = self.picture.finish(picture, &attended.narrow(1, from, own), &of_picture);
        (picture, self.text.finish(text, &attended.narrow(1, of_theirs, tokens), &of_text))
    }
}

/// A block in which all tokens share their weights, with attention and feed-forward layers side by side.
pub(super) struct SingleBlock {
    sizes: Sizes,
    modulation: Option<Linear>,
    first: Linear,
    second: Linear,
    query_norm: RmsNorm,
    key_norm: RmsNorm,
    hidden: i64,
}

impl SingleBlock {
    pub(super) fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        let Sizes { width, heads, .. } = sizes;
        let hidden = w.dim("linear1.weight", 0)? - 3 * width;
        Ok(Self {
            sizes,
            modulation: sizes.modulation(&w.at("modulation.lin"), 3)?,
            first: Linear::load(&w.at("linear1"), width, 3 * width + hidden)?,
            second: Linear::load(&w.at("linear2"), width + hidden, width)?,
            query_norm: RmsNorm::load(w, "norm.query_norm.scale", width / heads)?,
            key_norm: RmsNorm::load(w, "norm.key_norm.scale", width / heads)?,
            hidden,
        })
    }

    /// `x`, B×N×width, is nobody else's.
    pub(super) fn forward(&self, x: Tensor, vector: &Tensor, around: Around) -> Tensor {
        let mut parts = made(self.modulation.as_ref(), vector, 3);
        if let Some(first) = around.first {
            parts = by_token(&parts, first, x.size()[1]);
        }
        self.modulated(x, &parts, around)
    }

    /// The same with the three tensors that modulate it.
    pub(super) fn modulated(&self, x: Tensor, parts: &[Tensor], around: Around) -> Tensor {
        let Sizes { width, heads: count, .. } = self.sizes;
        let both = self.first.forward(&modulated(&x, width, &parts[0], &parts[1]));
        let (qkv, h) = (both.narrow(-1, 0, 3 * width), both.narrow(-1, 3 * width, self.hidden));
        let [q, k, v] = heads(&qkv, count, [&self.query_norm, &self.key_norm]);
        let attended = attended([&q, &k, &v], around);
        let out = self.second.forward(&Tensor::cat(&[attended, h.gelu("tanh")], 2));
        added(x, &(out * &parts[2]))
    }
}

/// From tokens to patches.
pub(super) struct LastLayer {
    width: i64,
    modulation: Option<Linear>,
    out: Linear,
}

impl LastLayer {
    pub(super) fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        let (width, outputs) = (sizes.width, w.dim("linear.weight", 0)?);
        let modulation = sizes.modulation(&w.at("adaLN_modulation.1"), 2)?;
        Ok(Self { width, modulation, out: Linear::load(&w.at("linear"), width, outputs)? })
    }

    pub(super) fn forward(&self, x: &Tensor, vector: &Tensor, first: Option<i64>) -> Tensor {
        let mut parts = made(self.modulation.as_ref(), vector, 2);
        if let Some(first) = first {
            parts = by_token(&parts, first, x.size()[1]);
        }
        self.modulated(x, &parts)
    }

    /// The same with the two tensors that modulate it.
    pub(super) fn modulated(&self, x: &Tensor, parts: &[Tensor]) -> Tensor {
        self.out.forward(&modulated(x, self.width, &parts[0], &parts[1]))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::files::names::Names;
    use crate::files::tensor_file::save;
    use crate::models::families::recognise;
    use crate::models::random::{Layout, Size, write_random_checkpoint};
    use crate::ops::numerics::Numerics;

    #[test]
    fn networks_without_a_layer_that_modulates_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, layout) in [("flux", Layout::Flux), ("hunyuan", Layout::HunyuanVideo)] {
            let path = folder.path().join(format!("{name}.safetensors"));
            write_random_checkpoint(&path, layout, Size::Tiny, 0, false).unwrap();
            let whole = Weights::open(&path).unwrap();
            for lost in
                ["double_blocks.1.txt_mod.lin", "single_blocks.0.modulation.lin", "final_layer.adaLN_modulation.1"]
            {
                let left = Names::of(&whole.names(), |name| (!name.contains(lost)).then(|| name.to_owned()));
                let contents = recognise(&whole.named(left)).unwrap();
                let part = contents.model().unwrap();
                let message = (part.family.load)(&part.weights, &Numerics::cpu()).err().unwrap().to_string();
                assert!(message.contains(lost) && message.contains("incomplete"), "{message}");
            }
        }
    }

    #[test]
    fn heads_share_the_width() {
        let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
        for (head, heads) in [(32, Some(2)), (16, Some(4)), (0, None), (24, None), (48, None), (128, None)] {
            let scale = Tensor::zeros([head], (Kind::Float, Device::Cpu));
            save(file.path(), [("double_blocks.0.img_attn.norm.key_norm.scale", &scale)]).unwrap();
            let sizes = Sizes::of(&Weights::open(file.path()).unwrap(), 64);
            assert_eq!(sizes.as_ref().ok().map(|sizes| sizes.heads), heads, "{head}");
            assert!(sizes.is_ok_and(|sizes| sizes.axes().iter().sum::<i64>() == head) || heads.is_none());
        }
    }
}
