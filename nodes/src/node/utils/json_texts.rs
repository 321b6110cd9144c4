use redraft_engine::Node;
use redraft_engine::constant::text;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use serde_json::Value as Json;

/// Gives the value under a key of a JSON object as text, as Python writes it. Of other texts, and where there is no such key, nothing.
#[derive(Node)]
#[node(class = "JsonExtractString", category = "text", display = "Extract Text from JSON")]
struct JsonExtract {
    #[input(multiline)]
    json_string: String,
    key: String,
}

impl Run for JsonExtract {
    type Out = String;

    fn run(self, _: &mut Cx) -> anyhow::Result<String> {
        let json: Json = serde_json::from_str(&self.json_string).unwrap_or_default();
        Ok(json.get(&self.key).filter(|value| !value.is_null()).map(text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Figures from Python 3.11.
    #[test]
    fn values_are_texts_as_python_writes_them() {
        let json_string = r#"{"a": "x", "b": [1, 2.0, true, null, "é'"], "c": null, "d": {"e": false}, "f": 1e22}"#;
        for (key, wanted) in [
            ("a", "x"),
            ("b", "[1, 2.0, True, None, \"é'\"]"),
            ("c", ""),
            ("d", "{'e': False}"),
            ("f", "1e+22"),
            ("g", ""),
        ] {
            let node = JsonExtract { json_string: json_string.to_owned(), key: key.to_owned() };
            assert_eq!(Cx::for_test().run(node).unwrap(), wanted, "{key}");
        }
        for no_object in ["", "[1]", "{", "\"a\""] {
            let node = JsonExtract { json_string: no_object.to_owned(), key: "a".to_owned() };
            assert_eq!(Cx::for_test().run(node).unwrap(), "", "{no_object}");
        }
    }
}
