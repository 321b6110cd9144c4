//! Vocabularies in SentencePiece's format (Kudo and Richardson 2018, arXiv:1808.06226): unigram models (Kudo 2018, arXiv:1804.10959), which
//! files of UMT5 carry with them, and byte pair encodings, as Pile-T5 has.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::files;
use tokenizers::models::unigram::Unigram;

use super::character_map::CharacterMap;
use super::merged_pairs::MergedPairs;
use super::messages::{Fields, Value};
use crate::files::gguf::Header;
use crate::files::weights::Weights;

/// The tensor of a file that holds the vocabulary's bytes.
const TENSOR: &str = "spiece_model";
/// What stands for a space in pieces.
const SPACE: char = '▁';
/// The most bytes that a vocabulary may have.
const MOST: i64 = 1 << 28;

/// A vocabulary that is ready to split texts.
pub struct SentencePieces {
    model: Model,
    ids: HashMap<String, u32>,
    /// The pieces of single bytes, for what no other has.
    bytes: HashMap<u8, u32>,
    unknown: u32,
    rules: Rules,
}

/// What splits a text.
enum Model {
    Unigram(Box<Unigram>),
    Pairs(MergedPairs),
}

/// What a file says.
struct Parsed {
    pieces: Vec<Piece>,
    rules: Rules,
    /// Whether what has no piece is written in bytes.
    falls_back: bool,
    /// Whether it is a byte pair encoding, and no unigram model.
    pairs: bool,
}

/// How a text is written before it is split.
#[derive(Default)]
struct Rules {
    map: CharacterMap,
    /// Whether a space goes in front.
    prefix: bool,
    /// Whether spaces at both ends, and further ones behind a space, are left out.
    squeezes: bool,
    /// Whether spaces become [`SPACE`].
    escapes: bool,
    /// Pieces that stay as they are.
    fixed: Vec<String>,
}

/// A row of the vocabulary.
struct Piece {
    text: String,
    score: f32,
    kind: u64,
}

/// Kinds of pieces.
const NORMAL: u64 = 1;
const UNKNOWN: u64 = 2;
const FIXED: u64 = 4;
const BYTE: u64 = 6;

impl SentencePieces {
    /// The vocabulary in a file of weights.
    ///
    /// # Errors
    /// If there is none, or it is of another kind.
    pub fn load(weights: &Weights) -> Result<Self> {
        if let Some(header) = weights.gguf() {
            let unread = || format!("the vocabulary in {} cannot be read", weights.path().display());
            return Self::told(header).with_context(unread);
        }
        // Checkpoints of several networks have it beside the encoders.
        let beside = weights.whole().at("text_encoders");
        let weights = if weights.contains(TENSOR) { weights } else { &beside };
        ensure!(
            weights.contains(TENSOR),
            "{} has no tensor {TENSOR}, which holds the encoder's vocabulary; use a file that has it",
            weights.path().display()
        );
        let shape = weights.shape(TENSOR)?;
        let size = shape.iter().product::<i64>();
        ensure!(size <= MOST, "the vocabulary in {} is larger than {MOST} bytes", weights.path().display());
        let tensor = weights.tensor_as(TENSOR, &shape, tch::Kind::Uint8)?.to_device(tch::Device::Cpu).contiguous();
        let mut bytes = vec![0; tensor.numel()];
        let count = bytes.len();
        tensor.copy_data_u8(&mut bytes, count);
        Self::of(&bytes).with_context(|| format!("the vocabulary in {} cannot be read", weights.path().display()))
    }

    /// The vocabulary of a file of its own, which is known by some of its pieces.
    ///
    /// # Errors
    /// If it cannot be read, or is another vocabulary.
    pub(crate) fn open(path: &Path, known: &[(usize, &str)]) -> Result<Self> {
        let parsed = Parsed::of(&files::read(path, MOST.unsigned_abs())?)?;
        for (id, text) in known {
            let own = parsed.pieces.get(*id).map(|piece| piece.text.as_str());
            ensure!(own == Some(*text), "its piece {id} is not {text:?}");
        }
        Self::assembled(parsed)
    }

