//! The outputs of a node as one file: a safetensors file whose tensors are the blobs, with the plain parts in its metadata.

use std::collections::HashMap;

use safetensors::SafeTensors;
use serde_json::{Map, Value as Json, json};

use crate::codec::{Blob, Codec, Data, Decoder, Encoder, Lasting, Malformed, Part, Parts};
use crate::io::{CONSTANT, Socket, Value, Wire};
use crate::table::Row;

/// The metadata's key under which the plain parts stand.
const PLAIN: &str = "redraft";
/// The version of the format.
const FORMAT: u64 = 1;

/// How values of a wire type are read.
pub struct WireType {
    /// The type's name on the wire.
    pub name: &'static str,
    decode: fn(&mut Decoder<'_, '_>) -> Result<Value, Malformed>,
}

crate::open_table!(
    /// Tables of the wire types that can be read; a crate that declares some adds one.
    pub WIRE_TABLES: WireType = WIRES, "wire type"
);

const WIRES: &[WireType] = &[
    WireType { name: "INT", decode: |from| Ok(Value::new("INT", i128::decode(from)?)) },
    WireType { name: "FLOAT", decode: |from| Ok(Value::new("FLOAT", f64::decode(from)?)) },
    WireType { name: "BOOLEAN", decode: |from| Ok(Value::new("BOOLEAN", bool::decode(from)?)) },
    WireType { name: "STRING", decode: |from| Ok(Value::new("STRING", String::decode(from)?)) },
    WireType { name: CONSTANT, decode: |from| Ok(Value::new(CONSTANT, Json::decode(from)?)) },
    WireType { name: "NONE", decode: |from| from.plain().map(|_| Value::nothing()) },
];

impl WireType {
    pub const fn of<T: Wire>() -> Self {
        let decode = |from: &mut Decoder<'_, '_>| match T::CODEC {
            Codec::Data { decode, .. } => decode(from).map(Value::wire),
            Codec::Recipe => Err(from.malformed(format!("is of type {}, which is never written", T::TYPE))),
        };
        Self { name: T::TYPE, decode }
    }
}

/// A value with the name of its type, which tells how it is read. Only a value that [is data](Value::is_data) is written.
impl Data for Value {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.at("type").plain(self.type_name());
        let mut at = to.at("value");
        if self.is_nothing() {
            at.plain(Json::Null);
        } else if let Some(int) = self.downcast::<i128>() {
            int.encode(&mut at);
        } else if let Some(float) = self.downcast::<f64>() {
            float.encode(&mut at);
        } else if let Some(flag) = self.downcast::<bool>() {
            flag.encode(&mut at);
        } else if let Some(text) = self.downcast::<String>() {
            text.encode(&mut at);
        } else if let Some(constant) = self.downcast::<Json>() {
            constant.encode(&mut at);
        } else {
            self.encode_wire(&mut at);
        }
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let name: String = from.field("type")?;
        let wire =
            WireType::find(&name).ok_or_else(|| from.malformed(format!("is of type {name}, which is not known")))?;
        (wire.decode)(&mut from.at("value"))
    }
}

/// The parts of a value; nothing if it is no data.
pub fn parts(value: &Value) -> Option<Parts<'static>> {
    let mut parts = Parts::new();
    value.is_data().then(|| Value::encode(value, &mut Encoder::new(&mut parts, &Lasting::new())))?;
    Some(parts)
}

