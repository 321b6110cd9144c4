//! From a prompt to CLIP's chunks of 77 places: tokens and embedding vectors, each with its weight.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tch::Tensor;
use tracing::debug;

use super::clip_vocabulary::{END, START};
use super::embeddings::EmbeddingFiles;
use super::prompt_weights::{Segment, parse_weights};
use super::tokenizer::tokenize;

/// How many places a chunk of CLIP's has.
pub const CHUNK_LENGTH: usize = 77;
/// Places before a chunk's end token.
const FULL: usize = CHUNK_LENGTH - 1;
/// A group of at least this many places is cut where a chunk is full; a smaller one moves to the next chunk whole.
const LARGE: usize = 8;
const REFERENCE: &str = "embedding:";

/// What stands at one place of a chunk.
#[derive(Debug)]
pub enum Token {
    /// A number of the vocabulary.
    Id(u32),
    /// A vector of any width and element type, from an embedding file.
    Vector(Tensor),
    /// A picture, B×H×W×C, which becomes many places.
    Picture(Tensor),
    /// What an image encoder saw in a picture, N×W: many places, of whose states one of `every` is kept.
    Seen { tokens: Tensor, every: i64 },
}

impl Clone for Token {
    fn clone(&self) -> Token {
        match self {
            Token::Id(id) => Token::Id(*id),
            Token::Vector(vector) => Token::Vector(vector.shallow_clone()),
            Token::Picture(picture) => Token::Picture(picture.shallow_clone()),
            Token::Seen { tokens, every } => Token::Seen { tokens: tokens.shallow_clone(), every: *every },
        }
    }
}

/// The places that a text encoder sees at once, with their weights. CLIP: 77, start and end token included.
pub type Chunk = Vec<(Token, f64)>;

/// How a CLIP text encoder wants its chunks.
#[derive(Debug, Clone, Copy)]
pub struct Chunking<'a> {
    /// Where `embedding:NAME` is looked up.
    pub embeddings: &'a EmbeddingFiles,
    /// The name of the encoder in embedding files for several: `clip_l`.
    pub key: &'a str,
    /// The encoder's width; it chooses among the tensors of some embedding files.
    pub width: i64,
    /// The token behind a chunk's end token.
    pub pad: u32,
}

/// Splits a prompt into chunks; at least one, as the empty prompt has one too. Nothing is truncated.
///
/// # Errors
/// `embedding:` without a name.
pub fn chunks(prompt: &str, chunking: &Chunking) -> Result<Vec<Chunk>> {
    let mut filler = Filler::new(chunking.pad);
    for group in groups(prompt, chunking.embeddings, chunking.key, chunking.width, &tokenize)? {
        filler.add(group);
    }
    Ok(filler.finish())
}

/// A prompt as groups of tokens that belong together, each with its weight: those of a text between weights and embeddings, and the vectors
/// of an embedding. `key` is the encoder's name in embedding files, `width` its width, `tokenize` its vocabulary.
///
/// # Errors
/// `embedding:` without a name.
pub(super) fn groups(
    prompt: &str,
    embeddings: &EmbeddingFiles,
    key: &str,
    width: i64,
    tokenize: &dyn Fn(&str) -> Vec<u32>,
) -> Result<Vec<Chunk>> {
    let mut groups = Vec::new();
    let mut loaded = Loaded { embeddings, key, width, vectors: HashMap::new() };
    for Segment { text, weight } in parse_weights(prompt) {
        for piece in pieces(&text) {
            let text = match reference(piece, embeddings)? {
                None => piece.to_owned(),
                Some(reference) => {
                    let (vectors, rest) = loaded.resolve(&reference);
                    match vectors {
                        Some(vectors) => groups.push(rows(vectors).into_iter().map(|row| (row, weight)).collect()),
                        // Whoever encodes a prompt tells what is missing.
                        None => debug!("embedding:{} is left out", reference.text),
                    }
                    rest
                }
            };
            groups.push(tokenize(&text).into_iter().map(|id| (Token::Id(id), weight)).collect());
        }
    }
    Ok(groups)
}

