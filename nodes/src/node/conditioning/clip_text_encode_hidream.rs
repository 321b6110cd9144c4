use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use super::mentions::missing;
use crate::recipes::{Clip, Text};
use crate::values::Conditioning;

/// Encodes a prompt for HiDream, each of its four text encoders its own text.
#[derive(Node)]
#[node(category = "advanced/conditioning", reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer"))]
struct CLIPTextEncodeHiDream {
    /// The model's text encoders.
    clip: Clip,
    #[input(multiline, dynamic_prompts)]
    clip_l: String,
    #[input(multiline, dynamic_prompts)]
    clip_g: String,
    #[input(multiline, dynamic_prompts)]
    t5xxl: String,
    #[input(multiline, dynamic_prompts)]
    llama: String,
}

impl Run for CLIPTextEncodeHiDream {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        let [l, g, t5, llama] = [&self.clip_l, &self.clip_g, &self.t5xxl, &self.llama].map(|text| Some(text.as_str()));
        let texts = [("clip_l", l), ("clip_g", g), ("t5xxl", t5), ("llama", llama)];
        Ok(Conditioning(vec![self.clip.encode(Text::Each(&texts), cx)?]))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        missing(offer, folders, &["clip_l", "clip_g", "t5xxl", "llama"])
    }
}
