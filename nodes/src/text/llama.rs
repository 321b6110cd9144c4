//! From a prompt to conditioning by Llama 3 as HunyuanVideo uses it: the prompt within a template, weights around the empty text.

use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;
use redraft_engine::error::Unsupported;
use redraft_engine::folders::FolderPaths;
use tch::Tensor;

use super::chunks::{Chunk, Token, groups};
use super::embeddings::EmbeddingFiles;
use super::encode::{Encoded, Prompt, TextEncoder, embedded, from_end, host, weigh};
use super::language::{Input, LanguageModel};
use super::vocabularies::Vocabulary;

/// The token that begins a text.
const START: u32 = 128_000;
/// The token of nothing.
const PAD: u32 = 128_258;
/// What stands in front of what a user says: a mark, `user`, another mark, and an empty line.
const USER: [u32; 4] = [128_006, 882, 128_007, 271];
/// What ends what a user says.
const TURN: u32 = 128_009;
/// The layer whose output is taken, counted from the end.
const LAYER: i64 = -3;

/// What goes before and behind a prompt.
const TEMPLATE: (&str, &str) = (
    "<|start_header_id|>system<|end_header_id|>\n\nDescribe the video by detailing the following aspects: 1. The main content and theme of \
     the video.2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects.3. Actions, events, behaviors \
     temporal relationships, physical movement changes of the objects.4. background environment, light, style and atmosphere.5. camera \
     angles, movements, and transitions used in the video:<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
    "<|eot_id|>",
);

/// The kind of folders that hold the vocabulary, and its name there.
const FOLDER: &str = "llama_tokenizer";
const FILE: &str = "tokenizer.json";

/// Llama 3 as HunyuanVideo uses it.
pub struct LlamaEncoder<N> {
    /// The network.
    pub network: Rc<N>,
    pub(crate) vocabulary: Rc<Vocabulary>,
    /// Width of embeddings and states: 4096.
    pub width: i64,
}

/// The file with Llama 3's vocabulary, which files of weights do not hold.
///
/// # Errors
/// It is in none of its folders, which says where to put it.
pub(crate) fn vocabulary_file(folders: &FolderPaths) -> Result<PathBuf> {
    folders.find(FOLDER, FILE).ok_or_else(|| {
        let place = folders.directories(FOLDER).first().map(|folder| folder.join(FILE)).unwrap_or_default();
        let text = format!(
            "Llama 3's vocabulary is not there, and redraft does not carry it: put the tokenizer.json of Llama 3 at {}, or use the base \
             directory of a ComfyUI, which has it in comfy/text_encoders/llama_tokenizer",
            place.display()
        );
        Unsupported(text).into()
    })
}

impl<N: LanguageModel> TextEncoder for LlamaEncoder<N> {
    fn key(&self) -> &'static str {
        "llama"
    }

    fn chunks(&self, prompt: Prompt, embeddings: &EmbeddingFiles) -> Result<Vec<Chunk>> {
        let (before, behind) = prompt.template.unwrap_or(TEMPLATE);
        let text = format!("{before}{}{behind}", prompt.text);
        let mut chunk = vec![(Token::Id(START), 1.0)];
        chunk.extend(groups(&text, embeddings, self.key(), self.width, &|text| self.vocabulary.tokens(text))?.concat());
        Ok(vec![chunk])
    }

    fn is_chunked(&self) -> bool {
        false
    }

    fn encode(&self, chunks: Vec<Chunk>, last_layer: Option<i64>) -> Result<Encoded> {
        let network = &*self.network;
        let layer = from_end(network.layers(), last_layer.or(Some(LAYER)))?;
        let mut rows = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            let weighted = chunk.iter().any(|(_, weight)| *weight != 1.0);
            let empty: Chunk = (0..chunk.len()).map(|at| (Token::Id(if at == 0 { START } else { PAD }), 1.0)).collect();
            // Beside the empty text in one batch, as in the reference: the shape decides how products are rounded.
            let batch: Vec<&Chunk> = if weighted { vec![chunk, &empty] } else { vec![chunk] };
            let (mut embeds, mut present) = (Vec::new(), Vec::new());
            for chunk in batch {
                let (states, kept) = embedded(chunk, self.width, PAD, &|tokens| network.embed(tokens))?;
                let seen = kept.iter().position(|token| matches!(token, Token::Id(PAD))).unwrap_or(kept.len());
                let row: Vec<f32> = (0..chunk.len()).map(|at| f32::from(u8::from(at < seen))).collect();
                embeds.push(states);
                present.push(Tensor::from_slice(&row));
            }
            let input = Input {
                embeds: Tensor::stack(&embeds, 0),
                pictures: Vec::new(),
                present: Some(Tensor::stack(&present, 0)),
            };
            let states = host(&network.forward(&input, layer, false));
            let row = if weighted { weigh(&states.get(0), &states.get(1), chunk) } else { states.get(0) };
            let (start, end) = said(chunk);
            rows.push(row.narrow(0, start, end - start));
        }
        Ok(Encoded { cond: Tensor::cat(&rows, 0).unsqueeze(0), pooled: None, mask: None })
    }
}

/// Which places of a chunk hold what the user says, with the mark that ends it; all if there is no user.
fn said(chunk: &Chunk) -> (i64, i64) {
    let is = |at: usize, id: u32| matches!(chunk.get(at), Some((Token::Id(found), _)) if *found == id);
    let (mut start, mut end) = (0, None);
    for at in 0..chunk.len() {
        if (0..3).all(|further| is(at + further, USER[further])) {
            (start, end) = (at + 2, None);
        }
        if start > 0 && end.is_none() && is(at, TURN) {
            end = Some(at + 1);
        }
    }
    if chunk.len() > start + 2 && is(start + 1, USER[3]) {
        start += 2;
    }
    (start as i64, end.unwrap_or(chunk.len()).max(start) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_says_is_kept() {
        let chunk = |ids: &[u32]| -> Chunk { ids.iter().map(|&id| (Token::Id(id), 1.0)).collect() };
        let user = [128_006, 882, 128_007, 271];
        assert_eq!(said(&chunk(&[START, 5, TURN, user[0], user[1], user[2], user[3], 8, 9, TURN])), (7, 10));
        assert_eq!(said(&chunk(&[START, 5, TURN, user[0], user[1], user[2], user[3], 8, TURN, 9, TURN])), (7, 9));
        assert_eq!(said(&chunk(&[START, 5, 6])), (0, 3));
    }
}
