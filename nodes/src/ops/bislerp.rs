//! Bilinear resizing with spherical interpolation of the channels' vectors, for latents, in which the length of these
//! vectors matters.

use tch::{Device, Kind, Tensor};

/// Resizes N×C×H×W to N×C×`height`×`width`, first along the width, then along the height. The vector of C channels of
/// each new pixel lies between those of two neighbours: its direction by spherical, its length by linear interpolation.
pub fn bislerp(samples: &Tensor, width: i64, height: i64) -> Tensor {
    let wide = along(&samples.to_kind(Kind::Float), -1, width);
    along(&wide, -2, height).to_kind(samples.kind())
}

fn along(samples: &Tensor, dim: i64, length: i64) -> Tensor {
    let old = samples.size()[(samples.dim() as i64 + dim) as usize];
    let (left, right, ratio) = neighbours(old, length);
    let shape = if dim == -1 { [1, 1, 1, length] } else { [1, 1, length, 1] };
    slerp(&samples.index_select(dim, &left), &samples.index_select(dim, &right), &ratio.view(shape))
}

/// For each new pixel the indices of the old pixels on both sides, and its position between them from 0 to 1.
fn neighbours(old: i64, new: i64) -> (Tensor, Tensor, Tensor) {
    let places = Tensor::arange(old, (Kind::Float, Device::Cpu)).view([1, 1, 1, old]);
    let spread = |places: &Tensor| places.upsample_bilinear2d([1, new], false, None, None).flatten(0, -1);
    let first = spread(&places);
    let second = spread(&(places + 1.0).clamp_max((old - 1) as f64));
    let ratio = &first - first.floor();
    (first.to_kind(Kind::Int64), second.to_kind(Kind::Int64), ratio)
}

/// Interpolates from `a` to `b` by `ratio`, over dimension 1. Nearly equal vectors give `a`, nearly opposite ones their
/// linear mix.
fn slerp(a: &Tensor, b: &Tensor, ratio: &Tensor) -> Tensor {
    let length = |v: &Tensor| v.norm_scalaropt_dim(2.0, [1], true);
    let (length_a, length_b) = (length(a), length(b));
    let direction = |v: &Tensor, length: &Tensor| (v / length).masked_fill(&length.eq(0.0), 0.0);
    let (unit_a, unit_b) = (direction(a, &length_a), direction(b, &length_b));
    let cosine = (&unit_a * &unit_b).sum_dim_intlist([1].as_slice(), true, Kind::Float);
    let angle = cosine.acos();
    let sine = angle.sin();
    let rest = 1.0 - ratio;
    let turned = ((&rest * &angle).sin() / &sine) * &unit_a + ((ratio * &angle).sin() / &sine) * &unit_b;
    let turned = turned * (&length_a * &rest + &length_b * ratio);
    let blend = a * &rest + b * ratio;
    let turned = a.where_self(&cosine.gt(1.0 - 1e-5), &turned);
    blend.where_self(&cosine.lt(1e-5 - 1.0), &turned)
}
