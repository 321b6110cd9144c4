//! The layers over time of Stable Video Diffusion's networks.

use super::Builder;
use super::networks::{BRANCH, PLAIN};

/// A residual block over time; in a UNet with the embedded timestep, so wide.
pub(super) fn time_block(b: &mut Builder, channels: i64, embedding: Option<i64>) {
    b.norm("in_layers.0", channels);
    b.dense("in_layers.2", &[channels, channels, 3, 1, 1], PLAIN);
    if let Some(embedding) = embedding {
        b.dense("emb_layers.1", &[channels, embedding], PLAIN);
    }
    b.norm("out_layers.0", channels);
    b.dense("out_layers.3", &[channels, channels, 3, 1, 1], BRANCH);
}

/// What a transformer has over time beside its blocks.
pub(super) fn frames_of_transformer(b: &mut Builder, width: i64) {
    b.dense("time_pos_embed.0", &[4 * width, width], PLAIN);
    b.dense("time_pos_embed.2", &[width, 4 * width], BRANCH);
    b.push("time_mixer.mix_factor", &[1], 0.0, 1.0);
}

/// What a block over time has more than another.
pub(super) fn in_front_of_block(b: &mut Builder, width: i64) {
    b.norm("norm_in", width);
    b.dense("ff_in.net.0.proj", &[8 * width, width], PLAIN);
    b.dense("ff_in.net.2", &[width, 4 * width], BRANCH);
}

/// What an autoencoder's decoder has over time. `widths` are the channels of its levels, the one of full resolution first.
pub(super) fn frames_of_decoder(b: &mut Builder, widths: [i64; 4]) {
    let [.., top] = widths;
    let mut blocks = vec![("mid.block_1".to_owned(), top), ("mid.block_2".to_owned(), top)];
    for (level, width) in widths.into_iter().enumerate() {
        blocks.extend((0..3).map(|block| (format!("up.{level}.block.{block}"), width)));
    }
    for (block, width) in blocks {
        b.below(&format!("decoder.{block}"), |b| {
            b.below("time_stack", |b| time_block(b, width, None));
            b.push("mix_factor", &[1], 0.0, 1.0);
        });
    }
    b.dense("decoder.conv_out.time_mix_conv", &[3, 3, 3, 1, 1], PLAIN);
}
