//! Not, and, or of any values, by Python's rules of what counts as true.

use anyhow::{Result, ensure};
use redraft_engine::Node;
use redraft_engine::constant::truth;
use redraft_engine::cx::Cx;
use redraft_engine::dynamic::Grow;
use redraft_engine::io::{Value, Wildcard};
use redraft_engine::node::Run;
use serde_json::Value as Json;
use tch::Tensor;

use crate::values::{Conditioning, Image, Mask, Sigmas};

/// True if the value counts as false: 0, an empty text or list, nothing.
#[derive(Node)]
#[node(class = "ComfyNotNode", category = "utilities/logic", display = "Not")]
struct Not {
    value: Wildcard,
}

impl Run for Not {
    type Out = bool;

    fn run(self, _: &mut Cx) -> Result<bool> {
        is_true(&self.value.0).map(|truth| !truth)
    }
}

/// True if all values count as true.
#[derive(Node)]
#[node(class = "ComfyAndNode", category = "utilities/logic", display = "And")]
struct And {
    #[input(prefix = "value", min = 1, max = 10)]
    values: Grow<Wildcard>,
}

impl Run for And {
    type Out = bool;

    fn run(self, _: &mut Cx) -> Result<bool> {
        for value in &self.values.0 {
            if !is_true(&value.0)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// True if any of the values counts as true.
#[derive(Node)]
#[node(class = "ComfyOrNode", category = "utilities/logic", display = "Or")]
struct Or {
    #[input(prefix = "value", min = 1, max = 10)]
    values: Grow<Wildcard>,
}

impl Run for Or {
    type Out = bool;

    fn run(self, _: &mut Cx) -> Result<bool> {
        for value in &self.values.0 {
            if is_true(&value.0)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Python's `bool(value)`.
///
/// # Errors
/// Of a tensor of several numbers, which is neither true nor false.
fn is_true(value: &Value) -> Result<bool> {
    if value.is_nothing() {
        return Ok(false);
    }
    let image = value.downcast::<Image>().map(|image| image.0.shallow_clone());
    let mask = || value.downcast::<Mask>().map(|mask| mask.0.shallow_clone());
    let sigmas = || value.downcast::<Sigmas>().map(|sigmas| Tensor::from_slice(&sigmas.0));
    if let Some(tensor) = image.or_else(mask).or_else(sigmas) {
        return of_tensor(&tensor, value.type_name());
    }
    let number = value.downcast::<i128>().map(|int| *int != 0);
    let float = || value.downcast::<f64>().map(|float| *float != 0.0);
    let flag = || value.downcast::<bool>().copied();
    let text = || value.downcast::<String>().map(|text| !text.is_empty());
    let constant = || value.downcast::<Json>().map(truth);
    let prompts = || value.downcast::<Conditioning>().map(|prompts| !prompts.0.is_empty());
    Ok(number.or_else(float).or_else(flag).or_else(text).or_else(constant).or_else(prompts).unwrap_or(true))
}

fn of_tensor(tensor: &Tensor, ty: &str) -> Result<bool> {
    let numbers = tensor.numel();
    ensure!(numbers == 1, "{ty} of {numbers} values is neither true nor false; connect a number, a text or a truth");
    Ok(tensor.double_value(&[]) != 0.0 || tensor.double_value(&[]).is_nan())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn wild(value: Value) -> Wildcard {
        Wildcard(value)
    }

    #[test]
    fn what_counts_as_true_is_python_s() {
        let not = |value: Value| Cx::for_test().run(Not { value: wild(value) });
        for (value, expected) in [
            (Value::new("INT", 0_i128), true),
            (Value::new("FLOAT", 0.5_f64), false),
            (Value::new("STRING", String::new()), true),
            (Value::new("STRING", "0".to_owned()), false),
            (Value::new("BOOLEAN", true), false),
            (Value::new("CONSTANT", json!([])), true),
            (Value::new("CONSTANT", json!({"a": 0})), false),
            (Value::wire(Mask(Tensor::from_slice(&[0.0_f32]))), true),
        ] {
            assert_eq!(not(value.clone()).unwrap(), expected, "{}", value.type_name());
        }
        let image = Value::wire(Mask(Tensor::from_slice(&[0.0_f32, 1.0])));
        assert!(not(image).unwrap_err().to_string().contains("MASK of 2 values is neither true nor false"));
    }

    #[test]
    fn and_and_or_stop_at_what_decides() {
        let values = |flags: &[i128]| Grow(flags.iter().map(|flag| wild(Value::new("INT", *flag))).collect());
        let and = |flags: &[i128]| Cx::for_test().run(And { values: values(flags) }).unwrap();
        let or = |flags: &[i128]| Cx::for_test().run(Or { values: values(flags) }).unwrap();
        assert_eq!((and(&[1, 2]), and(&[1, 0]), and(&[])), (true, false, true));
        assert_eq!((or(&[0, 2]), or(&[0, 0]), or(&[])), (true, false, false));
    }
}
