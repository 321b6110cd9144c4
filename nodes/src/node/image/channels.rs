//! Bringing pictures with and without alpha to the same channels.

use tch::Tensor;

/// Gives all batches (B×H×W×C) as many channels as the one with most. Added channels are 1, which is opaque alpha.
pub(super) fn with_equal_channels(batches: Vec<Tensor>) -> Vec<Tensor> {
    let channels = |batch: &Tensor| batch.size().last().copied().unwrap_or(0);
    let most = batches.iter().map(channels).max().unwrap_or(0);
    batches.into_iter().map(|batch| filled(&batch, most - channels(&batch))).collect()
}

/// `upper` with as many channels as `lower`: its alpha is dropped, or an opaque one is added.
pub(super) fn matched(upper: &Tensor, lower: &Tensor) -> Tensor {
    let (have, want) = (upper.size()[3], lower.size()[3]);
    if have > want { upper.narrow(3, 0, want) } else { filled(upper, want - have) }
}

fn filled(batch: &Tensor, missing: i64) -> Tensor {
    if missing == 0 { batch.shallow_clone() } else { batch.pad([0, missing], "constant", 1.0) }
}
