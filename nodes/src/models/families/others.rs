//! Files that are no models of a supported family: what they are, and what to do with them.

use super::unet_of;
use crate::files::weights::Weights;
use crate::models::control::ControlFile;
use crate::models::encoder_kind::EncoderKind;

/// What a file is recognised by.
type Test = fn(&Weights) -> bool;

/// What the first row that matches says that a file is, in a sentence.
pub(super) fn found(rows: &[(Test, &str)], weights: &Weights) -> Option<String> {
    let (_, what) = rows.iter().find(|(matches, _)| matches(weights))?;
    Some(format!("{} is {what}", weights.path().display()))
}

/// Files that change a model and are none.
pub(super) const ADDITIONS: &[(Test, &str)] = &[
    (is_lora, "a LoRA, which changes a model and is none itself; load it with LoraLoader"),
    (
        |w| {
            ControlFile::find(w).is_some()
                || w.contains("control_model.input_blocks.0.0.weight")
                || w.contains("controlnet_blocks.0.weight")
                || !w.at("input_hint_block").is_empty()
        },
        "a ControlNet; load it with ControlNetLoader",
    ),
];

/// Models, and parts of models, of families that are not supported yet.
pub(super) const NOT_YET: &[(Test, &str)] = &[
    (
        |w| any_model(w, "nerf_blocks.0.norm.scale"),
        "a Chroma Radiance model, which is not supported yet; use Chroma itself",
    ),
    (
        |w| {
            any_model(w, "double_blocks.0.img_attn.qkv.weight")
                && !any_model(w, "vector_in.in_layer.weight")
                && !any_model(w, "distilled_guidance_layer.norms.0.scale")
                && !any_model(w, "txt_in.individual_token_refiner.blocks.0.norm1.weight")
        },
        "a relative of Flux (Flux 2, HunyuanImage) that is not supported yet; use Flux itself",
    ),
    (
        |w| {
            any_model(w, "txt_in.individual_token_refiner.blocks.0.norm1.weight")
                && ["vision_in.proj.0.weight", "byt5_in.fc1.weight", "time_r_in.in_layer.weight"]
                    .iter()
                    .any(|part| any_model(w, part))
        },
        "a model of HunyuanVideo 1.5 or HunyuanImage, which is not supported yet; use HunyuanVideo 1.0",
    ),
    (
        |w| any_model(w, "cap_embedder.1.weight") && !any_model(w, "cap_pad_token"),
        "a Lumina model, which is not supported yet",
    ),
    (
        |w| {
            const PARTS: [&str; 4] = [
                "control_adapter.conv.weight",
                "casual_audio_encoder.encoder.final_linear.weight",
                "audio_proj.audio_proj_glob_1.layer.bias",
                "face_adapter.fuser_blocks.0.k_norm.weight",
            ];
            any_model(w, "head.modulation") && PARTS.iter().any(|part| any_model(w, part))
        },
        "a Wan model for cameras, speech, faces or audio, which is not supported yet; use one for text, pictures or control frames",
    ),
    (
        |w| unet_of(w).is_some_and(|u| u.names().iter().any(|n| n.contains(".temporal_"))),
        "a video model, which is not supported; use Stable Video Diffusion",
    ),
    (
        |w| any(w, "down_blocks.0.motion_modules.", "module.down_blocks.0.motion_modules."),
        "an AnimateDiff motion module, which is not supported",
    ),
    (
        |w| w.contains("model.layers.0.input_layernorm.weight") && EncoderKind::of(w).is_none(),
        "a language model, which no supported family uses as its text encoder",
    ),
];

/// Files of other kinds.
pub(super) const OTHERS: &[(Test, &str)] = &[
    (
        |w| {
            (w.contains("1.weight") && w.contains("3.conv.0.weight"))
                || (w.contains("0.weight") && w.contains("1.conv.0.weight"))
        },
        "half of a TAESD; put its encoder and its decoder into models/vae_approx (taesd_encoder.safetensors, \
         taesd_decoder.safetensors) and choose taesd in VAELoader",
    ),
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
