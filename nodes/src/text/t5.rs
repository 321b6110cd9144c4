//! From a prompt to conditioning by T5: tokens of one long chunk, weights around the empty prompt.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;
use tch::{Kind, Tensor};

use super::chunks::{Chunk, Token, groups};
use super::embeddings::EmbeddingFiles;
use super::encode::{Encoded, Fill, Prompt, TextEncoder, embedded, from_end, host, weigh};

/// The fewest tokens of a group that is cut where a text is full; smaller ones are left out whole.
const LARGE: usize = 8;

/// A T5 network.
pub trait T5Network {
    /// Width of embeddings and outputs: 4096 for XXL.
    fn width(&self) -> i64;

    /// Number of layers: 24 for XXL.
    fn layers(&self) -> usize;

    /// Token embeddings: int64 of size N to float32 of size N×W.
    fn embed(&self, tokens: &Tensor) -> Result<Tensor>;

    /// Runs the network on embeddings of size B×N×W. Gives what leaves the first so many layers, or all, after the final normalisation:
    /// float32 of size B×N×W. `present`, B×N, is 0 for tokens that no other sees.
    fn forward(&self, embeds: &Tensor, layer: Option<usize>, present: Option<&Tensor>) -> Tensor;
}

/// How a family of models uses a T5 network.
#[derive(Debug)]
pub struct T5Use {
    /// Its name in embedding files and LoRAs: `t5xxl`.
    pub key: &'static str,
    /// The least number of tokens; fewer are filled up.
    pub least: usize,
    /// The most tokens, if the rest of longer texts is left out.
    pub most: Option<usize>,
    /// The token that ends a text.
    pub end: u32,
    /// The token that fills a text up.
    pub pad: u32,
    /// What becomes of the tokens that fill a text up.
    pub filling: Filling,
    /// Whether the empty text, from which weights count, has its end token, and is not of those alone that fill a text up.
    pub empty_ends: bool,
}

/// What becomes of the tokens that fill a text up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// All tokens see them.
    Seen,
    /// No token sees them.
    Hidden,
    /// No token sees them, and the network is told which they are.
    Told,
    /// No token sees them, and their states are zeros.
    Zeros,
}

/// Splits a text into the numbers of its tokens.
pub type Tokenize = dyn Fn(&str) -> Vec<u32>;

/// A T5 network as a family uses it.
pub struct T5Encoder<N> {
    /// The network.
    pub network: Rc<N>,
    /// How it is used.
    pub usage: &'static T5Use,
    /// The numbers of a text's tokens.
    pub tokenize: Rc<Tokenize>,
}

