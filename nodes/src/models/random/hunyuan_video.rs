//! The tensors of HunyuanVideo in one file: network, autoencoder, text encoders.

use tch::Kind;

use super::networks::{BRANCH, PLAIN, text_encoder};
use super::{Builder, Size, Spec};

/// Channels of a latent.
const CHANNELS: i64 = 16;

/// Sizes of the networks.
struct Plan {
    width: i64,
    head: i64,
    double: usize,
    single: usize,
    text: Llama,
    /// Width and layers of CLIP-L.
    clip: (i64, usize),
    vae: i64,
}

/// Llama 3's sizes.
pub(super) struct Llama {
    pub width: i64,
    hidden: i64,
    /// Heads of queries, and of keys and values.
    heads: [i64; 2],
    layers: usize,
}

impl Llama {
    /// The model of 8 billion weights.
    pub(super) const REAL: Self = Self { width: 4096, hidden: 14336, heads: [32, 8], layers: 32 };
    pub(super) const TINY: Self = Self { width: 16, hidden: 48, heads: [2, 1], layers: 4 };
}

/// Everything that HunyuanVideo needs to make videos from text. Of real size, network and language model are floats of 8 bits.
pub(super) fn hunyuan_video_checkpoint(mut b: Builder, size: Size) -> Vec<Spec> {
    let plan = match size {
        Size::Real => {
            Plan { width: 3072, head: 128, double: 20, single: 40, text: Llama::REAL, clip: (768, 12), vae: 128 }
        }
        _ => Plan { width: 64, head: 32, double: 2, single: 2, text: Llama::TINY, clip: (64, 3), vae: 32 },
    };
    b.below("text_encoders.clip_l.transformer.text_model", |b| text_encoder(b, plan.clip.0, plan.clip.1));
    b.below("vae", |b| autoencoder(b, plan.vae));
    b.kind = if size == Size::Real { Kind::Float8e4m3fn } else { Kind::Half };
    b.below("text_encoders.llama.transformer.model", |b| llama(b, &plan.text));
    b.below("model.diffusion_model", |b| network(b, &plan));
    b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    b.tensors
}

/// Llama 3, below `model`.
pub(super) fn llama(b: &mut Builder, plan: &Llama) {
    const HEAD: i64 = 128;
    let Llama { width, hidden, heads: [queries, keys], layers } = *plan;
    b.push("embed_tokens.weight", &[128_320, width], 0.0, 1.0);
    for i in 0..layers {
        b.below(&format!("layers.{i}"), |b| {
            for (name, heads) in [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)] {
                b.matrix(&format!("self_attn.{name}"), &[heads * HEAD, width], PLAIN);
            }
            b.matrix("self_attn.o_proj", &[width, queries * HEAD], BRANCH);
            b.matrix("mlp.gate_proj", &[hidden, width], PLAIN);
            b.matrix("mlp.up_proj", &[hidden, width], PLAIN);
            b.matrix("mlp.down_proj", &[width, hidden], BRANCH);
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                b.push(&format!("{norm}.weight"), &[width], 1.0, 0.1);
            }
        });
    }
    b.push("norm.weight", &[width], 1.0, 0.1);
}

