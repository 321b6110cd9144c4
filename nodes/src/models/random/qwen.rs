//! The tensors of Qwen-Image and of its text encoder, by name and shape.

use super::Builder;
use super::networks::{BRANCH, PLAIN};

/// Qwen-Image: width, width of a head, width of the text, blocks.
pub(super) fn qwen_image(b: &mut Builder, width: i64, head: i64, text: i64, blocks: usize) {
    const PATCH: i64 = 64;
    b.dense("img_in", &[width, PATCH], PLAIN);
    b.push("txt_norm.weight", &[text], 1.0, 0.1);
    b.dense("txt_in", &[width, text], PLAIN);
    b.dense("time_text_embed.timestep_embedder.linear_1", &[width, 256], PLAIN);
    b.dense("time_text_embed.timestep_embedder.linear_2", &[width, width], PLAIN);
    for i in 0..blocks {
        b.below(&format!("transformer_blocks.{i}"), |b| {
            for name in ["to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"] {
                b.dense(&format!("attn.{name}"), &[width, width], PLAIN);
            }
            for name in ["to_out.0", "to_add_out"] {
                b.dense(&format!("attn.{name}"), &[width, width], BRANCH);
            }
            for name in ["norm_q", "norm_k", "norm_added_q", "norm_added_k"] {
                b.push(&format!("attn.{name}.weight"), &[head], 1.0, 0.1);
            }
            for side in ["img", "txt"] {
                b.dense(&format!("{side}_mod.1"), &[6 * width, width], BRANCH);
                b.dense(&format!("{side}_mlp.net.0.proj"), &[4 * width, width], PLAIN);
                b.dense(&format!("{side}_mlp.net.2"), &[width, 4 * width], BRANCH);
            }
        });
    }
    b.dense("norm_out.linear", &[2 * width, width], BRANCH);
    b.dense("proj_out", &[PATCH, width], PLAIN);
}

/// Qwen 2.5-VL's sizes.
pub(super) struct QwenVlPlan {
    pub width: i64,
    /// Width of the feed-forward layers.
    pub hidden: i64,
    /// Heads of the queries, and of keys and values.
    pub heads: [i64; 2],
    pub layers: usize,
    /// Width, width of the feed-forward layers and number of blocks of the vision tower.
    pub vision: (i64, i64, usize),
}

/// Qwen 2.5-VL without what predicts the next token.
pub(super) fn qwen_vl(b: &mut Builder, plan: &QwenVlPlan) {
    let QwenVlPlan { width, hidden, heads, layers, .. } = *plan;
    let [inner, shared] = heads.map(|count| count * 128);
    b.push("model.embed_tokens.weight", &[152_064, width], 0.0, 1.0);
    for i in 0..layers {
        b.below(&format!("model.layers.{i}"), |b| {
            b.push("input_layernorm.weight", &[width], 1.0, 0.1);
            b.push("post_attention_layernorm.weight", &[width], 1.0, 0.1);
            for (name, rows) in [("q_proj", inner), ("k_proj", shared), ("v_proj", shared)] {
                b.dense(&format!("self_attn.{name}"), &[rows, width], PLAIN);
            }
            b.matrix("self_attn.o_proj", &[width, inner], BRANCH);
            b.matrix("mlp.gate_proj", &[hidden, width], PLAIN);
            b.matrix("mlp.up_proj", &[hidden, width], PLAIN);
            b.matrix("mlp.down_proj", &[width, hidden], BRANCH);
        });
    }
    b.push("model.norm.weight", &[width], 1.0, 0.1);
    b.below("visual", |b| vision(b, plan.vision, width));
}

fn vision(b: &mut Builder, (width, hidden, blocks): (i64, i64, usize), text: i64) {
    b.matrix("patch_embed.proj", &[width, 3, 2, 14, 14], PLAIN);
    for i in 0..blocks {
        b.below(&format!("blocks.{i}"), |b| {
            b.push("norm1.weight", &[width], 1.0, 0.1);
            b.push("norm2.weight", &[width], 1.0, 0.1);
            b.dense("attn.qkv", &[3 * width, width], PLAIN);
            b.dense("attn.proj", &[width, width], BRANCH);
            b.dense("mlp.gate_proj", &[hidden, width], PLAIN);
            b.dense("mlp.up_proj", &[hidden, width], PLAIN);
            b.dense("mlp.down_proj", &[width, hidden], BRANCH);
        });
    }
    b.push("merger.ln_q.weight", &[width], 1.0, 0.1);
    b.dense("merger.mlp.0", &[4 * width, 4 * width], PLAIN);
    b.dense("merger.mlp.2", &[text, 4 * width], PLAIN);
}
