//! Which families of models a workflow is for, as far as its files' names tell. The models themselves are not here.

use indexmap::IndexSet;
use redraft_engine::prompt::{Given, Prompt, PromptNode};
use redraft_nodes::models::families::FAMILIES;

/// What a model's file is called, in small letters, and its family. The first row that matches counts.
const BY_NAME: &[(&[&str], &str)] = &[
    (&["sv3d", "svd"], "Stable Video Diffusion"),
    (&["zero123"], "Zero123"),
    (&["cascade"], "Stable Cascade"),
    (&["unclip"], "Stable Diffusion 2.x unCLIP"),
    (&["lotus"], "Lotus"),
    (&["stable-audio", "stable_audio"], "Stable Audio"),
    (&["sd3"], "Stable Diffusion 3"),
    (&["flux2", "flux-2", "flux.2"], "Flux.2"),
    (&["chroma"], "Chroma"),
    (&["flux"], "Flux"),
    (&["z_image", "z-image"], "Z-Image"),
    (&["qwen_image", "qwen-image", "chrono_edit"], "Qwen-Image"),
    (&["wan2", "wan_", "wan-"], "Wan"),
    (&["hunyuan_dit"], "Hunyuan-DiT"),
    (&["hunyuan3d"], "Hunyuan3D"),
    (&["hunyuan"], "Hunyuan Video"),
    (&["ltx"], "LTX-Video"),
    (&["mochi"], "Mochi"),
    (&["cosmos"], "Cosmos"),
    (&["hidream"], "HiDream"),
    (&["lumina", "neta"], "Lumina 2"),
    (&["omnigen"], "OmniGen 2"),
    (&["aura_flow", "auraflow"], "AuraFlow"),
    (&["ace_step", "acestep"], "ACE-Step"),
    (&["pixart"], "PixArt"),
    (&["refiner"], "SDXL refiner"),
    (&["xl"], "SDXL"),
    (
        &["v2-1", "v2-0", "sd21", "sd2_", "512-inpainting", "512-base", "768-v-ema", "wd-illusion"],
        "Stable Diffusion 2.x",
    ),
    (&["v1-5", "v1-4", "v1.x", "sd15", "sd_15", "sd-v1", "-15"], "Stable Diffusion 1.x"),
];

/// What text encoders are loaded for, and the family; most types are told by the network's name already.
const BY_CLIP_TYPE: &[(&str, &str)] = &[
    ("sdxl", "SDXL"),
    ("sd3", "Stable Diffusion 3"),
    ("flux", "Flux"),
    ("flux2", "Flux.2"),
    ("wan", "Wan"),
    ("qwen_image", "Qwen-Image"),
    ("lumina2", "Lumina 2"),
    ("hidream", "HiDream"),
    ("hunyuan_video", "Hunyuan Video"),
    ("ltxv", "LTX-Video"),
    ("mochi", "Mochi"),
    ("cosmos", "Cosmos"),
    ("ace", "ACE-Step"),
];

/// Families that a workflow is for.
pub(crate) struct Told {
    /// Those that names tell.
    pub(crate) families: IndexSet<&'static str>,
    /// Denoising networks whose names tell nothing.
    pub(crate) unknown: IndexSet<String>,
}

impl Told {
    /// Reads the names of a workflow's networks; where none tells anything, what its text encoders are loaded for.
    pub(crate) fn by(prompt: &Prompt) -> Told {
        let mut told = Told { families: IndexSet::new(), unknown: IndexSet::new() };
        for name in prompt.nodes.values().flat_map(|node| [text(node, "ckpt_name"), text(node, "unet_name")]).flatten()
        {
            match by_name(name) {
                Some(family) => _ = told.families.insert(family),
                None => _ = told.unknown.insert(name.to_owned()),
            }
        }
        if told.families.is_empty() {
            let clips = prompt.nodes.values().filter(|node| node.class_type.contains("CLIPLoader"));
            let types = clips.filter_map(|node| text(node, "type"));
            let by_type = |ty: &str| BY_CLIP_TYPE.iter().find(|(of, _)| *of == ty).map(|(_, family)| *family);
            told.families.extend(types.filter_map(by_type));
            if !told.families.is_empty() {
                told.unknown.clear();
            }
        }
        told
    }

    /// Whether all that is told can run here.
    pub(crate) fn supported(&self) -> bool {
        self.families.iter().all(|family| FAMILIES.iter().any(|row| row.name == *family))
    }

    /// For a table: families, and names that tell none.
    pub(crate) fn describe(&self) -> String {
        let unknown = self.unknown.iter().map(|name| format!("not told by `{name}`"));
        let all: Vec<String> = self.families.iter().map(|family| (*family).to_owned()).chain(unknown).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    }
}

fn text<'a>(node: &'a PromptNode, input: &str) -> Option<&'a str> {
    match node.inputs.get(input)? {
        Given::Constant(value) => value.as_str(),
        _ => None,
    }
}

/// The family that a file's name tells, folders included.
fn by_name(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    BY_NAME.iter().find(|(parts, _)| parts.iter().any(|part| name.contains(part))).map(|(_, family)| *family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_families() {
        for (name, family) in [
            ("v1-5-pruned-emaonly-fp16.safetensors", Some("Stable Diffusion 1.x")),
            ("😎-v1.x\\AuroraONE_F16.safetensors", Some("Stable Diffusion 1.x")),
            ("sd_xl_base_1.0.safetensors", Some("SDXL")),
            ("sd_xl_refiner_1.0.safetensors", Some("SDXL refiner")),
            ("juggernautXL_v8Rundiffusion.safetensors", Some("SDXL")),
            ("v2-1_768-ema-pruned.ckpt", Some("Stable Diffusion 2.x")),
            ("sd21-unclip-h.ckpt", Some("Stable Diffusion 2.x unCLIP")),
            ("Flux\\flux1-dev-fp8.safetensors", Some("Flux")),
            ("sd3.5_large.safetensors", Some("Stable Diffusion 3")),
            ("wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors", Some("Wan")),
            ("photon_v1.safetensors", None),
        ] {
            assert_eq!(by_name(name), family, "{name}");
        }
    }
}
