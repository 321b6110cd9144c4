//! Held against the original's code on torch 2.11 with the same numbers (`numbers`), 128 wide with 2 heads.

#![allow(clippy::unwrap_used)]

use redraft_nodes::files::tensor_file;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::ops::numerics::Numerics;
use tch::Tensor;

use super::DepthAnything;

const WIDTH: i64 = 128;
const MAPS: [i64; 4] = [12, 20, 24, 28];
const FEATURES: i64 = 16;

/// Numbers of −scale to scale that follow from a name.
pub(crate) fn numbers(name: &str, shape: &[i64], scale: f64) -> Tensor {
    let seed = name.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    let count: i64 = shape.iter().product();
    let number = |i: i64| {
        let mixed = (i as u64).wrapping_mul(2_654_435_761).wrapping_add(seed.into()) & 0xffff_ffff;
        let mixed = (mixed.wrapping_mul(2_246_822_519) >> 7) & 0xff_ffff;
        ((mixed as f64 / f64::from(1 << 23) - 1.0) * scale) as f32
    };
    Tensor::from_slice(&(0..count).map(number).collect::<Vec<f32>>()).reshape(shape)
}

/// All tensors of a file, with gated perceptrons or plain ones.
fn tensors(gated: bool) -> Vec<(String, Tensor)> {
    let mut all: Vec<(String, Vec<i64>)> = Vec::new();
    let mut add = |name: String, shape: &[i64]| all.push((name, shape.to_vec()));
    let mut layer = |name: String, shape: &[i64]| {
        add(format!("{name}.weight"), shape);
        add(format!("{name}.bias"), &shape[..1]);
    };
    layer("pretrained.patch_embed.proj".to_owned(), &[WIDTH, 3, 14, 14]);
    layer("pretrained.norm".to_owned(), &[WIDTH]);
    for i in 0..12 {
        let at = |name: &str| format!("pretrained.blocks.{i}.{name}");
        layer(at("norm1"), &[WIDTH]);
        layer(at("norm2"), &[WIDTH]);
        layer(at("attn.qkv"), &[3 * WIDTH, WIDTH]);
        layer(at("attn.proj"), &[WIDTH, WIDTH]);
        if gated {
            // Two thirds of four widths, in steps of 8.
            layer(at("mlp.w12"), &[2 * 344, WIDTH]);
            layer(at("mlp.w3"), &[WIDTH, 344]);
        } else {
            layer(at("mlp.fc1"), &[4 * WIDTH, WIDTH]);
            layer(at("mlp.fc2"), &[WIDTH, 4 * WIDTH]);
        }
    }
    for (i, maps) in MAPS.into_iter().enumerate() {
        layer(format!("depth_head.projects.{i}"), &[maps, WIDTH, 1, 1]);
        let unit =
            |unit: usize, conv: usize| format!("depth_head.scratch.refinenet{}.resConfUnit{unit}.conv{conv}", i + 1);
        for name in [unit(1, 1), unit(1, 2), unit(2, 1), unit(2, 2)] {
            layer(name, &[FEATURES, FEATURES, 3, 3]);
        }
        layer(format!("depth_head.scratch.refinenet{}.out_conv", i + 1), &[FEATURES, FEATURES, 1, 1]);
    }
    layer("depth_head.resize_layers.0".to_owned(), &[MAPS[0], MAPS[0], 4, 4]);
    layer("depth_head.resize_layers.1".to_owned(), &[MAPS[1], MAPS[1], 2, 2]);
    layer("depth_head.resize_layers.3".to_owned(), &[MAPS[3], MAPS[3], 3, 3]);
    layer("depth_head.scratch.output_conv1".to_owned(), &[FEATURES / 2, FEATURES, 3, 3]);
    layer("depth_head.scratch.output_conv2.0".to_owned(), &[32, FEATURES / 2, 3, 3]);
    layer("depth_head.scratch.output_conv2.2".to_owned(), &[1, 32, 1, 1]);
    for (i, maps) in MAPS.into_iter().enumerate() {
        add(format!("depth_head.scratch.layer{}_rn.weight", i + 1), &[FEATURES, maps, 3, 3]);
    }
    add("pretrained.cls_token".to_owned(), &[1, 1, WIDTH]);
    add("pretrained.pos_embed".to_owned(), &[1, 10, WIDTH]);
    for i in 0..12 {
        add(format!("pretrained.blocks.{i}.ls1.gamma"), &[WIDTH]);
        add(format!("pretrained.blocks.{i}.ls2.gamma"), &[WIDTH]);
    }
    let value = |(name, shape): (String, Vec<i64>)| (name.clone(), valued(&name, &shape));
    all.into_iter().map(value).collect()
}

