//! ControlNets of transformers in the layout of diffusers: which of their tensors is which of the original's. diffusers has a matrix each for
//! queries, keys and values, where the original stacks them by rows.

use crate::files::names::Names;
use crate::files::weights::Weights;

/// Layers of Flux outside of its blocks: the original's names, and diffusers'.
const FLUX: [(&str, &str); 9] = [
    ("img_in", "x_embedder"),
    ("txt_in", "context_embedder"),
    ("pos_embed_input", "controlnet_x_embedder"),
    ("time_in.in_layer", "time_text_embed.timestep_embedder.linear_1"),
    ("time_in.out_layer", "time_text_embed.timestep_embedder.linear_2"),
    ("vector_in.in_layer", "time_text_embed.text_embedder.linear_1"),
    ("vector_in.out_layer", "time_text_embed.text_embedder.linear_2"),
    ("guidance_in.in_layer", "time_text_embed.guidance_embedder.linear_1"),
    ("guidance_in.out_layer", "time_text_embed.guidance_embedder.linear_2"),
];

/// Layers of a block in which text and picture have weights of their own.
const FLUX_DOUBLE: [(&str, &str); 12] = [
    ("img_attn.proj", "attn.to_out.0"),
    ("txt_attn.proj", "attn.to_add_out"),
    ("img_mod.lin", "norm1.linear"),
    ("txt_mod.lin", "norm1_context.linear"),
    ("img_mlp.0", "ff.net.0.proj"),
    ("img_mlp.2", "ff.net.2"),
    ("txt_mlp.0", "ff_context.net.0.proj"),
    ("txt_mlp.2", "ff_context.net.2"),
    ("img_attn.norm.query_norm.scale", "attn.norm_q.weight"),
    ("img_attn.norm.key_norm.scale", "attn.norm_k.weight"),
    ("txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"),
    ("txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"),
];

/// Layers of a block in which they share them.
const FLUX_SINGLE: [(&str, &str); 4] = [
    ("modulation.lin", "norm.linear"),
    ("linear2", "proj_out"),
    ("norm.query_norm.scale", "attn.norm_q.weight"),
    ("norm.key_norm.scale", "attn.norm_k.weight"),
];

/// Layers of Stable Diffusion 3 outside of its blocks.
const SD3: [(&str, &str); 7] = [
    ("context_embedder", "context_embedder"),
    ("t_embedder.mlp.0", "time_text_embed.timestep_embedder.linear_1"),
    ("t_embedder.mlp.2", "time_text_embed.timestep_embedder.linear_2"),
    ("x_embedder.proj", "pos_embed.proj"),
    ("y_embedder.mlp.0", "time_text_embed.text_embedder.linear_1"),
    ("y_embedder.mlp.2", "time_text_embed.text_embedder.linear_2"),
    ("pos_embed", "pos_embed.pos_embed"),
];

/// Layers of its blocks.
const SD3_BLOCK: [(&str, &str); 15] = [
    ("context_block.adaLN_modulation.1", "norm1_context.linear"),
    ("context_block.attn.proj", "attn.to_add_out"),
    ("context_block.mlp.fc1", "ff_context.net.0.proj"),
    ("context_block.mlp.fc2", "ff_context.net.2"),
    ("context_block.attn.ln_q", "attn.norm_added_q"),
    ("context_block.attn.ln_k", "attn.norm_added_k"),
    ("x_block.adaLN_modulation.1", "norm1.linear"),
    ("x_block.attn.proj", "attn.to_out.0"),
    ("x_block.attn.ln_q", "attn.norm_q"),
    ("x_block.attn.ln_k", "attn.norm_k"),
    ("x_block.attn2.proj", "attn2.to_out.0"),
    ("x_block.attn2.ln_q", "attn2.norm_q"),
    ("x_block.attn2.ln_k", "attn2.norm_k"),
    ("x_block.mlp.fc1", "ff.net.0.proj"),
    ("x_block.mlp.fc2", "ff.net.2"),
];

/// Names of a file's tensors by those of its layers.
struct Renamed<'a> {
    file: &'a Weights,
    names: Names,
}