/// The outputs of a node as bytes; nothing if a value among them is no data. Keys in them are written as `lasting` says.
pub fn to_bytes(outputs: &[Socket], lasting: &Lasting) -> Option<Vec<u8>> {
    if !outputs.iter().flat_map(|socket| socket.iter()).all(Value::is_data) {
        return None;
    }
    let mut parts = Parts::new();
    let lists: Vec<Vec<Value>> = outputs.iter().map(|socket| socket.to_vec()).collect();
    lists.encode(&mut Encoder::new(&mut parts, lasting).at("outputs"));
    let plain = parts.iter().filter_map(|(name, part)| match part {
        Part::Plain(json) => Some((name.clone(), json.clone())),
        Part::Blob(_) => None,
    });
    let plain = json!({ "format": FORMAT, "parts": plain.collect::<Map<_, _>>() });
    let blobs = parts.iter().filter_map(|(name, part)| match part {
        Part::Plain(_) => None,
        Part::Blob(blob) => Some((name.as_str(), blob)),
    });
    let metadata = HashMap::from([(PLAIN.to_owned(), plain.to_string())]);
    // It fails only for a header beyond a hundred megabytes: such a value is not worth keeping.
    safetensors::serialize(blobs, Some(metadata)).ok()
}

/// The outputs that [`to_bytes`] wrote, with the keys that it wrote.
///
/// # Errors
/// If the bytes are something else.
pub fn from_bytes(bytes: &[u8]) -> Result<Vec<Socket>, Malformed> {
    from_bytes_of(bytes, &Lasting::new())
}

