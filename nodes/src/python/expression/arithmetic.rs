//! Operators by Python's rules: whole numbers stay whole, `/` makes floats, and what is left of a division has the divisor's sign.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{Pow, Signed, ToPrimitive, Zero};

use super::{Flaw, Number};

/// The largest whole number that is computed with, in bits.
const MOST_BITS: u64 = 1 << 20;

fn too_large() -> Flaw {
    Flaw::new("it makes a number of more than a million bits; make it smaller")
}

pub(super) fn by_zero() -> Flaw {
    Flaw::new("it divides by zero")
}

/// A sign before a number.
pub(super) fn signed(sign: &str, number: &Number) -> Result<Number, Flaw> {
    match (sign, number.as_int(), number) {
        ("+", Some(int), _) => Ok(Number::Int(int)),
        ("-", Some(int), _) => Ok(Number::Int(-int)),
        ("~", Some(int), _) => Ok(Number::Int(-int - 1)),
        ("+", None, number) => Ok(number.clone()),
        ("-", None, number) => Ok(Number::Float(-number.as_float())),
        (sign, _, _) => Err(Flaw::new(format!("'{sign}' is for whole numbers"))),
    }
}

pub(super) fn compare(sign: &str, a: &Number, b: &Number) -> bool {
    let order = match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_float().partial_cmp(&b.as_float()),
    };
    match sign {
        "==" => order == Some(Ordering::Equal),
        "!=" => order != Some(Ordering::Equal),
        "<" => order == Some(Ordering::Less),
        ">" => order == Some(Ordering::Greater),
        "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

pub(super) fn binary(sign: &str, a: &Number, b: &Number) -> Result<Number, Flaw> {
    if let (Number::Bool(a), Number::Bool(b)) = (a, b) {
        match sign {
            "&" => return Ok(Number::Bool(a & b)),
            "|" => return Ok(Number::Bool(a | b)),
            "^" => return Ok(Number::Bool(a ^ b)),
            _ => {}
        }
    }
    match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => of_whole(sign, a, b),
        _ => of_floats(sign, a.as_float(), b.as_float()),
    }
}

fn of_whole(sign: &str, a: BigInt, b: BigInt) -> Result<Number, Flaw> {
    let divides = matches!(sign, "/" | "//" | "%");
    if divides && b.is_zero() {
        return Err(by_zero());
    }
    Ok(Number::Int(match sign {
        "+" => a + b,
        "-" => a - b,
        "*" if a.bits().saturating_add(b.bits()) > MOST_BITS => return Err(too_large()),
        "*" => a * b,
        "/" => return quotient(&a, &b),
        "//" => a.div_floor(&b),
        "%" => a.mod_floor(&b),
        "&" => a & b,
        "|" => a | b,
        "^" => a ^ b,
        "<<" | ">>" if b.is_negative() => return Err(Flaw::new("it shifts by a negative number")),
        "<<" => match b.to_u64() {
            Some(by) if by.saturating_add(a.bits()) <= MOST_BITS => a << by,
            _ => return Err(too_large()),
        },
        ">>" => match b.to_u64() {
            Some(by) => a >> by,
            None => {
                if a.is_negative() {
                    (-1).into()
                } else {
                    0.into()
                }
            }
        },
        _ => return power(a, b),
    }))
}

/// The float next to the quotient of two whole numbers.
fn quotient(a: &BigInt, b: &BigInt) -> Result<Number, Flaw> {
    const EXACT: u64 = 53;
    if a.bits() <= EXACT && b.bits() <= EXACT {
        return Ok(Number::Float(a.to_f64().unwrap_or(f64::NAN) / b.to_f64().unwrap_or(f64::NAN)));
    }
    // Two bits more than a float has, and a last one that says whether anything is left: rounding that is rounding the quotient.
    let shift = EXACT as i64 + 2 - (a.bits() as i64 - b.bits() as i64);
    let (top, bottom) = if shift >= 0 { (a.abs() << shift, b.abs()) } else { (a.abs(), b.abs() << -shift) };
    let (whole, left) = top.div_rem(&bottom);
    let whole = (whole << 1u32) + u32::from(!left.is_zero());
    let size = whole.to_f64().unwrap_or(f64::INFINITY) * 2f64.powi(i32::try_from(-(shift + 1)).unwrap_or(i32::MIN));
    match size.is_finite() {
        true => Ok(Number::Float(if a.is_negative() != b.is_negative() { -size } else { size })),
        false => Err(Flaw::new("the quotient is larger than floats are")),
    }
}

fn power(base: BigInt, exponent: BigInt) -> Result<Number, Flaw> {
    if exponent.is_negative() {
        if base.is_zero() {
            return Err(by_zero());
        }
        return of_floats("**", base.to_f64().unwrap_or(f64::INFINITY), exponent.to_f64().unwrap_or(f64::NEG_INFINITY));
    }
    let bits = exponent.to_u64().and_then(|exponent| base.bits().checked_mul(exponent));
    match (bits, exponent.to_u64()) {
        _ if base.bits() <= 1 && !base.is_negative() => {
            Ok(Number::Int(if exponent.is_zero() { 1.into() } else { base }))
        }
        (Some(bits), Some(exponent)) if bits <= MOST_BITS => Ok(Number::Int(Pow::pow(base, exponent))),
        _ => Err(too_large()),
    }
}

fn of_floats(sign: &str, a: f64, b: f64) -> Result<Number, Flaw> {
    let divides = matches!(sign, "/" | "//" | "%");
    if divides && b == 0.0 {
        return Err(by_zero());
    }
    Ok(Number::Float(match sign {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => divided(a, b).0,
        "%" => divided(a, b).1,
        "**" if a == 0.0 && b < 0.0 => return Err(by_zero()),
        "**" if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 => {
            return Err(Flaw::new("a root of a negative number is no number"));
        }
        "**" => {
            let power = a.powf(b);
            if power.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(Flaw::new("the power is larger than floats are"));
            }
            power
        }
        sign => return Err(Flaw::new(format!("'{sign}' is for whole numbers"))),
    }))
}

/// Python's `divmod` of floats.
fn divided(a: f64, b: f64) -> (f64, f64) {
    let mut left = a % b;
    let mut times = (a - left) / b;
    if left == 0.0 {
        left = 0f64.copysign(b);
    } else if (b < 0.0) != (left < 0.0) {
        left += b;
        times -= 1.0;
    }
    let floor = if times == 0.0 {
        0f64.copysign(a / b)
    } else {
        let floor = times.floor();
        if times - floor > 0.5 { floor + 1.0 } else { floor }
    };
    (floor, left)
}
