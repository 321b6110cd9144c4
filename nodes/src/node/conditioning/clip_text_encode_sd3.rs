use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Combo, Node};

use super::mentions::missing;
use crate::recipes::{Clip, Text};
use crate::values::Conditioning;

/// Encodes a prompt for Stable Diffusion 3, each of its three text encoders its own text.
#[derive(Node)]
#[node(category = "advanced/conditioning", reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer"))]
struct CLIPTextEncodeSD3 {
    /// The model's text encoders.
    clip: Clip,
    #[input(multiline, dynamic_prompts)]
    clip_l: String,
    #[input(multiline, dynamic_prompts)]
    clip_g: String,
    #[input(multiline, dynamic_prompts)]
    t5xxl: String,
    /// What stands for an empty text: nothing, or an empty prompt.
    empty_padding: EmptyPadding,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum EmptyPadding {
    None,
    EmptyPrompt,
}

impl Run for CLIPTextEncodeSD3 {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        let given = |text: &str| !text.is_empty() || self.empty_padding == EmptyPadding::EmptyPrompt;
        let [l, g, t5] =
            [&self.clip_l, &self.clip_g, &self.t5xxl].map(|text| Some(text.as_str()).filter(|text| given(text)));
        let entry = self.clip.encode(Text::Each(&[("clip_l", l), ("clip_g", g), ("t5xxl", t5)]), cx)?;
        Ok(Conditioning(vec![entry]))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        missing(offer, folders, &["clip_l", "clip_g", "t5xxl"])
    }
}
