//! From chunks to conditioning: the encoder's input, weights around the empty prompt, clip skip, the pooled vector.

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};
use tracing::warn;

use super::chunks::{CHUNK_LENGTH, Chunk, Chunking, Token, chunks, empty_chunk};
use super::clip_vocabulary::END;
use super::embeddings::EmbeddingFiles;
use crate::values::Entry;
use crate::values::extras::{ATTENTION_MASK, LANGUAGE_LAYERS, POOLED};

/// Chunks that run through the network at once: it bounds the memory that a very long prompt takes.
const MAX_BATCH: usize = 64;

/// A prompt: its text, and the pictures that it is about.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    pub text: &'a str,
    /// B×H×W×C each, 0 to 1, of which the first of a batch counts. Only some language models look at them.
    pub pictures: &'a [Tensor],
    /// What a language model is to read before and behind the text, in place of its own template.
    pub template: Option<(&'a str, &'a str)>,
    /// How T5 is to fill the text up, in place of its own way.
    pub fill: Option<Fill>,
    /// What an image encoder saw in pictures, for a language model that reads it in the place of marks in its template.
    pub seen: Option<SeenPictures<'a>>,
}

/// Pictures as an image encoder gives them to a language model.
#[derive(Debug, Clone, Copy)]
pub struct SeenPictures<'a> {
    /// B×N×W: tokens of each picture.
    pub tokens: &'a Tensor,
    /// One of so many of their states is kept; at least 1.
    pub every: i64,
}

/// How a text is filled up with tokens of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// So many are put behind every text.
    pub more: usize,
    /// Shorter texts are filled up to so many.
    pub least: usize,
}

impl<'a> From<&'a str> for Prompt<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, pictures: &[], template: None, fill: None, seen: None }
    }
}

/// A text encoder with its tokenizer: what stands between a prompt and a conditioning.
pub trait TextEncoder {
    /// Its name in embedding files and LoRAs: `clip_l`.
    fn key(&self) -> &'static str;

    /// Splits a prompt into the chunks that the network sees at once; at least one.
    ///
    /// # Errors
    /// `embedding:` without a name.
    fn chunks(&self, prompt: Prompt, embeddings: &EmbeddingFiles) -> Result<Vec<Chunk>>;

    /// Whether a prompt is split into chunks of one length, of which several encoders are to have equally many.
    fn is_chunked(&self) -> bool {
        true
    }

    /// Whether `embedding:NAME` stands for a file, and is not text.
    fn takes_embeddings(&self) -> bool {
        true
    }

    /// The same encoder, whose pooled vector is not projected; nothing if it projects none.
    fn unprojected(&self) -> Option<Rc<dyn TextEncoder>> {
        None
    }

    /// Encodes a prompt's chunks. `last_layer` is CLIPSetLastLayer's choice: −1 is the last layer, −2 the one before; beyond the
    /// first layer it counts as the last.
    ///
    /// # Errors
    /// `last_layer` is not negative, or a token is not in the file's vocabulary.
    fn encode(&self, chunks: Vec<Chunk>, last_layer: Option<i64>) -> Result<Encoded>;
}

/// A prompt as the denoising network takes it.
#[derive(Debug)]
pub struct Encoded {
    /// 1×T×W, float32 on the CPU. With CLIP, T is 77 for each chunk of the prompt.
    pub cond: Tensor,
    /// 1×W, float32 on the CPU: the whole prompt in one vector.
    pub pooled: Option<Tensor>,
    /// 1×T of 1 and 0, int64: which of its tokens are looked at, for networks that are told.
    pub mask: Option<Tensor>,
    /// 1×L×N×W, float32 on the CPU: the states behind every layer of a language model, which some networks take beside the text.
    pub layers: Option<Tensor>,
}

impl Encoded {
    /// States alone.
    pub fn of(cond: Tensor) -> Self {
        Self { cond, pooled: None, mask: None, layers: None }
    }
}

