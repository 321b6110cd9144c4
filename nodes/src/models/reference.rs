//! What the tests need to compare with ComfyUI's outputs: the conformance files.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use tch::Tensor;

use crate::files::weights::Weights;

/// A file or folder in `../shared`, for tests that are ignored without it.
pub(crate) fn shared(below: &str) -> PathBuf {
    Path::new(env!("REDRAFT_SHARED_AT")).join(below)
}

/// A file below `conformance`.
pub(crate) fn file(path: &str) -> Weights {
    Weights::open(shared("conformance").join(path)).unwrap()
}

/// One of the tiny checkpoints.
pub(crate) fn checkpoint(name: &str) -> Weights {
    file(&format!("base/models/checkpoints/{name}.safetensors"))
}

/// The expected tensors of a conformance case, such as `vae/decode-tiled`.
pub(crate) fn expected(case: &str) -> Weights {
    file(&format!("{case}/expected.safetensors"))
}

/// Asserts that two tensors agree to 1e-5 of the larger of 1 and the largest expected value.
pub(crate) fn agree(found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size());
    let scale = expected.abs().max().double_value(&[]).max(1.0);
    let difference = (found - expected).abs().max().double_value(&[]);
    assert!(difference <= 1e-5 * scale, "differs by {difference}, scale {scale}");
}

/// Asserts mean, standard deviation and six values: first two, at a third, at the half, last two.
pub(crate) fn figures(found: &Tensor, mean: f64, std: f64, values: &[f64; 6]) {
    figures_within(1e-5, found, mean, std, values);
}

/// The same to a tolerance, of the larger of 1 and the standard deviation.
pub(crate) fn figures_within(tolerance: f64, found: &Tensor, mean: f64, std: f64, values: &[f64; 6]) {
    let flat = found.contiguous().view([-1]).to_kind(tch::Kind::Double);
    let n = flat.size()[0];
    let at = [0, 1, n / 3, n / 2, n - 2, n - 1].map(|i| flat.double_value(&[i]));
    let (found_mean, found_std) = (flat.mean(None).double_value(&[]), flat.std(false).double_value(&[]));
    for (found, expected) in at.iter().chain([&found_mean, &found_std]).zip(values.iter().chain([&mean, &std])) {
        assert!((found - expected).abs() <= tolerance * std.max(1.0), "{found} is not {expected}");
    }
}
