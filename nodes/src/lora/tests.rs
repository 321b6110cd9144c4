#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

use super::layers::{Layer, Part};
use super::*;
use crate::files::tensor_file;
use crate::files::weights::Weights;
use crate::models::random::{Layout, Size, write_random_checkpoint};
use crate::models::reference::{checkpoint, file};

/// Figures from ComfyUI's `calculate_weight` (`scripts/random_lora.py`): for each case the weight, the LoRA's tensors, and what
/// they make of it.
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lora/testdata/kinds.safetensors");

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, tensors: &[(String, Tensor)]) -> PathBuf {
        let path = self.0.path().join(name);
        tensor_file::save(&path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))).unwrap();
        path
    }

    /// What a LoRA of these tensors makes of a weight that the file of weights calls `x.weight`, at a strength.
    fn apply(&self, weight: &Tensor, lora: &[(String, Tensor)], strength: f64) -> Tensor {
        let path = self.file("model.safetensors", &[("x.weight".to_owned(), weight.shallow_clone())]);
        let weights = Weights::open(path).unwrap();
        let lora = Lora::open(&self.file("lora.safetensors", lora)).unwrap();
        let layers = [layer("x.weight")];
        let weights = weights.changed(lora.fit(&layers).delta(&layers, strength));
        let shape = weights.shape("x.weight").unwrap();
        weights.tensor("x.weight", &shape).unwrap()
    }
}

/// A layer that files call `diffusion_model.x`.
fn layer(short: &str) -> Layer {
    Layer {
        part: Part::Unet,
        name: format!("diffusion_model.{short}"),
        short: short.to_owned(),
        transformer: None,
        diffusers: Vec::new(),
        slot: Slot::whole(short),
    }
}

fn keys(tensors: impl IntoIterator<Item = (&'static str, Tensor)>) -> Vec<(String, Tensor)> {
    tensors.into_iter().map(|(name, tensor)| (format!("diffusion_model.x{name}"), tensor)).collect()
}

fn floats(shape: &[i64]) -> Tensor {
    Tensor::ones(shape, (Kind::Float, Device::Cpu))
}

#[test]
fn every_kind_agrees_with_the_reference() {
    let bench = Bench::new();
    let mut cases: BTreeMap<String, BTreeMap<String, Tensor>> = BTreeMap::new();
    for (name, tensor) in tensor_file::load(FIGURES.as_ref()).unwrap() {
        let (case, part) = name.split_once('/').unwrap();
        cases.entry(case.to_owned()).or_default().insert(part.to_owned(), tensor);
    }
    for kind in ["lora", "locon", "loha", "lokr", "glora", "oft", "boft", "diff", "diff_b", "norm", "set"] {
        assert!(cases.keys().any(|case| case.split_once('-').unwrap().1 == kind), "no figures for {kind}");
    }
    assert!(cases.values().filter(|parts| parts.contains_key("x.dora_scale")).count() >= 6);
    for (case, parts) in &cases {
        let lora: Vec<(String, Tensor)> = parts
            .iter()
            .filter_map(|(name, tensor)| {
                Some((format!("diffusion_model.x{}", name.strip_prefix('x')?), tensor.shallow_clone()))
            })
            .collect();
        let found = bench.apply(&parts["weight"], &lora, parts["strength"].double_value(&[]));
        let expected = &parts["expected"];
        let scale = expected.abs().max().double_value(&[]).max(1.0);
        let difference = (&found - expected).abs().max().double_value(&[]);
        // A difference is a sum of a few dozen float32 products, in another order on other CPUs.
        assert!(difference <= 1e-5 * scale, "{case}: {difference}, scale {scale}");
    }
}

/// FNV-1a.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// A checkpoint, its encoders with their places, how many keys ComfyUI knows, and the sum.
type KeyMap = (&'static str, &'static [(&'static str, &'static str)], usize, u64);

/// The figures: ComfyUI's key maps (`scripts/random_lora.py`): how many keys, and a sum over what they stand for.
#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn every_spelling_is_the_references() {
    let cases: [KeyMap; 4] = [
        ("sd15-tiny-random", &[("clip_l", "cond_stage_model.transformer")], 2722, 0x54f1_b49b_2c5a_f7f2),
        ("sd2-tiny", &[("clip_h", "cond_stage_model.model")], 3262, 0x5186_c2f0_65ee_5449),
        (
            "sdxl-tiny",
            &[("clip_l", "conditioner.embedders.0.transformer"), ("clip_g", "conditioner.embedders.1.model")],
            3302,
            0xb6c1_577e_3832_bd8e,
        ),
        ("sdxl-refiner-tiny", &[("clip_g", "conditioner.embedders.0.model")], 2964, 0x2fce_994f_82c4_b2e9),
    ];
    for (name, encoders, count, sum) in cases {
        let file = checkpoint(name);
        let beside = encoders.iter().any(|(key, _)| *key == "clip_l");
        let mut all = layers::unet(&file.at("model.diffusion_model"));
        all.extend(encoders.iter().flat_map(|(key, at)| layers::encoder(key, beside, &file.at(at))));
        // A key may stand for one layer only: the last counts.
        let keys: BTreeMap<String, &str> =
            spellings::keys(&all).map(|found| (found.key, found.layer.name.as_str())).collect();
        let found = keys.iter().fold(0, |sum: u64, (key, name)| sum.wrapping_add(fnv(&format!("{key}={name}"))));
        assert_eq!((keys.len(), found), (count, sum), "{name}");
    }
}

