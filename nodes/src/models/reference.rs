//! What the tests need to compare with ComfyUI's outputs: the conformance files, if they are at hand.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use tch::Tensor;

use crate::files::weights::Weights;

/// The `shared` directory, from `REDRAFT_SHARED` or beside a parent of this crate. Says so if there is none.
pub(crate) fn shared() -> Option<PathBuf> {
    let named = std::env::var_os("REDRAFT_SHARED").map(PathBuf::from);
    let beside = || {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .map(|p| p.join("shared"))
            .find(|p| p.join("conformance").is_dir())
    };
    let found = named.or_else(beside).filter(|p| p.join("conformance").is_dir());
    if found.is_none() {
        eprintln!("no shared/conformance here: this comparison is skipped");
    }
    found
}

/// A file below `conformance`.
pub(crate) fn file(path: &str) -> Option<Weights> {
    Some(Weights::open(shared()?.join("conformance").join(path)).unwrap())
}

/// One of the tiny checkpoints.
pub(crate) fn checkpoint(name: &str) -> Option<Weights> {
    file(&format!("base/models/checkpoints/{name}.safetensors"))
}

/// The expected tensors of a conformance case, such as `vae/decode-tiled`.
pub(crate) fn expected(case: &str) -> Option<Weights> {
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
    let flat = found.contiguous().view([-1]).to_kind(tch::Kind::Double);
    let n = flat.size()[0];
    let at = [0, 1, n / 3, n / 2, n - 2, n - 1].map(|i| flat.double_value(&[i]));
    let (found_mean, found_std) = (flat.mean(None).double_value(&[]), flat.std(false).double_value(&[]));
    for (found, expected) in at.iter().chain([&found_mean, &found_std]).zip(values.iter().chain([&mean, &std])) {
        assert!((found - expected).abs() <= 1e-5 * std.max(1.0), "{found} is not {expected}");
    }
}