/// The chunk of an empty prompt.
pub(crate) fn empty_chunk(pad: u32) -> Chunk {
    Filler::new(pad).finish().remove(0)
}

/// The files that a prompt's `embedding:` references stand for, in order, each once: what its encoding depends on.
///
/// # Errors
/// `embedding:` without a name.
pub fn referenced_embeddings(prompt: &str, embeddings: &EmbeddingFiles) -> Result<Vec<PathBuf>> {
    let mut files = indexmap::IndexSet::new();
    for segment in parse_weights(prompt) {
        for piece in pieces(&segment.text) {
            if let Some(reference) = reference(piece, embeddings)? {
                // Both spellings: which one is taken also depends on whether the first can be read.
                files.extend(embeddings.find(reference.name));
                files.extend(reference.stripped().and_then(|(stripped, _)| embeddings.find(stripped)));
            }
        }
    }
    Ok(files.into_iter().collect())
}

/// The names that a prompt's `embedding:` references mention and that stand for no file, each once.
pub fn missing_embeddings(prompt: &str, embeddings: &EmbeddingFiles) -> Vec<String> {
    let mut missing = indexmap::IndexSet::new();
    for segment in parse_weights(prompt) {
        for piece in pieces(&segment.text) {
            if let Ok(Some(reference)) = reference(piece, embeddings) {
                let stripped = reference.stripped().map_or(reference.name, |(stripped, _)| stripped);
                if embeddings.find(reference.name).is_none() && embeddings.find(stripped).is_none() {
                    missing.insert(stripped.to_owned());
                }
            }
        }
    }
    missing.into_iter().collect()
}

/// Splits a segment before each `embedding:` that follows a space or a line break; empty pieces are left out.
pub(super) fn pieces(segment: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, _) in segment.match_indices(REFERENCE) {
        // The separator belongs to neither piece, and may not be part of the text before `start`.
        let separated = at > start && matches!(segment.as_bytes()[at - 1], b' ' | b'\n');
        if separated {
            pieces.push(&segment[start..at - 1]);
            start = at;
        }
    }
    pieces.push(&segment[start..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// A piece that refers to an embedding, taken apart.
struct Reference<'a> {
    /// Everything after `embedding:`, for messages.
    text: &'a str,
    name: &'a str,
    /// The words after the name.
    rest: String,
}

impl<'a> Reference<'a> {
    /// The name without commas at its ends, and how many characters of the name are text then: its last ones.
    fn stripped(&self) -> Option<(&'a str, &'a str)> {
        let stripped = self.name.trim_matches(',');
        let kept = stripped.chars().count();
        let tail = self.name.char_indices().nth(kept).map(|(at, _)| &self.name[at..])?;
        Some((stripped, tail))
    }
}

/// `None` if the piece is ordinary text.
fn reference<'a>(piece: &'a str, embeddings: &EmbeddingFiles) -> Result<Option<Reference<'a>>> {
    let Some(text) = piece.strip_prefix(REFERENCE).filter(|_| embeddings.is_configured()) else { return Ok(None) };
    let text = text.trim_matches('\n');
    // Python's white space also holds the four separators of ASCII.
    let mut words =
        text.split(|c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')).filter(|word| !word.is_empty());
    let name = words.next().context("`embedding:` without a name in the prompt: write embedding:name, or remove it")?;
    Ok(Some(Reference { text, name, rest: words.collect::<Vec<_>>().join(" ") }))
}

/// Embeddings that the prompt has referred to so far.
struct Loaded<'a> {
    embeddings: &'a EmbeddingFiles,
    key: &'a str,
    width: i64,
    vectors: HashMap<String, Option<Tensor>>,
}

