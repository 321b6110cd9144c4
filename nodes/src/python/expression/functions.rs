//! The functions that expressions may call.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{FromPrimitive, Pow, Signed, ToPrimitive, Zero};

use super::arithmetic::{binary, compare};
use super::value::{Term, number};
use super::{Flaw, Number};

/// What a function is given.
pub(super) struct Call {
    pub(super) arguments: Vec<Term>,
    /// `ndigits` of `round`, if it is given by its name.
    pub(super) digits: Option<Number>,
}

const NAMES: &str = "sum, min, max, abs, round, pow, sqrt, ceil, floor, log, log2, log10, sin, cos, tan, int and float";
/// The largest exponent of `pow`.
const MOST_EXPONENT: f64 = 4000.0;

pub(super) fn call(name: &str, call: Call) -> Result<Number, Flaw> {
    match name {
        "sum" => total(members(call)),
        "len" => members(call).map(|members| Number::whole(members.len() as i128)),
        "min" => extreme(name, Ordering::Less, members(call)),
        "max" => extreme(name, Ordering::Greater, members(call)),
        "round" => rounded(call),
        "pow" => {
            let [base, exponent] = exactly(name, call)?;
            if exponent.as_float().abs() > MOST_EXPONENT {
                return Err(Flaw::new(format!("the exponent {exponent} is beyond 4000; use a smaller one")));
            }
            binary("**", &base, &exponent)
        }
        "log" if call.arguments.len() == 2 => {
            let [x, base] = exactly(name, call)?;
            let (x, base) = (logarithm(&x, f64::ln)?, logarithm(&base, f64::ln)?);
            binary("/", &Number::Float(x), &Number::Float(base))
        }
        _ => of_one(name, call),
    }
}

fn of_one(name: &str, call: Call) -> Result<Number, Flaw> {
    let function: fn(Number) -> Result<Number, Flaw> = match name {
        "abs" => |x| Ok(x.as_int().map_or_else(|| Number::Float(x.as_float().abs()), |int| Number::Int(int.abs()))),
        "sqrt" => |x| match x.as_float() {
            x if x < 0.0 => Err(Flaw::new("a root of a negative number is no number")),
            x => Ok(Number::Float(x.sqrt())),
        },
        "ceil" => |x| whole(x, f64::ceil),
        "floor" => |x| whole(x, f64::floor),
        "int" => |x| whole(x, f64::trunc),
        "float" => |x| finite(x.as_float()),
        "log" => |x| logarithm(&x, f64::ln).map(Number::Float),
        "log2" => |x| logarithm(&x, f64::log2).map(Number::Float),
        "log10" => |x| logarithm(&x, f64::log10).map(Number::Float),
        "sin" => |x| angle(&x, f64::sin),
        "cos" => |x| angle(&x, f64::cos),
        "tan" => |x| angle(&x, f64::tan),
        _ => return Err(Flaw::new(format!("there is no function '{name}'; use {NAMES}"))),
    };
    let [x] = exactly(name, call)?;
    function(x)
}

/// The arguments, or the members of the one list that is given.
fn members(call: Call) -> Result<Vec<Number>, Flaw> {
    let mut arguments = call.arguments;
    if let [Term::List(_)] = arguments.as_slice()
        && let Some(Term::List(list)) = arguments.pop()
    {
        return Ok(list);
    }
    arguments.into_iter().map(number).collect()
}

fn exactly<const N: usize>(name: &str, call: Call) -> Result<[Number; N], Flaw> {
    let given = call.arguments.len();
    let numbers: Vec<Number> = call.arguments.into_iter().map(number).collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|_| Flaw::new(format!("{name} takes {N} numbers, and is given {given}")))
}

fn total(members: Result<Vec<Number>, Flaw>) -> Result<Number, Flaw> {
    members?.iter().try_fold(Number::whole(0), |sum, one| binary("+", &sum, one))
}

/// The first of the least or of the greatest.
fn extreme(name: &str, wanted: Ordering, members: Result<Vec<Number>, Flaw>) -> Result<Number, Flaw> {
    let sign = if wanted == Ordering::Less { "<" } else { ">" };
    let found = members?.into_iter().reduce(|best, one| if compare(sign, &one, &best) { one } else { best });
    found.ok_or_else(|| Flaw::new(format!("{name} needs at least one number")))
}

