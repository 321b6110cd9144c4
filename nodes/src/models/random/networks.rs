//! The tensors of each network, by name and shape.

use super::layouts::UNetPlan;
use super::video::{frames_of_transformer, in_front_of_block, time_block};
use super::{Builder, Size};

/// Gain of a layer whose output is added to its branch's input: less than 1, so that sums do not grow.
pub(super) const BRANCH: f64 = 0.5;
/// Gain of any other layer.
pub(super) const PLAIN: f64 = 0.9;

pub(super) fn text_encoder(b: &mut Builder, width: i64, layers: usize) {
    b.push("embeddings.token_embedding.weight", &[49408, width], 0.0, 0.4);
    b.push("embeddings.position_embedding.weight", &[77, width], 0.0, 0.1);
    for i in 0..layers {
        b.below(&format!("encoder.layers.{i}"), |b| {
            b.norm("layer_norm1", width);
            b.norm("layer_norm2", width);
            for name in ["q_proj", "k_proj", "v_proj"] {
                b.dense(&format!("self_attn.{name}"), &[width, width], PLAIN);
            }
            b.dense("self_attn.out_proj", &[width, width], BRANCH);
            b.dense("mlp.fc1", &[4 * width, width], PLAIN);
            b.dense("mlp.fc2", &[width, 4 * width], BRANCH);
        });
    }
    b.norm("final_layer_norm", width);
}

/// An image encoder's structure.
pub(super) struct VisionPlan {
    pub(super) width: i64,
    pub(super) layers: usize,
    /// Pixels along a side of a patch.
    pub(super) patch: i64,
    /// Patches along a side of a picture.
    pub(super) along: i64,
    /// How wide the embedding of a picture is.
    pub(super) embedding: i64,
}

impl VisionPlan {
    /// OpenCLIP's ViT-H. Tiny ones are as deep, since that tells them from others.
    pub(super) fn h(size: Size) -> Self {
        match size {
            Size::Real => Self { width: 1280, layers: 32, patch: 14, along: 16, embedding: 1024 },
            _ => Self { width: 32, layers: 32, patch: 14, along: 4, embedding: 32 },
        }
    }

    /// CLIP's ViT-L.
    pub(super) fn l(size: Size) -> Self {
        match size {
            Size::Real => Self { width: 1024, layers: 24, patch: 14, along: 16, embedding: 768 },
            _ => Self { width: 32, layers: 24, patch: 14, along: 4, embedding: 64 },
        }
    }
}

/// An image encoder in OpenCLIP's names.
pub(super) fn open_clip_vision(b: &mut Builder, plan: &VisionPlan) {
    let width = plan.width;
    b.matrix("conv1", &[width, 3, plan.patch, plan.patch], PLAIN);
    b.push("class_embedding", &[width], 0.0, 0.4);
    b.push("positional_embedding", &[1 + plan.along * plan.along, width], 0.0, 0.1);
    b.norm("ln_pre", width);
    open_clip_layers(b, width, plan.layers);
    b.norm("ln_post", width);
    b.push("proj", &[width, plan.embedding], 0.0, PLAIN / (width as f64).sqrt());
}

/// A text encoder in OpenCLIP's names.
pub(super) fn open_clip(b: &mut Builder, width: i64, layers: usize) {
    b.push("token_embedding.weight", &[49408, width], 0.0, 0.4);
    b.push("positional_embedding", &[77, width], 0.0, 0.1);
    open_clip_layers(b, width, layers);
    b.norm("ln_final", width);
    b.push("text_projection", &[width, width], 0.0, PLAIN / (width as f64).sqrt());
}

fn open_clip_layers(b: &mut Builder, width: i64, layers: usize) {
    for i in 0..layers {
        b.below(&format!("transformer.resblocks.{i}"), |b| {
            b.norm("ln_1", width);
            b.norm("ln_2", width);
            b.push("attn.in_proj_weight", &[3 * width, width], 0.0, PLAIN / (width as f64).sqrt());
            b.push("attn.in_proj_bias", &[3 * width], 0.0, 0.05);
            b.dense("attn.out_proj", &[width, width], BRANCH);
            b.dense("mlp.c_fc", &[4 * width, width], PLAIN);
            b.dense("mlp.c_proj", &[width, 4 * width], BRANCH);
        });
    }
}