impl From<Encoded> for Entry {
    fn from(encoded: Encoded) -> Entry {
        let mut entry = Entry::new(encoded.cond);
        if let Some(pooled) = encoded.pooled {
            entry.extras.set(POOLED, pooled);
        }
        if let Some(mask) = encoded.mask {
            entry.extras.set(ATTENTION_MASK, mask);
        }
        if let Some(layers) = encoded.layers {
            entry.extras.set(LANGUAGE_LAYERS, layers);
        }
        entry
    }
}

/// A CLIP network.
pub trait ClipNetwork {
    /// Width of embeddings and hidden states: 768 for CLIP-L.
    fn width(&self) -> i64;

    /// Number of layers: 12 for CLIP-L.
    fn layers(&self) -> usize;

    /// Token embeddings: int64 of size N to float32 of size N×W. Positions are not added yet.
    fn embed(&self, tokens: &Tensor) -> Result<Tensor>;

    /// Runs the network on embeddings of size B×77×W, to which it adds the positions.
    ///
    /// Gives what `layer` says, and the output of all layers after the final normalisation: float32 of size B×77×W.
    fn forward(&self, embeds: &Tensor, layer: HiddenLayer) -> Result<(Tensor, Tensor)>;

    /// The pooled vector, N×W, as the network was trained to compare it with pictures.
    fn project(&self, pooled: &Tensor) -> Tensor;
}

/// Where a CLIP network's hidden states are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenLayer {
    /// Behind the last layer and the final normalisation.
    Last,
    /// Behind the first so many layers (1 to all), with the final normalisation or without.
    Hidden { count: usize, normed: bool },
}

/// How a family of models uses a CLIP network.
#[derive(Debug)]
pub struct ClipUse {
    /// Its name in embedding files and LoRAs: `clip_l`.
    pub key: &'static str,
    /// The token that fills a chunk behind its end token.
    pub pad: u32,
    /// The layer whose output is taken, counted from the end; without one, the last.
    pub layer: Option<i64>,
    /// Whether a hidden layer's output goes through the final normalisation.
    pub norms_hidden: bool,
    /// Whether the pooled vector is projected.
    pub projects: bool,
}

/// A CLIP network as a family uses it.
pub struct ClipEncoder<N> {
    /// The network.
    pub network: Rc<N>,
    /// How it is used.
    pub usage: &'static ClipUse,
    /// Whether the pooled vector is projected.
    pub projects: bool,
}

impl<N> ClipEncoder<N> {
    /// A network, used as a family does.
    pub fn new(network: Rc<N>, usage: &'static ClipUse) -> Self {
        Self { network, usage, projects: usage.projects }
    }
}

impl<N: ClipNetwork + 'static> TextEncoder for ClipEncoder<N> {
    fn key(&self) -> &'static str {
        self.usage.key
    }

    fn chunks(&self, prompt: Prompt, embeddings: &EmbeddingFiles) -> Result<Vec<Chunk>> {
        let ClipUse { key, pad, .. } = *self.usage;
        chunks(prompt.text, &Chunking { embeddings, key, width: self.network.width(), pad })
    }

    fn unprojected(&self) -> Option<Rc<dyn TextEncoder>> {
        Some(Rc::new(Self { network: self.network.clone(), usage: self.usage, projects: false }))
    }

    fn encode(&self, mut chunks: Vec<Chunk>, last_layer: Option<i64>) -> Result<Encoded> {
        let network = &*self.network;
        let layer = layer(network.layers(), last_layer.or(self.usage.layer), self.usage.norms_hidden)?;
        let count = chunks.len();
        let weighted = chunks.iter().flatten().any(|(_, weight)| *weight != 1.0);
        if weighted {
            chunks.push(empty_chunk(self.usage.pad));
        }
        let mut states = Vec::new();
        let mut pooled = None;
        for batch in chunks.chunks(MAX_BATCH) {
            let inputs: Vec<Input> =
                batch.iter().map(|chunk| Input::new(chunk, network, self.usage.pad)).collect::<Result<_>>()?;
            let embeds: Vec<&Tensor> = inputs.iter().map(|input| &input.embeds).collect();
            let (state, last) = network.forward(&Tensor::stack(&embeds, 0), layer)?;
            if pooled.is_none() {
                // All of the batch is projected, as in the reference: the shape decides how products are rounded.
                let ends: Vec<Tensor> =
                    (0..).zip(&inputs).map(|(row, input)| last.select(0, row).narrow(0, input.pooled_at, 1)).collect();
                let ends = Tensor::cat(&ends, 0);
                let ends = if self.projects { network.project(&ends) } else { ends };
                pooled = Some(host(&ends.narrow(0, 0, 1)));
            }
            states.push(host(&state));
        }
        let states = Tensor::cat(&states, 0);
        let rows: Vec<Tensor> = (0_i64..)
            .zip(&chunks[..count])
            .map(|(index, chunk)| {
                let state = states.get(index);
                if weighted { weigh(&state, &states.get(count as i64), chunk) } else { state }
            })
            .collect();
        Ok(Encoded { pooled, ..Encoded::of(Tensor::cat(&rows, 0).unsqueeze(0)) })
    }
}

