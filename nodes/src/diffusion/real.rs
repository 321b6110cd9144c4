//! Numbers in the precision of a state.
//!
//! ComfyUI keeps noise levels in float32 tensors and computes the coefficients of every step from them in float32.
//! Some of these formulas take the difference of almost equal numbers (weights of closely spaced levels, σ_down near 0),
//! and some results decide something (the nearest timestep, a place on a Brownian path, whether a step is kept), so the
//! rounding is part of the result. A [`Real`] rounds as these tensors do, operation by operation, and reads like an
//! `f64`; for a state in float64 it is one.

use std::cmp::Ordering;
use std::ops::{Add, Div, Mul, Neg, Sub};

use tch::{Device, Kind, Scalar, Tensor};

/// A number in float32, or in float64.
#[derive(Debug, Clone, Copy)]
pub enum Real {
    /// The precision for states of up to 32 bits.
    Single(f32),
    /// The precision for states of 64 bits.
    Double(f64),
}

impl Real {
    /// A number rounded to the precision for states of that kind.
    pub fn new(value: f64, kind: Kind) -> Real {
        if kind == Kind::Double { Real::Double(value) } else { Real::Single(value as f32) }
    }

    /// A number rounded to the precision of this one.
    pub fn with(self, value: f64) -> Real {
        Real::new(value, self.kind())
    }

    /// The number itself.
    pub fn value(self) -> f64 {
        match self {
            Real::Single(value) => value.into(),
            Real::Double(value) => value,
        }
    }

    /// The precision of tensors with the same numbers.
    pub fn kind(self) -> Kind {
        match self {
            Real::Single(_) => Kind::Float,
            Real::Double(_) => Kind::Double,
        }
    }

    /// A tensor without dimensions, on the CPU.
    pub fn tensor(self) -> Tensor {
        match self {
            Real::Single(value) => Tensor::from(value),
            Real::Double(value) => Tensor::from(value),
        }
    }

    /// The result of libtorch's own function, whose last bit may differ from that of Rust's.
    pub fn map(self, function: impl Fn(&Tensor) -> Tensor) -> Real {
        Real::of(&function(&self.tensor()))
    }

    /// The number in a tensor of one element.
    pub fn of(tensor: &Tensor) -> Real {
        let value = tensor.to_device(Device::Cpu).reshape(-1).double_value(&[0]);
        Real::new(value, tensor.kind())
    }

    pub fn exp(self) -> Real {
        self.map(Tensor::exp)
    }

    /// eˣ − 1.
    pub fn exp_m1(self) -> Real {
        self.map(Tensor::expm1)
    }

    pub fn ln(self) -> Real {
        self.map(Tensor::log)
    }

    /// The square root: not the nearest number in float32, but what the vector library behind libtorch gives.
    pub fn sqrt(self) -> Real {
        self.map(Tensor::sqrt)
    }

    /// A power.
    pub fn powf(self, exponent: f64) -> Real {
        self.map(|value| value.pow_tensor_scalar(exponent))
    }

    /// The number at the share `weight` of the way to `end`, rounded as libtorch's `lerp` rounds.
    pub fn lerp(self, end: Real, weight: f64) -> Real {
        self.map(|start| start.lerp(&end.tensor(), weight))
    }

    /// The smaller one; this one if there is no smaller one, because one is NaN.
    pub fn min(self, other: Real) -> Real {
        if other < self { other } else { self }
    }

    /// The greater one; this one if there is no greater one, because one is NaN.
    pub fn max(self, other: Real) -> Real {
        if other > self { other } else { self }
    }

    /// This, or 0 for NaN.
    pub fn or_zero(self) -> Real {
        if self.value().is_nan() { self.with(0.0) } else { self }
    }
}

macro_rules! operation {
    ($trait:ident, $name:ident) => {
        impl $trait for Real {
            type Output = Real;

            fn $name(self, other: Real) -> Real {
                match (self, other) {
                    (Real::Single(a), Real::Single(b)) => Real::Single(a.$name(b)),
                    (a, b) => Real::Double(a.value().$name(b.value())),
                }
            }
        }

        impl $trait<f64> for Real {
            type Output = Real;

            fn $name(self, other: f64) -> Real {
                self.$name(self.with(other))
            }
        }
    };
}