/// `widths` are the channels of its four levels, the one of full resolution first; `latent` those of its latents. `quantised` says whether
/// a layer lies between these and the rest.
pub(super) fn autoencoder(b: &mut Builder, widths: [i64; 4], latent: i64, quantised: bool) {
    let [first, .., top] = widths;
    b.below("encoder", |b| {
        b.dense("conv_in", &[first, 3, 3, 3], PLAIN);
        let mut channels = first;
        for (i, width) in widths.into_iter().enumerate() {
            for j in 0..2 {
                autoencoder_block(b, &format!("down.{i}.block.{j}"), channels, width);
                channels = width;
            }
            if i < 3 {
                b.dense(&format!("down.{i}.downsample.conv"), &[channels, channels, 3, 3], PLAIN);
            }
        }
        autoencoder_middle(b, top);
        b.norm("norm_out", top);
        b.dense("conv_out", &[2 * latent, top, 3, 3], PLAIN);
    });
    b.below("decoder", |b| {
        b.dense("conv_in", &[top, latent, 3, 3], PLAIN);
        autoencoder_middle(b, top);
        let mut channels = top;
        for (i, width) in widths.into_iter().enumerate().rev() {
            for j in 0..3 {
                autoencoder_block(b, &format!("up.{i}.block.{j}"), channels, width);
                channels = width;
            }
            if i > 0 {
                b.dense(&format!("up.{i}.upsample.conv"), &[channels, channels, 3, 3], PLAIN);
            }
        }
        b.norm("norm_out", first);
        b.dense("conv_out", &[3, first, 3, 3], BRANCH);
    });
    if quantised {
        b.dense("quant_conv", &[2 * latent, 2 * latent, 1, 1], PLAIN);
        b.dense("post_quant_conv", &[latent, latent, 1, 1], PLAIN);
    }
}

fn autoencoder_block(b: &mut Builder, name: &str, input: i64, output: i64) {
    b.below(name, |b| {
        b.norm("norm1", input);
        b.dense("conv1", &[output, input, 3, 3], PLAIN);
        b.norm("norm2", output);
        b.dense("conv2", &[output, output, 3, 3], BRANCH);
        if input != output {
            b.dense("nin_shortcut", &[output, input, 1, 1], PLAIN);
        }
    });
}

fn autoencoder_middle(b: &mut Builder, channels: i64) {
    autoencoder_block(b, "mid.block_1", channels, channels);
    b.norm("mid.attn_1.norm", channels);
    for (name, gain) in [("q", PLAIN), ("k", PLAIN), ("v", PLAIN), ("proj_out", BRANCH)] {
        b.dense(&format!("mid.attn_1.{name}"), &[channels, channels, 1, 1], gain);
    }
    autoencoder_block(b, "mid.block_2", channels, channels);
}

pub(super) fn unet(b: &mut Builder, plan: &UNetPlan) {
    let width = plan.width;
    let embedding = 4 * width;
    let mut skips = half_unet(b, plan);
    let levels: Vec<(i64, usize)> = plan.levels.iter().copied().zip(plan.depths.iter().copied()).collect();
    let mut channels = skips.last().copied().unwrap_or(width);
    let outputs = levels.iter().enumerate().rev().flat_map(|(i, &level)| [0, 1, 2].map(|j| (i, j, level)));
    for (block, (i, j, (multiple, depth))) in outputs.enumerate() {
        let skip = skips.pop().unwrap_or(0);
        unet_block(b, &format!("output_blocks.{block}.0"), channels + skip, width * multiple, embedding, plan.video);
        channels = width * multiple;
        transformer(b, &format!("output_blocks.{block}.1"), channels, depth, plan);
        if i > 0 && j == 2 {
            let index = if depth > 0 { 2 } else { 1 };
            b.dense(&format!("output_blocks.{block}.{index}.conv"), &[channels, channels, 3, 3], PLAIN);
        }
    }
    b.norm("out.0", width);
    b.dense("out.2", &[4, width, 3, 3], PLAIN);
}