/// The outputs that [`to_bytes`] wrote. Keys in them become those of this process as `own` says.
///
/// # Errors
/// If the bytes are something else.
pub fn from_bytes_of(bytes: &[u8], own: &Lasting) -> Result<Vec<Socket>, Malformed> {
    let malformed = |why: String| Malformed { part: String::new(), why };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| malformed(format!("is no file: {error}")))?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get(PLAIN));
    let text = text.ok_or_else(|| malformed("is a file of another program".to_owned()))?;
    let mut plain: Json = serde_json::from_str(text).map_err(|error| malformed(format!("is no JSON: {error}")))?;
    if plain["format"] != FORMAT {
        return Err(malformed(format!("has the format {}, and {FORMAT} is read here", plain["format"])));
    }
    let mut parts = Parts::new();
    if let Json::Object(all) = plain["parts"].take() {
        parts.extend(all.into_iter().map(|(name, json)| (name, Part::Plain(json))));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|error| malformed(format!("is no file: {error}")))?;
    for (name, view) in file.iter() {
        let blob = Blob::new(view.dtype(), view.shape().to_vec(), view.data());
        let blob =
            blob.ok_or_else(|| Malformed { part: name.to_owned(), why: "has another size than its shape".into() })?;
        parts.insert(name.to_owned(), Part::Blob(blob));
    }
    let lists = Vec::<Vec<Value>>::decode(&mut Decoder::new(&mut parts, own).at("outputs"))?;
    if let Some((name, _)) = parts.first_key_value() {
        return Err(Malformed { part: name.clone(), why: "belongs to nothing".into() });
    }
    Ok(lists.into_iter().map(Socket::from).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::key::{Identity, Key};

    /// Another process knows a call by a key that lasts; what it wrote is known here by the key of this process.
    #[test]
    fn keys_of_a_process_become_those_of_all_and_back() {
        let (here, everywhere) = (Key::from_bytes([1; 32]), Key::from_bytes([2; 32]));
        let lasting: Lasting = [(here, everywhere)].into_iter().collect();
        let written = |lasting: &Lasting| {
            let mut parts = Parts::new();
            Identity(here, 3).encode(&mut Encoder::new(&mut parts, lasting));
            parts
        };
        let mut parts = written(&lasting);
        let read = |parts: &mut Parts<'static>, own: &Lasting| Identity::decode(&mut Decoder::new(parts, own)).unwrap();
        assert_eq!(read(&mut parts.clone(), &Lasting::new()), Identity(everywhere, 3));
        assert_eq!(read(&mut parts, &lasting.reversed()), Identity(here, 3));
        assert_eq!(read(&mut written(&Lasting::blank()), &Lasting::new()), Identity(Key::default(), 3));
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            ".{0,9}".prop_map(Json::from)
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::vec((".{0,4}", inner), 0..4).prop_map(|all| Json::Object(all.into_iter().collect()))
            ]
        })
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i128>().prop_map(|int| Value::new("INT", int)),
            any::<u64>().prop_map(|bits| Value::new("FLOAT", f64::from_bits(bits))),
            any::<bool>().prop_map(|flag| Value::new("BOOLEAN", flag)),
            ".{0,99}".prop_map(|text| Value::new("STRING", text)),
            json().prop_map(|json| Value::new(CONSTANT, json)),
            Just(Value::nothing())
        ]
    }

    fn outputs() -> impl Strategy<Value = Vec<Socket>> {
        prop::collection::vec(prop::collection::vec(value(), 0..4).prop_map(Socket::from), 0..4)
    }

    /// Each value's type and parts; parts are equal where values are, to the last bit.
    fn all_parts(outputs: &[Socket]) -> Vec<Vec<Option<Parts<'static>>>> {
        outputs.iter().map(|socket| socket.iter().map(parts).collect()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn plain_values_are_read_as_they_were_written(outputs in outputs()) {
            let bytes = to_bytes(&outputs, &Lasting::new()).unwrap();
            prop_assert_eq!(all_parts(&from_bytes(&bytes).unwrap()), all_parts(&outputs));
            prop_assert_eq!(to_bytes(&from_bytes(&bytes).unwrap(), &Lasting::new()).unwrap(), bytes);
        }

        #[test]
        fn damaged_bytes_are_an_error_or_other_values(
            outputs in outputs(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = to_bytes(&outputs, &Lasting::new()).unwrap();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            // Whatever is read can be written.
            if let Ok(read) = from_bytes(&bytes) {
                prop_assert!(to_bytes(&read, &Lasting::new()).is_some());
            }
        }

        #[test]
        fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(from_bytes(&bytes).is_err());
        }
    }

    /// A file with these plain parts.
    fn file(parts: Json) -> Vec<u8> {
        let plain = json!({ "format": FORMAT, "parts": parts }).to_string();
        safetensors::serialize(Vec::<(String, &Blob<'_>)>::new(), Some(HashMap::from([(PLAIN.to_owned(), plain)])))
            .unwrap()
    }

    #[test]
    fn what_a_hostile_file_claims_is_not_believed() {
        let error = |parts: Json| from_bytes(&file(parts)).unwrap_err().to_string();
        assert_eq!(error(json!({"outputs": u64::MAX})), "part 'outputs/0' is missing");
        assert_eq!(error(json!({"outputs": 1, "outputs/0": 1u64 << 62})), "part 'outputs/0/0' is missing");
        assert_eq!(error(json!({"outputs": -1})), "part 'outputs' is no usize");
        assert_eq!(error(json!({"outputs": 0, "more": 1})), "part 'more' belongs to nothing");
        let of = |ty: &str, value: Json| {
            error(json!({"outputs": 1, "outputs/0": 1, "outputs/0/0/type": ty, "outputs/0/0/value": value}))
        };
        assert_eq!(of("NOSUCH", json!(1)), "part 'outputs/0/0' is of type NOSUCH, which is not known");
        assert_eq!(of("INT", json!(1)), "part 'outputs/0/0/value' is no integer");
        assert_eq!(of("FLOAT", json!([])), "part 'outputs/0/0/value' is no number");
        let plain = json!({ "format": FORMAT + 1, "parts": {} }).to_string();
        let newer =
            safetensors::serialize(Vec::<(String, &Blob<'_>)>::new(), Some(HashMap::from([(PLAIN.to_owned(), plain)])));
        assert_eq!(
            from_bytes(&newer.unwrap()).unwrap_err().to_string(),
            "part '' has the format 2, and 1 is read here"
        );
    }

    #[test]
    fn a_value_that_is_no_data_is_not_written() {
        assert!(to_bytes(&[[Value::new("LINK", 5u8)].into()], &Lasting::new()).is_none());
    }
}
