//! From a prompt to conditioning by a language model: the prompt within a template, as one chunk. Weights are text to it.

use std::rc::Rc;

use anyhow::Result;
use tch::Tensor;

use super::chunks::{Chunk, Token};
use super::embeddings::EmbeddingFiles;
use super::encode::{Encoded, TextEncoder, embedded, from_end, host};
use super::vocabularies;

/// Qwen's token of nothing, in place of an empty text.
const PAD: u32 = 151_643;

/// A language model.
pub trait LanguageModel {
    /// Width of embeddings and outputs: 2560 for Qwen 3 4B.
    fn width(&self) -> i64;

    /// Number of layers: 36 for Qwen 3 4B.
    fn layers(&self) -> usize;

    /// Token embeddings: int64 of size N to float32 of size N×W.
    fn embed(&self, tokens: &Tensor) -> Result<Tensor>;

    /// Runs the model on embeddings of size B×N×W. Gives what leaves the first so many layers, after the final normalisation if it is to be
    /// `normed`, or what leaves all after it: float32 of size B×N×W.
    fn forward(&self, embeds: &Tensor, layer: Option<usize>, normed: bool) -> Tensor;
}

/// How a family of models uses a language model.
#[derive(Debug)]
pub struct LanguageUse {
    /// Its name in embedding files and LoRAs: `qwen3_4b`.
    pub key: &'static str,
    /// What goes before and behind a prompt.
    pub template: (&'static str, &'static str),
    /// The layer whose output is taken, counted from the end; without one, the last.
    pub layer: Option<i64>,
    /// Whether a hidden layer's output goes through the final normalisation.
    pub norms_hidden: bool,
    /// The part of the tokens' states that is left: how many are dropped at the beginning.
    pub dropped: fn(&[u32]) -> usize,
}

/// A language model as a family uses it.
pub struct LanguageEncoder<N> {
    /// The network.
    pub network: Rc<N>,
    /// How it is used.
    pub usage: &'static LanguageUse,
}

impl<N: LanguageModel> TextEncoder for LanguageEncoder<N> {
    fn key(&self) -> &'static str {
        self.usage.key
    }

    fn chunks(&self, prompt: &str, _: &EmbeddingFiles) -> Result<Vec<Chunk>> {
        let (before, behind) = self.usage.template;
        let text =
            if prompt.starts_with("<|im_start|>") { prompt.to_owned() } else { format!("{before}{prompt}{behind}") };
        let mut tokens = vocabularies::qwen2()?.tokens(&text);
        if tokens.is_empty() {
            tokens.push(PAD);
        }
        Ok(vec![tokens.into_iter().map(|id| (Token::Id(id), 1.0)).collect()])
    }

    fn is_chunked(&self) -> bool {
        false
    }

    fn encode(&self, chunks: Vec<Chunk>, last_layer: Option<i64>) -> Result<Encoded> {
        let network = &*self.network;
        let layer = from_end(network.layers(), last_layer.or(self.usage.layer))?;
        let mut rows = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            let (embeds, kept) = embedded(chunk, network.width(), PAD, &|tokens| network.embed(tokens))?;
            let states = host(&network.forward(&embeds.unsqueeze(0), layer, self.usage.norms_hidden));
            let ids: Vec<u32> = kept.iter().map(|token| if let Token::Id(id) = token { *id } else { PAD }).collect();
            let dropped = (self.usage.dropped)(&ids).min(ids.len()) as i64;
            rows.push(states.narrow(1, dropped, states.size()[1] - dropped));
        }
        Ok(Encoded { cond: Tensor::cat(&rows, 1), pooled: None })
    }
}
