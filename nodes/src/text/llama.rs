//! From a prompt to conditioning by Llama 3: the prompt within a template, weights around the empty text.

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::Tensor;

use super::chunks::{Chunk, Token, groups};
use super::embeddings::EmbeddingFiles;
use super::encode::{Encoded, Prompt, SeenPictures, TextEncoder, embedded, from_end, host, weigh};
use super::language::{Input, LanguageModel};
use super::vocabularies::Vocabulary;

/// The token that begins a text.
const START: u32 = 128_000;
/// What stands in front of what a user says: a mark, `user`, another mark, and an empty line.
const USER: [u32; 4] = [128_006, 882, 128_007, 271];
/// What ends what a user says.
const TURN: u32 = 128_009;
/// The mark in whose place a picture stands.
const PICTURE: u32 = 128_257;

/// How a family of models uses Llama 3.
#[derive(Debug)]
pub struct LlamaUse {
    /// What goes before and behind a prompt; without it, nothing does.
    pub template: Option<(&'static str, &'static str)>,
    /// The token of nothing, with which a text is filled up. It and those behind it are seen by no other.
    pub pad: u32,
    /// The least number of tokens; fewer are filled up.
    pub least: usize,
    /// What is taken of its states.
    pub states: States,
}

/// What is taken of a language model's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum States {
    /// Those of pictures and of what the user says, behind a layer that is counted from the end: 1×T×W.
    Said(i64),
    /// All of them, behind each layer, the last one's after the final normalisation: 1×L×T×W.
    OfLayers,
}

/// Llama 3 as a family uses it.
pub struct LlamaEncoder<N> {
    /// The network.
    pub network: Rc<N>,
    /// How it is used.
    pub usage: &'static LlamaUse,
    pub(crate) vocabulary: Rc<Vocabulary>,
    /// Width of embeddings and states: 4096.
    pub width: i64,
}

impl<N: LanguageModel> TextEncoder for LlamaEncoder<N> {
    fn key(&self) -> &'static str {
        "llama"
    }

    fn chunks(&self, prompt: Prompt, embeddings: &EmbeddingFiles) -> Result<Vec<Chunk>> {
        let template = self.usage.template.map(|own| prompt.template.unwrap_or(own));
        let (before, behind) = template.unwrap_or_default();
        let text = format!("{before}{}{behind}", prompt.text);
        let mut chunk = vec![(Token::Id(START), 1.0)];
        chunk.extend(groups(&text, embeddings, self.key(), self.width, &|text| self.vocabulary.tokens(text))?.concat());
        chunk.resize(chunk.len().max(self.usage.least), (Token::Id(self.usage.pad), 1.0));
        if let (Some(seen), States::Said(_)) = (prompt.seen, self.usage.states) {
            self.show(seen, &mut chunk)?;
        }
        Ok(vec![chunk])
    }

    fn is_chunked(&self) -> bool {
        false
    }

    fn encode(&self, chunks: Vec<Chunk>, last_layer: Option<i64>) -> Result<Encoded> {
        let mut rows = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            rows.push(match self.usage.states {
                States::Said(layer) => self.said(chunk, last_layer.unwrap_or(layer))?,
                States::OfLayers => self.of_layers(chunk)?,
            });
        }
        Ok(Encoded::of(Tensor::cat(&rows, -2).unsqueeze(0)))
    }
}

impl<N: LanguageModel> LlamaEncoder<N> {
    /// Puts pictures in the places of the marks for them, as far as there are any.
    fn show(&self, seen: SeenPictures, chunk: &mut Chunk) -> Result<()> {
        let width = seen.tokens.size().last().copied().unwrap_or(0);
        ensure!(
            width == self.width && seen.tokens.dim() == 3,
            "the image encoder made tokens of width {width} of the picture, and the text encoder's are {} wide: use the image encoder that \
             was trained with it (llava_llama3_vision.safetensors)",
            self.width
        );
        let marks = chunk.iter_mut().filter(|(token, _)| matches!(token, Token::Id(PICTURE)));
        for ((token, _), at) in marks.zip(0..seen.tokens.size()[0]) {
            *token = Token::Seen { tokens: seen.tokens.get(at), every: seen.every };
        }
        Ok(())
    }

    /// What the network is to read for a chunk, and beside it for the empty text if tokens have weights: the shape decides how products are
    /// rounded.
    fn input(&self, chunk: &Chunk, weighted: bool) -> Result<Input> {
        let pad = self.usage.pad;
        let empty: Chunk = (0..chunk.len()).map(|at| (Token::Id(if at == 0 { START } else { pad }), 1.0)).collect();
        let batch: Vec<&Chunk> = if weighted { vec![chunk, &empty] } else { vec![chunk] };
        let (mut embeds, mut present) = (Vec::new(), Vec::new());
        for chunk in batch {
            let (states, kept) = embedded(chunk, self.width, pad, &|tokens| self.network.embed(tokens))?;
            let is_pad = |token: &&Token| matches!(token, Token::Id(id) if *id == pad);
            let seen = kept.iter().position(is_pad).unwrap_or(kept.len());
            let row: Vec<f32> = (0..chunk.len()).map(|at| f32::from(u8::from(at < seen))).collect();
            embeds.push(states);
            present.push(Tensor::from_slice(&row));
        }
        let (embeds, present) = (Tensor::stack(&embeds, 0), Some(Tensor::stack(&present, 0)));
        Ok(Input { embeds, pictures: Vec::new(), present })
    }