/// The same for Qwen-Image, whose parts lie in files of their own.
#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn every_spelling_of_qwen_image_is_the_references() {
    let network = layers::unet(&file("base/models/diffusion_models/qwen-image-tiny.safetensors"));
    let encoder = file("base/models/text_encoders/qwen25-vl-7b-tiny.safetensors");
    let encoder = layers::encoder("qwen25_7b", false, &encoder);
    for (layers, count, sum) in [(network, 249, 0x5fea_970f_92aa_3a8b), (encoder, 96, 0x72f9_4a8c_c1fb_6644)] {
        let keys: BTreeMap<String, &str> =
            spellings::keys(&layers).map(|found| (found.key, found.layer.name.as_str())).collect();
        let found = keys.iter().fold(0, |sum: u64, (key, name)| sum.wrapping_add(fnv(&format!("{key}={name}"))));
        assert_eq!((keys.len(), found), (count, sum));
    }
}

/// Files, how many keys ComfyUI knows for tensors that they hold, and the sums.
const FIGURES_OF_SPLIT: [(&str, usize, u64); 3] = [
    ("flux-dev-tiny", 308, 0xbc4c_3781_f806_bd5a),
    ("sd35-medium-tiny", 290, 0x64ab_3e80_c175_7c83),
    ("z-image-tiny", 383, 0x25fc_124c_8e35_44b9),
];

/// The same for the transformers that diffusers splits otherwise.
#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn every_spelling_of_split_transformers_is_the_references() {
    let models = "base/models/diffusion_models";
    for (name, count, sum) in FIGURES_OF_SPLIT {
        let all = file(&format!("{models}/{name}.safetensors"));
        let below = all.at("model.diffusion_model");
        assert_eq!(spelled(if below.is_empty() { &all } else { &below }), (count, sum), "{name}");
    }
}

/// The same for families of which no file is shared.
#[test]
fn every_spelling_of_other_transformers_is_the_references() {
    let bench = Bench::new();
    for (name, layout, count, sum) in [
        ("hunyuan-video", Layout::HunyuanVideo, 258, 0xa762_5bb8_a268_579d),
        ("pixart", Layout::PixArt, 148, 0x66be_ec22_df04_5de6),
        ("auraflow", Layout::AuraFlow, 167, 0x6f3a_b55a_77aa_eb35),
        ("hidream", Layout::HiDream, 523, 0xbc10_92e8_a3de_ecc8),
    ] {
        let path = bench.0.path().join(format!("{name}.safetensors"));
        write_random_checkpoint(&path, layout, Size::Tiny, 0, false).unwrap();
        let network = Weights::open(&path).unwrap().at("model.diffusion_model");
        assert_eq!(spelled(&network), (count, sum), "{name}");
    }
}

