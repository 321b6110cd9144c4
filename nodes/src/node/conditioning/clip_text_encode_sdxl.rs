//! SDXL's own prompt nodes.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use super::mentions::missing;
use crate::recipes::{Clip, Text};
use crate::values::Conditioning;
use crate::values::extras::{AESTHETIC_SCORE, CROP_H, CROP_W, HEIGHT, TARGET_HEIGHT, TARGET_WIDTH, WIDTH};

/// Encodes a prompt for SDXL, each of its two text encoders its own text, with the sizes that the model was trained to know.
///
/// `width`, `height` and the crops say what a training picture of the wanted kind was like before it was cut; the targets what is
/// to be drawn. Small sizes give pictures that look enlarged, crops pictures that look cut.
#[derive(Node)]
#[node(category = "advanced/conditioning", reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer"))]
struct CLIPTextEncodeSDXL {
    /// SDXL's text encoders.
    clip: Clip,
    #[input(default = 1024, min = 0, max = 16384)]
    width: i64,
    #[input(default = 1024, min = 0, max = 16384)]
    height: i64,
    #[input(default = 0, min = 0, max = 16384)]
    crop_w: i64,
    #[input(default = 0, min = 0, max = 16384)]
    crop_h: i64,
    #[input(default = 1024, min = 0, max = 16384)]
    target_width: i64,
    #[input(default = 1024, min = 0, max = 16384)]
    target_height: i64,
    /// For OpenCLIP-bigG.
    #[input(multiline, dynamic_prompts)]
    text_g: String,
    /// For CLIP-L.
    #[input(multiline, dynamic_prompts)]
    text_l: String,
}

impl Run for CLIPTextEncodeSDXL {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        let texts = [("clip_g", Some(self.text_g.as_str())), ("clip_l", Some(self.text_l.as_str()))];
        let mut entry = self.clip.encode(Text::Each(&texts), cx)?;
        for (property, value) in [
            (WIDTH, self.width),
            (HEIGHT, self.height),
            (CROP_W, self.crop_w),
            (CROP_H, self.crop_h),
            (TARGET_WIDTH, self.target_width),
            (TARGET_HEIGHT, self.target_height),
        ] {
            entry.extras.set(property, value);
        }
        Ok(Conditioning(vec![entry]))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        missing(offer, folders, &["text_g", "text_l"])
    }
}

/// Encodes a prompt for SDXL's refiner, with the size of the picture and how beautiful it is to be.
#[derive(Node)]
#[node(category = "advanced/conditioning", reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer"))]
struct CLIPTextEncodeSDXLRefiner {
    /// The aesthetic score: training pictures had about 1 to 10. 6 is usual, for what to avoid 2.5.
    #[input(default = 6.0, min = 0.0, max = 1000.0, step = 0.01)]
    ascore: f64,
    #[input(default = 1024, min = 0, max = 16384)]
    width: i64,
    #[input(default = 1024, min = 0, max = 16384)]
    height: i64,
    /// The prompt.
    #[input(multiline, dynamic_prompts)]
    text: String,
    /// The refiner's text encoder.
    clip: Clip,
}

impl Run for CLIPTextEncodeSDXLRefiner {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        let mut entry = self.clip.encode(Text::Same(&self.text), cx)?;
        entry.extras.set(AESTHETIC_SCORE, self.ascore);
        entry.extras.set(WIDTH, self.width);
        entry.extras.set(HEIGHT, self.height);
        Ok(Conditioning(vec![entry]))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        missing(offer, folders, &["text"])
    }
}
