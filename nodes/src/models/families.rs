//! The table that recognises a file of weights by its tensors' names and shapes.

use anyhow::{Result, anyhow, bail};
use redraft_engine::error::Unsupported;

use crate::diffusion::network::Beside;
use crate::files::weights::Weights;

/// A family of models that can be sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Stable Diffusion 1.x: predicts noise from a latent of 4 channels.
    Sd1,
    /// Its inpainting variant: also takes a mask and a masked latent, 9 channels in all.
    Sd1Inpainting,
    /// InstructPix2Pix (Brooks et al. 2022, arXiv:2211.09800): also takes the latent of a picture, 8 channels in all.
    Sd1InstructPix2Pix,
}

impl Family {
    const ALL: [Family; 3] = [Family::Sd1, Family::Sd1Inpainting, Family::Sd1InstructPix2Pix];

    /// How many channels its network takes.
    pub fn input_channels(self) -> i64 {
        4 + self.beside().map_or(0, Beside::channels)
    }

    /// What its network is shown beside the noisy latent.
    pub fn beside(self) -> Option<Beside> {
        match self {
            Family::Sd1 => None,
            Family::Sd1Inpainting => Some(Beside::MaskAndLatent),
            Family::Sd1InstructPix2Pix => Some(Beside::Latent),
        }
    }
}

/// What a file holds, each part with its prefix taken off.
#[derive(Clone)]
pub struct Contents {
    /// The noise predictor, for `UNet::load`.
    pub model: Option<(Family, Weights)>,
    /// The text encoder, for `ClipText::load`.
    pub clip: Option<Weights>,
    /// The autoencoder, for `Vae::load`.
    pub vae: Option<Weights>,
}

/// Says which parts of a model `weights`, a whole file, holds.
///
/// Takes SD1.x checkpoints (4, 8 or 9 input channels) with or without text encoder and VAE, and a UNet, VAE or text encoder
/// alone. Any other file is an error that says what it was found to be and what to do with it.
pub fn recognise(weights: &Weights) -> Result<Contents> {
    let found = |(matches, what): &(Test, &str)| matches(weights).then(|| format!("{} is {what}", weights.path().display()));
    if let Some(what) = ADDITIONS.iter().find_map(found) {
        bail!(what);
    }
    if let Some(what) = NOT_YET.iter().find_map(found) {
        return Err(Unsupported(what).into());
    }
    if let Some(what) = OTHERS.iter().find_map(found) {
        bail!(what);
    }
    let model = match unet_of(weights) {
        Some(unet) => Some((family(&unet)?, unet)),
        None => None,
    };
    let contents = Contents { model, clip: clip_of(weights), vae: vae_of(weights)? };
    if contents.model.is_none() && contents.clip.is_none() && contents.vae.is_none() {
        let names = weights.names();
        let some: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
        bail!(
            "{} is not recognised: it has {} tensors ({}, …); a Stable Diffusion 1.x file is needed",
            weights.path().display(),
            names.len(),
            some.join(", ")
        );
    }
    Ok(contents)
}

impl Contents {
    /// The noise predictor. An error for a file that holds other parts only, with the node that loads those.
    pub fn model(&self) -> Result<&(Family, Weights)> {
        if let Some(model) = &self.model {
            return Ok(model);
        }
        match (&self.vae, &self.clip) {
            (Some(vae), _) => bail!("{} is a VAE, not a checkpoint; load it with VAELoader", vae.path().display()),
            (_, Some(clip)) => {
                bail!("{} is a text encoder, not a checkpoint; load it with CLIPLoader", clip.path().display())
            }
            _ => bail!("the file holds no model"),
        }
    }
}

/// What a file is recognised by.
type Test = fn(&Weights) -> bool;

