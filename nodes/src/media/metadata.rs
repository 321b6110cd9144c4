//! Texts for a file's metadata, in ffmpeg's own format: arguments of a command may not be as long.

use std::fmt::Write;

use serde_json::Value as Json;

use crate::python::json::dumps;

/// The text of an ffmetadata file: values as Python's JSON.
pub(super) fn ffmetadata(metadata: &[(String, Json)]) -> String {
    let mut text = ";FFMETADATA1\n".to_owned();
    for (key, value) in metadata {
        let _ = writeln!(text, "{}={}", escaped(key), escaped(&dumps(value)));
    }
    text
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '=' | ';' | '#' | '\\' | '\n') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_means_something_to_ffmpeg_is_escaped() {
        let text = ffmetadata(&[("a=b".to_owned(), json!({"x": "1;#\\"}))]);
        assert_eq!(text, ";FFMETADATA1\na\\=b={\"x\": \"1\\;\\#\\\\\\\\\"}\n");
    }
}
