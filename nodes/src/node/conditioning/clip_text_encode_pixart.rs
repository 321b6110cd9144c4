use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use super::mentions::missing;
use crate::recipes::{Clip, Text};
use crate::values::Conditioning;
use crate::values::extras::{HEIGHT, WIDTH};

/// Encodes a prompt for PixArt-α, with the size that the picture is to look like. PixArt-Σ takes no notice of the size.
#[derive(Node)]
#[node(category = "advanced/conditioning", reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer"))]
struct CLIPTextEncodePixArtAlpha {
    #[input(default = 1024, min = 0, max = 16384)]
    width: i64,
    #[input(default = 1024, min = 0, max = 16384)]
    height: i64,
    /// The prompt.
    #[input(multiline, dynamic_prompts)]
    text: String,
    /// PixArt's text encoder.
    clip: Clip,
}

impl Run for CLIPTextEncodePixArtAlpha {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        let mut entry = self.clip.encode(Text::Same(&self.text), cx)?;
        entry.extras.set(WIDTH, self.width);
        entry.extras.set(HEIGHT, self.height);
        Ok(Conditioning(vec![entry]))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        missing(offer, folders, &["text"])
    }
}