fn valued(name: &str, shape: &[i64]) -> Tensor {
    if name.ends_with("output_conv2.2.bias") {
        // So that what comes out is above 0.
        return Tensor::from_slice(&[2f32]);
    }
    if name.ends_with("_token") || name.ends_with("pos_embed") {
        return numbers(name, shape, 0.5);
    }
    if let [_, rest @ ..] = shape
        && !rest.is_empty()
    {
        return numbers(name, shape, 1.5 / (rest.iter().product::<i64>() as f64).sqrt());
    }
    let around = if name.ends_with("gamma") {
        0.5
    } else if name.ends_with("weight") {
        1.0
    } else {
        0.0
    };
    numbers(name, shape, 0.1) + around
}

pub(crate) fn network(gated: bool, change: impl FnOnce(&mut Vec<(String, Tensor)>)) -> anyhow::Result<DepthAnything> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("depth.safetensors");
    let mut tensors = tensors(gated);
    change(&mut tensors);
    tensor_file::save(&path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))?;
    DepthAnything::load(&Weights::open(&path)?, &Numerics::cpu())
}

#[test]
fn the_originals_figures() {
    let cases = [
        (false, [42, 42], [1.949_038, 2.023_289, 2.078_334, 0.196_498]),
        (false, [28, 70], [1.901_646, 1.869_553, 2.016_025, 0.258_196]),
        (true, [42, 42], [1.931_425, 2.107_461, 2.230_351, 0.276_331]),
        (true, [28, 70], [2.127_31, 2.453_371, 2.042_989, 0.167_421]),
    ];
    for (gated, [height, width], figures) in cases {
        let network = network(gated, |_| ()).unwrap();
        let picture = numbers("picture", &[1, 3, height, width], 2.0);
        let found = tch::no_grad(|| network.nearness(&picture)).unwrap();
        assert_eq!(found.size(), [1, height, width]);
        let values = Vec::<f32>::try_from(found.flatten(0, -1)).unwrap();
        let spread = found.std(false).double_value(&[]);
        let found = [values[0], values[values.len() / 2 + 3], values[values.len() - 1]].map(f64::from);
        let found = [found[0], found[1], found[2], spread];
        let near = found.iter().zip(figures).all(|(a, b)| (a - b).abs() < 2e-5);
        assert!(near, "gated {gated}, {height} x {width}: {found:?} and not {figures:?}");
    }
}

#[test]
fn damaged_files_are_errors() {
    let message = |change: fn(&mut Vec<(String, Tensor)>)| format!("{:#}", network(false, change).err().unwrap());
    let without =
        message(|tensors| tensors.retain(|(name, _)| name != "depth_head.scratch.refinenet2.out_conv.weight"));
    assert!(without.contains("depth_head.scratch.refinenet2.out_conv.weight"), "{without}");
    let short = message(|tensors| tensors.retain(|(name, _)| !name.contains("blocks.11.")));
    assert!(short.contains("11 blocks, and 12, 24 or 40 are known"), "{short}");
    let narrow = message(|tensors| {
        tensors.retain(|(name, _)| name != "pretrained.pos_embed");
        tensors.push(("pretrained.pos_embed".to_owned(), Tensor::zeros([1, 9, WIDTH], tch::kind::FLOAT_CPU)));
    });
    assert!(narrow.contains("9 places"), "{narrow}");
}
