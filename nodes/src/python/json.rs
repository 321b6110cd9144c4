//! JSON text to the letter as Python's `json.dumps` writes it, which is how metadata stands in pictures.

use std::io::{Result, Write};

use redraft_engine::python::repr_float;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// `value` as Python's `json.dumps(value)`: `", "` and `": "` between items, everything beyond ASCII as `\uXXXX`
/// (surrogate pairs above U+FFFF), floats as Python's `repr`, keys in their order.
pub fn dumps(value: &Value) -> String {
    written(value, None, true)
}

/// `value` as Python's `json.dumps(value, indent=indent)`: each item on a line of its own.
pub fn dumps_indented(value: &Value, indent: usize) -> String {
    written(value, Some(indent), true)
}

/// `value` as Python's `json.dumps(value, indent=indent, ensure_ascii=False)`: what is beyond ASCII stays as it is.
pub fn dumps_readable(value: &Value, indent: usize) -> String {
    written(value, Some(indent), false)
}

fn written(value: &Value, indent: Option<usize>, ascii: bool) -> String {
    let mut text = Vec::new();
    let format = PythonFormat { indent, ascii, depth: 0, holds_items: false };
    // Only a writer that refuses bytes, or a key that is no text, would be an error.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut text, format));
    String::from_utf8(text).unwrap_or_default()
}

struct PythonFormat {
    /// Spaces a level, where each item has a line of its own.
    indent: Option<usize>,
    /// Whether what is beyond ASCII is escaped.
    ascii: bool,
    depth: usize,
    /// Whether an item stands in the array or object that is being written.
    holds_items: bool,
}

impl PythonFormat {
    fn open(&mut self, out: &mut (impl Write + ?Sized), bracket: &[u8]) -> Result<()> {
        self.depth += 1;
        self.holds_items = false;
        out.write_all(bracket)
    }

    fn item(&mut self, out: &mut (impl Write + ?Sized), first: bool) -> Result<()> {
        self.holds_items = true;
        match self.indent {
            None => out.write_all(if first { b"" } else { b", " }),
            Some(_) => out.write_all(if first { b"" } else { b"," }).and_then(|()| self.line(out)),
        }
    }

    fn close(&mut self, out: &mut (impl Write + ?Sized), bracket: &[u8]) -> Result<()> {
        self.depth -= 1;
        if std::mem::replace(&mut self.holds_items, true) {
            self.line(out)?;
        }
        out.write_all(bracket)
    }

    /// A new line, indented.
    fn line(&self, out: &mut (impl Write + ?Sized)) -> Result<()> {
        self.indent.map_or(Ok(()), |indent| write!(out, "\n{:1$}", "", indent * self.depth))
    }
}

impl Formatter for PythonFormat {
    fn begin_array<W: Write + ?Sized>(&mut self, out: &mut W) -> Result<()> {
        self.open(out, b"[")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> Result<()> {
        self.item(out, first)
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> Result<()> {
        self.close(out, b"]")
    }

    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> Result<()> {
        self.open(out, b"{")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> Result<()> {
        self.item(out, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> Result<()> {
        out.write_all(b": ")
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> Result<()> {
        self.close(out, b"}")
    }

    fn write_f64<W: Write + ?Sized>(&mut self, out: &mut W, value: f64) -> Result<()> {
        out.write_all(repr_float(value).as_bytes())
    }

    /// Quotes, backslashes and control characters come already escaped; the rest of what is no plain ASCII is escaped here.
    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> Result<()> {
        if !self.ascii {
            return out.write_all(fragment.as_bytes());
        }
        fragment.encode_utf16().try_for_each(|unit| match u8::try_from(unit) {
            Ok(byte @ b' '..=b'~') => out.write_all(&[byte]),
            _ => write!(out, "\\u{unit:04x}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Text from CPython 3.11.
    #[test]
    fn readable_json_keeps_its_characters() {
        let value = serde_json::json!({"é": ["猫", "\u{1}\u{7f}\""], "b": {}});
        let wanted = "{\n  \"é\": [\n    \"猫\",\n    \"\\u0001\u{7f}\\\"\"\n  ],\n  \"b\": {}\n}";
        assert_eq!(dumps_readable(&value, 2), wanted);
    }

    /// Text from CPython 3.11.
    #[test]
    fn lines_as_python_indents_them() {
        let value = serde_json::json!({"a": [1, {}, [], [2.5, "é"]], "b": {"c": null}, "d": {}});
        let lines = [
            r#"{"#,
            r#"  "a": ["#,
            r#"    1,"#,
            r#"    {},"#,
            r#"    [],"#,
            r#"    ["#,
            r#"      2.5,"#,
            r#"      "\u00e9""#,
            r#"    ]"#,
            r#"  ],"#,
            r#"  "b": {"#,
            r#"    "c": null"#,
            r#"  },"#,
            r#"  "d": {}"#,
            r#"}"#,
        ];
        assert_eq!(dumps_indented(&value, 2), lines.join("\n"));
        assert_eq!(dumps_indented(&serde_json::json!([]), 2), "[]");
    }
}
