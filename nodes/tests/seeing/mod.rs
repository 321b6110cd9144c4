//! Image encoders and Redux against ComfyUI 0.8.0: in each layout that files have, tiny, with weights by a formula.
//!
//! Recorded from the reference's own nodes on a CPU. Their sizes, which the reference fixes by the number of layers, were replaced by these.

use std::path::Path;

use redraft_nodes::files::tensor_file;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::clip_vision::ClipVision;
use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use redraft_nodes::ops::numerics::Numerics;
use serde_json::{Value as Json, json};
use tch::{Device, Kind, Tensor};

use crate::graphs::compare;

/// Random weights enlarge rounding, which differs from CPU to CPU and with the number of threads.
const TOLERANCE: f64 = 1e-2;
/// Channels of all encoders.
const WIDTH: i64 = 32;

/// Names and shapes of a network's tensors.
#[derive(Default)]
struct Tensors(Vec<(String, Vec<i64>)>);

impl Tensors {
    fn one(&mut self, name: &str, shape: &[i64]) {
        self.0.push((name.to_owned(), shape.to_vec()));
    }

    fn linear(&mut self, name: &str, outputs: i64, inputs: i64) {
        self.one(&format!("{name}.weight"), &[outputs, inputs]);
        self.one(&format!("{name}.bias"), &[outputs]);
    }

    fn norm(&mut self, name: &str) {
        self.one(&format!("{name}.weight"), &[WIDTH]);
        self.one(&format!("{name}.bias"), &[WIDTH]);
    }

    fn save(&self, path: &Path) {
        let drawn: Vec<_> = self.0.iter().map(|(name, shape)| (name.as_str(), draw(name, shape))).collect();
        tensor_file::save(path, drawn.iter().map(|(name, tensor)| (*name, tensor))).unwrap();
    }
}

/// A tensor's values, which its name and shape decide.
fn draw(name: &str, shape: &[i64]) -> Tensor {
    let mut state =
        name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let inputs: i64 = shape[1..].iter().product();
    let is_table = shape.len() == 1 || (name.contains("embedding") && !name.contains("patch"));
    let spread = if is_table { 0.4 } else { 2.0 * (3.0 / inputs as f64).sqrt() } as f32;
    let middle = f32::from(shape.len() == 1 && name.ends_with("weight"));
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * spread + middle
        })
        .collect();
    Tensor::from_slice(&values).view(shape)
}

/// In Hugging Face's names; without a class token it is SigLIP.
fn hugging_face(layers: usize, places: i64, hidden: i64, is_clip: bool) -> Tensors {
    let mut all = Tensors::default();
    all.one("vision_model.embeddings.patch_embedding.weight", &[WIDTH, 3, 14, 14]);
    all.one("vision_model.embeddings.position_embedding.weight", &[places, WIDTH]);
    if is_clip {
        all.one("vision_model.embeddings.class_embedding", &[WIDTH]);
        all.one("visual_projection.weight", &[24, WIDTH]);
        all.norm("vision_model.pre_layrnorm");
    } else {
        all.one("vision_model.embeddings.patch_embedding.bias", &[WIDTH]);
    }
    all.norm("vision_model.post_layernorm");
    for layer in 0..layers {
        let layer = format!("vision_model.encoder.layers.{layer}");
        ["layer_norm1", "layer_norm2"].iter().for_each(|name| all.norm(&format!("{layer}.{name}")));
        ["q", "k", "v", "out"]
            .iter()
            .for_each(|name| all.linear(&format!("{layer}.self_attn.{name}_proj"), WIDTH, WIDTH));
        all.linear(&format!("{layer}.mlp.fc1"), hidden, WIDTH);
        all.linear(&format!("{layer}.mlp.fc2"), WIDTH, hidden);
    }
    all
}