operation!(Add, add);
operation!(Sub, sub);
operation!(Mul, mul);
operation!(Div, div);

impl Add<Real> for f64 {
    type Output = Real;

    fn add(self, other: Real) -> Real {
        other + self
    }
}

impl Sub<Real> for f64 {
    type Output = Real;

    fn sub(self, other: Real) -> Real {
        other.with(self) - other
    }
}

impl Mul<Real> for f64 {
    type Output = Real;

    fn mul(self, other: Real) -> Real {
        other * self
    }
}

/// The number times the reciprocal, as Python's tensors have it.
impl Div<Real> for f64 {
    type Output = Real;

    fn div(self, other: Real) -> Real {
        other.with(1.0) / other * self
    }
}

impl Neg for Real {
    type Output = Real;

    fn neg(self) -> Real {
        match self {
            Real::Single(value) => Real::Single(-value),
            Real::Double(value) => Real::Double(-value),
        }
    }
}

impl PartialEq for Real {
    fn eq(&self, other: &Real) -> bool {
        self.value() == other.value()
    }
}

impl PartialEq<f64> for Real {
    fn eq(&self, other: &f64) -> bool {
        self.value() == *other
    }
}

impl PartialOrd for Real {
    fn partial_cmp(&self, other: &Real) -> Option<Ordering> {
        self.value().partial_cmp(&other.value())
    }
}

impl PartialOrd<f64> for Real {
    fn partial_cmp(&self, other: &f64) -> Option<Ordering> {
        self.value().partial_cmp(other)
    }
}

impl From<Real> for f64 {
    fn from(real: Real) -> f64 {
        real.value()
    }
}

/// So that a tensor times a [`Real`] is one.
impl From<Real> for Scalar {
    fn from(real: Real) -> Scalar {
        real.value().into()
    }
}

/// A one-dimensional tensor of the numbers, on the CPU.
pub fn vector(reals: &[Real]) -> Tensor {
    let kind = reals.first().map_or(Kind::Float, |real| real.kind());
    let values: Vec<f64> = reals.iter().map(|real| real.value()).collect();
    Tensor::from_slice(&values).to_kind(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(value: f64) -> Real {
        Real::new(value, Kind::Float)
    }

    #[test]
    fn every_operation_rounds_to_float32() {
        let third = single(1.0) / single(3.0);
        assert_eq!(third.value(), f64::from(1f32 / 3f32));
        assert_eq!((third * 3.0 - 1.0).value(), 0.0);
        assert_eq!((single(16_777_216.0) + 1.0).value(), 16_777_216.0);
        assert_eq!((Real::new(16_777_216.0, Kind::Double) + 1.0).value(), 16_777_217.0);
        // Python's number over a tensor: 7.767901 / 7.767901 by a reciprocal is not 1.
        assert_eq!((7.767901106306771 / single(7.767901106306771)).value(), f64::from(0.999_999_94_f32));
    }

    #[test]
    fn functions_are_libtorchs() {
        let values = [1e-3, 0.1, 0.7, 2.5, 14.614642];
        for value in values {
            let tensor = Tensor::from(value as f32);
            assert_eq!(single(value).ln().value(), tensor.log().double_value(&[]));
            assert_eq!(single(value).exp_m1().value(), tensor.expm1().double_value(&[]));
            assert_eq!(single(value).sqrt().value(), tensor.sqrt().double_value(&[]));
            assert_eq!(single(value).powf(0.3).value(), tensor.pow_tensor_scalar(0.3).double_value(&[]));
        }
    }

    #[test]
    fn comparisons_with_nan_keep_the_first() {
        let nan = single(f64::NAN);
        assert_eq!(single(2.0).min(nan), 2.0);
        assert!(nan.max(single(2.0)).value().is_nan());
        assert_eq!(nan.or_zero(), 0.0);
        assert!(single(1.0) < single(2.0) && single(2.0) > 1.0);
    }
}