    /// The vocabulary of these bytes.
    fn of(bytes: &[u8]) -> Result<Self> {
        Self::assembled(Parsed::of(bytes)?)
    }

    /// The vocabulary that a GGUF file has among its facts. As ComfyUI-GGUF has it, characters stay as they are written.
    fn told(header: &Header) -> Result<Self> {
        const FACTS: &str = "tokenizer.ggml.";
        let fact = |name: &str| format!("{FACTS}{name}");
        let texts = header.texts(&fact("tokens")).unwrap_or_default();
        let scores = header.numbers(&fact("scores")).unwrap_or_default();
        let kinds = header.numbers(&fact("token_type")).unwrap_or_default();
        ensure!(
            header.text(&fact("model")) == Some("t5") && texts.len() == scores.len() && texts.len() == kinds.len(),
            "its facts {FACTS}model, tokens, scores and token_type are those of another kind of vocabulary, or incomplete"
        );
        let each = texts.iter().zip(scores).zip(kinds);
        let pieces =
            each.map(|((text, score), kind)| Piece { text: text.clone(), score: *score as f32, kind: *kind as u64 });
        let is = |name: &str| header.number(&fact(name)).is_some_and(|number| number != 0.0);
        let rules = Rules {
            prefix: is("add_space_prefix"),
            squeezes: is("remove_extra_whitespaces"),
            escapes: true,
            ..Rules::default()
        };
        Self::assembled(Parsed { pieces: pieces.collect(), rules, falls_back: true, pairs: false })
    }

    fn assembled(Parsed { pieces, mut rules, falls_back, pairs }: Parsed) -> Result<Self> {
        let ids = || (0u32..).zip(&pieces);
        let unknown = ids().find(|(_, piece)| piece.kind == UNKNOWN).context("it has no piece for the unknown")?.0;
        let byte = |piece: &Piece| {
            let hexadecimal = piece.text.strip_prefix("<0x")?.strip_suffix('>')?;
            u8::from_str_radix(hexadecimal, 16).ok()
        };
        let of_bytes = ids().filter(|(_, piece)| piece.kind == BYTE && falls_back);
        let bytes = of_bytes.filter_map(|(id, piece)| Some((byte(piece)?, id))).collect();
        rules.fixed = pieces.iter().filter(|piece| piece.kind == FIXED).map(|piece| piece.text.clone()).collect();
        // Only what a text may hold is looked for in it.
        let matched = || ids().filter(|(_, piece)| matches!(piece.kind, NORMAL | FIXED) && !piece.text.is_empty());
        let normal = || matched().filter(|(_, piece)| piece.kind == NORMAL).map(|(_, piece)| f64::from(piece.score));
        ensure!(normal().next().is_some(), "it has no pieces");
        let (least, most) = (normal().fold(f64::INFINITY, f64::min), normal().fold(f64::NEG_INFINITY, f64::max));
        let score = |piece: &Piece| match piece.kind {
            FIXED => (piece.text.len() as f64 * most - 0.1).max(least),
            _ => f64::from(piece.score),
        };
        let each = matched().map(|(_, piece)| (piece.text.clone(), score(piece)));
        let model = if pairs {
            Model::Pairs(MergedPairs::new(matched().map(|(_, piece)| (piece.text.clone(), piece.score))))
        } else {
            // The unknown comes first, under a name that no written text has.
            let table = std::iter::once((" ".to_owned(), most)).chain(each).collect();
            let model = Unigram::from(table, Some(0), false).map_err(|error| anyhow::anyhow!("{error}"))?;
            Model::Unigram(Box::new(model))
        };
        Ok(Self { model, ids: matched().map(|(id, piece)| (piece.text.clone(), id)).collect(), bytes, unknown, rules })
    }

