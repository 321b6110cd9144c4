//! JSON text to the letter as Python's `json.dumps` writes it by default, which is how metadata stands in pictures.

use std::fmt::Write;

use serde_json::Value;

/// `value` as Python's `json.dumps(value)`: `", "` and `": "` between items, everything beyond ASCII as `\uXXXX`
/// (surrogate pairs above U+FFFF), floats as Python's `repr`, keys in their order.
pub fn dumps(value: &Value) -> String {
    let mut text = String::new();
    append(&mut text, value);
    text
}

/// `value` as Python's `json.dumps(value, indent=indent)`: each item on a line of its own.
pub fn dumps_indented(value: &Value, indent: usize) -> String {
    let mut text = String::new();
    append_indented(&mut text, value, indent, 0);
    text
}

fn append_indented(text: &mut String, value: &Value, indent: usize, depth: usize) {
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', indent * depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                text.push(if i == 0 { '[' } else { ',' });
                line(text, depth + 1);
                append_indented(text, item, indent, depth + 1);
            }
            line(text, depth);
            text.push(']');
        }
        Value::Object(entries) if !entries.is_empty() => {
            for (i, (key, item)) in entries.iter().enumerate() {
                text.push(if i == 0 { '{' } else { ',' });
                line(text, depth + 1);
                append_string(text, key);
                text.push_str(": ");
                append_indented(text, item, indent, depth + 1);
            }
            line(text, depth);
            text.push('}');
        }
        plain => append(text, plain),
    }
}

fn append(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => text.push_str(&float_repr(float)),
            _ => text.push_str(&number.to_string()),
        },
        Value::String(string) => append_string(text, string),
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    text.push_str(", ");
                }
                append(text, item);
            }
            text.push(']');
        }
        Value::Object(entries) => {
            text.push('{');
            for (i, (key, item)) in entries.iter().enumerate() {
                if i > 0 {
                    text.push_str(", ");
                }
                append_string(text, key);
                text.push_str(": ");
                append(text, item);
            }
            text.push('}');
        }
    }
}

fn append_string(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='~' => text.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.push('"');
}

/// A float as Python's `repr` and `json.dumps` write it: the shortest digits that read back as the same number, with
/// an exponent below 1e-4 and from 1e16 on; `NaN`, `Infinity`, `-Infinity`.
pub fn float_repr(float: f64) -> String {
    if float.is_nan() {
        return "NaN".into();
    }
    if float.is_infinite() {
        return if float > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if float != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{float:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected texts are CPython 3.11's.
    #[test]
    fn floats_as_python_writes_them() {
        let cases = [
            (8.0, "8.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (-2.5e-310, "-2.5e-310"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (float, expected) in cases {
            assert_eq!(float_repr(float), expected);
        }
    }

    #[test]
    fn structure_and_escapes_as_python_writes_them() {
        let value = serde_json::json!({
            "text": "a \"cat\" \\ \n\r\t\u{8}\u{c}\u{1}\u{7f}/ é 猫 😀",
            "b": [1, -2, 2.0, true, null, [], {}],
            "18446744073709551615": 18446744073709551615u64,
        });
        assert_eq!(
            dumps(&value),
            r#"{"text": "a \"cat\" \\ \n\r\t\b\f\u0001\u007f/ \u00e9 \u732b \ud83d\ude00", "b": [1, -2, 2.0, true, null, [], {}], "18446744073709551615": 18446744073709551615}"#
        );
    }
}