impl Renamed<'_> {
    /// A layer, or a tensor that has these very names.
    fn layer(&mut self, ours: &str, theirs: &str) {
        if self.file.contains(theirs) {
            self.names.add(ours, theirs);
        }
        for end in ["weight", "bias"] {
            let theirs = format!("{theirs}.{end}");
            if self.file.contains(&theirs) {
                self.names.add(format!("{ours}.{end}"), theirs);
            }
        }
    }

    /// A layer of which the file has the parts.
    fn stack(&mut self, ours: &str, theirs: &[String]) {
        for end in ["weight", "bias"] {
            let parts: Vec<String> = theirs.iter().map(|theirs| format!("{theirs}.{end}")).collect();
            if parts.iter().all(|part| self.file.contains(part)) {
                self.names.stack(format!("{ours}.{end}"), parts);
            }
        }
    }

    fn block(&mut self, layers: &[(&str, &str)], ours: &str, theirs: &str) {
        for (our, their) in layers {
            self.layer(&format!("{ours}.{our}"), &format!("{theirs}.{their}"));
        }
    }

    /// What the file calls as the original does.
    fn same(&mut self, prefixes: &[&str]) {
        for name in self.file.names().into_iter().filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        {
            self.names.add(name.clone(), name);
        }
    }

    fn done(self) -> Weights {
        self.file.named(self.names)
    }
}

fn parts(of: &str, names: [&str; 3]) -> Vec<String> {
    names.map(|name| format!("{of}.{name}")).to_vec()
}

const PICTURE: [&str; 3] = ["to_q", "to_k", "to_v"];
const TEXT: [&str; 3] = ["add_q_proj", "add_k_proj", "add_v_proj"];

/// A ControlNet of Flux.
pub(super) fn flux(file: &Weights) -> Weights {
    let mut renamed = Renamed { file, names: Names::default() };
    FLUX.iter().for_each(|(ours, theirs)| renamed.layer(ours, theirs));
    for i in 0..file.at("transformer_blocks").children() {
        let (ours, theirs) = (format!("double_blocks.{i}"), format!("transformer_blocks.{i}"));
        renamed.block(&FLUX_DOUBLE, &ours, &theirs);
        renamed.stack(&format!("{ours}.img_attn.qkv"), &parts(&format!("{theirs}.attn"), PICTURE));
        renamed.stack(&format!("{ours}.txt_attn.qkv"), &parts(&format!("{theirs}.attn"), TEXT));
    }
    for i in 0..file.at("single_transformer_blocks").children() {
        let (ours, theirs) = (format!("single_blocks.{i}"), format!("single_transformer_blocks.{i}"));
        renamed.block(&FLUX_SINGLE, &ours, &theirs);
        let mut first = parts(&format!("{theirs}.attn"), PICTURE);
        first.push(format!("{theirs}.proj_mlp"));
        renamed.stack(&format!("{ours}.linear1"), &first);
    }
    renamed.same(&["controlnet_blocks.", "controlnet_single_blocks.", "controlnet_mode_embedder."]);
    renamed.done()
}

/// A ControlNet of Stable Diffusion 3 that is made of its blocks.
pub(super) fn sd3(file: &Weights) -> Weights {
    let mut renamed = Renamed { file, names: Names::default() };
    SD3.iter().for_each(|(ours, theirs)| renamed.layer(ours, theirs));
    for i in 0..file.at("transformer_blocks").children() {
        let (ours, theirs) = (format!("joint_blocks.{i}"), format!("transformer_blocks.{i}"));
        renamed.block(&SD3_BLOCK, &ours, &theirs);
        renamed.stack(&format!("{ours}.x_block.attn.qkv"), &parts(&format!("{theirs}.attn"), PICTURE));
        renamed.stack(&format!("{ours}.x_block.attn2.qkv"), &parts(&format!("{theirs}.attn2"), PICTURE));
        renamed.stack(&format!("{ours}.context_block.attn.qkv"), &parts(&format!("{theirs}.attn"), TEXT));
    }
    renamed.same(&["controlnet_blocks.", "pos_embed_input."]);
    renamed.done()
}

/// A ControlNet of Stable Diffusion 3.5 whose blocks are without text: some of its layers have diffusers' names.
pub(super) fn sd35(file: &Weights) -> Weights {
    let mut renamed = Renamed { file, names: Names::default() };
    renamed.same(&[""]);
    SD3.iter().for_each(|(ours, theirs)| renamed.layer(ours, theirs));
    renamed.done()
}