    /// The numbers of a text's tokens, without those that mark its beginning or end.
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let written = self.rules.written(text);
        let mut tokens: Vec<u32> = match &self.model {
            // It fails only for a model without a piece for the unknown.
            Model::Unigram(model) => {
                model.encode(&written).unwrap_or_default().iter().flat_map(|piece| self.tokens_of(piece)).collect()
            }
            Model::Pairs(model) => {
                model.split(&written, &self.rules.fixed).into_iter().flat_map(|piece| self.tokens_of(piece)).collect()
            }
        };
        // Neighbours that are unknown are one.
        tokens.dedup_by(|one, other| one == other && *one == self.unknown);
        tokens
    }

    fn tokens_of(&self, piece: &str) -> Vec<u32> {
        match self.ids.get(piece) {
            Some(&id) => vec![id],
            None if self.bytes.is_empty() => vec![self.unknown],
            None => piece.bytes().map(|byte| self.bytes.get(&byte).copied().unwrap_or(self.unknown)).collect(),
        }
    }
}

impl Parsed {
    fn of(bytes: &[u8]) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut rules = Rules { prefix: true, squeezes: true, escapes: true, ..Rules::default() };
        let (mut falls_back, mut pairs) = (false, false);
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(piece)) => pieces.push(Piece::of(piece)?),
                (2, Value::Bytes(trainer)) => {
                    for field in Fields(trainer) {
                        match field? {
                            (3, Value::Number(1)) => {}
                            (3, Value::Number(2)) => pairs = true,
                            (3, Value::Number(_)) => bail!("it is neither a unigram model nor a byte pair encoding"),
                            (35, Value::Number(value)) => falls_back = value != 0,
                            _ => {}
                        }
                    }
                }
                (3, Value::Bytes(normalizer)) => rules.read(normalizer)?,
                _ => {}
            }
        }
        Ok(Self { pieces, rules, falls_back, pairs })
    }
}

impl Rules {
    fn read(&mut self, message: &[u8]) -> Result<()> {
        for field in Fields(message) {
            match field? {
                (2, Value::Bytes(map)) => self.map = CharacterMap::of(map),
                (3, Value::Number(value)) => self.prefix = value != 0,
                (4, Value::Number(value)) => self.squeezes = value != 0,
                (5, Value::Number(value)) => self.escapes = value != 0,
                _ => {}
            }
        }
        Ok(())
    }

    /// The text as it is split.
    fn written(&self, text: &str) -> String {
        let space = if self.escapes { SPACE } else { ' ' };
        let mut written = String::with_capacity(text.len() + space.len_utf8());
        let mut rest = text;
        let mut behind_space = self.squeezes;
        while let Some((length, part)) = self.first(rest) {
            rest = rest.get(length..).unwrap_or_default();
            let part = if behind_space { part.trim_start_matches(' ') } else { part };
            if part.is_empty() {
                continue;
            }
            if written.is_empty() && self.prefix {
                written.push(space);
            }
            written.extend(part.chars().map(|c| if c == ' ' { space } else { c }));
            behind_space = self.squeezes && part.ends_with(' ');
        }
        if self.squeezes {
            written.truncate(written.trim_end_matches(space).len());
        }
        written
    }

    /// The first part of a text, in bytes, and what is written for it; none of an empty text.
    fn first<'a>(&'a self, text: &'a str) -> Option<(usize, &'a str)> {
        let fixed = self.fixed.iter().filter(|piece| text.starts_with(piece.as_str())).max_by_key(|piece| piece.len());
        if let Some(piece) = fixed {
            return Some((piece.len(), piece));
        }
        let next = text.chars().next()?.len_utf8();
        Some(self.map.longest(text).unwrap_or((next, text.get(..next)?)))
    }
}

impl Piece {
    fn of(message: &[u8]) -> Result<Self> {
        let mut piece = Piece { text: String::new(), score: 0.0, kind: NORMAL };
        for field in Fields(message) {
            match field? {
                (1, Value::Bytes(text)) => {
                    piece.text = String::from_utf8(text.to_vec()).context("a piece is no text")?
                }
                (2, Value::Float(score)) => piece.score = score,
                (3, Value::Number(kind)) => piece.kind = kind,
                _ => {}
            }
        }
        ensure!(piece.score.is_finite(), "the piece {:?} has no finite score", piece.text);
        Ok(piece)
    }
}

#[cfg(test)]
#[path = "sentence_pieces_tests.rs"]
mod tests;