impl<N: T5Network> TextEncoder for T5Encoder<N> {
    fn key(&self) -> &'static str {
        self.usage.key
    }

    fn chunks(&self, prompt: Prompt, embeddings: &EmbeddingFiles) -> Result<Vec<Chunk>> {
        let width = self.network.width();
        let T5Use { end, pad, most, .. } = *self.usage;
        let groups = groups(prompt.text, embeddings, self.usage.key, width, &*self.tokenize)?;
        let (mut chunk, whole) = beginning(groups, most.map_or(usize::MAX, |most| most.saturating_sub(1)));
        chunk.push((Token::Id(end), 1.0));
        if !whole {
            return Ok(vec![chunk]);
        }
        let fill = prompt.fill.unwrap_or(Fill { more: 0, least: self.usage.least });
        let length = chunk.len().saturating_add(fill.more).max(fill.least);
        chunk.resize(length, (Token::Id(pad), 1.0));
        Ok(vec![chunk])
    }

    fn is_chunked(&self) -> bool {
        false
    }

    fn encode(&self, chunks: Vec<Chunk>, last_layer: Option<i64>) -> Result<Encoded> {
        let network = &*self.network;
        let T5Use { end, pad, .. } = *self.usage;
        let layer = from_end(network.layers(), last_layer)?;
        let embed = |tokens: &Tensor| network.embed(tokens);
        let longest = chunks.iter().map(Vec::len).max().unwrap_or(0);
        let empty = |length: usize| -> Chunk {
            let id = |at: usize| if at == 0 && self.usage.empty_ends { end } else { pad };
            (0..length).map(|at| (Token::Id(id(at)), 1.0)).collect()
        };
        let masks = RefCell::new(Vec::new());
        let run = |batch: &[&Chunk]| -> Result<Tensor> {
            let inputs = batch.iter().map(|chunk| embedded(chunk, network.width(), pad, &embed));
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            let embeds = Tensor::stack(&inputs.iter().map(|(embeds, _)| embeds).collect::<Vec<_>>(), 0);
            if self.usage.filling == Filling::Seen {
                return Ok(host(&network.forward(&embeds, layer, None)));
            }
            let length = embeds.size()[1];
            let present: Vec<Tensor> = inputs.iter().map(|(_, kept)| present(kept, length, end)).collect();
            let present = Tensor::stack(&present, 0);
            let states = host(&network.forward(&embeds, layer, Some(&present.to_device(embeds.device()))));
            match self.usage.filling {
                Filling::Zeros => return Ok(states * present.unsqueeze(-1)),
                Filling::Told => masks.borrow_mut().push(present.narrow(0, 0, 1).to_kind(Kind::Int64)),
                Filling::Hidden | Filling::Seen => {}
            }
            Ok(states)
        };
        // Of a text that is left out, its end token stays.
        let nothing = [vec![(Token::Id(end), 1.0)]];
        let chunks = if chunks.is_empty() { nothing.to_vec() } else { chunks };
        let weighted = chunks.iter().flatten().any(|(_, weight)| *weight != 1.0);
        let mut rows = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            if !weighted {
                rows.push(run(&[chunk])?.squeeze_dim(0));
                continue;
            }
            // Beside the empty text in one batch, as in the reference: the shape decides how products are rounded.
            let states = run(&[chunk, &empty(longest)])?;
            rows.push(weigh(&states.get(0), &states.get(1), chunk));
        }
        let masks = masks.into_inner();
        let mask = (!masks.is_empty()).then(|| Tensor::cat(&masks, 1));
        Ok(Encoded { mask, ..Encoded::of(Tensor::cat(&rows, 0).unsqueeze(0)) })
    }
}

/// The first `most` tokens of a text, and whether these are all. A group that does not fit is cut, if it is large.
fn beginning(groups: Vec<Chunk>, most: usize) -> (Chunk, bool) {
    let mut chunk = Chunk::new();
    for group in groups {
        let room = most - chunk.len();
        if group.len() > room {
            let cut = if group.len() >= LARGE { room } else { 0 };
            chunk.extend(group.into_iter().take(cut));
            return (chunk, false);
        }
        chunk.extend(group);
    }
    (chunk, true)
}

/// 1 for each of `length` tokens up to the first that ends the text, and for vectors of embeddings; else 0. Float32.
fn present(kept: &[&Token], length: i64, end: u32) -> Tensor {
    let end = kept.iter().position(|token| matches!(token, Token::Id(id) if *id == end)).unwrap_or(kept.len());
    let one = |(at, token): (usize, &&Token)| at <= end || matches!(token, Token::Vector(_));
    let mut row: Vec<f32> = kept.iter().enumerate().map(|pair| f32::from(u8::from(one(pair)))).collect();
    row.resize(usize::try_from(length).unwrap_or(row.len()), 0.0);
    Tensor::from_slice(&row)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By ComfyUI 0.8.0's `SDTokenizer`, worked out by hand.
    #[test]
    fn what_does_not_fit_is_left_out_group_by_group() {
        let group = |count: usize| -> Chunk { vec![(Token::Id(7), 1.0); count] };
        let length = |groups: &[usize], most| {
            let (chunk, whole) = beginning(groups.iter().map(|count| group(*count)).collect(), most);
            (chunk.len(), whole)
        };
        assert_eq!(length(&[100, 27], 127), (127, true));
        assert_eq!(length(&[100, 28], 127), (127, false));
        assert_eq!(length(&[123, 7, 1], 127), (123, false));
        assert_eq!(length(&[300], usize::MAX), (300, true));
        assert_eq!(length(&[], 127), (0, true));
    }
}
