//! The codecs of plain values, and of several values.

use serde_json::{Value as Json, json};

use super::{Data, Decoder, Encoder, Malformed};
use crate::key::{Identity, Key};

impl Data for bool {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.plain(*self);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        from.plain()?.as_bool().ok_or_else(|| from.malformed("is no truth value"))
    }
}

impl Data for String {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.plain(self.as_str());
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        match from.plain()? {
            Json::String(text) => Ok(text),
            _ => Err(from.malformed("is no text")),
        }
    }
}

/// As text: JSON has no integers beyond 64 bits.
impl Data for i128 {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.plain(self.to_string());
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let json = from.plain()?;
        json.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| from.malformed("is no integer"))
    }
}

macro_rules! integers {
    ($($ty:ty: $read:ident),*) => { $(impl Data for $ty {
        fn encode(&self, to: &mut Encoder<'_>) {
            to.plain(*self);
        }

        fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
            let json = from.plain()?;
            json.$read().and_then(|int| int.try_into().ok()).ok_or_else(|| from.malformed(concat!("is no ", stringify!($ty))))
        }
    })* };
}
integers!(i64: as_i64, u64: as_u64, usize: as_u64);

/// A finite number as JSON, exactly. NaN and the infinities, which JSON lacks, as the 16 hexadecimal digits of their
/// bits.
impl Data for f64 {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.plain(if self.is_finite() { json!(self) } else { json!(format!("{:016x}", self.to_bits())) });
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let json = from.plain()?;
        let bits = || json.as_str().and_then(|text| u64::from_str_radix(text, 16).ok()).map(f64::from_bits);
        json.as_f64().or_else(bits).ok_or_else(|| from.malformed("is no number"))
    }
}

impl Data for Json {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.plain(self.clone());
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        from.plain()
    }
}

/// `None` writes nothing. A `T` that writes nothing is therefore read back as `None`.
impl<T: Data> Data for Option<T> {
    fn encode(&self, to: &mut Encoder<'_>) {
        if let Some(value) = self {
            value.encode(to);
        }
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        if from.is_there() { T::decode(from).map(Some) } else { Ok(None) }
    }
}

/// The number of values, and each value as a field `0`, `1`, ... Each must write at least one part.
impl<T: Data> Data for Vec<T> {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.plain(self.len());
        for (place, value) in self.iter().enumerate() {
            to.field(&place.to_string(), value);
        }
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let count = usize::decode(from)?;
        let mut values = Vec::new();
        for place in 0..count {
            let mut at = from.at(&place.to_string());
            // A false count ends here, before memory is taken for it.
            if !at.is_there() {
                return Err(at.malformed("is missing"));
            }
            values.push(T::decode(&mut at)?);
        }
        Ok(values)
    }
}

impl Data for Key {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.plain(blake3::Hash::from(*self.as_bytes()).to_hex().as_str());
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let hash = blake3::Hash::from_hex(String::decode(from)?);
        hash.map(|hash| Self::from_bytes(*hash.as_bytes())).map_err(|_| from.malformed("is no key"))
    }
}

impl Data for Identity {
    fn encode(&self, to: &mut Encoder<'_>) {
        to.field("key", &to.lasting(self.0));
        to.field("call", &self.1);
    }

    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed> {
        let key = from.field("key")?;
        Ok(Self(from.own(key), from.field("call")?))
    }
}