/// A float made whole; whole numbers stay.
fn whole(x: Number, round: fn(f64) -> f64) -> Result<Number, Flaw> {
    let whole = x.as_int().or_else(|| BigInt::from_f64(round(x.as_float())));
    whole.map(Number::Int).ok_or_else(|| Flaw::new(format!("{x} cannot be made a whole number")))
}

fn finite(x: f64) -> Result<Number, Flaw> {
    match x.is_infinite() {
        true => Err(Flaw::new("the number is larger than floats are")),
        false => Ok(Number::Float(x)),
    }
}

fn angle(x: &Number, function: fn(f64) -> f64) -> Result<Number, Flaw> {
    let x = x.as_float();
    if x.is_infinite() {
        return Err(Flaw::new("an angle must be finite"));
    }
    Ok(Number::Float(function(x)))
}

/// A logarithm; of whole numbers beyond floats, too.
fn logarithm(x: &Number, function: fn(f64) -> f64) -> Result<f64, Flaw> {
    let positive = x.as_int().map_or_else(|| x.as_float() > 0.0 || x.as_float().is_nan(), |int| int.is_positive());
    if !positive {
        return Err(Flaw::new("only positive numbers have a logarithm"));
    }
    match x.as_int().filter(|int| int.bits() > 1000) {
        Some(int) => {
            let shift = int.bits() - 64;
            let top = (int >> shift).to_f64().unwrap_or(f64::NAN);
            Ok(function(top) + shift as f64 * function(2.0))
        }
        None => Ok(function(x.as_float())),
    }
}

/// Python's `round`: halves go to the even neighbour.
fn rounded(call: Call) -> Result<Number, Flaw> {
    let mut arguments = call.arguments;
    let digits = match (arguments.len(), call.digits) {
        (2, None) => arguments.pop().map(number).transpose()?,
        (1, digits) => digits,
        (given, _) => return Err(Flaw::new(format!("round takes 1 or 2 numbers, and is given {given}"))),
    };
    let [x] = exactly("round", Call { arguments, digits: None })?;
    let Some(digits) = digits else { return whole(x, f64::round_ties_even) };
    let digits = digits.as_int().and_then(|int| int.to_i64());
    let digits = digits.ok_or_else(|| Flaw::new("the digits of round are a whole number"))?;
    match x.as_int() {
        Some(int) if digits >= 0 => Ok(Number::Int(int)),
        Some(int) => Ok(Number::Int(to_tens(int, digits.unsigned_abs()))),
        None => Ok(Number::Float(to_digits(x.as_float(), digits))),
    }
}

/// A whole number rounded to a multiple of a power of ten.
fn to_tens(int: BigInt, zeros: u64) -> BigInt {
    // A power of ten beyond twice the number makes it 0.
    if zeros > int.bits() {
        return BigInt::zero();
    }
    let unit: BigInt = Pow::pow(BigInt::from(10), zeros);
    let (times, left) = int.div_mod_floor(&unit);
    let up = match (left * 2u32).cmp(&unit) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => times.is_odd(),
    };
    (times + i32::from(up)) * unit
}

/// A float rounded to a number of decimal digits, by its exact value.
fn to_digits(x: f64, digits: i64) -> f64 {
    const MOST_DIGITS: i64 = 323;
    const MOST_ZEROS: i64 = -309;
    if !x.is_finite() || digits > MOST_DIGITS {
        return x;
    }
    if digits < MOST_ZEROS {
        return 0f64.copysign(x);
    }
    match usize::try_from(digits) {
        Ok(digits) => format!("{x:.digits$}").parse().unwrap_or(x),
        Err(_) => {
            // Beyond the point nothing is left but whether there was something, which decides halves.
            let whole = BigInt::from_f64(x.trunc()).unwrap_or_default();
            let unit: BigInt = Pow::pow(BigInt::from(10), digits.unsigned_abs());
            let (times, left) = whole.abs().div_mod_floor(&unit);
            let up = match (left * 2u32).cmp(&unit) {
                Ordering::Less => false,
                Ordering::Greater => true,
                Ordering::Equal => x.fract() != 0.0 || times.is_odd(),
            };
            let size = ((times + i32::from(up)) * unit).to_f64().unwrap_or(f64::INFINITY);
            size.copysign(x)
        }
    }
}