/// Which hidden states a choice of layer, counted from the end, stands for. A layer before the first means the last.
fn layer(layers: usize, choice: Option<i64>, normed: bool) -> Result<HiddenLayer> {
    Ok(from_end(layers, choice)?.map_or(HiddenLayer::Last, |count| HiddenLayer::Hidden { count, normed }))
}

/// After how many layers a choice of layer, counted from the end, takes the states; nothing if it is none, or before the first layer.
///
/// # Errors
/// If it is not negative.
pub(super) fn from_end(layers: usize, choice: Option<i64>) -> Result<Option<usize>> {
    let Some(skip) = choice else { return Ok(None) };
    ensure!(
        skip < 0,
        "stop_at_clip_layer is {skip} and counts from the end: use -1 for the last layer, -2 for the one before"
    );
    let from_end = usize::try_from(skip.unsigned_abs()).unwrap_or(usize::MAX);
    Ok((from_end <= layers).then(|| layers + 1 - from_end))
}

/// z becomes (z − e) · w + e at each position with a weight w other than 1, with e the empty prompt's state there.
///
/// The weights count positions of the chunk as it was written, also when vectors of another width were dropped from it.
pub(super) fn weigh(state: &Tensor, empty: &Tensor, chunk: &Chunk) -> Tensor {
    let weights: Vec<f32> = chunk.iter().map(|(_, weight)| *weight as f32).collect();
    let kept: Vec<bool> = chunk.iter().map(|(_, weight)| *weight == 1.0).collect();
    let column = |values: Tensor| values.to_device(state.device()).unsqueeze(1);
    let moved = (state - empty) * column(Tensor::from_slice(&weights)) + empty;
    // A choice, not arithmetic: weights may be infinite or NaN, and the other positions stay as they are to the bit.
    state.where_self(&column(Tensor::from_slice(&kept)), &moved)
}

/// One row of a CLIP network's input.
struct Input {
    /// 77 × W
    embeds: Tensor,
    /// The position that is pooled.
    pooled_at: i64,
}

impl Input {
    fn new(chunk: &Chunk, model: &dyn ClipNetwork, pad: u32) -> Result<Self> {
        let (embeds, kept) = embedded(chunk, model.width(), pad, &|tokens| model.embed(tokens))?;
        Ok(Self { embeds, pooled_at: pooled_at(&kept) })
    }
}