    /// The states of pictures and of what the user says behind a layer, T×W.
    fn said(&self, chunk: &Chunk, layer: i64) -> Result<Tensor> {
        let layer = from_end(self.network.layers(), Some(layer))?;
        let spread = spread(chunk);
        let weighted = chunk.iter().any(|(_, weight)| *weight != 1.0);
        ensure!(
            !weighted || spread.len() == chunk.len(),
            "the prompt has a picture and words with a weight, such as (word:1.2), which do not go together: leave the weights out"
        );
        let states = host(&self.network.forward(&self.input(&spread, weighted)?, layer, false));
        let row = if weighted { weigh(&states.get(0), &states.get(1), chunk) } else { states.get(0) };
        let Kept { pictures, said: (start, end) } = kept(chunk);
        let mut parts: Vec<Tensor> =
            pictures.iter().map(|(from, to, every)| row.slice(0, *from, *to, *every)).collect();
        parts.push(row.narrow(0, start, end - start));
        Ok(Tensor::cat(&parts, 0))
    }

    /// The states behind each layer, L×T×W.
    fn of_layers(&self, chunk: &Chunk) -> Result<Tensor> {
        let weighted = chunk.iter().any(|(_, weight)| *weight != 1.0);
        let states = host(&self.network.all_layers(&self.input(chunk, weighted)?)?);
        let (row, count) = (states.get(0), states.size()[1]);
        let row = match weighted {
            // In the reference a token's weight counts for the layer of its number.
            true => weigh(&row.flatten(1, 2), &states.get(1).flatten(1, 2), &of_layers(chunk, count)).view_as(&row),
            false => row,
        };
        // Without the embeddings.
        Ok(row.narrow(0, 1, count - 1))
    }
}

/// The first `count` tokens of a chunk, filled up with tokens of weight 1.
fn of_layers(chunk: &Chunk, count: i64) -> Chunk {
    let mut first = chunk.clone();
    first.resize(usize::try_from(count).unwrap_or(0), (Token::Id(START), 1.0));
    first
}

/// A chunk with a place for each token of a picture.
fn spread(chunk: &Chunk) -> Chunk {
    let places = |(token, weight): &(Token, f64)| -> Chunk {
        match token {
            Token::Seen { tokens, .. } => {
                (0..tokens.size()[0]).map(|at| (Token::Vector(tokens.get(at)), 1.0)).collect()
            }
            other => vec![(other.clone(), *weight)],
        }
    };
    chunk.iter().flat_map(places).collect()
}

/// Which of a chunk's states are kept, counted with a place for each token of a picture.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    /// Beginning and end of each picture that stands before the user's words, and how many of its states one is kept of.
    pictures: Vec<(i64, i64, i64)>,
    /// What the user says, with the mark that ends it; all if there is no user.
    said: (i64, i64),
}

fn kept(chunk: &Chunk) -> Kept {
    let is = |at: usize, id: u32| matches!(chunk.get(at), Some((Token::Id(found), _)) if *found == id);
    let (mut start, mut end) = (0, None);
    // Places that pictures take beyond one each: before the user's words, and among them.
    let (mut before, mut among) = (0, 0);
    let mut pictures = Vec::new();
    for at in 0..chunk.len() {
        if (0..3).all(|further| is(at + further, USER[further])) {
            (start, end) = (at + 2, None);
        }
        if start > 0 && end.is_none() && is(at, TURN) {
            end = Some(at + 1);
        }
        if let Some((Token::Seen { tokens, every }, _)) = chunk.get(at) {
            let places = tokens.size()[0];
            if start == 0 {
                let from = at as i64 + before;
                pictures.push((from, from + places, *every));
                before += places - 1;
            } else if end.is_none() {
                among += places - 1;
            }
        }
    }
    if chunk.len() > start + 2 && is(start + 1, USER[3]) {
        start += 2;
    }
    let (start, end) = (start as i64, end.unwrap_or(chunk.len()).max(start) as i64);
    Kept { pictures, said: (start + before, end + before + among) }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn what_the_user_says_is_kept() {
        let chunk = |ids: &[u32]| -> Chunk { ids.iter().map(|&id| (Token::Id(id), 1.0)).collect() };
        let said = |ids: &[u32]| kept(&chunk(ids)).said;
        let user = [128_006, 882, 128_007, 271];
        assert_eq!(said(&[START, 5, TURN, user[0], user[1], user[2], user[3], 8, 9, TURN]), (7, 10));
        assert_eq!(said(&[START, 5, TURN, user[0], user[1], user[2], user[3], 8, TURN, 9, TURN]), (7, 9));
        assert_eq!(said(&[START, 5, 6]), (0, 3));
    }

    /// By ComfyUI 0.8.0's rule, worked out by hand.
    #[test]
    fn pictures_are_kept_and_move_what_stands_behind_them() {
        let chunk = |ids: &[u32]| -> Chunk {
            let token = |id: u32| match id {
                PICTURE => Token::Seen { tokens: Tensor::zeros([5, 1], (Kind::Float, Device::Cpu)), every: 2 },
                id => Token::Id(id),
            };
            ids.iter().map(|&id| (token(id), 1.0)).collect()
        };
        let user = [128_006, 882, 128_007, 271];
        let of = |ids: &[u32]| kept(&chunk(&[&[START, 5, PICTURE, TURN], &user[..], ids].concat()));
        assert_eq!(of(&[8, TURN, 9]), Kept { pictures: vec![(2, 7, 2)], said: (12, 14) });
        assert_eq!(of(&[8, PICTURE, TURN, PICTURE]), Kept { pictures: vec![(2, 7, 2)], said: (12, 19) });
        assert_eq!(spread(&chunk(&[START, PICTURE, 7])).len(), 7);
    }
}
