//! The names that diffusers has for a UNet's layers.

use std::collections::HashMap;

use crate::files::weights::Weights;

/// Parts of a residual block: the original's names, and diffusers'.
const RESIDUAL: [(&str, &str); 6] = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// Layers outside of the blocks. Some have two names.
const OUTSIDE: [(&str, &[&str]); 7] = [
    ("input_blocks.0.0", &["conv_in"]),
    ("time_embed.0", &["time_embedding.linear_1"]),
    ("time_embed.2", &["time_embedding.linear_2"]),
    ("label_emb.0.0", &["class_embedding.linear_1", "add_embedding.linear_1"]),
    ("label_emb.0.2", &["class_embedding.linear_2", "add_embedding.linear_2"]),
    ("out.0", &["conv_norm_out"]),
    ("out.2", &["conv_out"]),
];

/// diffusers' names, without `.weight`, of the weights of a UNet in the original's layout, by the original's names with it.
///
/// Levels and blocks are counted by walking the layers: a level ends with the layer that changes the size.
pub fn names(unet: &Weights) -> HashMap<String, Vec<String>> {
    let mut found = HashMap::new();
    for (ours, theirs) in OUTSIDE {
        found.insert(format!("{ours}.weight"), theirs.iter().map(|name| (*name).to_owned()).collect());
    }
    let mut walk = Walk { unet, found: &mut found };
    let (mut level, mut index) = (0, 0);
    for block in 1..unet.at("input_blocks").children() {
        let at = format!("input_blocks.{block}");
        if unet.contains(&format!("{at}.0.op.weight")) {
            walk.name(format!("{at}.0.op"), format!("down_blocks.{level}.downsamplers.0.conv"));
            (level, index) = (level + 1, 0);
        } else {
            walk.block(&at, &format!("down_blocks.{level}"), index);
            index += 1;
        }
    }
    walk.residual("middle_block.0", "mid_block.resnets.0");
    walk.transformer("middle_block.1", "mid_block.attentions.0");
    walk.residual("middle_block.2", "mid_block.resnets.1");
    (level, index) = (0, 0);
    for block in 0..unet.at("output_blocks").children() {
        let at = format!("output_blocks.{block}");
        walk.block(&at, &format!("up_blocks.{level}"), index);
        index += 1;
        for layer in 1..unet.at(&at).children() {
            if unet.contains(&format!("{at}.{layer}.conv.weight")) {
                walk.name(format!("{at}.{layer}.conv"), format!("up_blocks.{level}.upsamplers.0.conv"));
                (level, index) = (level + 1, 0);
            }
        }
    }
    found
}

struct Walk<'a> {
    unet: &'a Weights,
    found: &'a mut HashMap<String, Vec<String>>,
}

impl Walk<'_> {
    fn name(&mut self, ours: String, theirs: String) {
        self.found.insert(format!("{ours}.weight"), vec![theirs]);
    }

    /// A residual block, and a transformer if one follows it.
    fn block(&mut self, ours: &str, theirs: &str, index: usize) {
        self.residual(&format!("{ours}.0"), &format!("{theirs}.resnets.{index}"));
        self.transformer(&format!("{ours}.1"), &format!("{theirs}.attentions.{index}"));
    }

    fn residual(&mut self, ours: &str, theirs: &str) {
        for (part, named) in RESIDUAL {
            self.name(format!("{ours}.{part}"), format!("{theirs}.{named}"));
        }
    }

    /// A transformer's parts have the same names in both.
    fn transformer(&mut self, ours: &str, theirs: &str) {
        let weights = self.unet.at(ours);
        if !weights.contains("norm.weight") {
            return;
        }
        for name in weights.names() {
            if let Some(part) = name.strip_suffix(".weight") {
                self.name(format!("{ours}.{part}"), format!("{theirs}.{part}"));
            }
        }
    }
}