/// Everything of a UNet up to its middle. Returns how many channels each input block gives.
pub(super) fn half_unet(b: &mut Builder, plan: &UNetPlan) -> Vec<i64> {
    let width = plan.width;
    let embedding = 4 * width;
    b.dense("time_embed.0", &[embedding, width], PLAIN);
    b.dense("time_embed.2", &[embedding, embedding], PLAIN);
    if let Some(vector) = plan.vector {
        b.dense("label_emb.0.0", &[embedding, vector], PLAIN);
        b.dense("label_emb.0.2", &[embedding, embedding], PLAIN);
    }
    b.dense("input_blocks.0.0", &[width, plan.input, 3, 3], PLAIN);
    let levels: Vec<(i64, usize)> = plan.levels.iter().copied().zip(plan.depths.iter().copied()).collect();
    let last = levels.len() - 1;
    let (mut channels, mut skips, mut block) = (width, vec![width], 1);
    for (i, &(multiple, depth)) in levels.iter().enumerate() {
        for _ in 0..2 {
            unet_block(b, &format!("input_blocks.{block}.0"), channels, width * multiple, embedding, plan.video);
            channels = width * multiple;
            transformer(b, &format!("input_blocks.{block}.1"), channels, depth, plan);
            skips.push(channels);
            block += 1;
        }
        if i < last {
            b.dense(&format!("input_blocks.{block}.0.op"), &[channels, channels, 3, 3], PLAIN);
            skips.push(channels);
            block += 1;
        }
    }
    unet_block(b, "middle_block.0", channels, channels, embedding, plan.video);
    transformer(b, "middle_block.1", channels, plan.middle, plan);
    unet_block(b, "middle_block.2", channels, channels, embedding, plan.video);
    skips
}

fn unet_block(b: &mut Builder, name: &str, input: i64, output: i64, embedding: i64, video: bool) {
    b.below(name, |b| {
        b.norm("in_layers.0", input);
        b.dense("in_layers.2", &[output, input, 3, 3], PLAIN);
        b.dense("emb_layers.1", &[output, embedding], PLAIN);
        b.norm("out_layers.0", output);
        b.dense("out_layers.3", &[output, output, 3, 3], BRANCH);
        if input != output {
            b.dense("skip_connection", &[output, input, 1, 1], PLAIN);
        }
        if video {
            b.below("time_stack", |b| time_block(b, output, Some(embedding)));
            b.push("time_mixer.mix_factor", &[1], 0.0, 1.0);
        }
    });
}

/// So many transformer blocks between two projections; nothing if there are none.
fn transformer(b: &mut Builder, name: &str, width: i64, depth: usize, plan: &UNetPlan) {
    if depth == 0 {
        return;
    }
    let projection: &[i64] = if plan.linear { &[width, width] } else { &[width, width, 1, 1] };
    b.below(name, |b| {
        b.norm("norm", width);
        b.dense("proj_in", projection, PLAIN);
        b.dense("proj_out", projection, BRANCH);
        for block in 0..depth {
            b.below(&format!("transformer_blocks.{block}"), |b| transformer_block(b, width, plan.context));
            if plan.video {
                b.below(&format!("time_stack.{block}"), |b| {
                    transformer_block(b, width, plan.context);
                    in_front_of_block(b, width);
                });
            }
        }
        if plan.video {
            frames_of_transformer(b, width);
        }
    });
}

fn transformer_block(b: &mut Builder, width: i64, context: i64) {
    for (name, inputs) in [("attn1", width), ("attn2", context)] {
        b.matrix(&format!("{name}.to_q"), &[width, width], PLAIN);
        b.matrix(&format!("{name}.to_k"), &[width, inputs], PLAIN);
        b.matrix(&format!("{name}.to_v"), &[width, inputs], PLAIN);
        b.dense(&format!("{name}.to_out.0"), &[width, width], BRANCH);
    }
    b.dense("ff.net.0.proj", &[8 * width, width], PLAIN);
    b.dense("ff.net.2", &[width, 4 * width], BRANCH);
    for name in ["norm1", "norm2", "norm3"] {
        b.norm(name, width);
    }
}
