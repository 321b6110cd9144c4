//! The tensors of LTX-Video in one file: network, autoencoder, text encoder; and what such a file says of itself.

use serde_json::{Value as Json, json};
use tch::Kind;

use super::networks::{BRANCH, PLAIN};
use super::transformers::{T5Plan, t5};
use super::{Builder, Size, Spec};

/// Channels of a latent.
const CHANNELS: i64 = 128;
/// Pixels of a side that are put into channels first.
const PATCH: i64 = 4;

/// Everything that LTX-Video 0.9 needs, the model of 2 billion weights. Of real size, its text encoder is floats of 8 bits.
pub(super) fn ltxv_checkpoint(mut b: Builder, size: Size) -> Vec<Spec> {
    let tiny = size != Size::Real;
    let text = match tiny {
        true => T5Plan { width: 64, inner: 64, hidden: 128, heads: 4, ..T5Plan::T5 },
        false => T5Plan::T5,
    };
    let (width, hidden, blocks) = if tiny { (64, 256, 2) } else { (2048, 8192, 28) };
    b.below("model.diffusion_model", |b| network(b, width, hidden, blocks, text.width));
    b.below("vae", |b| autoencoder(b, if tiny { 8 } else { 128 }, &config(size)["vae"]));
    b.kind = if tiny { Kind::Half } else { Kind::Float8e4m3fn };
    b.below("text_encoders.t5xxl.transformer", |b| t5(b, &text));
    b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    b.tensors
}

/// What a file says of its network and its autoencoder.
pub(super) fn config(size: Size) -> Json {
    let real = size == Size::Real;
    let layers = |layers: i64, noise: bool| json!(["res_x", {"num_layers": if real { layers } else { 1 }, "inject_noise": noise}]);
    let smaller = |name: &str| json!([name, {"multiplier": 2}]);
    let larger = || json!(["compress_all", {"residual": true, "multiplier": 2}]);
    json!({
        "transformer": {"causal_temporal_positioning": true},
        "vae": {
            "_class_name": "CausalVideoAutoencoder",
            "dims": 3,
            "latent_channels": CHANNELS,
            "encoder_blocks": [
                layers(4, false), smaller("compress_space_res"), layers(6, false), smaller("compress_time_res"), layers(6, false),
                smaller("compress_all_res"), layers(2, false), smaller("compress_all_res"), layers(2, false)
            ],
            "decoder_blocks": [
                layers(5, false), larger(), layers(5, !real), larger(), layers(5, false), larger(), layers(5, false)
            ],
            "norm_layer": "pixel_norm",
            "patch_size": PATCH,
            "latent_log_var": "uniform",
            "causal_decoder": false,
            "timestep_conditioning": true,
        },
    })
}

fn network(b: &mut Builder, width: i64, hidden: i64, blocks: usize, text: i64) {
    b.dense("patchify_proj", &[width, CHANNELS], PLAIN);
    time(b, "adaln_single.emb", width);
    b.dense("adaln_single.linear", &[6 * width, width], BRANCH);
    b.dense("caption_projection.linear_1", &[width, text], PLAIN);
    b.dense("caption_projection.linear_2", &[width, width], PLAIN);
    for i in 0..blocks {
        b.below(&format!("transformer_blocks.{i}"), |b| {
            for attention in ["attn1", "attn2"] {
                for (name, gain) in [("to_q", PLAIN), ("to_k", PLAIN), ("to_v", PLAIN), ("to_out.0", BRANCH)] {
                    b.dense(&format!("{attention}.{name}"), &[width, width], gain);
                }
                for name in ["q_norm", "k_norm"] {
                    b.push(&format!("{attention}.{name}.weight"), &[width], 1.0, 0.1);
                }
            }
            b.dense("ff.net.0.proj", &[hidden, width], PLAIN);
            b.dense("ff.net.2", &[width, hidden], BRANCH);
            b.push("scale_shift_table", &[6, width], 0.0, 0.1);
        });
    }
    b.push("scale_shift_table", &[2, width], 0.0, 0.1);
    b.dense("proj_out", &[CHANNELS, width], PLAIN);
}

fn time(b: &mut Builder, name: &str, width: i64) {
    b.dense(&format!("{name}.timestep_embedder.linear_1"), &[width, 256], PLAIN);
    b.dense(&format!("{name}.timestep_embedder.linear_2"), &[width, width], BRANCH);
}

/// The autoencoder, so wide at full resolution, with blocks as the file tells of them.
fn autoencoder(b: &mut Builder, width: i64, said: &Json) {
    let blocks = |name: &str| said[name].as_array().cloned().unwrap_or_default();
    b.below("encoder", |b| {
        conv(b, "conv_in", 3 * PATCH * PATCH, width);
        let mut channels = width;
        for (i, block) in blocks("encoder_blocks").iter().enumerate() {
            let name = format!("down_blocks.{i}");
            match block[0].as_str() {
                Some("res_x") => residuals(b, &name, channels, block, false),
                other => {
                    let points = if other == Some("compress_time_res") { 2 } else { 4 };
                    let points = if other == Some("compress_all_res") { 8 } else { points };
                    conv(b, &format!("{name}.conv"), channels, 2 * channels / points);
                    channels *= 2;
                }
            }
        }
        conv(b, "conv_out", channels, CHANNELS + 1);
    });
    b.below("decoder", |b| {
        let mut channels = 8 * width;
        conv(b, "conv_in", CHANNELS, channels);
        for (i, block) in blocks("decoder_blocks").iter().rev().enumerate() {
            let name = format!("up_blocks.{i}");
            if block[0] == "res_x" {
                residuals(b, &name, channels, block, true);
            } else {
                conv(b, &format!("{name}.conv"), channels, 4 * channels);
                channels /= 2;
            }
        }
        conv(b, "conv_out", channels, 3 * PATCH * PATCH);
        time(b, "last_time_embedder", 2 * channels);
        b.push("last_scale_shift_table", &[2, channels], 0.0, 0.1);
        b.push("timestep_scale_multiplier", &[], 1000.0, 0.0);
    });
    for (name, mean) in [("mean-of-means", 0.0), ("std-of-means", 1.0)] {
        b.push(&format!("per_channel_statistics.{name}"), &[CHANNELS], mean, 0.1);
    }
}

fn conv(b: &mut Builder, name: &str, inputs: i64, outputs: i64) {
    b.dense(&format!("{name}.conv"), &[outputs, inputs, 3, 3, 3], PLAIN);
}

fn residuals(b: &mut Builder, name: &str, channels: i64, block: &Json, told: bool) {
    b.below(name, |b| {
        if told {
            time(b, "time_embedder", 4 * channels);
        }
        for i in 0..block[1]["num_layers"].as_i64().unwrap_or(1) {
            b.below(&format!("res_blocks.{i}"), |b| {
                conv(b, "conv1", channels, channels);
                conv(b, "conv2", channels, channels);
                if told {
                    b.push("scale_shift_table", &[4, channels], 0.0, 0.1);
                }
                if block[1]["inject_noise"] == true {
                    b.push("per_channel_scale1", &[channels, 1, 1], 0.1, 0.05);
                    b.push("per_channel_scale2", &[channels, 1, 1], 0.1, 0.05);
                }
            });
        }
    });
}
