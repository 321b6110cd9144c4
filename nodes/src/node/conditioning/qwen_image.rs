//! Qwen-Image-Edit's own nodes for prompts.

use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::models::qwen_templates::QWEN_IMAGE_EDIT;
use crate::networks::Networks;
use crate::ops::resize::{Crop, Method, picture_size, resize_pictures, scaled};
use crate::recipes::{Clip, Text, VaeRecipe};
use crate::text::encode::Prompt;
use crate::values::extras::REFERENCE_LATENTS;
use crate::values::{Conditioning, Image};

/// The area, in pixels, that a picture is given for the VAE.
const LARGE: f64 = 1024.0 * 1024.0;
/// The same for the text encoder, where each picture is a part of the prompt.
const SMALL: f64 = 384.0 * 384.0;

/// Encodes a prompt for Qwen-Image-Edit, with a picture that the text encoder looks at and that, with a VAE, the model goes by.
///
/// The picture is resized to about 1024 × 1024 pixels for both.
#[derive(Node)]
#[node(category = "advanced/conditioning", reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer"))]
struct TextEncodeQwenImageEdit {
    /// Qwen 2.5-VL.
    clip: Clip,
    /// What is to be done with the picture.
    #[input(multiline, dynamic_prompts)]
    prompt: String,
    vae: Option<VaeRecipe>,
    image: Option<Image>,
}

impl Run for TextEncodeQwenImageEdit {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> Result<Conditioning> {
        let mut shown = Shown::default();
        if let Some(Image(image)) = self.image {
            let (columns, rows) = picture_size(&image)?;
            let factor = (LARGE / (columns * rows) as f64).sqrt();
            let image = resized(&image, scaled(columns, factor), scaled(rows, factor))?;
            let image = colours(&image);
            shown.go_by(&image, self.vae.as_ref(), cx)?;
            shown.pictures.push(image);
        }
        shown.encode(&self.clip, &self.prompt, None, cx)
    }
}

/// Encodes a prompt for Qwen-Image-Edit, with up to three pictures that the text encoder looks at and that, with a VAE, the model goes by.
/// The prompt may call them Picture 1 to 3.
///
/// They are resized to about 384 × 384 pixels for the text encoder, and to about 1024 × 1024 for the VAE.
#[derive(Node)]
#[node(category = "advanced/conditioning", reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer"))]
struct TextEncodeQwenImageEditPlus {
    /// Qwen 2.5-VL.
    clip: Clip,
    /// What is to be done with the pictures.
    #[input(multiline, dynamic_prompts)]
    prompt: String,
    vae: Option<VaeRecipe>,
    image1: Option<Image>,
    image2: Option<Image>,
    image3: Option<Image>,
}

impl Run for TextEncodeQwenImageEditPlus {
    type Out = Conditioning;

    fn run(self, cx: &mut Cx) -> Result<Conditioning> {
        let mut shown = Shown::default();
        let mut prompt = String::new();
        for (number, image) in (1..).zip([self.image1, self.image2, self.image3]) {
            let Some(Image(image)) = image else { continue };
            let (columns, rows) = picture_size(&image)?;
            let pixels = (columns * rows) as f64;
            let factor = (SMALL / pixels).sqrt();
            shown.pictures.push(resized(&image, scaled(columns, factor), scaled(rows, factor))?);
            let factor = (LARGE / pixels).sqrt();
            let eights = |side: i64| (side as f64 * factor / 8.0).round_ties_even() as i64 * 8;
            if self.vae.is_some() {
                let large = resized(&image, eights(columns), eights(rows))?;
                shown.go_by(&colours(&large), self.vae.as_ref(), cx)?;
            }
            prompt.push_str(&format!("Picture {number}: <|vision_start|><|image_pad|><|vision_end|>"));
        }
        prompt.push_str(&self.prompt);
        shown.encode(&self.clip, &prompt, Some(QWEN_IMAGE_EDIT), cx)
    }
}

/// The pictures of a prompt.
#[derive(Default)]
struct Shown {
    /// For the text encoder.
    pictures: Vec<Tensor>,
    /// For the model.
    latents: Vec<Tensor>,
}

impl Shown {
    /// Encodes a picture for the model to go by, if there is a VAE.
    fn go_by(&mut self, picture: &Tensor, vae: Option<&VaeRecipe>, cx: &mut Cx) -> Result<()> {
        if let Some(vae) = vae {
            self.latents.push(vae.network(&*cx.service::<Networks>()?)?.encode(picture)?);
        }
        Ok(())
    }

    fn encode(self, clip: &Clip, text: &str, template: Option<(&str, &str)>, cx: &mut Cx) -> Result<Conditioning> {
        let mut entry = clip.encode(Text::Shown(Prompt { pictures: &self.pictures, template, ..text.into() }), cx)?;
        if !self.latents.is_empty() {
            entry.extras.set(REFERENCE_LATENTS, self.latents);
        }
        Ok(Conditioning(vec![entry]))
    }
}

fn resized(image: &Tensor, columns: i64, rows: i64) -> Result<Tensor> {
    resize_pictures(image, columns, rows, Method::Area, Crop::Disabled)
}

/// Without alpha.
fn colours(image: &Tensor) -> Tensor {
    image.narrow(-1, 0, image.size()[3].min(3))
}
