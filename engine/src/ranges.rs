//! The check in front of every call: numbers that come from other nodes lie in the declared range of their input.
//!
//! ComfyUI checks constants only. What a node makes of a number beyond its range is often an error of a library, and now and then
//! another picture; where it is well defined, the declaration says so with `#[input(beyond = Below)]`, `Above` or `Both`.

use crate::io::Value;
use crate::schema::{Beyond, Input, Kind, integer};

/// Why an input does not take a value, without its name; nothing if it takes it.
pub(crate) fn refusal(input: &Input, value: &Value) -> Option<String> {
    let (shown, low, high, range) = match &input.kind {
        Kind::Int { min, max, .. } => {
            let given = *value.downcast::<i128>()?;
            let low = min.is_some_and(|min| given < min);
            let high = max.is_some_and(|max| given > max);
            (given.to_string(), low, high, range(min.map(integer), max.map(integer)))
        }
        Kind::Float { min, max, .. } if min.is_some() || max.is_some() => {
            let whole = || value.downcast::<i128>().map(|&number| number as f64);
            let given = value.downcast::<f64>().copied().or_else(whole)?;
            // What is no number lies on neither side.
            let low = given.is_nan() || min.is_some_and(|min| given < min);
            let high = given.is_nan() || max.is_some_and(|max| given > max);
            (given.to_string(), low, high, range(*min, *max))
        }
        _ => return None,
    };
    let (below, above) = match input.beyond {
        Beyond::Nowhere => (false, false),
        Beyond::Below => (true, false),
        Beyond::Above => (false, true),
        Beyond::Both => (true, true),
    };
    ((low && !below) || (high && !above)).then(|| format!("is {shown}, outside of {range}; link a value within"))
}

fn range(min: Option<impl ToString>, max: Option<impl ToString>) -> String {
    match (min.map(|min| min.to_string()), max.map(|max| max.to_string())) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("{min} and more"),
        (None, max) => format!("up to {}", max.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Control;

    fn input(kind: Kind, beyond: Beyond) -> Input {
        let name = "x".to_owned();
        let tooltip = String::new();
        Input { name, kind, optional: false, lazy: false, force_input: false, raw_link: false, beyond, tooltip }
    }

    fn whole(min: Option<i128>, max: Option<i128>) -> Kind {
        Kind::Int { default: 0, min, max, step: None, control: Control::Unset }
    }

    #[test]
    fn whole_numbers_are_held_to_their_range() {
        let of = |number: i128, beyond| refusal(&input(whole(Some(0), Some(8)), beyond), &Value::new("INT", number));
        assert_eq!(of(-1, Beyond::Nowhere).as_deref(), Some("is -1, outside of 0 to 8; link a value within"));
        assert_eq!((of(0, Beyond::Nowhere), of(8, Beyond::Nowhere)), (None, None));
        assert!(of(9, Beyond::Nowhere).is_some() && of(9, Beyond::Below).is_some() && of(9, Beyond::Above).is_none());
        assert!(of(-1, Beyond::Below).is_none() && of(-1, Beyond::Above).is_some() && of(-1, Beyond::Both).is_none());
        let open = refusal(&input(whole(Some(1), None), Beyond::Nowhere), &Value::new("INT", 0_i128));
        assert_eq!(open.as_deref(), Some("is 0, outside of 1 and more; link a value within"));
        assert_eq!(refusal(&input(whole(None, None), Beyond::Nowhere), &Value::new("INT", i128::MIN)), None);
    }

    #[test]
    fn fractions_are_held_to_their_range_and_to_numbers() {
        let kind = Kind::Float {
            default: 0.0,
            min: Some(0.0),
            max: Some(1.0),
            step: None,
            round: None,
            control: Control::Unset,
        };
        let of = |value: Value, beyond| refusal(&input(kind.clone(), beyond), &value);
        let float = |number: f64| Value::new("FLOAT", number);
        assert_eq!(of(float(1.5), Beyond::Nowhere).as_deref(), Some("is 1.5, outside of 0 to 1; link a value within"));
        assert_eq!(
            of(Value::new("INT", 2_i128), Beyond::Nowhere).as_deref(),
            Some("is 2, outside of 0 to 1; link a value within")
        );
        assert!(of(float(f64::NAN), Beyond::Nowhere).is_some() && of(float(f64::NAN), Beyond::Above).is_some());
        assert_eq!((of(float(0.5), Beyond::Nowhere), of(float(1.5), Beyond::Above)), (None, None));
    }
}
