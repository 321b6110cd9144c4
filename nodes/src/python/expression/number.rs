//! Numbers as Python has them: whole numbers of any size, floats, and truths, which count as 0 and 1.

use num_bigint::BigInt;
use num_traits::{ToPrimitive, Zero};
use redraft_engine::python::repr_float;

/// A number.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    Int(BigInt),
    Float(f64),
    Bool(bool),
}

impl Number {
    pub fn whole(value: i128) -> Self {
        Self::Int(value.into())
    }

    /// As a whole number, if it is one; truths are 0 and 1.
    pub(super) fn as_int(&self) -> Option<BigInt> {
        match self {
            Self::Int(int) => Some(int.clone()),
            Self::Bool(flag) => Some(i32::from(*flag).into()),
            Self::Float(_) => None,
        }
    }

    /// As a float; infinite where it is larger than floats are.
    pub fn as_float(&self) -> f64 {
        match self {
            Self::Int(int) => int.to_f64().unwrap_or(f64::INFINITY),
            Self::Float(float) => *float,
            Self::Bool(flag) => f64::from(u8::from(*flag)),
        }
    }

    /// Python's `bool(number)`.
    pub fn truth(&self) -> bool {
        match self {
            Self::Int(int) => !int.is_zero(),
            Self::Float(float) => *float != 0.0,
            Self::Bool(flag) => *flag,
        }
    }

    /// Python's `int(number)`: floats lose what stands behind the point. Nothing if it is not finite, or does not fit in 128 bits.
    pub fn truncated(&self) -> Option<i128> {
        const LIMIT: f64 = 1.7e38;
        match self {
            Self::Float(float) if float.is_finite() && float.abs() < LIMIT => Some(float.trunc() as i128),
            Self::Float(_) => None,
            other => other.as_int()?.to_i128(),
        }
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(int) => int.fmt(f),
            Self::Float(float) => f.write_str(&repr_float(*float)),
            Self::Bool(flag) => f.write_str(if *flag { "True" } else { "False" }),
        }
    }
}