fn network(b: &mut Builder, plan: &Plan) {
    let Plan { width, head, .. } = *plan;
    let embedder = |b: &mut Builder, name: &str, inputs: i64| {
        b.dense(&format!("{name}.in_layer"), &[width, inputs], PLAIN);
        b.dense(&format!("{name}.out_layer"), &[width, width], PLAIN);
    };
    let norms = |b: &mut Builder, at: &str| {
        b.push(&format!("{at}.query_norm.scale"), &[head], 1.0, 0.1);
        b.push(&format!("{at}.key_norm.scale"), &[head], 1.0, 0.1);
    };
    b.dense("img_in.proj", &[width, CHANNELS, 1, 2, 2], PLAIN);
    embedder(b, "time_in", 256);
    embedder(b, "vector_in", plan.clip.0);
    embedder(b, "guidance_in", 256);
    b.below("txt_in", |b| {
        b.dense("input_embedder", &[width, plan.text.width], PLAIN);
        embedder(b, "t_embedder", 256);
        embedder(b, "c_embedder", plan.text.width);
        for i in 0..2 {
            b.below(&format!("individual_token_refiner.blocks.{i}"), |b| {
                b.dense("adaLN_modulation.1", &[2 * width, width], BRANCH);
                b.norm("norm1", width);
                b.dense("self_attn.qkv", &[3 * width, width], PLAIN);
                b.dense("self_attn.proj", &[width, width], BRANCH);
                b.norm("norm2", width);
                b.dense("mlp.0", &[4 * width, width], PLAIN);
                b.dense("mlp.2", &[width, 4 * width], BRANCH);
            });
        }
    });
    for i in 0..plan.double {
        b.below(&format!("double_blocks.{i}"), |b| {
            for side in ["img", "txt"] {
                b.dense(&format!("{side}_mod.lin"), &[6 * width, width], BRANCH);
                b.dense(&format!("{side}_attn.qkv"), &[3 * width, width], PLAIN);
                norms(b, &format!("{side}_attn.norm"));
                b.dense(&format!("{side}_attn.proj"), &[width, width], BRANCH);
                b.dense(&format!("{side}_mlp.0"), &[4 * width, width], PLAIN);
                b.dense(&format!("{side}_mlp.2"), &[width, 4 * width], BRANCH);
            }
        });
    }
    for i in 0..plan.single {
        b.below(&format!("single_blocks.{i}"), |b| {
            b.dense("modulation.lin", &[3 * width, width], BRANCH);
            b.dense("linear1", &[7 * width, width], PLAIN);
            b.dense("linear2", &[width, 5 * width], BRANCH);
            norms(b, "norm");
        });
    }
    b.dense("final_layer.adaLN_modulation.1", &[2 * width, width], BRANCH);
    b.dense("final_layer.linear", &[4 * CHANNELS, width], PLAIN);
}

fn autoencoder(b: &mut Builder, width: i64) {
    let widths = [width, 2 * width, 4 * width, 4 * width];
    b.below("encoder", |b| {
        conv(b, "conv_in", 3, width, PLAIN);
        let mut channels = width;
        for (i, outputs) in widths.into_iter().enumerate() {
            for j in 0..2 {
                residual(b, &format!("down.{i}.block.{j}"), channels, outputs);
                channels = outputs;
            }
            if i < 3 {
                conv(b, &format!("down.{i}.downsample.conv"), channels, channels, PLAIN);
            }
        }
        middle(b, channels);
        b.norm("norm_out", channels);
        conv(b, "conv_out", channels, 2 * CHANNELS, PLAIN);
    });
    b.below("decoder", |b| {
        let mut channels = widths[3];
        conv(b, "conv_in", CHANNELS, channels, PLAIN);
        middle(b, channels);
        for (i, outputs) in widths.into_iter().enumerate().rev() {
            for j in 0..3 {
                residual(b, &format!("up.{i}.block.{j}"), channels, outputs);
                channels = outputs;
            }
            if i > 0 {
                conv(b, &format!("up.{i}.upsample.conv"), channels, channels, PLAIN);
            }
        }
        b.norm("norm_out", channels);
        conv(b, "conv_out", channels, 3, BRANCH);
    });
    b.dense("quant_conv", &[2 * CHANNELS, 2 * CHANNELS, 1, 1, 1], PLAIN);
    b.dense("post_quant_conv", &[CHANNELS, CHANNELS, 1, 1, 1], PLAIN);
}

fn conv(b: &mut Builder, name: &str, inputs: i64, outputs: i64, gain: f64) {
    b.dense(&format!("{name}.conv"), &[outputs, inputs, 3, 3, 3], gain);
}

fn residual(b: &mut Builder, name: &str, inputs: i64, outputs: i64) {
    b.below(name, |b| {
        b.norm("norm1", inputs);
        conv(b, "conv1", inputs, outputs, PLAIN);
        b.norm("norm2", outputs);
        conv(b, "conv2", outputs, outputs, BRANCH);
        if inputs != outputs {
            b.dense("nin_shortcut.conv", &[outputs, inputs, 1, 1, 1], PLAIN);
        }
    });
}

fn middle(b: &mut Builder, channels: i64) {
    residual(b, "mid.block_1", channels, channels);
    b.norm("mid.attn_1.norm", channels);
    for (name, gain) in [("q", PLAIN), ("k", PLAIN), ("v", PLAIN), ("proj_out", BRANCH)] {
        b.dense(&format!("mid.attn_1.{name}"), &[channels, channels, 1, 1, 1], gain);
    }
    residual(b, "mid.block_2", channels, channels);
}