/// How many keys there are for a network, and the sum. A part of a tensor is written with its first row and how many it has, or as swapped.
fn spelled(network: &Weights) -> (usize, u64) {
    let layers = layers::unet(network);
    let stands_for = |layer: &Layer| {
        let of_file = layer.slot.name.strip_prefix("model.diffusion_model.").unwrap_or(&layer.slot.name);
        match (&layer.slot.rows, layer.slot.halves_swapped) {
            (Some(rows), _) => format!("diffusion_model.{of_file}[{}+{}]", rows.start, rows.end - rows.start),
            (None, true) => format!("diffusion_model.{of_file}[swapped]"),
            (None, false) => layer.name.clone(),
        }
    };
    // ComfyUI has no keys for these: it renames them in files of Wan.
    let keys = spellings::keys(&layers).filter(|found| found.of != "VideoX-Fun, Wan");
    let keys: BTreeMap<String, String> = keys.map(|found| (found.key, stands_for(found.layer))).collect();
    let sum = keys.iter().fold(0, |sum: u64, (key, name)| sum.wrapping_add(fnv(&format!("{key}={name}"))));
    (keys.len(), sum)
}

#[test]
fn the_last_kind_and_the_last_spelling_count() {
    let bench = Bench::new();
    let weight = floats(&[4, 4]);
    let both = keys([(".diff", floats(&[4, 4])), (".set_weight", floats(&[4, 4]) * 7.0)]);
    assert_eq!(bench.apply(&weight, &both, 0.5).double_value(&[0, 0]), 7.0);
    let mut twice = keys([(".diff", floats(&[4, 4]))]);
    twice.push(("lora_unet_x.diff".to_owned(), floats(&[4, 4]) * 100.0));
    assert_eq!(
        bench.apply(&weight, &twice, 1.0).double_value(&[0, 0]),
        2.0,
        "the generic spelling comes after kohya's"
    );
}

#[test]
fn strength_0_leaves_weights_untouched_but_for_those_that_are_set() {
    let bench = Bench::new();
    let layers = [layer("x.weight")];
    let delta = |tensors: Vec<(String, Tensor)>, strength| {
        Lora::open(&bench.file("lora.safetensors", &tensors)).unwrap().fit(&layers).delta(&layers, strength)
    };
    assert!(delta(keys([(".diff", floats(&[4, 4]))]), 0.0).is_empty());
    assert!(!delta(keys([(".diff", floats(&[4, 4]))]), 0.1).is_empty());
    assert!(!delta(keys([(".set_weight", floats(&[4, 4]))]), 0.0).is_empty());
}

#[test]
fn a_weight_may_grow() {
    let bench = Bench::new();
    let shape = Tensor::from_slice(&[4i64, 6]);
    let grown = |up: &[i64], down: &[i64]| {
        let tensors = [
            (".lora_up.weight", floats(up)),
            (".lora_down.weight", floats(down)),
            (".reshape_weight", shape.shallow_clone()),
        ];
        bench.apply(&floats(&[4, 4]), &keys(tensors), 1.0)
    };
    let found = grown(&[4, 1], &[1, 6]);
    assert_eq!((found.size(), found.double_value(&[3, 3]), found.double_value(&[3, 5])), (vec![4, 6], 2.0, 1.0));
    // What cannot be added leaves the larger weight, as in ComfyUI.
    assert_eq!(grown(&[4, 1], &[1, 5]).sum(Kind::Float).double_value(&[]), 16.0);
}

