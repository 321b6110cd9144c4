//! The tensors of AuraFlow in one file: network, autoencoder, text encoder.

use tch::Kind;

use super::networks::{BRANCH, PLAIN, autoencoder};
use super::transformers::{T5Plan, t5};
use super::{Builder, Size, Spec};

/// Sizes of the network.
struct Plan {
    width: i64,
    /// Width within the feed-forward layers.
    hidden: i64,
    double: usize,
    single: usize,
    /// Places in the table of positions.
    places: i64,
    text: T5Plan,
}

/// Everything that AuraFlow needs. Of real size, network and text encoder are floats of 8 bits.
pub(super) fn aura_flow_checkpoint(mut b: Builder, size: Size) -> Vec<Spec> {
    let plan = match size {
        Size::Real => Plan { width: 3072, hidden: 8192, double: 4, single: 32, places: 4096, text: T5Plan::PILE },
        _ => Plan {
            width: 96,
            hidden: 256,
            double: 2,
            single: 2,
            places: 64,
            text: T5Plan { width: 64, inner: 64, hidden: 128, heads: 4, layers: 3, ..T5Plan::PILE },
        },
    };
    let widths = if size == Size::Real { [128, 256, 512, 512] } else { [32, 64, 128, 128] };
    b.below("vae", |b| autoencoder(b, widths, 4, true));
    b.kind = if size == Size::Real { Kind::Float8e4m3fn } else { Kind::Half };
    b.below("text_encoders.pile_t5xl.transformer", |b| t5(b, &plan.text));
    b.below("model.diffusion_model", |b| network(b, &plan));
    b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    b.tensors
}

fn network(b: &mut Builder, plan: &Plan) {
    let Plan { width, hidden, .. } = *plan;
    b.dense("init_x_linear", &[width, 16], PLAIN);
    b.push("positional_encoding", &[1, plan.places, width], 0.0, 0.5);
    b.push("register_tokens", &[1, 8, width], 0.0, 1.0);
    b.dense("t_embedder.mlp.0", &[width, 256], PLAIN);
    b.dense("t_embedder.mlp.2", &[width, width], PLAIN);
    b.matrix("cond_seq_linear", &[width, plan.text.width], PLAIN);
    let attention = |b: &mut Builder, number: u8| {
        for (name, gain) in [("q", PLAIN), ("k", PLAIN), ("v", PLAIN), ("o", BRANCH)] {
            b.matrix(&format!("attn.w{number}{name}"), &[width, width], gain);
        }
    };
    let feed = |b: &mut Builder, name: &str| {
        b.matrix(&format!("{name}.c_fc1"), &[hidden, width], PLAIN);
        b.matrix(&format!("{name}.c_fc2"), &[hidden, width], PLAIN);
        b.matrix(&format!("{name}.c_proj"), &[width, hidden], BRANCH);
    };
    for i in 0..plan.double {
        b.below(&format!("double_layers.{i}"), |b| {
            for (letter, number) in [("C", 1), ("X", 2)] {
                b.matrix(&format!("mod{letter}.1"), &[6 * width, width], BRANCH);
                attention(b, number);
                feed(b, &format!("mlp{letter}"));
            }
        });
    }
    for i in 0..plan.single {
        b.below(&format!("single_layers.{i}"), |b| {
            b.matrix("modCX.1", &[6 * width, width], BRANCH);
            attention(b, 1);
            feed(b, "mlp");
        });
    }
    b.matrix("modF.1", &[2 * width, width], BRANCH);
    b.matrix("final_linear", &[16, width], PLAIN);
}
