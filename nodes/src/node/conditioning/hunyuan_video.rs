//! Nodes that prepare prompts and latents for HunyuanVideo.

use anyhow::ensure;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Combo, Node, Outputs};

use super::mentions::missing;
use crate::models::llama_templates::HUNYUAN_VIDEO_OF_PICTURE;
use crate::networks::Networks;
use crate::ops::memory::filled;
use crate::ops::resize::{Crop, Method, resize_pictures};
use crate::recipes::{Clip, Text, VaeRecipe};
use crate::text::encode::{Prompt, SeenPictures};
use crate::values::extras::{CONCAT_LATENT, CONCAT_MASK, FIRST_FRAME, REFERENCE_LATENT};
use crate::values::{ClipVisionOutput, Conditioning, Image, Latent};

/// Channels of a latent, frames of a latent frame behind the first, and pixels of a point's side.
const CHANNELS: i64 = 16;
const FRAMES: i64 = 4;
const FACTOR: i64 = 8;

#[derive(Combo, Clone, Copy, PartialEq)]
enum Guidance {
    /// The picture is shown beside the latent.
    #[combo(name = "v1 (concat)")]
    Beside,
    /// The picture is the first frame, and stays as it is.
    #[combo(name = "v2 (replace)")]
    Replaces,
    /// The picture's tokens stand in front of the video's.
    #[combo(name = "custom")]
    Custom,
}

/// Encodes a prompt for HunyuanVideo, with a picture that its language model reads as words.
#[derive(Node)]
#[node(category = "advanced/conditioning", reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer"))]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct TextEncodeHunyuanVideo_ImageToVideo {
    /// CLIP-L and the Llama 3 that was trained with pictures (llava_llama3).
    clip: Clip,
    /// What the image encoder that belongs to it sees in the picture (llava_llama3_vision).
    clip_vision_output: ClipVisionOutput,
    /// What happens in the video.
    #[input(multiline, dynamic_prompts)]
    prompt: String,
    /// One of so many of the picture's tokens is kept: the higher, the more the text counts.
    #[input(default = 2, min = 1, max = 512)]
    image_interleave: i64,
}

impl Run for TextEncodeHunyuanVideo_ImageToVideo {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        let seen = self.clip_vision_output.projected.as_ref();
        if seen.is_none() {
            cx.warn(
                "the image encoder makes no tokens of a language model, so the picture counts for nothing: load llava_llama3_vision.safetensors \
                 with CLIPVisionLoader",
            );
        }
        let seen = seen.map(|tokens| SeenPictures { tokens, every: self.image_interleave });
        let prompt = Prompt { template: Some(HUNYUAN_VIDEO_OF_PICTURE), seen, ..self.prompt.as_str().into() };
        Ok(Conditioning(vec![self.clip.encode(Text::Shown(prompt), cx)?]))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        missing(offer, folders, &["prompt"])
    }
}

/// Makes a video latent for HunyuanVideo, and tells the prompt of the picture that it begins with.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct HunyuanImageToVideo {
    positive: Conditioning,
    vae: VaeRecipe,
    #[input(default = 848, min = 16, max = 16384, step = 16)]
    width: i64,
    #[input(default = 480, min = 16, max = 16384, step = 16)]
    height: i64,
    /// Frames of the video. After the first, 4 frames make one latent frame.
    #[input(default = 53, min = 1, max = 16384, step = 4)]
    length: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
    /// How the model is shown the picture: which depends on what it was trained for.
    guidance_type: Guidance,
    /// The first frames.
    start_image: Option<Image>,
}

#[derive(Outputs)]
struct Prepared {
    #[output(name = "positive")]
    positive: Conditioning,
    #[output(name = "latent")]
    latent: Latent,
}

impl Run for HunyuanImageToVideo {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Prepared> {
        let frames = (self.length - 1) / FRAMES + 1;
        let size = [self.batch_size, CHANNELS, frames, self.height / FACTOR, self.width / FACTOR];
        let mut latent = Latent::zeros(&size)?;
        let Some(start) = &self.start_image else { return Ok(Prepared { positive: self.positive, latent }) };
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        ensure!(
            vae.frames() == Some(FRAMES) && vae.latent_channels() == CHANNELS,
            "the VAE has latents of {} channels, and HunyuanVideo's have {CHANNELS}: load HunyuanVideo's VAE",
            vae.latent_channels()
        );
        let start = start.0.slice(0, 0, self.length, 1).slice(3, 0, 3, 1);
        ensure!(start.size()[0] > 0, "there are no pictures to begin with: connect at least one");
        let start = resize_pictures(&start, self.width, self.height, Method::Bilinear, Crop::Center)?;
        let shown = vae.encode(&start)?;
        let sides = shown.size();
        let mask = filled(&[1, 1, frames, sides[3], sides[4]], 1.0, "the mask")?;
        let _ = mask.slice(2, 0, (start.size()[0] - 1) / FRAMES + 1, 1).zero_();
        let told = |prompt: Conditioning| {
            prompt.map(|entry| match self.guidance_type {
                Guidance::Beside => {
                    entry.extras.set(CONCAT_LATENT, shown.shallow_clone());
                    entry.extras.set(CONCAT_MASK, mask.shallow_clone());
                }
                Guidance::Replaces => entry.extras.set(FIRST_FRAME, 0.0),
                Guidance::Custom => entry.extras.set(REFERENCE_LATENT, shown.shallow_clone()),
            })
        };
        let positive = told(self.positive);
        if self.guidance_type == Guidance::Replaces {
            ensure!(
                sides[2] <= frames && sides[3..] == size[3..],
                "the pictures become {} latent frames of {}x{}, and the video has {frames} of {}x{}: set a width and height that are multiples \
                 of {FACTOR}",
                sides[2],
                sides[4],
                sides[3],
                size[4],
                size[3]
            );
            latent.samples.narrow(2, 0, sides[2]).copy_(&shown);
            latent.noise_mask = Some(mask);
        }
        Ok(Prepared { positive, latent })
    }
}
