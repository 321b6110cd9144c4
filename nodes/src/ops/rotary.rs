//! Rotary positions (Su et al. 2021, arXiv:2104.09864) along several axes: each axis turns a part of a head's channels, in pairs of
//! neighbours.

use tch::{Device, Kind, Tensor};

/// What turns tokens at their positions, 1×1×N×D/2×2×2 float32, for `ids` of N×axes and a head of D channels, of which each axis has
/// its `widths`. `theta` is the base of the frequencies. Angles are computed in float64.
pub fn turns(ids: &Tensor, widths: &[i64], theta: f64) -> Tensor {
    let of_axis = |(axis, width): (i64, i64)| {
        let scale = Tensor::linspace(0.0, (width - 2) as f64 / width as f64, width / 2, (Kind::Double, ids.device()));
        let omega = Tensor::pow_scalar(theta, &scale).reciprocal();
        let angles = ids.select(-1, axis).to_kind(Kind::Float).to_kind(Kind::Double).unsqueeze(-1) * omega;
        let (cos, sin) = (angles.cos(), angles.sin());
        let rows = Tensor::stack(&[&cos, &-&sin, &sin, &cos], -1);
        rows.unflatten(-1, [2, 2]).to_kind(Kind::Float)
    };
    let parts: Vec<Tensor> = (0..).zip(widths.iter().copied()).map(of_axis).collect();
    Tensor::cat(&parts, -3).unsqueeze(0).unsqueeze(0)
}

/// `x`, B×H×N×D, turned by [`turns`].
pub fn turned(x: &Tensor, turns: &Tensor) -> Tensor {
    let pairs = x.to_kind(Kind::Float).unflatten(-1, [-1, 1, 2]);
    let turned = turns.select(-1, 0) * pairs.select(-1, 0);
    turned.addcmul(&turns.select(-1, 1), &pairs.select(-1, 1)).reshape(x.size()).to_kind(x.kind())
}

/// Positions of a grid of patches: `rows` × `columns` places of 3 numbers each, N×3 float32: `index`, then y and x counted from `top` and
/// `left`.
pub fn grid(index: f64, (top, left): (f64, f64), (rows, columns): (i64, i64), device: Device) -> Tensor {
    let options = (Kind::Float, device);
    let line = |from: f64, count: i64| Tensor::linspace(from, from + (count - 1) as f64, count, options);
    let shape = [rows, columns];
    let y = line(top, rows).unsqueeze(1).expand(shape, false);
    let x = line(left, columns).unsqueeze(0).expand(shape, false);
    Tensor::stack(&[&Tensor::full(shape, index, options), &y, &x], -1).flatten(0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::noise::randn;

    #[test]
    fn a_turn_keeps_lengths_and_depends_on_distance_alone() {
        let ids = grid(0.0, (0.0, 0.0), (3, 4), Device::Cpu);
        assert_eq!(ids.size(), [12, 3]);
        let all = turns(&ids, &[4, 6, 6], 10000.0);
        assert_eq!(all.size(), [1, 1, 12, 8, 2, 2]);
        // The same two vectors at all places.
        let [q, k] = [1, 2].map(|seed| randn(seed, &[1, 1, 1, 16]).expand([1, 1, 12, 16], false));
        let (tq, tk) = (turned(&q, &all), turned(&k, &all));
        let length = |t: &Tensor| t.square().sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        assert!((length(&tq) - length(&q)).abs().max().double_value(&[]) < 1e-4);
        // One column to the right is the same turn in every row.
        let product = |a: i64, b: i64| (tq.select(2, a) * tk.select(2, b)).sum(Kind::Float).double_value(&[]);
        assert!((product(0, 1) - product(6, 7)).abs() < 1e-4 && (product(0, 5) - product(5, 10)).abs() < 1e-4);
        // At the origin nothing is turned.
        assert!((tq.select(2, 0) - q.select(2, 0)).abs().max().double_value(&[]) < 1e-7);
    }
}
