use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use super::mentions::missing;
use crate::recipes::{Clip, Text};
use crate::values::Conditioning;

/// Encodes a prompt with a text encoder. The result is a conditioning, which guides a model towards the prompt, or away
/// from it as the negative conditioning.
///
/// `(word:1.3)` gives a word the weight 1.3, and `(word)` the weight 1.1. `embedding:NAME` inserts a textual inversion.
/// Prompts longer than 75 tokens are encoded in chunks.
#[derive(Node)]
#[node(
    category = "conditioning",
    display = "CLIP Text Encode (Prompt)",
    reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer")
)]
struct CLIPTextEncode {
    /// The prompt.
    #[input(multiline, dynamic_prompts)]
    text: String,
    /// The text encoder.
    clip: Clip,
}

impl Run for CLIPTextEncode {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        Ok(Conditioning(vec![self.clip.encode(Text::Same(&self.text), cx)?]))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        missing(offer, folders, &["text"])
    }
}
