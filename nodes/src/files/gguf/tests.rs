#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};

use super::{BlockKind, text_encoder};
use crate::files::weights::Weights;
use crate::ops::layers::Linear;
use crate::ops::numerics::Placement;

/// For each format: where its float16 numbers stand in a block, and, of three blocks, the sum of magnitudes and five values. Figures of
/// ComfyUI-GGUF's own functions (November 2026).
const FIGURES: [(&str, &[usize], [f64; 6]); 12] = [
    ("Q4_0", &[0], [9.828369141, 0.026000977, 0.052001953, -0.07800293, 0.07800293, 0.234008789]),
    ("Q4_1", &[0, 2], [32.064208984, 0.279052734, 0.252929688, 0.148925781, 0.317871094, 0.578125]),
    ("Q5_0", &[0], [19.267089844, -0.130004883, 0.0, 0.0, -0.337890625, 0.272949219]),
    ("Q5_1", &[0, 2], [49.120239258, 0.227050781, 0.304931641, 0.318115234, 0.5, 0.851074219]),
    ("Q8_0", &[0], [159.63659668, -1.534179688, 0.572265625, -0.07800293, 0.026000977, 2.33984375]),
    ("Q2_K", &[80, 82], [601.228210449, 0.0, 0.0, -1.844726562, -1.904296875, 0.396972656]),
    ("Q3_K", &[108], [712.720336914, 1.6640625, 0.83203125, 0.312011719, -0.572265625, 3.626953125]),
    ("Q4_K", &[0, 2], [4498.809082031, -6.88671875, -5.94921875, -6.75390625, 1.060546875, 13.609375]),
    ("Q5_K", &[0, 2], [8673.525390625, -6.88671875, -5.94921875, -5.921875, 2.048828125, 17.203125]),
    ("Q6_K", &[208], [20478.446655273, -26.625, 4.9921875, -14.5625, 45.9375, 21.21875]),
    ("IQ4_NL", &[0], [138.149902344, 0.324951172, 0.688964844, -1.079101562, 0.98828125, 3.470703125]),
    ("IQ4_XS", &[0], [18646.086914062, 0.156005859, 13.8828125, 16.5625, -19.75, -36.5]),
];