/// Files that change a model and are none; the first that matches is named.
const ADDITIONS: &[(Test, &str)] = &[
    (is_lora, "a LoRA, which changes a model and is none itself; load it with LoraLoader"),
    (
        |w| {
            w.contains("control_model.input_blocks.0.0.weight")
                || any(w, "input_hint_block.", "controlnet_cond_embedding.")
        },
        "a ControlNet; load it with ControlNetLoader",
    ),
];

/// Models of families that are not supported yet.
const NOT_YET: &[(Test, &str)] = &[
    (
        |w| any_model(w, "joint_blocks.0.context_block.attn.qkv.weight"),
        "a Stable Diffusion 3 model, which is not supported yet; use a Stable Diffusion 1.x checkpoint",
    ),
    (
        |w| {
            any_model(w, "double_blocks.0.img_attn.norm.key_norm.scale")
                || any_model(w, "double_blocks.0.img_attn.qkv.weight")
        },
        "a Flux model, which is not supported yet; use a Stable Diffusion 1.x checkpoint",
    ),
    (
        |w| unet_of(w).is_some_and(|u| u.contains("label_emb.0.0.weight") && context(&u) != 1024),
        "an SDXL model, which is not supported yet; use a Stable Diffusion 1.x checkpoint",
    ),
    (
        |w| unet_of(w).is_some_and(|u| context(&u) == 1024),
        "a Stable Diffusion 2.x model, which is not supported yet; use a Stable Diffusion 1.x checkpoint",
    ),
    (
        |w| {
            unet_of(w).is_some_and(|u| u.names().iter().any(|n| n.contains(".time_stack.") || n.contains(".temporal_")))
        },
        "a video model, which is not supported; use a Stable Diffusion 1.x checkpoint",
    ),
    (
        |w| any(w, "down_blocks.0.motion_modules.", "module.down_blocks.0.motion_modules."),
        "an AnimateDiff motion module, which is not supported",
    ),
    (
        |w| w.contains("down_blocks.0.resnets.0.norm1.weight") && w.contains("conv_in.weight"),
        "a UNet in the layout of diffusers, which is not supported yet; use a single-file checkpoint",
    ),
    (
        |w| w.contains("encoder.block.0.layer.0.SelfAttention.q.weight"),
        "a T5 text encoder, which is not supported yet and which Stable Diffusion 1.x does not use",
    ),
];

/// Files of other kinds.
const OTHERS: &[(Test, &str)] = &[
    (
        |w| {
            w.contains("model.0.weight")
                || w.contains("conv_first.weight")
                || w.contains("params_ema.conv_first.weight")
        },
        "an upscaling model; load it with UpscaleModelLoader",
    ),
    (
        |w| {
            w.contains("emb_params")
                || (w.names().len() <= 2 && w.contains("clip_l"))
                || w.contains("string_to_param.*")
        },
        "a textual inversion embedding; write embedding:NAME in a prompt to use it",
    ),
    (
        |w| w.contains("vision_model.embeddings.class_embedding") || w.contains("visual.class_embedding"),
        "a CLIP vision encoder; load it with CLIPVisionLoader",
    ),
];

/// Whether there is anything below either prefix (both end in a dot).
fn any(weights: &Weights, first: &str, second: &str) -> bool {
    [first, second].iter().any(|prefix| !weights.at(prefix.trim_end_matches('.')).is_empty())
}

/// Whether a diffusion model has this tensor, in a checkpoint or alone.
fn any_model(weights: &Weights, name: &str) -> bool {
    weights.contains(name) || weights.at("model.diffusion_model").contains(name)
}

fn is_lora(weights: &Weights) -> bool {
    const MARKS: [&str; 6] = [".lora_down.", ".lora_A.", ".lora.down.", ".hada_w1_a", ".lokr_w1", ".oft_blocks"];
    let names = weights.names();
    names.iter().any(|name| {
        name.starts_with("lora_unet_") || name.starts_with("lora_te_") || MARKS.iter().any(|mark| name.contains(mark))
    })
}

