//! The tensors of Qwen-Image, of its text encoder and of its autoencoder, by name and shape.

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

/// Wan 2.1's autoencoder, which Qwen-Image has, too; `width` is that of its narrowest level.
pub(super) fn wan_autoencoder(b: &mut Builder, width: i64) {
    const LATENT: i64 = 16;
    let widths = [width, 2 * width, 4 * width, 4 * width];
    b.dense("conv1", &[2 * LATENT, 2 * LATENT, 1, 1, 1], PLAIN);
    b.dense("conv2", &[LATENT, LATENT, 1, 1, 1], PLAIN);
    b.below("encoder", |b| {
        b.dense("conv1", &[width, 3, 3, 3, 3], PLAIN);
        let (mut place, mut channels) = (0, width);
        for (level, width) in widths.into_iter().enumerate() {
            for _ in 0..2 {
                wan_block(b, &format!("downsamples.{place}"), channels, width);
                (place, channels) = (place + 1, width);
            }
            if level < 3 {
                b.dense(&format!("downsamples.{place}.resample.1"), &[width, width, 3, 3], PLAIN);
                // The first level is as fast as the video.
                if level > 0 {
                    b.dense(&format!("downsamples.{place}.time_conv"), &[width, width, 3, 1, 1], PLAIN);
                }
                place += 1;
            }
        }
        wan_middle(b, channels);
        wan_head(b, channels, 2 * LATENT);
    });
    b.below("decoder", |b| {
        b.dense("conv1", &[4 * width, LATENT, 3, 3, 3], PLAIN);
        wan_middle(b, 4 * width);
        let (mut place, mut channels) = (0, 4 * width);
        for (level, width) in widths.into_iter().rev().enumerate() {
            for _ in 0..3 {
                wan_block(b, &format!("upsamples.{place}"), channels, width);
                (place, channels) = (place + 1, width);
            }
            if level < 3 {
                channels = width / 2;
                b.dense(&format!("upsamples.{place}.resample.1"), &[channels, width, 3, 3], PLAIN);
                if level < 2 {
                    b.dense(&format!("upsamples.{place}.time_conv"), &[2 * width, width, 3, 1, 1], PLAIN);
                }
                place += 1;
            }
        }
        wan_head(b, channels, 3);
    });
}

fn wan_block(b: &mut Builder, name: &str, input: i64, output: i64) {
    b.push(&format!("{name}.residual.0.gamma"), &[input, 1, 1, 1], 1.0, 0.1);
    b.dense(&format!("{name}.residual.2"), &[output, input, 3, 3, 3], PLAIN);
    b.push(&format!("{name}.residual.3.gamma"), &[output, 1, 1, 1], 1.0, 0.1);
    b.dense(&format!("{name}.residual.6"), &[output, output, 3, 3, 3], BRANCH);
    if input != output {
        b.dense(&format!("{name}.shortcut"), &[output, input, 1, 1, 1], PLAIN);
    }
}

fn wan_middle(b: &mut Builder, channels: i64) {
    wan_block(b, "middle.0", channels, channels);
    b.push("middle.1.norm.gamma", &[channels, 1, 1], 1.0, 0.1);
    b.dense("middle.1.to_qkv", &[3 * channels, channels, 1, 1], PLAIN);
    b.dense("middle.1.proj", &[channels, channels, 1, 1], BRANCH);
    wan_block(b, "middle.2", channels, channels);
}

fn wan_head(b: &mut Builder, channels: i64, output: i64) {
    b.push("head.0.gamma", &[channels, 1, 1, 1], 1.0, 0.1);
    b.dense("head.2", &[output, channels, 3, 3, 3], PLAIN);
}
