//! Flux's own nodes for prompts.

use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Combo, Node};

use super::mentions::missing;
use crate::ops::resize::{Crop, Method, picture_size, resize_pictures};
use crate::recipes::{Clip, Text};
use crate::values::extras::{GUIDANCE, REFERENCE_LATENTS, REFERENCE_METHOD};
use crate::values::{Conditioning, Image, Latent};

/// Encodes a prompt for Flux, each of its two text encoders its own text, with how strongly the model is to follow it.
#[derive(Node)]
#[node(category = "advanced/conditioning/flux", reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer"))]
struct CLIPTextEncodeFlux {
    /// Flux's text encoders.
    clip: Clip,
    /// For CLIP-L, which gives the pooled vector.
    #[input(multiline, dynamic_prompts)]
    clip_l: String,
    /// For T5, which gives the text that the model reads.
    #[input(multiline, dynamic_prompts)]
    t5xxl: String,
    #[input(default = 3.5, min = 0.0, max = 100.0, step = 0.1)]
    guidance: f64,
}

impl Run for CLIPTextEncodeFlux {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Conditioning> {
        let texts = [("clip_l", Some(self.clip_l.as_str())), ("t5xxl", Some(self.t5xxl.as_str()))];
        let mut entry = self.clip.encode(Text::Each(&texts), cx)?;
        entry.extras.set(GUIDANCE, self.guidance);
        Ok(Conditioning(vec![entry]))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        missing(offer, folders, &["clip_l", "t5xxl"])
    }
}

/// Says how strongly a model that was distilled with a guidance, such as Flux dev, follows a prompt.
#[derive(Node)]
#[node(category = "advanced/conditioning/flux")]
struct FluxGuidance {
    conditioning: Conditioning,
    #[input(default = 3.5, min = 0.0, max = 100.0, step = 0.1)]
    guidance: f64,
}

impl Run for FluxGuidance {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        Ok(self.conditioning.map(|entry| entry.extras.set(GUIDANCE, self.guidance)))
    }
}

/// Tells a model that was distilled with a guidance nothing of it, which is something else than a guidance of 0.
#[derive(Node)]
#[node(category = "advanced/conditioning/flux")]
struct FluxDisableGuidance {
    conditioning: Conditioning,
}

impl Run for FluxDisableGuidance {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        Ok(self.conditioning.map(|entry| entry.extras.set_null(GUIDANCE)))
    }
}

/// The sizes that Kontext was trained on: width and height in pixels.
const KONTEXT_SIZES: [(i64, i64); 17] = [
    (672, 1568),
    (688, 1504),
    (720, 1456),
    (752, 1392),
    (800, 1328),
    (832, 1248),
    (880, 1184),
    (944, 1104),
    (1024, 1024),
    (1104, 944),
    (1184, 880),
    (1248, 832),
    (1328, 800),
    (1392, 752),
    (1456, 720),
    (1504, 688),
    (1568, 672),
];

/// Resizes pictures to that size, of those that Kontext was trained on, whose aspect ratio is nearest, cropped about the centre.
#[derive(Node)]
#[node(category = "advanced/conditioning/flux")]
struct FluxKontextImageScale {
    image: Image,
}

impl Run for FluxKontextImageScale {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let Image(image) = self.image;
        let (width, height) = picture_size(&image)?;
        let aspect = width as f64 / height as f64;
        let off = |(width, height): (i64, i64)| (aspect - width as f64 / height as f64).abs();
        let nearest = KONTEXT_SIZES.into_iter().min_by(|a, b| off(*a).total_cmp(&off(*b)).then(a.cmp(b)));
        let (width, height) = nearest.unwrap_or((1024, 1024));
        Ok(Image(resize_pictures(&image, width, height, Method::Lanczos, Crop::Center)?))
    }
}

/// Says where a model takes several reference latents to lie.
#[derive(Node)]
#[node(category = "advanced/conditioning/flux", display = "Edit Model Reference Method", experimental)]
struct FluxKontextMultiReferenceLatentMethod {
    conditioning: Conditioning,
    reference_latents_method: ReferenceMethod,
}

#[derive(Combo, Clone, Copy)]
enum ReferenceMethod {
    #[combo(name = "offset")]
    Offset,
    #[combo(name = "index")]
    Index,
    #[combo(name = "uxo/uno")]
    Diagonal,
    #[combo(name = "index_timestep_zero")]
    IndexAtZero,
}

impl Run for FluxKontextMultiReferenceLatentMethod {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        let method = match self.reference_latents_method {
            ReferenceMethod::Offset => "offset",
            ReferenceMethod::Index => "index",
            ReferenceMethod::Diagonal => "uxo",
            ReferenceMethod::IndexAtZero => "index_timestep_zero",
        };
        Ok(self.conditioning.map(|entry| entry.extras.set(REFERENCE_METHOD, method.to_owned())))
    }
}

/// Gives a model that edits pictures a latent to go by. Several may follow each other.
#[derive(Node)]
#[node(category = "advanced/conditioning/edit_models")]
struct ReferenceLatent {
    conditioning: Conditioning,
    latent: Option<Latent>,
}

impl Run for ReferenceLatent {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        let Some(latent) = self.latent else { return Ok(self.conditioning) };
        Ok(self.conditioning.map(|entry| {
            let mut all = entry.extras.get(REFERENCE_LATENTS).unwrap_or_default();
            all.push(latent.samples.shallow_clone());
            entry.extras.set(REFERENCE_LATENTS, all);
        }))
    }
}