/// Embeds a chunk, N×`width`. Vectors of another width are dropped, and as many pad tokens put at the end. Gives the tokens that are left,
/// too.
pub(super) fn embedded<'c>(
    chunk: &'c Chunk,
    width: i64,
    pad: u32,
    embed: &dyn Fn(&Tensor) -> Result<Tensor>,
) -> Result<(Tensor, Vec<&'c Token>)> {
    let fits = |token: &Token| match token {
        Token::Id(_) => true,
        Token::Picture(_) | Token::Seen { .. } => false,
        Token::Vector(vector) => {
            let its = vector.size().last().copied().unwrap_or(0);
            if its != width {
                warn!(
                    "shape mismatch: a vector of an embedding has width {its}, the text encoder {width}; it is ignored"
                );
            }
            its == width
        }
    };
    let kept: Vec<&Token> = chunk.iter().map(|(token, _)| token).filter(|token| fits(token)).collect();
    // A vector's place gets any token's embedding first.
    let id = |token: Option<&&Token>| if let Some(Token::Id(id)) = token { *id } else { pad };
    let ids: Vec<i64> = (0..chunk.len()).map(|at| i64::from(id(kept.get(at)))).collect();
    let mut embeds = embed(&Tensor::from_slice(&ids))?;
    if kept.iter().any(|token| matches!(token, Token::Vector(_))) {
        let rows: Vec<Tensor> = (0..chunk.len())
            .map(|at| match kept.get(at) {
                Some(Token::Vector(vector)) => vector.to_kind(embeds.kind()).to_device(embeds.device()),
                _ => embeds.get(at as i64),
            })
            .collect();
        embeds = Tensor::stack(&rows, 0);
    }
    Ok((embeds, kept))
}

/// Float32 on the CPU, where conditionings live.
pub(super) fn host(x: &Tensor) -> Tensor {
    x.to_device_(Device::Cpu, Kind::Float, false, false)
}

