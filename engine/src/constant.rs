//! Constants as ComfyUI converts and compares them: by the rules of Python's `int`, `float`, `str` and `bool`.

use serde_json::{Value as Json, json};

use crate::io::{CONSTANT, Value};
use crate::python::{parse_float, parse_int, repr_float};
use crate::schema::{Kind, integer};

/// Converts a constant to what the input's kind makes of it. The error is Python's text.
pub fn convert(kind: &Kind, value: &Json) -> Result<Json, String> {
    match kind {
        Kind::Int { .. } => int(value).map(integer),
        Kind::Float { .. } => float(value).map(float_json),
        Kind::Text { .. } => Ok(json!(text(value))),
        Kind::Boolean { .. } => Ok(json!(truth(value))),
        // A socket takes no constant; the editor's own widgets, and choices that are no text, stay as they are.
        _ => Ok(value.clone()),
    }
}

/// The converted constant as the value that a node's field takes.
pub fn to_value(kind: &Kind, converted: &Json) -> Value {
    match (kind, converted) {
        (Kind::Int { .. }, Json::Number(_)) => Value::new("INT", as_int(converted).unwrap_or(0)),
        (Kind::Float { .. }, _) => Value::new("FLOAT", as_float(converted)),
        (Kind::Boolean { .. }, Json::Bool(flag)) => Value::new("BOOLEAN", *flag),
        (Kind::Text { .. } | Kind::Combo { .. } | Kind::DynamicCombo(_), Json::String(text)) => {
            Value::new("STRING", text.clone())
        }
        (Kind::Socket(_), plain) => of_itself(plain),
        (_, other) => Value::new(CONSTANT, other.clone()),
    }
}

/// The value of a constant for a `*` socket: its JSON type decides.
fn of_itself(constant: &Json) -> Value {
    match constant {
        Json::Number(number) => match as_int(constant) {
            Some(int) if !number.is_f64() => Value::new("INT", int),
            _ => Value::new("FLOAT", as_float(constant)),
        },
        Json::Bool(flag) => Value::new("BOOLEAN", *flag),
        Json::String(text) => Value::new("STRING", text.clone()),
        other => Value::new(CONSTANT, other.clone()),
    }
}

/// The number, if the JSON is an integer. An integer beyond 64 bits is stored as a float (see [`integer`]).
pub fn as_int(value: &Json) -> Option<i128> {
    const BEYOND: f64 = (1u64 << 63) as f64;
    let large = || value.as_f64().filter(|float| float.is_finite() && float.abs() >= BEYOND).map(|float| float as i128);
    value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from)).or_else(large)
}

/// JSON has no NaN and no infinity; they travel as the strings Python prints.
pub fn as_float(value: &Json) -> f64 {
    value.as_f64().or_else(|| value.as_str().and_then(parse_float)).unwrap_or(f64::NAN)
}

fn float_json(value: f64) -> Json {
    if value.is_finite() {
        json!(value)
    } else if value.is_nan() {
        json!("nan")
    } else {
        json!(if value > 0.0 { "inf" } else { "-inf" })
    }
}

/// Python's `int(value)`.
fn int(value: &Json) -> Result<i128, String> {
    match value {
        Json::Bool(flag) => Ok(i128::from(*flag)),
        Json::Number(_) => match (as_int(value), value.as_f64()) {
            (Some(int), _) => Ok(int),
            (None, Some(float)) if float.is_finite() => Ok(float.trunc() as i128),
            _ => Err("cannot convert float infinity to integer".into()),
        },
        Json::String(text) => {
            parse_int(text).ok_or_else(|| format!("invalid literal for int() with base 10: {}", repr_text(text)))
        }
        other => Err(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            type_name(other)
        )),
    }
}

/// Python's `float(value)`.
fn float(value: &Json) -> Result<f64, String> {
    match value {
        Json::Bool(flag) => Ok(f64::from(u8::from(*flag))),
        Json::Number(number) => Ok(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => {
            parse_float(text).ok_or_else(|| format!("could not convert string to float: {}", repr_text(text)))
        }
        other => Err(format!("float() argument must be a string or a real number, not '{}'", type_name(other))),
    }
}

/// Python's `str(value)`.
pub fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => repr(other),
    }
}

/// Python's `repr(value)`, as it stands in error details. Nested as deep as the JSON reader allows, no deeper.
pub fn repr(value: &Json) -> String {
    match value {
        Json::Null => "None".into(),
        Json::Bool(true) => "True".into(),
        Json::Bool(false) => "False".into(),
        Json::Number(number) if number.is_f64() => repr_float(number.as_f64().unwrap_or(f64::NAN)),
        Json::Number(number) => number.to_string(),
        Json::String(text) => repr_text(text),
        Json::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let entries = map.iter().map(|(key, value)| format!("{}: {}", repr_text(key), repr(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Python's `a == b` of what JSON can hold: `1`, `1.0` and `True` are equal.
pub fn equal(a: &Json, b: &Json) -> bool {
    let number = |value: &Json| match value {
        Json::Bool(flag) => Some(f64::from(u8::from(*flag))),
        other => other.as_f64(),
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn repr_text(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// Python's `bool(value)`.
pub fn truth(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(flag) => *flag,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(map) => !map.is_empty(),
    }
}

fn type_name(value: &Json) -> &'static str {
    match value {
        Json::Null => "NoneType",
        Json::Bool(_) => "bool",
        Json::Number(_) => "float",
        Json::String(_) => "str",
        Json::Array(_) => "list",
        Json::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Control;

    fn int_kind() -> Kind {
        Kind::Int { default: 0, min: None, max: None, step: None, control: Control::Unset }
    }

    #[test]
    fn integers_convert_as_python_converts_them() {
        for (given, want) in
            [(json!(64.9), 64), (json!(true), 1), (json!("  7 "), 7), (json!("64"), 64), (json!("1_000"), 1000)]
        {
            assert_eq!(convert(&int_kind(), &given), Ok(json!(want)), "{given}");
        }
        assert_eq!(convert(&int_kind(), &json!(u64::MAX)), Ok(json!(u64::MAX)));
        let beyond = convert(&int_kind(), &json!("-99999999999999999999999")).unwrap_or_default();
        assert_eq!(as_int(&beyond), Some(-1e23 as i128), "beyond 64 bits, so that limits still see it");
        assert_eq!(as_int(&json!(64.0)), None);
        assert_eq!(
            convert(&int_kind(), &json!("abc")),
            Err("invalid literal for int() with base 10: 'abc'".to_owned())
        );
        assert_eq!(
            convert(&int_kind(), &json!(null)),
            Err("int() argument must be a string, a bytes-like object or a real number, not 'NoneType'".to_owned())
        );
        assert!(convert(&int_kind(), &json!("1.5")).is_err() && convert(&int_kind(), &json!("1__0")).is_err());
    }

    #[test]
    fn texts_convert_as_python_converts_them() {
        assert_eq!(text(&json!(null)), "None");
        assert_eq!(text(&json!(["a", "b"])), "['a', 'b']");
        assert_eq!(text(&json!({"a": true})), "{'a': True}");
        for (value, want) in [(0.5, "0.5"), (1.0, "1.0"), (1e-5, "1e-05"), (1.25e17, "1.25e+17"), (1e-4, "0.0001")] {
            assert_eq!(text(&json!(value)), want);
        }
    }
}
