//! UNets in the layout of diffusers, whose tensors have other names than the original's.

use crate::files::names::Names;
use crate::files::weights::Weights;

/// Parts of a residual block: diffusers' names, and the original's.
const RESIDUAL: [(&str, &str); 6] = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
];

/// Layers outside of the blocks.
const OUTSIDE: [(&str, &str); 9] = [
    ("conv_in", "input_blocks.0.0"),
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("class_embedding.linear_1", "label_emb.0.0"),
    ("class_embedding.linear_2", "label_emb.0.2"),
    ("add_embedding.linear_1", "label_emb.0.0"),
    ("add_embedding.linear_2", "label_emb.0.2"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
];

/// Whether the tensors are those of a UNet in the layout of diffusers.
pub(super) fn is_unet(w: &Weights) -> bool {
    w.contains("down_blocks.0.resnets.0.norm1.weight")
        && w.contains("mid_block.resnets.0.norm1.weight")
        && w.contains("conv_in.weight")
        && w.contains("time_embedding.linear_1.weight")
}

/// The same tensors under the original's names; `unet` is a whole file.
pub(super) fn in_original_layout(unet: &Weights) -> Weights {
    let places = Places::of(unet);
    unet.named(Names::of(&unet.names(), |name| places.original(name)))
}

/// A level: its residual blocks, where they lie among all blocks of a side, and whether transformers follow them.
struct Level {
    first: usize,
    blocks: usize,
    transformers: bool,
}

/// Where blocks lie in the original's layout, which counts those of all levels together.
struct Places {
    down: Vec<Level>,
    up: Vec<Level>,
}

impl Places {
    fn of(unet: &Weights) -> Self {
        let side = |name: &str, resized: &str, mut next: usize| {
            let side = unet.at(name);
            let level = |index: usize| {
                let level = side.at(index);
                let (first, blocks) = (next, level.at("resnets").children());
                // Layers that make the picture smaller are blocks of their own, others belong to the block before them.
                next += blocks + usize::from(!level.at(resized).is_empty());
                Level { first, blocks, transformers: !level.at("attentions").is_empty() }
            };
            (0..side.children()).map(level).collect()
        };
        Self { down: side("down_blocks", "downsamplers", 1), up: side("up_blocks", "none", 0) }
    }

    /// The original's name of a tensor, if it has one.
    fn original(&self, name: &str) -> Option<String> {
        let (layer, end) = name.rsplit_once('.')?;
        if let Some((_, ours)) = OUTSIDE.iter().find(|(theirs, _)| *theirs == layer) {
            return Some(format!("{ours}.{end}"));
        }
        let (part, rest) = name.split_once('.')?;
        if part == "mid_block" {
            let (kind, rest) = rest.split_once('.')?;
            let (index, rest) = rest.split_once('.')?;
            return match (kind, index) {
                ("resnets", "0") => Some(format!("middle_block.0.{}", residual(rest)?)),
                ("resnets", "1") => Some(format!("middle_block.2.{}", residual(rest)?)),
                ("attentions", "0") => Some(format!("middle_block.1.{rest}")),
                _ => None,
            };
        }
        let (levels, blocks) = match part {
            "down_blocks" => (&self.down, "input_blocks"),
            "up_blocks" => (&self.up, "output_blocks"),
            _ => return None,
        };
        let (level, rest) = rest.split_once('.')?;
        let Level { first, blocks: count, transformers } = levels.get(level.parse::<usize>().ok()?)?;
        let (kind, rest) = rest.split_once('.')?;
        let (index, rest) = rest.split_once('.')?;
        let block = first + index.parse::<usize>().ok()?;
        match kind {
            "resnets" => Some(format!("{blocks}.{block}.0.{}", residual(rest)?)),
            "attentions" => Some(format!("{blocks}.{block}.1.{rest}")),
            "downsamplers" => Some(format!("{blocks}.{}.0.op.{end}", first + count)),
            "upsamplers" => {
                Some(format!("{blocks}.{}.{}.conv.{end}", first + count - 1, 1 + usize::from(*transformers)))
            }
            _ => None,
        }
    }
}

/// The original's name of a tensor of a residual block.
fn residual(name: &str) -> Option<String> {
    let (layer, end) = name.rsplit_once('.')?;
    let (_, ours) = RESIDUAL.iter().find(|(theirs, _)| *theirs == layer)?;
    Some(format!("{ours}.{end}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::lora::diffusers::names;
    use crate::models::reference::checkpoint;

    /// The names that LoRAs go by are the same, walked from the other side.
    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn names_are_the_inverse_of_those_that_loras_have() {
        for model in ["sd15-tiny-random", "sd2-tiny", "sdxl-tiny", "sdxl-refiner-tiny"] {
            let unet = checkpoint(model).at("model.diffusion_model");
            let named = names(&unet);
            let theirs = |ours: &str| named.get(&format!("{ours}.weight")).and_then(|names| names.last().cloned());
            let path = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
            let ones = tch::Tensor::zeros([1], (tch::Kind::Float, tch::Device::Cpu));
            let all: Vec<(String, String)> = unet
                .names()
                .iter()
                .filter_map(|name| {
                    let (layer, end) = name.rsplit_once('.')?;
                    Some((format!("{}.{end}", theirs(layer)?), name.clone()))
                })
                .collect();
            assert_eq!(all.len(), unet.names().len(), "{model}");
            crate::files::tensor_file::save(path.path(), all.iter().map(|(name, _)| (name.as_str(), &ones))).unwrap();
            let renamed = Weights::open(path.path()).unwrap();
            assert!(is_unet(&renamed), "{model}");
            assert_eq!(in_original_layout(&renamed).names(), unet.names(), "{model}");
        }
    }
}
