//! Whole runs of families of models against ComfyUI 0.8.0, with the random weights that redraft makes: shape, mean, spread and three values
//! of what nodes give.
//!
//! Recorded from the reference's own nodes on a CPU, with the same files of weights and the same small vocabulary for Llama 3.

use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use redraft_nodes::values::Part;
use serde_json::{Value as Json, json};
use tch::Kind;

use crate::graphs::run;

const FIGURES: &str = include_str!("figures.jsonl");
/// Rounding differs from CPU to CPU and with the number of threads: by up to 1e-4 here. Pictures have structure: with one colour alone, the
/// group norms of a random encoder divide by almost nothing, and rounding decides over half of a value.
const TOLERANCE: f64 = 1e-3;

/// Bytes, and the tokens that Llama 3's vocabulary is known by, in Hugging Face's form.
fn small_vocabulary() -> Json {
    let seen = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let (seen, others): (Vec<u32>, Vec<u32>) = (0..256u32).partition(seen);
    let mut pieces: Vec<String> = (0..128_000).map(|id| format!("\u{e000}{id}")).collect();
    for (id, code) in seen.into_iter().chain((0x100..).take(others.len())).enumerate() {
        pieces[id] = char::from_u32(code).unwrap().to_string();
    }
    for (id, piece) in [(271, "ĊĊ"), (880, "us"), (881, "er"), (882, "user")] {
        pieces[id] = piece.to_owned();
    }
    let mut special: Vec<String> = (0..256).map(|id| format!("<|reserved_{id}|>")).collect();
    for (id, name) in [(0, "begin_of_text"), (6, "start_header_id"), (7, "end_header_id"), (9, "eot_id")] {
        special[id] = format!("<|{name}|>");
    }
    let added = special.into_iter().zip(128_000..).map(|(content, id)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
    });
    let vocabulary: serde_json::Map<String, Json> =
        pieces.into_iter().zip(0..).map(|(piece, id)| (piece, json!(id))).collect();
    json!({
        "version": "1.0",
        "added_tokens": added.collect::<Vec<_>>(),
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": ["Ċ Ċ", "u s", "e r", "us er"]},
    })
}

/// A base directory with a checkpoint of each kind, its file called by the kind, and the vocabulary.
fn base() -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("models/checkpoints");
    let vocabulary = base.path().join("models/llama_tokenizer");
    [&folder, &vocabulary].into_iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
    std::fs::write(vocabulary.join("tokenizer.json"), small_vocabulary().to_string()).unwrap();
    let kinds = [("chroma", Layout::Chroma), ("ltxv", Layout::Ltxv), ("hunyuan-video", Layout::HunyuanVideo)];
    for (name, layout) in kinds {
        let path = folder.join(format!("{name}.safetensors"));
        write_random_checkpoint(&path, layout, Size::Tiny, 0, false).unwrap();
    }
    base
}

/// What a figure and an output differ in, if they do.
fn difference(figure: &Json, part: Option<&Part>) -> Option<String> {
    let Some(Part::Tensor(tensor)) = part else { return Some("there is no such output".to_owned()) };
    if json!(tensor.size()) != figure["shape"] {
        return Some(format!("the shape {:?}", tensor.size()));
    }
    let flat = tensor.to_kind(Kind::Double).flatten(0, -1);
    let count = flat.numel() as i64;
    let mut found = vec![flat.mean(Kind::Double).double_value(&[]), flat.std(false).double_value(&[])];
    found.extend([0, count / 3, count - 1].map(|at| flat.double_value(&[at])));
    let wanted: Vec<f64> = figure["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= TOLERANCE * b.abs().max(1.0);
    (!found.iter().zip(&wanted).all(near)).then(|| format!("{found:?}, not {wanted:?}"))
}

#[test]
fn runs_give_what_comfyui_gives() {
    let _guard = tch::no_grad_guard();
    let base = base();
    let mut failures = Vec::new();
    for line in FIGURES.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let left = run(&case["graph"], base.path()).unwrap();
        let figures = case["figures"].as_object().unwrap();
        assert!(!figures.is_empty());
        for (key, figure) in figures {
            let found = difference(figure, left.0.get(key));
            failures.extend(found.map(|found| format!("{} {key}: {found}", case["name"])));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