#[test]
fn what_does_not_fit_is_left_out() {
    let bench = Bench::new();
    let weight = floats(&[8, 4]);
    let scalar = |value: f64| Tensor::from(value).to_kind(Kind::Float);
    let up_down = |up: &[i64], down: &[i64]| vec![(".lora_up.weight", floats(up)), (".lora_down.weight", floats(down))];
    let with = |mut tensors: Vec<(&'static str, Tensor)>, name, tensor| {
        tensors.push((name, tensor));
        tensors
    };
    let cases = [
        vec![(".lora_up.weight", floats(&[8, 2]))],
        up_down(&[8, 2], &[3, 4]),
        up_down(&[8, 2], &[2, 5]),
        up_down(&[8], &[2, 4]),
        up_down(&[8, 0], &[0, 4]),
        // A product of 10¹⁰ elements.
        up_down(&[100_000, 1], &[1, 100_000]),
        with(up_down(&[8, 2], &[2, 4]), ".alpha", scalar(f64::NAN)),
        with(up_down(&[8, 2], &[2, 4]), ".alpha", floats(&[2])),
        with(up_down(&[8, 0], &[0, 4]), ".alpha", scalar(1.0)),
        with(up_down(&[8, 2], &[2, 4]), ".lora_mid.weight", floats(&[2, 3, 1, 1])),
        with(up_down(&[8, 2], &[2, 4]), ".dora_scale", floats(&[3, 1])),
        with(up_down(&[8, 2], &[2, 4]), ".dora_scale", floats(&[])),
        vec![(".hada_w1_a", floats(&[8, 2])), (".hada_w1_b", floats(&[2, 4]))],
        vec![(".lokr_w1", floats(&[2, 2])), (".lokr_w2", floats(&[4, 4]))],
        vec![(".lokr_w1", floats(&[2, 2]))],
        vec![(".oft_blocks", floats(&[3, 2, 2]))],
        vec![(".oft_blocks", floats(&[2, 2, 2, 2]))],
        vec![(".oft_blocks", floats(&[0, 0, 0]))],
        vec![(".diff", floats(&[4, 8]))],
        vec![(".set_weight", floats(&[3, 4]))],
    ];
    for (number, tensors) in cases.into_iter().enumerate() {
        // Without alpha, a rank of 0 is a difference of nothing.
        assert_eq!(bench.apply(&weight, &keys(tensors), 1.0), weight, "case {number}");
    }
}

#[test]
fn archives_are_read_and_their_pickles_not_executed() {
    use crate::files::torch_archive::{Saved, to_bytes};
    let bench = Bench::new();
    let path = bench.0.path().join("lora.pt");
    let tensors = keys([(".lora_up.weight", floats(&[4, 1])), (".lora_down.weight", floats(&[1, 4]))]);
    let saved: Vec<(String, Saved)> = tensors.into_iter().map(|(name, tensor)| (name, Saved::Tensor(tensor))).collect();
    let nested = Saved::Dict(vec![("state_dict".to_owned(), Saved::Dict(saved))]);
    fs_err::write(&path, to_bytes(&nested).unwrap()).unwrap();
    let layers = [layer("x.weight")];
    assert!(!Lora::open(&path).unwrap().fit(&layers).delta(&layers, 1.0).is_empty());
    fs_err::write(&path, include_bytes!("../files/testdata/executes.pt")).unwrap();
    let error = format!("{:#}", Lora::open(&path).err().unwrap());
    assert!(error.contains("refused unexecuted") && error.contains("lora.pt"), "{error}");
}

/// Everything that can lie behind a key.
const PARTS: [&str; 25] = [
    ".alpha",
    ".dora_scale",
    ".lora_up.weight",
    ".lora_down.weight",
    ".lora_mid.weight",
    ".reshape_weight",
    ".hada_w1_a",
    ".hada_w1_b",
    ".hada_w2_a",
    ".hada_w2_b",
    ".hada_t1",
    ".hada_t2",
    ".lokr_w1",
    ".lokr_w2",
    ".lokr_w1_a",
    ".lokr_w1_b",
    ".lokr_w2_a",
    ".lokr_w2_b",
    ".lokr_t2",
    ".a1.weight",
    ".a2.weight",
    ".b1.weight",
    ".b2.weight",
    ".oft_blocks",
    ".rescale",
];

fn shape() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(0i64..5, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_file_makes_a_panic(
        weight in prop::sample::select(vec![vec![4], vec![4, 4], vec![4, 2, 3, 3], vec![8, 4, 1, 1], vec![]]),
        parts in prop::collection::vec((prop::sample::select(PARTS.to_vec()), shape()), 1..8),
    ) {
        let _guard = tch::no_grad_guard();
        let parts: BTreeMap<&'static str, Vec<i64>> = parts.into_iter().collect();
        let tensors = keys(parts.into_iter().map(|(name, shape)| (name, floats(&shape))));
        let changed = Bench::new().apply(&floats(&weight), &tensors, 0.5);
        prop_assert_eq!(changed.dim(), weight.len());
    }
}