fn open_clip(layers: usize, places: i64, hidden: i64) -> Tensors {
    let mut all = Tensors::default();
    all.one("visual.conv1.weight", &[WIDTH, 3, 14, 14]);
    all.one("visual.positional_embedding", &[places, WIDTH]);
    all.one("visual.class_embedding", &[WIDTH]);
    all.one("visual.proj", &[WIDTH, 24]);
    ["visual.ln_pre", "visual.ln_post"].iter().for_each(|name| all.norm(name));
    for layer in 0..layers {
        let layer = format!("visual.transformer.resblocks.{layer}");
        ["ln_1", "ln_2"].iter().for_each(|name| all.norm(&format!("{layer}.{name}")));
        all.one(&format!("{layer}.attn.in_proj_weight"), &[3 * WIDTH, WIDTH]);
        all.one(&format!("{layer}.attn.in_proj_bias"), &[3 * WIDTH]);
        all.linear(&format!("{layer}.attn.out_proj"), WIDTH, WIDTH);
        all.linear(&format!("{layer}.mlp.c_fc"), hidden, WIDTH);
        all.linear(&format!("{layer}.mlp.c_proj"), WIDTH, hidden);
    }
    all
}

/// Of 56 pixels.
fn clip() -> Tensors {
    hugging_face(24, 17, 128, true)
}

#[test]
fn encoders_see_what_comfyui_sees() {
    let _guard = tch::no_grad_guard();
    let base = tempfile::tempdir().unwrap();
    let folder = |name: &str| {
        let folder = base.path().join("models").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let encoders = folder("clip_vision");
    clip().save(&encoders.join("clip.safetensors"));
    open_clip(32, 17, 128).save(&encoders.join("open.safetensors"));
    hugging_face(27, 729, 120, false).save(&encoders.join("siglip.safetensors"));
    let mut redux = Tensors::default();
    redux.linear("redux_up", 192, WIDTH);
    redux.linear("redux_down", 64, 192);
    redux.save(&folder("style_models").join("redux.safetensors"));
    let checkpoint = folder("checkpoints").join("plain.safetensors");
    write_random_checkpoint(&checkpoint, Layout::Sd1, Size::Tiny, 0, false).unwrap();
    compare(include_str!("figures.jsonl"), base.path(), TOLERANCE);
}

#[test]
fn one_channel_is_grey_and_two_are_none() {
    let _guard = tch::no_grad_guard();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.safetensors");
    clip().save(&path);
    let encoder = ClipVision::load(&Weights::open(&path).unwrap(), &Numerics::cpu()).unwrap();
    for side in [56, 40] {
        let grey = Tensor::arange(side * side, (Kind::Float, Device::Cpu)).view([1, side, side, 1]) / (side * side);
        let embeds = |picture: &Tensor| encoder.encode(picture, true).unwrap().embeds.unwrap();
        let found = embeds(&grey);
        let difference = (&found - embeds(&grey.repeat([1, 1, 1, 3]))).abs().max().double_value(&[]);
        assert!(difference < TOLERANCE, "{difference}");
        assert!((found - embeds(&(1.0 - &grey))).abs().max().double_value(&[]) > 10.0 * TOLERANCE);
        let error = encoder.encode(&grey.repeat([1, 1, 1, 2]), true).unwrap_err().to_string();
        assert!(error.contains("have 2 channels") && error.contains("convert them"), "{error}");
    }
}

/// More places than the square of any number that there is, of no width: the file takes no room for them.
#[test]
fn places_without_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.safetensors");
    let positions = "vision_model.embeddings.position_embedding.weight";
    let mut tensors = clip();
    tensors.0.retain(|(name, _)| name != positions);
    tensors.save(&path);
    let bytes = std::fs::read(&path).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Json = serde_json::from_slice(header).unwrap();
    let end = data.len();
    header[positions] = json!({ "dtype": "F32", "shape": [i64::MAX, 0], "data_offsets": [end, end] });
    let header = header.to_string();
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()).unwrap();
    let error = ClipVision::load(&Weights::open(&path).unwrap(), &Numerics::cpu()).err().unwrap().to_string();
    assert!(error.contains(&format!("has {} places", i64::MAX)) && error.contains("damaged"), "{error}");
}
