//! The table of spellings: how files of LoRAs name a model's layers.

use super::layers::{Layer, Named, Part};

/// A row: the keys under which a spelling knows a layer; none if it does not.
struct Spelling {
    /// Where it is met.
    of: &'static str,
    keys: fn(&Layer) -> Vec<String>,
}

/// Every spelling that ComfyUI 0.8.0 knows for the families that we know. Where a file names a layer in several, the last counts.
static SPELLINGS: [Spelling; 24] = [
    Spelling {
        of: "kohya, original names",
        keys: |layer| unet_weight(layer).map(|name| format!("lora_unet_{}", flat(name))).into_iter().collect(),
    },
    Spelling {
        of: "VideoX-Fun, Wan",
        keys: |layer| named(wan_weight(layer), |name| format!("lora_unet__{}", flat(name))),
    },
    Spelling { of: "ComfyUI, network", keys: |layer| unet(layer).into_iter().map(str::to_owned).collect() },
    Spelling {
        of: "kohya, diffusers' names",
        keys: |layer| diffusers(layer, |name| format!("lora_unet_{}", flat(name))),
    },
    Spelling { of: "SimpleTuner's LyCORIS", keys: |layer| diffusers(layer, |name| format!("lycoris_{}", flat(name))) },
    Spelling { of: "diffusers, UNet alone", keys: |layer| diffusers(layer, processor) },
    Spelling { of: "diffusers, UNet", keys: |layer| diffusers(layer, |name| format!("unet.{}", processor(name))) },
    Spelling {
        of: "ComfyUI, text encoders",
        keys: |layer| match &layer.part {
            Part::Encoder { .. } => named(layer.name.strip_suffix(".weight"), |name| format!("text_encoders.{name}")),
            Part::Unet => Vec::new(),
        },
    },
    Spelling { of: "kohya, text encoder", keys: |layer| named(only(layer), |name| format!("lora_te_{}", flat(name))) },
    Spelling {
        of: "kohya, first text encoder",
        keys: |layer| named(first(layer), |name| format!("lora_te1_{}", flat(name))),
    },
    Spelling {
        of: "kohya, second text encoder",
        keys: |layer| named(second(layer), |name| format!("lora_te2_{}", flat(name))),
    },
    Spelling { of: "diffusers, text encoder", keys: |layer| named(only(layer), |name| format!("text_encoder.{name}")) },
    Spelling {
        of: "diffusers, second text encoder",
        keys: |layer| named(second(layer), |name| format!("text_encoder_2.{name}")),
    },
    Spelling { of: "OneTrainer and Stable Cascade", keys: others },
    Spelling { of: "OneTrainer, T5", keys: t5 },
    Spelling { of: "diffusers, Qwen-Image", keys: of_qwen_image },
    Spelling { of: "diffusers, transformer", keys: |layer| transformer(layer, |name| format!("transformer.{name}")) },
    Spelling {
        of: "SimpleTuner's LyCORIS, transformer",
        keys: |layer| match &layer.transformer {
            Some(
                Named::Flux(name)
                | Named::QwenImage(name)
                | Named::HiDream(name)
                | Named::Sd3(name)
                | Named::ZImage(name),
            ) => vec![format!("lycoris_{}", flat(name))],
            _ => Vec::new(),
        },
    },
    Spelling {
        of: "OneTrainer, transformer",
        keys: |layer| match &layer.transformer {
            Some(Named::Flux(name) | Named::Sd3(name)) => vec![format!("lora_transformer_{}", flat(name))],
            _ => Vec::new(),
        },
    },
    Spelling {
        of: "PEFT, Stable Diffusion 3 and PixArt",
        keys: |layer| match &layer.transformer {
            Some(Named::Sd3(name) | Named::PixArt(name)) => vec![format!("base_model.model.{name}")],
            _ => Vec::new(),
        },
    },
    Spelling {
        of: "PEFT, PixArt, older",
        keys: |layer| match &layer.transformer {
            Some(Named::PixArt(name)) => vec![format!("unet.base_model.model.{name}")],
            _ => Vec::new(),
        },
    },
    Spelling {
        of: "HunyuanVideo, older",
        keys: |layer| match &layer.transformer {
            Some(Named::HunyuanVideo(name)) => vec![format!("diffusion_model.{name}")],
            _ => Vec::new(),
        },
    },
    Spelling {
        of: "diffusers, Z-Image",
        keys: |layer| match &layer.transformer {
            Some(Named::ZImage(name)) => vec![format!("diffusion_model.{name}")],
            _ => Vec::new(),
        },
    },
    Spelling {
        of: "USO, Flux",
        keys: |layer| match &layer.transformer {
            Some(Named::Uso(name)) => vec![format!("diffusion_model.{name}")],
            _ => Vec::new(),
        },
    },
];

/// A key that a layer may have in a file.
pub struct Key<'a> {
    pub key: String,
    /// Where it is spelled so.
    pub of: &'static str,
    pub layer: &'a Layer,
}

/// Every key that layers may have in a file, in the order in which they count.
pub fn keys(layers: &[Layer]) -> impl Iterator<Item = Key<'_>> {
    let all = |spelling: &'static Spelling| {
        let of = move |layer| (spelling.keys)(layer).into_iter().map(move |key| Key { key, of: spelling.of, layer });
        layers.iter().flat_map(of)
    };
    SPELLINGS.iter().flat_map(all)
}

