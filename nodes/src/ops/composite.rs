//! Pasting a batch of pictures, masks or latents on another.

use tch::Tensor;

/// Where the upper batch is pasted on the lower one, and whether it is resized.
#[derive(Debug, Clone, Copy)]
pub struct PasteOptions {
    /// Where its left edge goes, at least 0.
    pub x: i64,
    /// Where its upper edge goes, at least 0.
    pub y: i64,
    /// Whether it is resized to the lower one's size first.
    pub resize_source: bool,
}

/// Pastes `source` (N×C×h×w, or N×C×T×h×w) on `destination` (N×C×H×W, or N×C×T×H×W): the result is `source` where
/// `mask` is 1, and `destination` elsewhere. The mask (any number of H×W) is resized to the source. Batches that are
/// too short are repeated, those too long cut.
///
/// The inputs are not changed. In ComfyUI 0.8.0 this is the function `composite`.
pub fn composite(destination: &Tensor, source: &Tensor, mask: Option<&Tensor>, options: PasteOptions) -> Tensor {
    let (batch, height, width) = (destination.size()[0], side(destination, -2), side(destination, -1));
    let stretched = |t: &Tensor, height: i64, width: i64| t.upsample_bilinear2d([height, width], false, None, None);
    let source = if options.resize_source { stretched(source, height, width) } else { source.shallow_clone() };
    let source = fill_batch(&source, batch);
    let (rows, columns) = (side(&source, -2), side(&source, -1));
    let (visible_rows, visible_columns) = (rows.min(height - options.y), columns.min(width - options.x));
    let result = destination.copy();
    if visible_rows <= 0 || visible_columns <= 0 {
        return result;
    }
    let upper = |t: &Tensor| t.narrow(-2, 0, visible_rows).narrow(-1, 0, visible_columns);
    let mut lower = result.narrow(-2, options.y, visible_rows).narrow(-1, options.x, visible_columns);
    let blend = match mask {
        None => upper(&source),
        Some(mask) => {
            let mask = stretched(&mask.reshape([-1, 1, side(mask, -2), side(mask, -1)]), rows, columns);
            let mask = upper(&fill_batch(&mask, batch));
            // One mask for all frames of a video.
            let mask = if source.dim() > mask.dim() { mask.unsqueeze(1) } else { mask };
            &mask * upper(&source) + (1.0 - &mask) * &lower
        }
    };
    lower.copy_(&blend);
    result
}

/// The length of a dimension, counted from the last one (-1). 1 if there is no such dimension.
fn side(samples: &Tensor, from_end: i64) -> i64 {
    let at = samples.dim() as i64 + from_end;
    samples.size().get(at as usize).copied().unwrap_or(1)
}

/// A batch with exactly `count` members: too short a batch is repeated, too long a one is cut.
pub fn fill_batch(batch: &Tensor, count: i64) -> Tensor {
    let have = batch.size()[0];
    if have >= count {
        return batch.narrow(0, 0, count);
    }
    let mut times = vec![1; batch.dim()];
    times[0] = (count + have - 1) / have.max(1);
    batch.repeat(times).narrow(0, 0, count)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tch::{Device, Kind};

    /// The part beyond the edge is left out. The mask is resized to the whole source, not to the part that is visible.
    #[test]
    fn a_source_over_the_edge_is_cut() {
        let destination = Tensor::zeros([2, 1, 2, 3], (Kind::Float, Device::Cpu));
        let source = Tensor::ones([1, 1, 2, 2], (Kind::Float, Device::Cpu));
        let mask = Tensor::from_slice(&[0.25f32, 1.0]).view([1, 1, 2]);
        let options = PasteOptions { x: 2, y: 1, resize_source: false };
        let laid = composite(&destination, &source, Some(&mask), options);
        let values: Vec<f32> = Vec::try_from(laid.flatten(0, -1)).unwrap();
        assert_eq!(values, [0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25]);
        let beyond = composite(&destination, &source, None, PasteOptions { x: 3, ..options });
        assert_eq!(beyond, destination);
    }

    #[test]
    fn batches_begin_again_or_are_cut() {
        let batch = Tensor::from_slice(&[1i64, 2, 3]);
        assert_eq!(fill_batch(&batch, 5), Tensor::from_slice(&[1i64, 2, 3, 1, 2]));
        assert_eq!(fill_batch(&batch, 2), Tensor::from_slice(&[1i64, 2]));
    }
}
