//! A GLIGEN model of Stable Diffusion 1.x.

use super::networks::{BRANCH, PLAIN};
use super::{Builder, Size, Spec};

pub(super) fn gligen(mut b: Builder, size: Size) -> Vec<Spec> {
    let tiny = size != Size::Real;
    let (width, text) = if tiny { (32, 64) } else { (320, 768) };
    let hidden = if tiny { 48 } else { 512 };
    b.below("position_net", |b| {
        b.dense("linears.0", &[hidden, text + 64], PLAIN);
        b.dense("linears.2", &[hidden, hidden], PLAIN);
        b.dense("linears.4", &[text, hidden], PLAIN);
        b.push("null_positive_feature", &[text], 0.0, 0.4);
        b.push("null_position_feature", &[64], 0.0, 0.4);
    });
    let blocks = |part: &str, blocks: &[i64], multiple: i64| {
        blocks.iter().map(|block| (format!("{part}.{block}.1"), multiple)).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for (multiple, input, output) in [(1, [1, 2], [9, 10, 11]), (2, [4, 5], [6, 7, 8]), (4, [7, 8], [3, 4, 5])] {
        all.extend(blocks("input_blocks", &input, multiple));
        all.extend(blocks("output_blocks", &output, multiple));
    }
    all.push(("middle_block.1".to_owned(), 4));
    for (place, multiple) in all {
        b.below(&format!("{place}.transformer_blocks.0.fuser"), |b| fuser(b, width * multiple, text));
    }
    b.tensors.sort_by(|a, b| a.name.cmp(&b.name));
    b.tensors
}

fn fuser(b: &mut Builder, width: i64, text: i64) {
    b.dense("linear", &[width, text], PLAIN);
    for name in ["to_q", "to_k", "to_v"] {
        b.matrix(&format!("attn.{name}"), &[width, width], PLAIN);
    }
    b.dense("attn.to_out.0", &[width, width], PLAIN);
    b.dense("ff.net.0.proj", &[8 * width, width], PLAIN);
    b.dense("ff.net.2", &[width, 4 * width], BRANCH);
    b.norm("norm1", width);
    b.norm("norm2", width);
    b.push("alpha_attn", &[], 0.9, 0.2);
    b.push("alpha_dense", &[], 0.7, 0.2);
}