/// Three blocks of bytes that follow from their places, with small numbers where scales stand.
fn three_blocks(kind: &BlockKind, halves: &[usize]) -> Vec<u8> {
    let block = |k: usize| {
        let mut bytes: Vec<u8> =
            (0..kind.bytes as usize).map(|i| ((i * i * 31 + i * 7 + k * 59) % 256) as u8).collect();
        for (j, at) in halves.iter().enumerate() {
            let scale = half::f16::from_f64(0.013 * (k + 1) as f64 + 0.11 * j as f64);
            bytes[*at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
        bytes
    };
    (0..3).flat_map(block).collect()
}

#[test]
fn blocks_are_unpacked_as_the_pack_unpacks_them() {
    for (name, halves, [sum, values @ ..]) in FIGURES {
        let kind = BlockKind::named(name).unwrap();
        let bytes = Tensor::from_slice(&three_blocks(kind, halves));
        let found = kind.unpack(&bytes, Kind::Half);
        assert_eq!((found.kind(), found.size()), (Kind::Half, vec![3, kind.elements as i64]), "{name}");
        let found = found.to_kind(Kind::Double);
        let all = found.abs().sum(Kind::Double).double_value(&[]);
        assert!((all - sum).abs() < 1e-6 * sum, "{name}: {all}, not {sum}");
        let size = kind.elements as i64;
        for (at, wanted) in [0, 1, size / 2 + 3, 2 * size - 1, 3 * size - 1].into_iter().zip(values) {
            let one = found.flatten(0, -1).double_value(&[at]);
            assert!((one - wanted).abs() < 1e-8, "{name} at {at}: {one}, not {wanted}");
        }
    }
}

/// A value of a fact.
enum Fact<'a> {
    Text(&'a str),
    Flag(bool),
    Sides(&'a [i32]),
    Texts(&'a [&'a str]),
    Scores(&'a [f32]),
}

/// A tensor: its name, its sides with the fastest first, ggml's number of its format, and its bytes.
type Told<'a> = (&'a str, &'a [u64], u32, Vec<u8>);

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn fact(out: &mut Vec<u8>, fact: &Fact) {
    let list = |out: &mut Vec<u8>, kind: u32, count: usize| {
        out.extend(9u32.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend((count as u64).to_le_bytes());
    };
    match fact {
        Fact::Text(value) => {
            out.extend(8u32.to_le_bytes());
            text(out, value);
        }
        Fact::Flag(value) => {
            out.extend(7u32.to_le_bytes());
            out.push(u8::from(*value));
        }
        Fact::Sides(sides) => {
            list(out, 5, sides.len());
            sides.iter().for_each(|side| out.extend(side.to_le_bytes()));
        }
        Fact::Texts(texts) => {
            list(out, 8, texts.len());
            texts.iter().for_each(|value| text(out, value));
        }
        Fact::Scores(scores) => {
            list(out, 6, scores.len());
            scores.iter().for_each(|score| out.extend(score.to_le_bytes()));
        }
    }
}

fn bytes_of(facts: &[(&str, Fact)], tensors: &[Told]) -> Vec<u8> {
    let mut out = Vec::from(*b"GGUF");
    out.extend(3u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((facts.len() as u64).to_le_bytes());
    for (name, value) in facts {
        text(&mut out, name);
        fact(&mut out, value);
    }
    let mut offset = 0;
    for (name, sides, format, bytes) in tensors {
        text(&mut out, name);
        out.extend((sides.len() as u32).to_le_bytes());
        sides.iter().for_each(|side| out.extend(side.to_le_bytes()));
        out.extend(format.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += bytes.len().next_multiple_of(32);
    }
    for (.., bytes) in tensors {
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(bytes);
    }
    out
}

fn written(directory: &Path, bytes: &[u8]) -> PathBuf {
    let path = directory.join("net.gguf");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn files_are_read_as_others_are() {
    let directory = tempfile::tempdir().unwrap();
    let kind = BlockKind::named("Q8_0").unwrap();
    let blocks = three_blocks(kind, &[0]);
    let shape = Fact::Sides(&[3, 2, 4, 4]);
    let facts = [("general.architecture", Fact::Text("flux")), ("comfy.gguf.orig_shape.conv.weight", shape)];
    let tensors = [
        ("lin.weight", &[32_u64, 3][..], 8, blocks.clone()),
        ("lin.bias", &[3], 0, floats(&[1.0, 2.0, 3.0])),
        ("conv.weight", &[96], 8, blocks),
    ];
    let path = written(directory.path(), &bytes_of(&facts, &tensors));
    let weights = Weights::open(&path).unwrap();
    assert_eq!(weights.gguf().unwrap().architecture(), Some("flux"));
    assert_eq!(weights.names(), ["conv.weight", "lin.bias", "lin.weight"]);
    assert_eq!(
        (weights.shape("conv.weight").unwrap(), weights.kind("lin.weight").unwrap()),
        (vec![3, 2, 4, 4], Kind::Half)
    );
    let layer = weights.at("lin");
    let matrix = layer.tensor("weight", &[3, 32]).unwrap();
    assert!((matrix.double_value(&[2, 31]) - 2.33984375).abs() < 1e-8);

    // The layer gives the same whether its weights are unpacked once or for each call.
    let x = Tensor::ones([1, 32], (Kind::Float, Device::Cpu));
    let once = Linear::load(&layer, 32, 3).unwrap().forward(&x);
    let half = layer.placed(Placement { kind: Kind::Half, ..layer.placement() });
    assert!(half.packed("weight", &[3, 32]).unwrap().is_some() && half.packed("bias", &[3]).unwrap().is_none());
    let each = Linear::load(&half, 32, 3).unwrap();
    assert_eq!(each.inputs(), 32);
    let numbers = |tensor: &Tensor| Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap();
    assert_eq!(numbers(&each.forward(&x)), numbers(&once));
}

#[test]
fn encoders_have_comfyui_s_names() {
    let directory = tempfile::tempdir().unwrap();
    // Two heads, each row holding its own number: llama.cpp has the rows of a head in pairs.
    let rows: Vec<f32> = (0..256).map(|row| row as f32).collect();
    let tensors = [
        ("blk.0.attn_q.weight", &[1_u64, 256][..], 0, floats(&rows)),
        ("token_embd.weight", &[1, 4], 0, floats(&[0.0; 4])),
    ];
    let path = written(directory.path(), &bytes_of(&[("general.architecture", Fact::Text("llama"))], &tensors));
    let weights = text_encoder(&path).unwrap();
    assert_eq!(weights.names(), ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"]);
    let found = weights.tensor("model.layers.0.self_attn.q_proj.weight", &[256, 1]).unwrap();
    let at = |row: i64| found.double_value(&[row, 0]);
    assert_eq!(
        [at(0), at(1), at(63), at(64), at(65), at(127), at(128), at(192)],
        [0.0, 2.0, 126.0, 1.0, 3.0, 127.0, 128.0, 129.0]
    );

    let tensors = [
        ("enc.blk.1.attn_rel_b.weight", &[1_u64][..], 0, floats(&[0.0])),
        ("enc.output_norm.weight", &[1], 0, floats(&[0.0])),
    ];
    let path = written(directory.path(), &bytes_of(&[("general.architecture", Fact::Text("t5encoder"))], &tensors));
    let names = text_encoder(&path).unwrap().names();
    assert_eq!(
        names,
        ["encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight", "encoder.final_layer_norm.weight"]
    );

    let path = written(directory.path(), &bytes_of(&[("general.architecture", Fact::Text("flux"))], &tensors));
    let error = text_encoder(&path).err().unwrap().to_string();
    assert!(error.contains("is of the architecture flux"), "{error}");
}

#[test]
fn vocabularies_are_read_out_of_facts() {
    let directory = tempfile::tempdir().unwrap();
    let facts = [
        ("general.architecture", Fact::Text("t5encoder")),
        ("tokenizer.ggml.model", Fact::Text("t5")),
        ("tokenizer.ggml.add_space_prefix", Fact::Flag(true)),
        ("tokenizer.ggml.remove_extra_whitespaces", Fact::Flag(true)),
        ("tokenizer.ggml.tokens", Fact::Texts(&["<pad>", "</s>", "<unk>", "▁red", "▁ball", "s", "<0x21>"])),
        ("tokenizer.ggml.scores", Fact::Scores(&[0.0, 0.0, 0.0, -1.0, -2.0, -3.0, 0.0])),
        ("tokenizer.ggml.token_type", Fact::Sides(&[3, 3, 2, 1, 1, 1, 6])),
    ];
    let path = written(directory.path(), &bytes_of(&facts, &[]));
    let pieces = crate::text::sentence_pieces::SentencePieces::load(&Weights::open(&path).unwrap()).unwrap();
    assert_eq!(pieces.tokens("red  balls!"), [3, 4, 5, 6]);
    let path = written(directory.path(), &bytes_of(&facts[..4], &[]));
    assert!(crate::text::sentence_pieces::SentencePieces::load(&Weights::open(&path).unwrap()).is_err());
}

/// Any bytes are a file or an error.
#[test]
fn damaged_files_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let facts = [("general.architecture", Fact::Text("flux")), ("list", Fact::Texts(&["a", "b"]))];
    let blocks = three_blocks(BlockKind::named("Q8_0").unwrap(), &[0]);
    let tensors = [("a.weight", &[32_u64, 3][..], 8, blocks), ("b", &[3], 0, floats(&[1.0, 2.0, 3.0]))];
    let whole = bytes_of(&facts, &tensors);
    let error = |bytes: &[u8]| format!("{:#}", Weights::open(written(directory.path(), bytes)).err().unwrap());
    for length in 4..whole.len() {
        let text = error(&whole[..length]);
        assert!(text.contains("truncated or damaged"), "{length}: {text}");
    }
    assert!(
        error(&bytes_of(&[], &[("x", &[33], 8, vec![0; 34])])).contains("rows of 33 numbers cannot be in blocks of 32")
    );
    assert!(error(&bytes_of(&[], &[("x", &[256], 17, vec![0; 74])])).contains("format 17 of ggml cannot be read"));
    assert!(error(&bytes_of(&[], &[("x", &[u64::MAX, u64::MAX], 0, vec![])])).contains("more numbers than there are"));
    let shaped = [("comfy.gguf.orig_shape.x", Fact::Sides(&[5]))];
    assert!(error(&bytes_of(&shaped, &[("x", &[4], 0, vec![0; 16])])).contains("does not fit"));
    for at in 4..whole.len() - 120 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Ok(weights) = Weights::open(written(directory.path(), &bytes)) {
                for name in weights.names() {
                    let shape = weights.shape(&name).unwrap();
                    let _ = weights.tensor(&name, &shape);
                }
            }
        }
    }
}