impl Loaded<'_> {
    /// The vectors that a reference stands for, if there are any, and the text that follows it.
    fn resolve(&mut self, reference: &Reference<'_>) -> (Option<&Tensor>, String) {
        if self.load(reference.name) {
            return (self.get(reference.name), reference.rest.clone());
        }
        match reference.stripped() {
            Some((stripped, tail)) => {
                self.load(stripped);
                (self.get(stripped), format!("{tail} {}", reference.rest))
            }
            None => (None, reference.rest.clone()),
        }
    }

    fn load(&mut self, name: &str) -> bool {
        let load = || self.embeddings.load(name, self.width, self.key);
        self.vectors.entry(name.to_owned()).or_insert_with(load).is_some()
    }

    fn get(&self, name: &str) -> Option<&Tensor> {
        self.vectors.get(name).and_then(Option::as_ref)
    }
}

/// One token for each vector of a 1-D or 2-D tensor.
fn rows(vectors: &Tensor) -> Vec<Token> {
    if vectors.dim() == 1 {
        return vec![Token::Vector(vectors.shallow_clone())];
    }
    (0..vectors.size()[0]).map(|index| Token::Vector(vectors.get(index))).collect()
}

fn start() -> Chunk {
    vec![(Token::Id(START), 1.0)]
}

/// Fills chunk after chunk with groups of tokens.
struct Filler {
    pad: u32,
    done: Vec<Chunk>,
    chunk: Chunk,
}

impl Filler {
    fn new(pad: u32) -> Self {
        Self { pad, done: Vec::new(), chunk: start() }
    }

    fn add(&mut self, group: Chunk) {
        let large = group.len() >= LARGE;
        let mut group = group.into_iter();
        while group.len() > 0 {
            let room = FULL - self.chunk.len();
            if group.len() <= room {
                self.chunk.extend(group);
                return;
            }
            if large {
                self.chunk.extend(group.by_ref().take(room));
            }
            self.close();
        }
    }

    /// Ends the chunk, pads it, and begins the next.
    fn close(&mut self) {
        let mut chunk = std::mem::replace(&mut self.chunk, start());
        chunk.push((Token::Id(END), 1.0));
        chunk.resize(CHUNK_LENGTH, (Token::Id(self.pad), 1.0));
        self.done.push(chunk);
    }