/// Dots as underscores.
fn flat(name: &str) -> String {
    name.replace('.', "_")
}

fn named(name: Option<&str>, key: impl FnOnce(&str) -> String) -> Vec<String> {
    name.map(key).into_iter().collect()
}

/// A weight of the UNet, by its short name without `.weight`.
fn unet_weight(layer: &Layer) -> Option<&str> {
    layer.short.strip_suffix(".weight").filter(|_| layer.part == Part::Unet)
}

/// A weight of Wan's network, by the same.
fn wan_weight(layer: &Layer) -> Option<&str> {
    const PARTS: [&str; 5] = ["blocks", "head", "patch_embedding", "text_embedding", "time_embedding"];
    unet_weight(layer).filter(|name| name.split_once('.').is_some_and(|(part, _)| PARTS.contains(&part)))
}

/// A tensor of the network: a weight without `.weight`, anything else as it is.
fn unet(layer: &Layer) -> Option<&str> {
    let own = layer.part == Part::Unet && !layer.short.is_empty();
    own.then(|| layer.name.strip_suffix(".weight").unwrap_or(&layer.name))
}

/// A weight of a transformer, by diffusers' name.
fn transformer(layer: &Layer, key: impl FnOnce(&str) -> String) -> Vec<String> {
    let diffusers = layer.transformer.as_ref().filter(|name| !matches!(name, Named::Uso(_)));
    named(diffusers.map(Named::name), key)
}

/// A weight of Qwen-Image's network.
fn of_qwen_image(layer: &Layer) -> Vec<String> {
    if let Some(Named::QwenImage(name)) = &layer.transformer { vec![name.clone()] } else { Vec::new() }
}

/// A weight of T5, which is counted behind the other encoders: second beside CLIP-L in Flux's case, and then third, too.
fn t5(layer: &Layer) -> Vec<String> {
    let Part::Encoder { key, beside_clip_l } = &layer.part else { return Vec::new() };
    let Some(name) = layer.short.strip_suffix(".weight").filter(|_| key == "t5xxl") else { return Vec::new() };
    let places: &[u8] = if *beside_clip_l { &[2, 3] } else { &[1] };
    places.iter().map(|place| format!("lora_te{place}_{}", flat(name))).collect()
}

fn diffusers(layer: &Layer, key: impl Fn(&str) -> String) -> Vec<String> {
    layer.diffusers.iter().map(|name| key(name)).collect()
}

/// As the attention processors of diffusers name their projections.
fn processor(name: &str) -> String {
    let name = name.replace(".to_", ".processor.to_");
    name.strip_suffix(".to_out.0").map(|attention| format!("{attention}.to_out")).unwrap_or(name)
}

/// The projections and the feed-forward layers of a text encoder's blocks, which most trainers train alone: the encoder's key,
/// whether a CLIP-L is beside it, and the layer's name.
fn block(layer: &Layer) -> Option<(&str, bool, &str)> {
    const TRAINED: [&str; 6] =
        ["mlp.fc1", "mlp.fc2", "self_attn.k_proj", "self_attn.q_proj", "self_attn.v_proj", "self_attn.out_proj"];
    let Part::Encoder { key, beside_clip_l } = &layer.part else { return None };
    let name = layer.short.strip_suffix(".weight")?;
    let (number, part) = name.strip_prefix("text_model.encoder.layers.")?.split_once('.')?;
    (number.parse::<u32>().is_ok_and(|number| number < 32) && TRAINED.contains(&part)).then_some((
        key.as_str(),
        *beside_clip_l,
        name,
    ))
}

/// In CLIP-L or OpenCLIP-H, or in OpenCLIP-bigG without a CLIP-L beside it.
fn only(layer: &Layer) -> Option<&str> {
    let (key, beside_clip_l, name) = block(layer)?;
    (matches!(key, "clip_l" | "clip_h") || (key == "clip_g" && !beside_clip_l)).then_some(name)
}

/// In CLIP-L or OpenCLIP-H.
fn first(layer: &Layer) -> Option<&str> {
    let (key, _, name) = block(layer)?;
    matches!(key, "clip_l" | "clip_h").then_some(name)
}

/// In OpenCLIP-bigG beside CLIP-L.
fn second(layer: &Layer) -> Option<&str> {
    let (key, beside_clip_l, name) = block(layer)?;
    (key == "clip_g" && beside_clip_l).then_some(name)
}

/// Projections of text encoders, and bigG alone as Stable Cascade's.
fn others(layer: &Layer) -> Vec<String> {
    let Part::Encoder { key, beside_clip_l } = &layer.part else { return Vec::new() };
    let keys: &[&str] = match (key.as_str(), layer.short.as_str()) {
        ("clip_g", "text_projection.weight") => &["lora_prior_te_text_projection", "lora_te2_text_projection"],
        ("clip_l", "text_projection.weight") => &["lora_te1_text_projection"],
        ("clip_g", _) if !beside_clip_l => {
            return named(block(layer).map(|(_, _, name)| name), |name| format!("lora_prior_te_{}", flat(name)));
        }
        _ => &[],
    };
    keys.iter().map(|key| (*key).to_owned()).collect()
}
