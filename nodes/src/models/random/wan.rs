//! The tensors of Wan 2.1 in one file: network, autoencoder, text encoder and its vocabulary.

use tch::Kind;

use super::networks::{BRANCH, PLAIN};
use super::transformers::{T5Plan, t5};
use super::{Builder, Size, Spec};

/// Channels of a latent.
const CHANNELS: i64 = 16;

/// Everything that Wan 2.1 needs. Of real size, the model of 1.3 billion weights, with its text encoder in floats of 8 bits, as most people
/// have it.
pub(super) fn wan_checkpoint(mut b: Builder, size: Size) -> Vec<Spec> {
    let tiny = size != Size::Real;
    let (width, hidden, blocks) = if tiny { (128, 256, 2) } else { (1536, 8960, 30) };
    let text = match tiny {
        true => T5Plan { width: 32, inner: 32, hidden: 64, heads: 2, vocabulary: 640, ..T5Plan::UMT5 },
        false => T5Plan::UMT5,
    };
    b.below("vae", |b| autoencoder(b, if tiny { 8 } else { 96 }));
    b.below("model.diffusion_model", |b| network(b, width, hidden, blocks, text.width));
    b.kind = if tiny { Kind::Half } else { Kind::Float8e4m3fn };
    b.below("text_encoders", |b| {
        b.below("umt5xxl.transformer", |b| t5(b, &text));
        b.bytes("spiece_model", vocabulary());
    });
    b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    b.tensors
}

fn network(b: &mut Builder, width: i64, hidden: i64, blocks: usize, text: i64) {
    b.dense("patch_embedding", &[width, CHANNELS, 1, 2, 2], PLAIN);
    b.dense("text_embedding.0", &[width, text], PLAIN);
    b.dense("text_embedding.2", &[width, width], PLAIN);
    b.dense("time_embedding.0", &[width, 256], PLAIN);
    b.dense("time_embedding.2", &[width, width], PLAIN);
    b.dense("time_projection.1", &[6 * width, width], BRANCH);
    for i in 0..blocks {
        b.below(&format!("blocks.{i}"), |b| {
            b.push("modulation", &[1, 6, width], 0.0, 0.1);
            for attention in ["self_attn", "cross_attn"] {
                for (name, gain) in [("q", PLAIN), ("k", PLAIN), ("v", PLAIN), ("o", BRANCH)] {
                    b.dense(&format!("{attention}.{name}"), &[width, width], gain);
                }
                for name in ["norm_q", "norm_k"] {
                    b.push(&format!("{attention}.{name}.weight"), &[width], 1.0, 0.1);
                }
            }
            b.norm("norm3", width);
            b.dense("ffn.0", &[hidden, width], PLAIN);
            b.dense("ffn.2", &[width, hidden], BRANCH);
        });
    }
    b.push("head.modulation", &[1, 2, width], 0.0, 0.1);
    b.dense("head.head", &[4 * CHANNELS, width], PLAIN);
}

/// Wan 2.1's autoencoder, which Qwen-Image has, too, with so many channels at full resolution.
pub(super) fn autoencoder(b: &mut Builder, width: i64) {
    let widths = [width, 2 * width, 4 * width, 4 * width];
    let top = widths[3];
    b.below("encoder", |b| {
        b.dense("conv1", &[width, 3, 3, 3, 3], PLAIN);
        let (mut channels, mut place) = (width, 0);
        for (level, outputs) in widths.into_iter().enumerate() {
            for _ in 0..2 {
                residual(b, &format!("downsamples.{place}"), channels, outputs);
                (channels, place) = (outputs, place + 1);
            }
            if level < 3 {
                b.dense(&format!("downsamples.{place}.resample.1"), &[channels, channels, 3, 3], PLAIN);
                if level > 0 {
                    b.dense(&format!("downsamples.{place}.time_conv"), &[channels, channels, 3, 1, 1], PLAIN);
                }
                place += 1;
            }
        }
        middle(b, top);
        head(b, top, 2 * CHANNELS);
    });
    b.below("decoder", |b| {
        b.dense("conv1", &[top, CHANNELS, 3, 3, 3], PLAIN);
        middle(b, top);
        let (mut channels, mut place) = (top, 0);
        for (level, outputs) in widths.into_iter().rev().enumerate() {
            for _ in 0..3 {
                residual(b, &format!("upsamples.{place}"), channels, outputs);
                (channels, place) = (outputs, place + 1);
            }
            if level < 3 {
                b.dense(&format!("upsamples.{place}.resample.1"), &[channels / 2, channels, 3, 3], PLAIN);
                if level < 2 {
                    b.dense(&format!("upsamples.{place}.time_conv"), &[2 * channels, channels, 3, 1, 1], PLAIN);
                }
                (channels, place) = (channels / 2, place + 1);
            }
        }
        head(b, width, 3);
    });
    b.dense("conv1", &[2 * CHANNELS, 2 * CHANNELS, 1, 1, 1], PLAIN);
    b.dense("conv2", &[CHANNELS, CHANNELS, 1, 1, 1], PLAIN);
}

fn residual(b: &mut Builder, name: &str, inputs: i64, outputs: i64) {
    b.below(name, |b| {
        b.push("residual.0.gamma", &[inputs, 1, 1, 1], 1.0, 0.1);
        b.dense("residual.2", &[outputs, inputs, 3, 3, 3], PLAIN);
        b.push("residual.3.gamma", &[outputs, 1, 1, 1], 1.0, 0.1);
        b.dense("residual.6", &[outputs, outputs, 3, 3, 3], BRANCH);
        if inputs != outputs {
            b.dense("shortcut", &[outputs, inputs, 1, 1, 1], PLAIN);
        }
    });
}

fn middle(b: &mut Builder, channels: i64) {
    residual(b, "middle.0", channels, channels);
    b.push("middle.1.norm.gamma", &[channels, 1, 1], 1.0, 0.1);
    b.dense("middle.1.to_qkv", &[3 * channels, channels, 1, 1], PLAIN);
    b.dense("middle.1.proj", &[channels, channels, 1, 1], BRANCH);
    residual(b, "middle.2", channels, channels);
}

fn head(b: &mut Builder, channels: i64, outputs: i64) {
    b.push("head.0.gamma", &[channels, 1, 1, 1], 1.0, 0.1);
    b.dense("head.2", &[outputs, channels, 3, 3, 3], BRANCH);
}

/// A small vocabulary in SentencePiece's format: letters, and bytes for everything else.
fn vocabulary() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let piece = |text: &str, score: f32, kind: u8| {
        let score = [&[0x15], &score.to_le_bytes()[..]].concat();
        field(1, &[field(1, text.as_bytes()), score, vec![0x18, kind]].concat())
    };
    let marks = [piece("<pad>", 0.0, 3), piece("</s>", 0.0, 3), piece("<unk>", 0.0, 2)];
    let bytes = (0..=u8::MAX).map(|byte| piece(&format!("<0x{byte:02X}>"), 0.0, 6));
    let letters = ('!'..='~').map(|letter| piece(&letter.to_string(), -4.0, 1));
    let pieces = marks.into_iter().chain(bytes).chain([piece("\u{2581}", -2.0, 1)]).chain(letters);
    // What no piece has is written in bytes.
    pieces.chain([field(2, &[0x98, 0x02, 1])]).collect::<Vec<_>>().concat()
}
