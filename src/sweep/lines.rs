//! One cell of a `--jsonl` file: a JSON object of values by address.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value as Json};

/// Reads a line.
///
/// # Errors
/// If it is no object, is empty, or names an address twice; in words that continue `line 3`.
pub(super) fn read(line: &str) -> Result<Map<String, Json>, String> {
    match serde_json::from_str(line) {
        Ok(Distinct(values)) if !values.is_empty() => Ok(values),
        Err(error) if !error.is_data() => Err(format!("is no JSON: {error}")),
        Err(error) if line.trim_start().starts_with('{') => Err(format!("{error}; give each once")),
        _ => Err("is no object; write {\"NODE.INPUT\": VALUE}".to_owned()),
    }
}

/// An object whose keys are all different.
struct Distinct(Map<String, Json>);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Keys).map(Self)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Map<String, Json>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if values.contains_key(&key) {
                return Err(A::Error::custom(format!("names '{key}' twice")));
            }
            let value = map.next_value()?;
            values.insert(key, value);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_line_is_an_object_that_names_each_address_once() {
        let values = read(" {\"6.text\": \"a\", \"3.seed\": 18446744073709551615}").unwrap();
        assert_eq!(values["3.seed"], u64::MAX);
        let why = |line: &str| read(line).unwrap_err();
        assert!(why("{\"3.seed\": 1, \"3.seed\": 2}").starts_with("names '3.seed' twice"));
        assert!(why("[]").starts_with("is no object") && why("{}").starts_with("is no object"));
        assert!(why("{\"3.seed\": ").starts_with("is no JSON: "));
    }
}