/// The tensors of a UNet in the original's layout, in a checkpoint or alone.
fn unet_of(weights: &Weights) -> Option<Weights> {
    [weights.at("model.diffusion_model"), weights.clone()]
        .into_iter()
        .find(|w| w.contains("input_blocks.0.0.weight") && w.contains("time_embed.0.weight"))
}

/// The width of the text that a UNet takes, or 0.
fn context(unet: &Weights) -> i64 {
    let name = "transformer_blocks.0.attn2.to_k.weight";
    let at = |block: &str| unet.at(block).dim(name, 1).ok();
    at("input_blocks.1.1").or_else(|| at("input_blocks.4.1")).or_else(|| at("middle_block.1")).unwrap_or(0)
}

/// Which of the supported families a UNet belongs to.
fn family(unet: &Weights) -> Result<Family> {
    let channels = unet.dim("input_blocks.0.0.weight", 1)?;
    Family::ALL.into_iter().find(|family| family.input_channels() == channels).ok_or_else(|| {
        anyhow!(
            "{} has a UNet with {channels} input channels; Stable Diffusion 1.x has 4, 8 for InstructPix2Pix and 9 for \
             inpainting",
            unet.path().display()
        )
    })
}

/// The tensors of a CLIP-L text encoder: in a checkpoint, in an old one without `text_model`, or alone.
fn clip_of(weights: &Weights) -> Option<Weights> {
    let name = "embeddings.token_embedding.weight";
    let roots = ["cond_stage_model.transformer.text_model", "cond_stage_model.transformer", "text_model"];
    roots.iter().map(|root| weights.at(root)).find(|w| w.contains(name))
}