    fn finish(mut self) -> Vec<Chunk> {
        self.close();
        self.done
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;

    /// A directory with an embedding `foo` of three vectors and `sub/baz` of one; the vectors begin with 1, 2, ...
    fn embeddings() -> (tempfile::TempDir, EmbeddingFiles) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("sub")).unwrap();
        for (name, shape) in [("foo", vec![3, 2]), ("sub/baz", vec![2])] {
            let numbers = [1.0_f32, 0.0, 2.0, 0.0, 3.0, 0.0];
            let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
            let length = shape.iter().product::<usize>() * 4;
            let view = TensorView::new(Dtype::F32, shape, &bytes[..length]).unwrap();
            let path = directory.path().join(format!("{name}.safetensors"));
            safetensors::serialize_to_file([("emb_params", view)], None, &path).unwrap();
        }
        let files = EmbeddingFiles::new([directory.path().to_owned()]);
        (directory, files)
    }

    fn split(prompt: &str, embeddings: &EmbeddingFiles) -> Result<Vec<Chunk>> {
        chunks(prompt, &Chunking { embeddings, key: "clip_l", width: 2, pad: END })
    }

    /// Tokens as they are, vectors as minus their first number, weights that are not 1 in thousandths; without padding.
    fn shown(chunk: &Chunk) -> Vec<(i64, i64)> {
        let shown = |(token, weight): &(Token, f64)| {
            let token = match token {
                Token::Id(id) => i64::from(*id),
                Token::Vector(vector) => -(vector.double_value(&[0]) as i64),
                Token::Picture(_) | Token::Seen { .. } => panic!("CLIP sees no pictures"),
            };
            (token, (weight * 1000.0).round() as i64)
        };
        assert_eq!(chunk.len(), CHUNK_LENGTH);
        let mut entries: Vec<_> = chunk.iter().map(shown).collect();
        assert_eq!(entries.remove(0), (i64::from(START), 1000));
        let padding = entries.iter().rev().take_while(|entry| **entry == (i64::from(END), 1000)).count();
        assert!(padding > 0);
        entries.truncate(entries.len() - padding);
        entries
    }

    fn content(prompt: &str, files: &EmbeddingFiles) -> Vec<i64> {
        let chunks = split(prompt, files).unwrap();
        assert_eq!(chunks.len(), 1, "{prompt:?}");
        shown(&chunks[0]).into_iter().map(|(entry, _)| entry).collect()
    }

    /// From the specification, and with ComfyUI 0.8.0's tokenizer.
    #[test]
    fn embeddings_equal_the_reference() {
        let (_directory, files) = embeddings();
        let table: &[(&str, &[i64])] = &[
            ("a embedding:foo b", &[320, -1, -2, -3, 321]),
            ("a embedding:foo, b", &[320, -1, -2, -3, 267, 321]),
            ("a embedding:foo,b", &[320]),
            ("embedding:nope x", &[343]),
            ("embedding: foo", &[-1, -2, -3]),
            ("x\nembedding:foo\ny", &[343, -1, -2, -3, 344]),
            ("a embedding:baz embedding:sub/baz", &[320, -1, -1]),
            // After a comma without a space it is text.
            ("a,embedding:foo", &[320, 267, 19703, 796, 281, 23435]),
            // Commas in front count as cut off the end.
            ("embedding:,foo", &[-1, -2, -3, 334]),
            ("embedding:nope, b", &[267, 321]),
        ];
        for (prompt, tokens) in table {
            assert_eq!(content(prompt, &files), *tokens, "{prompt:?}");
        }
        let weighted = split("(embedding:foo:1.2)", &files).unwrap();
        assert_eq!(shown(&weighted[0]), [(-1, 1200), (-2, 1200), (-3, 1200)]);
        let error = split("a embedding:", &files).unwrap_err().to_string();
        assert_eq!(error, "`embedding:` without a name in the prompt: write embedding:name, or remove it");
        // Without a directory there are no references.
        assert_eq!(content("embedding:foo", &EmbeddingFiles::default()), [19703, 796, 281, 23435]);
    }

    #[test]
    fn references_name_their_files() {
        let (directory, files) = embeddings();
        let root = directory.path().canonicalize().unwrap();
        let found =
            referenced_embeddings("(a embedding:baz, (embedding:foo:1.2)) embedding:foo embedding:nope", &files);
        assert_eq!(found.unwrap(), [root.join("sub/baz.safetensors"), root.join("foo.safetensors")]);
    }

    /// Lengths of the chunks' contents. Figures from ComfyUI 0.8.0's tokenizer.
    #[test]
    fn chunks_equal_the_reference() {
        let (_directory, files) = embeddings();
        let words = |count: usize| "x ".repeat(count);
        let table = [
            (String::new(), vec![0]),
            (words(75), vec![75]),
            (words(76), vec![75, 1]),
            (words(82), vec![75, 7]),
            (words(151), vec![75, 75, 1]),
            (words(74) + "(dog bird fish:1.2)", vec![74, 3]),
            (words(72) + "(dog bird fish:1.2)", vec![75]),
            (words(70) + "(a b c d e f g h i:1.2) z", vec![75, 5]),
            (words(75) + "(a b c d e f g h i:1.2) z", vec![75, 10]),
            (words(73) + "embedding:foo end", vec![73, 4]),
        ];
        for (prompt, lengths) in table {
            let chunks = split(&prompt, &files).unwrap();
            assert_eq!(chunks.iter().map(|chunk| shown(chunk).len()).collect::<Vec<_>>(), lengths, "{prompt:?}");
        }
    }

    #[test]
    fn an_end_token_in_the_text_stays_where_it_is() {
        let prompt = "a <|endoftext|> b";
        assert_eq!(content(prompt, &EmbeddingFiles::default()), [320, i64::from(END), 321]);
    }
}
