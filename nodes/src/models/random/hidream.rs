//! The tensors of HiDream in one file: network, autoencoder, text encoders.

use tch::Kind;

use super::hunyuan_video::{Llama, llama};
use super::networks::{BRANCH, PLAIN, autoencoder, text_encoder};
use super::transformers::{T5Plan, t5};
use super::{Builder, Size, Spec};

/// How many feed-forward layers a token may be given to.
const EXPERTS: usize = 4;

/// Sizes of the networks.
struct Plan {
    width: i64,
    double: usize,
    single: usize,
    /// Widths of CLIP-L and OpenCLIP-bigG.
    clips: [i64; 2],
    text: T5Plan,
    llama: Llama,
}

/// Everything that HiDream needs. Of real size, network, T5 and Llama are floats of 8 bits.
pub(super) fn hidream_checkpoint(mut b: Builder, size: Size) -> Vec<Spec> {
    let plan = match size {
        Size::Real => {
            Plan { width: 2560, double: 16, single: 32, clips: [768, 1280], text: T5Plan::T5, llama: Llama::REAL }
        }
        _ => Plan {
            width: 256,
            double: 2,
            single: 2,
            clips: [64, 32],
            // Told from other T5s by its depth.
            text: T5Plan { width: 64, inner: 64, hidden: 128, heads: 4, ..T5Plan::T5 },
            llama: Llama::TINY,
        },
    };
    let layers = if size == Size::Real { 12 } else { 3 };
    for (key, width, layers) in [("clip_l", plan.clips[0], layers), ("clip_g", plan.clips[1], 32)] {
        b.below(&format!("text_encoders.{key}.transformer"), |b| {
            b.below("text_model", |b| text_encoder(b, width, layers));
            b.matrix("text_projection", &[width, width], PLAIN);
        });
    }
    let widths = if size == Size::Real { [128, 256, 512, 512] } else { [32, 64, 128, 128] };
    b.below("vae", |b| autoencoder(b, widths, 16, false));
    b.kind = if size == Size::Real { Kind::Float8e4m3fn } else { Kind::Half };
    b.below("text_encoders.t5xxl.transformer", |b| t5(b, &plan.text));
    b.below("text_encoders.llama.transformer.model", |b| llama(b, &plan.llama));
    b.below("model.diffusion_model", |b| network(b, &plan));
    b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    b.tensors
}

fn network(b: &mut Builder, plan: &Plan) {
    let width = plan.width;
    b.dense("x_embedder.proj", &[width, 64], PLAIN);
    for (name, inputs) in
        [("t_embedder.timestep_embedder", 256), ("p_embedder.pooled_embedder", plan.clips.iter().sum())]
    {
        b.dense(&format!("{name}.linear_1"), &[width, inputs], PLAIN);
        b.dense(&format!("{name}.linear_2"), &[width, width], PLAIN);
    }
    for i in 0..plan.double + plan.single {
        b.matrix(&format!("caption_projection.{i}.linear"), &[width, plan.llama.width], PLAIN);
    }
    b.matrix(&format!("caption_projection.{}.linear", plan.double + plan.single), &[width, plan.text.width], PLAIN);
    for i in 0..plan.double {
        b.below(&format!("double_stream_blocks.{i}.block"), |b| {
            b.dense("adaLN_modulation.1", &[12 * width, width], BRANCH);
            side(b, "", width);
            side(b, "_t", width);
            mixture(b, width);
            feed(b, "ff_t", width, 4 * width);
        });
    }
    for i in 0..plan.single {
        b.below(&format!("single_stream_blocks.{i}.block"), |b| {
            b.dense("adaLN_modulation.1", &[6 * width, width], BRANCH);
            side(b, "", width);
            mixture(b, width);
        });
    }
    b.dense("final_layer.adaLN_modulation.1", &[2 * width, width], BRANCH);
    b.dense("final_layer.linear", &[64, width], PLAIN);
}

fn side(b: &mut Builder, end: &str, width: i64) {
    for (name, gain) in [("q", PLAIN), ("k", PLAIN), ("v", PLAIN), ("out", BRANCH)] {
        b.dense(&format!("attn1.to_{name}{end}"), &[width, width], gain);
    }
    for name in ["q", "k"] {
        b.push(&format!("attn1.{name}_rms_norm{end}.weight"), &[width], 1.0, 0.1);
    }
}

fn mixture(b: &mut Builder, width: i64) {
    feed(b, "ff_i.shared_experts", width, 2 * width);
    for i in 0..EXPERTS {
        feed(b, &format!("ff_i.experts.{i}"), width, 4 * width);
    }
    b.matrix("ff_i.gate", &[EXPERTS as i64, width], PLAIN);
}

/// Two thirds of `hidden` wide within, up to a multiple of 256.
fn feed(b: &mut Builder, name: &str, width: i64, hidden: i64) {
    let hidden = (2 * hidden / 3 + 255) / 256 * 256;
    b.matrix(&format!("{name}.w1"), &[hidden, width], PLAIN);
    b.matrix(&format!("{name}.w3"), &[hidden, width], PLAIN);
    b.matrix(&format!("{name}.w2"), &[width, hidden], BRANCH);
}