/// The number of tokens before the first end token and of vectors anywhere, which is the end token's position unless
/// the prompt itself holds an end token before a vector.
fn pooled_at(tokens: &[&Token]) -> i64 {
    let is_end = |token: &&Token| matches!(token, Token::Id(END));
    let end = tokens.iter().position(is_end).unwrap_or(tokens.len());
    let vectors_after = tokens[end..].iter().filter(|token| matches!(token, Token::Vector(_))).count();
    (end + vectors_after).min(CHUNK_LENGTH - 1) as i64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;

    /// Three layers of width 2 in which a position depends on those before it. The expected figures come from
    /// ComfyUI 0.8.0's `SDClipModel` around the same network.
    struct Toy;

    impl ClipNetwork for Toy {
        fn width(&self) -> i64 {
            2
        }

        fn layers(&self) -> usize {
            3
        }

        fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
            let tokens = tokens.to_kind(Kind::Float);
            Ok(Tensor::stack(&[&tokens / 1000.0, tokens.remainder(97) / 10.0], -1))
        }

        fn project(&self, pooled: &Tensor) -> Tensor {
            pooled * 2.0
        }

        fn forward(&self, embeds: &Tensor, layer: HiddenLayer) -> Result<(Tensor, Tensor)> {
            let HiddenLayer::Hidden { count: layer, .. } = layer else { return self.forward(embeds, hidden(3)) };
            let positions = Tensor::arange(77, (Kind::Float, embeds.device())).view([1, 77, 1]);
            let mut x = (embeds + &positions * 0.01).cumsum(1, Kind::Float) / (positions + 1);
            let mut states = Vec::new();
            for index in 0..self.layers() {
                x = x * 1.5 + index as f64;
                states.push(x.shallow_clone());
            }
            Ok((states[layer - 1].shallow_clone(), x))
        }
    }

    fn hidden(count: usize) -> HiddenLayer {
        HiddenLayer::Hidden { count, normed: true }
    }

    static PLAIN: ClipUse = ClipUse { key: "clip_l", pad: END, layer: None, norms_hidden: true, projects: false };

    /// As Stable Diffusion 1.x encodes a prompt.
    fn encode(text: &str, embeddings: &EmbeddingFiles, last_layer: Option<i64>) -> Result<Encoded> {
        let encoder = ClipEncoder::new(Rc::new(Toy), &PLAIN);
        encoder.encode(encoder.chunks(text.into(), embeddings)?, last_layer)
    }

    fn embeddings() -> (tempfile::TempDir, EmbeddingFiles) {
        let directory = tempfile::tempdir().unwrap();
        for (name, width, numbers) in
            [("two", 2, vec![1.0_f32, 2.0, 3.0, 4.0]), ("wide", 3, vec![1.0, 2.0, 3.0, 3.0, 4.0, 5.0])]
        {
            let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            let view = TensorView::new(Dtype::F32, vec![2, width], &bytes).unwrap();
            let path = directory.path().join(format!("{name}.safetensors"));
            safetensors::serialize_to_file([("a", view)], None, &path).unwrap();
        }
        let files = EmbeddingFiles::new([directory.path().to_owned()]);
        (directory, files)
    }

    fn numbers(tensor: &Tensor) -> Vec<f64> {
        tensor.to_kind(Kind::Double).flatten(0, -1).try_into().unwrap()
    }

    /// Prompt, clip skip, T, the states at positions 1 to 5 and the last, the pooled vector.
    type Case<'a> = (&'a str, Option<i64>, i64, [f64; 12], [f64; 2]);

    #[test]
    fn equals_the_reference() {
        let _guard = tch::no_grad_guard();
        let (_directory, files) = embeddings();
        let long = "x ".repeat(100) + "(y:1.3)";
        #[rustfmt::skip]
        let table: &[Case<'_>] = &[
            ("", None, 77, [170.2638, 14.8231, 170.2812, 14.8962, 170.2984, 14.9413, 170.3154, 14.975, 170.3324, 15.0031, 171.5311, 16.2531], [170.2638, 14.8231]),
            ("a (cat:1.4) (dog:-1)", None, 77, [87.4295, 13.9794, 18.8828, 15.0537, 291.4643, 10.4694, 73.3827, 18.5525, 89.5552, 17.9844, 165.2368, 16.4854], [73.3827, 18.5525]),
            ("a (cat:1.4)", Some(-1), 77, [87.4295, 13.9794, 18.8828, 15.0537, 89.1921, 15.0256, 105.4304, 15.0425, 116.2616, 15.0594, 167.3178, 16.2575], [89.1921, 15.0256]),
            ("a cat", Some(-2), 77, [56.953, 7.9863, 40.093, 8.6725, 58.1281, 8.6838, 68.9536, 8.695, 76.1744, 8.7062, 110.2119, 9.505], [89.1921, 15.0256]),
            ("a cat", Some(-3), 77, [37.302, 4.6575, 26.062, 5.115, 38.0854, 5.1225, 45.3024, 5.13, 50.1162, 5.1375, 72.8079, 5.67], [89.1921, 15.0256]),
            // Beyond the first layer: the last.
            ("a cat", Some(-4), 77, [87.4295, 13.9794, 62.1395, 15.0087, 89.1921, 15.0256, 105.4304, 15.0425, 116.2616, 15.0594, 167.3178, 16.2575], [89.1921, 15.0256]),
            ("a embedding:two (b:2)", None, 77, [87.4295, 13.9794, 60.6005, 12.7587, 48.8819, 13.8444, -90.217, 12.68, 61.7772, 14.0469, 163.0722, 16.1786], [61.7772, 14.0469]),
            // Vectors of another width are dropped, and weights then sit two positions too far right.
            ("a embedding:wide (b:2) c", None, 77, [87.4295, 13.9794, 59.8366, 13.8837, 46.0495, 13.9287, -28.4828, 13.355, 87.4998, 14.3281, 165.0766, 16.2005], [70.9163, 14.165]),
            ("a <|endoftext|> embedding:two b", None, 77, [87.4295, 13.9794, 115.0584, 14.3337, 88.0378, 13.3381, 73.1823, 14.0975, 61.7773, 14.0469, 163.0722, 16.1786], [73.1823, 14.0975]),
            (&long, Some(-2), 154, [56.9789, 10.5738, 38.5915, 11.2975, 29.4034, 11.665, 23.8951, 11.89, 20.2266, 12.0438, 75.7449, 10.8725], [10.2411, 22.1703]),
            ("(a:nan) b", None, 77, [f64::NAN, f64::NAN, 59.8366, 13.8837, 87.4649, 14.1819, 104.0487, 14.3675, 115.1101, 14.4969, 167.228, 16.2137], [87.4649, 14.1819]),
            ("(a:1e300) b", None, 77, [f64::NEG_INFINITY, f64::NEG_INFINITY, 59.8366, 13.8837, 87.4649, 14.1819, 104.0487, 14.3675, 115.1101, 14.4969, 167.228, 16.2137], [87.4649, 14.1819]),
        ];
        let same = |a: &f64, b: &f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() < 2e-4;
        for (text, skip, length, states, pooled) in table {
            let encoded = encode(text, &files, *skip).unwrap();
            assert_eq!(
                (encoded.cond.size(), encoded.pooled.as_ref().unwrap().size()),
                (vec![1, *length, 2], vec![1, 2]),
                "{text:?}"
            );
            assert_eq!((encoded.cond.kind(), encoded.pooled.as_ref().unwrap().kind()), (Kind::Float, Kind::Float));
            let chosen = encoded.cond.index_select(1, &Tensor::from_slice(&[1, 2, 3, 4, 5, length - 1]));
            let equal = numbers(&chosen).iter().zip(states).all(|(a, b)| same(a, b));
            assert!(equal, "{text:?}: {:?}, expected {states:?}", numbers(&chosen));
            let equal = numbers(encoded.pooled.as_ref().unwrap()).iter().zip(pooled).all(|(a, b)| same(a, b));
            assert!(equal, "{text:?}: {:?}, expected {pooled:?}", numbers(encoded.pooled.as_ref().unwrap()));
        }
    }

    #[test]
    fn batches_do_not_show() {
        let _guard = tch::no_grad_guard();
        let prompt = "x ".repeat(75 * (MAX_BATCH + 2)) + "(y:1.3)";
        let encoded = encode(&prompt, &EmbeddingFiles::default(), None).unwrap();
        let chunks = MAX_BATCH as i64 + 3;
        assert_eq!(encoded.cond.size(), [1, 77 * chunks, 2]);
        let alone = encode("(y:1.3)", &EmbeddingFiles::default(), None).unwrap();
        assert_eq!(encoded.cond.narrow(1, 77 * (chunks - 1), 77), alone.cond);
    }

    #[test]
    fn clip_skip_counts_from_the_end() {
        let chosen = |skip| layer(12, Some(skip), true).unwrap();
        assert_eq!([-1, -2, -12].map(chosen), [12, 11, 1].map(hidden));
        assert_eq!([-13, -24, i64::MIN].map(chosen), [HiddenLayer::Last; 3]);
        assert_eq!(layer(12, None, false).unwrap(), HiddenLayer::Last);
        assert_eq!(layer(12, Some(-1), false).unwrap(), HiddenLayer::Hidden { count: 12, normed: false });
        assert!(layer(12, Some(0), true).is_err());
    }

    #[test]
    fn a_usage_chooses_layer_padding_and_projection() {
        let _guard = tch::no_grad_guard();
        static OTHER: ClipUse = ClipUse { key: "clip_g", pad: 0, layer: Some(-2), norms_hidden: true, projects: true };
        let encoder = ClipEncoder::new(Rc::new(Toy), &OTHER);
        let files = EmbeddingFiles::default();
        let chunks = || encoder.chunks("a cat".into(), &files).unwrap();
        assert!(matches!(chunks()[0].last(), Some((Token::Id(0), _))));
        let (skipped, plain) = (encoder.encode(chunks(), None).unwrap(), encode("a cat", &files, Some(-2)).unwrap());
        // The text reaches up to its end token; what fills the chunk differs.
        assert_eq!(skipped.cond.narrow(1, 0, 4), plain.cond.narrow(1, 0, 4));
        assert_ne!(skipped.cond, plain.cond);
        assert_eq!(skipped.pooled.unwrap(), plain.pooled.unwrap() * 2.0);
    }
}
