//! Canny's edge detector (1986) as kornia 0.9 computes it.

use std::f64::consts::PI;

use tch::{Device, Kind, Tensor};

/// Added under the root, so that the gradient of a flat picture is not 0.
const EPSILON: f64 = 1e-6;
/// Pictures of at least this size are blurred by adding up shifted copies, as kornia does. The sums differ in the last
/// bit.
const LARGE_SIDES: i64 = 256 * 256;
const LARGE_BATCH: usize = 128 * 1024;
/// The offset (down, right) of the neighbour in each direction, from the right clockwise in steps of 45 degrees.
const NEIGHBOURS: [(i64, i64); 8] = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)];

/// The edges of pictures, B×C×H×W with C = 1 or 3, as B×1×H×W: 1 on an edge, 0 elsewhere.
///
/// The grey picture is blurred with a Gaussian of 5×5 and sigma 1, then Sobel's gradient is taken without scaling (a
/// step from 0 to 1 gives about 2.6). Of the pixels whose gradient is a maximum across the edge, those above `high` are
/// edges, and those above `low` that are connected to one.
pub fn canny(images: &Tensor, low: f64, high: f64) -> Tensor {
    let grey = if images.size()[1] == 3 { grey(images) } else { images.shallow_clone() };
    let size = grey.size();
    let (height, width) = (size[2], size[3]);
    let (across, down) = gradient(&blur(&grey));
    let padded = |t: &Tensor| t.pad([1, 1, 1, 1], "constant", 0.0);
    let (across_padded, down_padded) = (padded(&across), padded(&down));
    let magnitudes = (&across_padded * &across_padded + &down_padded * &down_padded + EPSILON).sqrt();
    let at = |(y, x): (i64, i64)| magnitudes.narrow(2, 1 + y, height).narrow(3, 1 + x, width);
    let direction = (down.atan2(&across) * (4.0 / PI)).round();
    let window = Tensor::stack(&NEIGHBOURS.map(at), 2);
    let magnitude = at((0, 0));
    let ahead = direction.remainder(8.0).to_kind(Kind::Int64);
    let behind = (&direction + 4.0).remainder(8.0).to_kind(Kind::Int64);
    let flat = EPSILON.sqrt() as f32;
    let greatest = beats(&magnitude, &window, &ahead)
        .logical_and(&beats(&magnitude, &window, &behind))
        .logical_and(&magnitude.gt(f64::from(flat)));
    let ridge = magnitude * greatest.to_kind(Kind::Float);
    joined(&ridge.gt(low), &ridge.gt(high))
}

/// Luma by BT.601, B×1×H×W.
fn grey(images: &Tensor) -> Tensor {
    let channels = images.unbind(1);
    let weight = |value: f32| Tensor::from_slice(&[value]).squeeze();
    let sum = &channels[0] * weight(0.299);
    sum.addcmul(&channels[1], &weight(0.587)).addcmul(&channels[2], &weight(0.114)).unsqueeze(1)
}

fn blur(grey: &Tensor) -> Tensor {
    let places = Tensor::arange(5, (Kind::Float, Device::Cpu)) - 2.0;
    let values = (-(&places * &places) / 2.0).exp();
    let kernel = &values / values.sum(Kind::Float);
    let size = grey.size();
    let large = size[2] * size[3] >= LARGE_SIDES && grey.numel() >= LARGE_BATCH;
    let rows_padded = |t: &Tensor| t.pad([2, 2, 0, 0], "reflect", None);
    let columns_padded = |t: &Tensor| t.pad([0, 0, 2, 2], "reflect", None);
    if large && grey.is_contiguous() {
        let across = weighted_sum(&rows_padded(grey), 3, &kernel);
        return weighted_sum(&columns_padded(&across), 2, &kernel);
    }
    let filtered = |t: &Tensor, kernel: &Tensor| t.conv2d(kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1);
    let across = filtered(&rows_padded(grey), &kernel.view([1, 1, 1, 5]));
    filtered(&columns_padded(&across), &kernel.view([1, 1, 5, 1]))
}

fn weighted_sum(padded: &Tensor, dim: i64, kernel: &Tensor) -> Tensor {
    let taps = kernel.unbind(0);
    let length = padded.size()[dim as usize] - taps.len() as i64 + 1;
    let first = padded.narrow(dim, 0, length) * &taps[0];
    let shifted = taps.iter().enumerate().skip(1);
    shifted.fold(first, |sum, (tap, weight)| sum.addcmul(&padded.narrow(dim, tap as i64, length), weight))
}

/// Sobel's gradient across and down, the edge pixels repeated beyond the edges.
fn gradient(blurred: &Tensor) -> (Tensor, Tensor) {
    let across = [-1.0f32, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0];
    let down = [-1.0f32, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0];
    let kernel = Tensor::from_slice(&[across, down].concat()).view([2, 1, 3, 3]);
    let padded = blurred.pad([1, 1, 1, 1], "replicate", None);
    let both = padded.conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1);
    (both.narrow(1, 0, 1), both.narrow(1, 1, 1))
}

/// Whether the pixel is greater than its neighbour in a direction. To the right and below, equal is enough, so that one
/// of two equal pixels stays.
fn beats(magnitude: &Tensor, window: &Tensor, direction: &Tensor) -> Tensor {
    let neighbour = window.gather(2, &direction.unsqueeze(2), false).squeeze_dim(2);
    let tie_counts = direction.eq(0).logical_or(&direction.eq(2));
    let tie = magnitude.eq_tensor(&neighbour).logical_and(&tie_counts);
    magnitude.gt_tensor(&neighbour).logical_or(&tie)
}

/// 1 for strong pixels, and for weak pixels that are connected to a strong one through others, also diagonally. 0
/// elsewhere.
fn joined(weak: &Tensor, strong: &Tensor) -> Tensor {
    let weak = weak.to_kind(Kind::Float);
    let mut edges = strong.to_kind(Kind::Float);
    loop {
        let grown = edges.max_pool2d([3, 3], [1, 1], [1, 1], [1, 1], false) * &weak;
        if grown == edges {
            return edges;
        }
        edges = grown;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Figures from kornia 0.9.0: `canny(picture, 0.3, 1.2)[1]` for a bright corner with a pattern.
    #[test]
    fn edges_are_kornias() {
        let bright = |at: i64| if at / 7 >= 2 && at % 7 >= 3 { 0.7 } else { 0.0 };
        let values: Vec<f32> = (0..49).map(|at| bright(at) + (at * 37 % 49) as f32 / 49.0 * 0.3).collect();
        let picture = Tensor::from_slice(&values).view([1, 1, 7, 7]).repeat([1, 3, 1, 1]);
        let edges: Vec<i64> = Vec::try_from(canny(&picture, 0.3, 1.2).to_kind(Kind::Int64).flatten(0, -1)).unwrap();
        let drawn: Vec<String> = edges.chunks(7).map(|row| row.iter().map(i64::to_string).collect()).collect();
        assert_eq!(drawn, ["0000000", "0000000", "0001111", "0001000", "0001000", "0010000", "0010000"]);
    }
}