/// The tensors of an autoencoder for latents of 4 channels, in a checkpoint or alone.
fn vae_of(weights: &Weights) -> Result<Option<Weights>> {
    let found = [weights.at("first_stage_model"), weights.at("vae"), weights.clone()]
        .into_iter()
        .find(|w| w.contains("decoder.conv_in.weight") && w.contains("encoder.conv_in.weight"));
    let Some(vae) = found else { return Ok(None) };
    let channels = vae.dim("decoder.conv_in.weight", 1)?;
    if vae.shape("decoder.conv_in.weight")?.len() != 4 || channels != 4 {
        let file = vae.path().display();
        return Err(Unsupported(format!(
            "{file} is a VAE for latents of {channels} channels or for video, which is not supported yet; Stable Diffusion 1.x \
             has pictures of 4"
        ))
        .into());
    }
    Ok(Some(vae))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;
    use crate::models::reference::{checkpoint, file};

    /// A file with these tensors, all zeros.
    fn with(tensors: &[(&str, &[i64])]) -> (tempfile::NamedTempFile, Weights) {
        let mut header = serde_json::Map::new();
        let mut end = 0;
        for (name, shape) in tensors {
            let start = end;
            end += shape.iter().product::<i64>();
            header.insert(
                (*name).to_owned(),
                serde_json::json!({"dtype": "U8", "shape": shape, "data_offsets": [start, end]}),
            );
        }
        let header = serde_json::to_string(&header).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        file.write_all(header.as_bytes()).unwrap();
        file.write_all(&vec![0; usize::try_from(end).unwrap()]).unwrap();
        let weights = Weights::open(file.path()).unwrap();
        (file, weights)
    }

    #[test]
    fn files_of_other_kinds_are_named() {
        let unet = |extra: &[(&'static str, &'static [i64])]| {
            let mut all: Vec<(&str, &[i64])> = vec![("time_embed.0.weight", &[1, 1])];
            all.extend(extra);
            all
        };
        type Tensors<'a> = Vec<(&'a str, &'a [i64])>;
        let cases: Vec<(Tensors, &str)> = vec![
            (vec![("lora_unet_x.lora_down.weight", &[1])], "LoraLoader"),
            (vec![("transformer.x.lora_A.weight", &[1])], "LoraLoader"),
            (vec![("input_hint_block.0.weight", &[1])], "ControlNetLoader"),
            (vec![("model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight", &[1])], "Stable Diffusion 3"),
            (vec![("double_blocks.0.img_attn.norm.key_norm.scale", &[1])], "Flux"),
            (unet(&[("input_blocks.0.0.weight", &[1, 4]), ("label_emb.0.0.weight", &[1])]), "SDXL"),
            (
                unet(&[
                    ("input_blocks.0.0.weight", &[1, 4]),
                    ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", &[1, 1024]),
                ]),
                "Stable Diffusion 2.x",
            ),
            (unet(&[("input_blocks.0.0.weight", &[1, 5])]), "5 input channels"),
            (vec![("down_blocks.0.resnets.0.norm1.weight", &[1]), ("conv_in.weight", &[1])], "diffusers"),
            (vec![("decoder.conv_in.weight", &[1, 16, 3, 3]), ("encoder.conv_in.weight", &[1])], "16 channels"),
            (vec![("encoder.block.0.layer.0.SelfAttention.q.weight", &[1])], "T5"),
            (vec![("conv_first.weight", &[1])], "UpscaleModelLoader"),
            (vec![("emb_params", &[1, 2])], "embedding:NAME"),
            (vec![("b", &[1]), ("a", &[1])], "2 tensors (a, b, …)"),
            (vec![], "0 tensors"),
        ];
        for (tensors, expected) in cases {
            let (file, weights) = with(&tensors);
            let message = recognise(&weights).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.contains(expected), "{tensors:?}: {message:?}");
            assert!(message.contains(file.path().to_str().unwrap()), "{message}");
        }
    }

    #[test]
    fn parts_alone_are_recognised_and_asked_for_by_their_loader() {
        let (_file, weights) = with(&[("text_model.embeddings.token_embedding.weight", &[3, 2])]);
        let contents = recognise(&weights).unwrap();
        assert!(contents.clip.is_some() && contents.vae.is_none());
        assert!(contents.model().err().unwrap().to_string().contains("CLIPLoader"));
        for (channels, family) in
            [([1, 4], Family::Sd1), ([1, 8], Family::Sd1InstructPix2Pix), ([1, 9], Family::Sd1Inpainting)]
        {
            let (_file, weights) = with(&[("input_blocks.0.0.weight", &channels), ("time_embed.0.weight", &[1, 1])]);
            let contents = recognise(&weights).unwrap();
            assert_eq!(contents.model().unwrap().0, family);
            assert!(contents.clip.is_none() && contents.vae.is_none());
        }
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn the_tiny_files_are_recognised() {
        for (name, expected) in
            [("sd15-tiny-random", Family::Sd1), ("sd15-tiny-random-inpainting", Family::Sd1Inpainting)]
        {
            let weights = checkpoint(name);
            let contents = recognise(&weights).unwrap();
            assert_eq!(contents.model().unwrap().0, expected);
            assert!(contents.clip.is_some() && contents.vae.is_some());
        }
        let vae = recognise(&file("base/models/vae/sd15-tiny-random-vae.safetensors")).unwrap();
        assert!(vae.model().err().unwrap().to_string().contains("VAELoader"));
        for lora in ["tiny-dora", "tiny-kohya", "tiny-loha", "tiny-lokr", "tiny-unet-only"] {
            let weights = file(&format!("base/models/loras/{lora}.safetensors"));
            assert!(recognise(&weights).err().unwrap().to_string().contains("LoraLoader"), "{lora}");
        }
        let other = |path| recognise(&file(path)).err().unwrap().to_string();
        assert!(other("base/models/controlnet/tiny-controlnet.safetensors").contains("ControlNetLoader"));
        assert!(other("base/models/upscale_models/tiny-esrgan-x4.safetensors").contains("UpscaleModelLoader"));
        assert!(other("base/models/embeddings/tinystyle.safetensors").contains("embedding:NAME"));
    }
}
