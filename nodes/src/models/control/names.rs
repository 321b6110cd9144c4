//! ControlNets and adapters in the layout of diffusers: which of their tensors is which of the original's.

use crate::files::names::Names;
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

/// Layers outside of the blocks.
const OUTSIDE: [(&str, &str); 8] = [
    ("input_blocks.0.0", "conv_in"),
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "class_embedding.linear_1"),
    ("label_emb.0.2", "class_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("middle_block_out.0", "controlnet_mid_block"),
];

/// Layers by the original's prefix and the file's.
#[derive(Default)]
struct Layers(Vec<(String, String)>);

impl Layers {
    fn add(&mut self, ours: impl Into<String>, theirs: impl Into<String>) {
        self.0.push((ours.into(), theirs.into()));
    }

    fn residual(&mut self, ours: &str, theirs: &str) {
        for (our, their) in RESIDUAL {
            self.add(format!("{ours}.{our}"), format!("{theirs}.{their}"));
        }
    }

    /// Names for all tensors of the file that lie in one of the layers.
    fn names(self, weights: &Weights) -> Names {
        let mut names = Names::default();
        for (ours, theirs) in self.0 {
            let layer = weights.at(&theirs);
            for name in layer.names() {
                names.add(format!("{ours}.{name}"), layer.full_name(&name));
            }
        }
        names
    }
}

/// A ControlNet of a UNet.
pub(super) fn unet(weights: &Weights) -> Weights {
    let mut layers = Layers::default();
    OUTSIDE.iter().for_each(|(ours, theirs)| layers.add(*ours, *theirs));
    let mut block = 1;
    for level in 0..weights.at("down_blocks").children() {
        let at = format!("down_blocks.{level}");
        for i in 0..weights.at(&at).at("resnets").children() {
            layers.residual(&format!("input_blocks.{block}.0"), &format!("{at}.resnets.{i}"));
            layers.add(format!("input_blocks.{block}.1"), format!("{at}.attentions.{i}"));
            block += 1;
        }
        if !weights.at(&at).at("downsamplers").is_empty() {
            layers.add(format!("input_blocks.{block}.0.op"), format!("{at}.downsamplers.0.conv"));
            block += 1;
        }
    }
    layers.residual("middle_block.0", "mid_block.resnets.0");
    layers.add("middle_block.1", "mid_block.attentions.0");
    layers.residual("middle_block.2", "mid_block.resnets.1");
    for i in 0..weights.at("controlnet_down_blocks").children() {
        layers.add(format!("zero_convs.{i}.0"), format!("controlnet_down_blocks.{i}"));
    }
    let hint = "controlnet_cond_embedding";
    let between = weights.at(hint).at("blocks").children();
    layers.add("input_hint_block.0", format!("{hint}.conv_in"));
    for i in 0..between {
        layers.add(format!("input_hint_block.{}", 2 * (i + 1)), format!("{hint}.blocks.{i}"));
    }
    layers.add(format!("input_hint_block.{}", 2 * (between + 1)), format!("{hint}.conv_out"));
    let mut names = layers.names(weights);
    // What takes several kinds of pictures has the original's names already, but for one.
    const UNION: [&str; 4] = ["control_add_embedding.", "task_embedding", "transformer_layes.", "spatial_ch_projs."];
    for name in weights.names().into_iter().filter(|name| UNION.iter().any(|part| name.starts_with(part))) {
        names.add(name.replace(".attn.in_proj_", ".attn.in_proj."), name);
    }
    weights.named(names)
}

/// A T2I-Adapter.
pub(super) fn adapter(weights: &Weights) -> Weights {
    let mut layers = Layers::default();
    let body = weights.at("adapter.body");
    for level in 0..body.children() {
        let at = format!("adapter.body.{level}");
        for i in 0..body.at(level).at("resnets").children() {
            layers.add(format!("body.{}", 2 * level + i), format!("{at}.resnets.{i}"));
        }
        // What comes in front of both blocks.
        layers.add(format!("body.{}.in_conv", 2 * level), format!("{at}.in_conv"));
        layers.add(format!("body.{}.down_opt", 2 * level), format!("{at}.down_opt"));
    }
    layers.add("conv_in", "adapter.conv_in");
    let names = layers.names(weights);
    weights.named(names)
}
