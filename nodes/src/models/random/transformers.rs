//! The tensors of transformers and of their text encoders, by name and shape.

use super::Builder;
use super::networks::{BRANCH, PLAIN};

/// Flux's sizes.
pub(super) struct FluxPlan {
    pub width: i64,
    pub head: i64,
    pub double: usize,
    pub single: usize,
    /// Widths of the text, and of the vector that goes with it.
    pub text: i64,
    pub pooled: i64,
    /// Channels of the latent.
    pub channels: i64,
    /// What it takes besides the text.
    pub told: Told,
}

/// What a network of Flux's blocks is modulated by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Noise level, pooled text and guidance, by layers in every block.
    ByBlocks,
    /// Noise level and guidance, by one network for all blocks, so wide and so deep.
    AtOnce { hidden: i64, layers: usize },
}

pub(super) fn flux(b: &mut Builder, plan: &FluxPlan) {
    let FluxPlan { width, head, .. } = *plan;
    let patch = plan.channels * 4;
    let embedder = |b: &mut Builder, name: &str, inputs: i64| {
        b.dense(&format!("{name}.in_layer"), &[width, inputs], PLAIN);
        b.dense(&format!("{name}.out_layer"), &[width, width], PLAIN);
    };
    let norms = |b: &mut Builder, at: &str| {
        b.push(&format!("{at}.query_norm.scale"), &[head], 1.0, 0.1);
        b.push(&format!("{at}.key_norm.scale"), &[head], 1.0, 0.1);
    };
    b.dense("img_in", &[width, patch], PLAIN);
    b.dense("txt_in", &[width, plan.text], PLAIN);
    match plan.told {
        Told::ByBlocks => {
            embedder(b, "time_in", 256);
            embedder(b, "vector_in", plan.pooled);
            embedder(b, "guidance_in", 256);
        }
        Told::AtOnce { hidden, layers } => b.below("distilled_guidance_layer", |b| {
            b.dense("in_proj", &[hidden, 64], PLAIN);
            for i in 0..layers {
                b.dense(&format!("layers.{i}.in_layer"), &[hidden, hidden], PLAIN);
                b.dense(&format!("layers.{i}.out_layer"), &[hidden, hidden], BRANCH);
                b.push(&format!("norms.{i}.scale"), &[hidden], 1.0, 0.1);
            }
            b.dense("out_proj", &[width, hidden], BRANCH);
        }),
    }
    let modulated = plan.told == Told::ByBlocks;
    for i in 0..plan.double {
        b.below(&format!("double_blocks.{i}"), |b| {
            for side in ["img", "txt"] {
                if modulated {
                    b.dense(&format!("{side}_mod.lin"), &[6 * width, width], BRANCH);
                }
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
            if modulated {
                b.dense("modulation.lin", &[3 * width, width], BRANCH);
            }
            b.dense("linear1", &[7 * width, width], PLAIN);
            b.dense("linear2", &[width, 5 * width], BRANCH);
            norms(b, "norm");
        });
    }
    if modulated {
        b.dense("final_layer.adaLN_modulation.1", &[2 * width, width], BRANCH);
    }
    b.dense("final_layer.linear", &[patch, width], PLAIN);
}

/// T5's sizes.
pub(super) struct T5Plan {
    pub vocabulary: i64,
    pub width: i64,
    /// The width within attention, and that of the feed-forward layers.
    pub inner: i64,
    pub hidden: i64,
    pub heads: i64,
    pub layers: usize,
    /// Whether every layer knows the distance of tokens, and not the first alone.
    pub distances_everywhere: bool,
}

impl T5Plan {
    /// T5-XXL.
    pub(super) const T5: Self = Self {
        vocabulary: 32128,
        width: 4096,
        inner: 4096,
        hidden: 10240,
        heads: 64,
        layers: 24,
        distances_everywhere: false,
    };
    /// Pile-T5-XL.
    pub(super) const PILE: Self =
        Self { width: 2048, inner: 2048, hidden: 5120, heads: 32, distances_everywhere: true, ..Self::T5 };
    /// UMT5-XXL.
    pub(super) const UMT5: Self = Self { vocabulary: 256384, distances_everywhere: true, ..Self::T5 };
}

/// T5's encoder.
pub(super) fn t5(b: &mut Builder, plan: &T5Plan) {
    let T5Plan { width, inner, hidden, heads, layers, .. } = *plan;
    b.push("shared.weight", &[plan.vocabulary, width], 0.0, 1.0);
    for i in 0..layers {
        b.below(&format!("encoder.block.{i}.layer"), |b| {
            for name in ["q", "k", "v"] {
                b.matrix(&format!("0.SelfAttention.{name}"), &[inner, width], PLAIN / 8.0);
            }
            b.matrix("0.SelfAttention.o", &[width, inner], BRANCH);
            if i == 0 || plan.distances_everywhere {
                b.push("0.SelfAttention.relative_attention_bias.weight", &[32, heads], 0.0, 1.0);
            }
            b.push("0.layer_norm.weight", &[width], 1.0, 0.1);
            b.matrix("1.DenseReluDense.wi_0", &[hidden, width], PLAIN);
            b.matrix("1.DenseReluDense.wi_1", &[hidden, width], PLAIN);
            b.matrix("1.DenseReluDense.wo", &[width, hidden], BRANCH);
            b.push("1.layer_norm.weight", &[width], 1.0, 0.1);
        });
    }
    b.push("encoder.final_layer_norm.weight", &[width], 1.0, 0.1);
}

/// PixArt-Σ's network, so wide and so deep, for texts of a width.
pub(super) fn pixart(b: &mut Builder, width: i64, blocks: usize, text: i64) {
    b.dense("x_embedder.proj", &[width, 4, 2, 2], PLAIN);
    b.dense("t_embedder.mlp.0", &[width, 256], PLAIN);
    b.dense("t_embedder.mlp.2", &[width, width], PLAIN);
    b.dense("t_block.1", &[6 * width, width], BRANCH);
    b.dense("y_embedder.y_proj.fc1", &[width, text], PLAIN);
    b.dense("y_embedder.y_proj.fc2", &[width, width], PLAIN);
    b.push("y_embedder.y_embedding", &[300, text], 0.0, 0.1);
    for i in 0..blocks {
        b.below(&format!("blocks.{i}"), |b| {
            b.push("scale_shift_table", &[6, width], 0.0, 0.1);
            b.dense("attn.qkv", &[3 * width, width], PLAIN);
            b.dense("attn.proj", &[width, width], BRANCH);
            b.dense("cross_attn.q_linear", &[width, width], PLAIN);
            b.dense("cross_attn.kv_linear", &[2 * width, width], PLAIN);
            b.dense("cross_attn.proj", &[width, width], BRANCH);
            b.dense("mlp.fc1", &[4 * width, width], PLAIN);
            b.dense("mlp.fc2", &[width, 4 * width], BRANCH);
        });
    }
    b.push("final_layer.scale_shift_table", &[2, width], 0.0, 0.1);
    b.dense("final_layer.linear", &[32, width], PLAIN);
}
