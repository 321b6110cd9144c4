//! How values are written and read again.
//!
//! A value is written as parts: plain JSON, and [`Blob`]s for what is large. Parts have names, as files in folders have: the mask
//! of the second prompt of a CONDITIONING is `1/mask`. [`results_file`](crate::results_file) makes bytes of them.
//!
//! Reading is total: whatever bytes are given, the answer is a value or [`Malformed`], and no more memory is taken than a small
//! multiple of the bytes.

mod blob;
mod plain;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value as Json;

pub use blob::{Blob, Dtype, Element};

use crate::key::Key;

/// A part of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<'a> {
    Plain(Json),
    Blob(Blob<'a>),
}

/// The parts of a value, by name.
pub type Parts<'a> = BTreeMap<String, Part<'a>>;

/// A type that can be written and read again: `decode` makes of what `encode` wrote the same value, to the last bit.
pub trait Data: Sized {
    fn encode(&self, to: &mut Encoder<'_>);

    /// # Errors
    /// If the parts are no value of the type.
    fn decode(from: &mut Decoder<'_, '_>) -> Result<Self, Malformed>;
}

/// Why parts are no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("part '{part}' {why}")]
pub struct Malformed {
    pub part: String,
    pub why: String,
}

/// Takes the parts of one value, or of a field of it.
#[derive(Debug)]
pub struct Encoder<'e> {
    parts: &'e mut Parts<'static>,
    name: String,
    lasting: &'e Lasting,
}

/// For keys that mean something to this process alone: those that mean the same to every process.
#[derive(Clone, Debug, Default)]
pub struct Lasting {
    keys: HashMap<Key, Key>,
    blank: bool,
}

impl Lasting {
    /// Every key is written as it is.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every key is written as zeros: for digests that are compared between builds and machines, whose keys differ.
    pub fn blank() -> Self {
        Self { blank: true, ..Self::default() }
    }

    fn of(&self, key: Key) -> Key {
        if self.blank { Key::default() } else { self.keys.get(&key).copied().unwrap_or(key) }
    }

    /// The way back: what this process knows by the keys that mean the same to every process.
    pub fn reversed(&self) -> Self {
        self.keys.iter().map(|(own, lasting)| (*lasting, *own)).collect()
    }
}

impl FromIterator<(Key, Key)> for Lasting {
    fn from_iter<I: IntoIterator<Item = (Key, Key)>>(keys: I) -> Self {
        Self { keys: keys.into_iter().collect(), blank: false }
    }
}

impl<'e> Encoder<'e> {
    pub(crate) fn new(parts: &'e mut Parts<'static>, lasting: &'e Lasting) -> Self {
        Self { parts, name: String::new(), lasting }
    }

    /// The key by which every process knows what this one knows by `key`.
    pub(crate) fn lasting(&self, key: Key) -> Key {
        self.lasting.of(key)
    }

    /// Writes this value as JSON.
    pub fn plain(&mut self, json: impl Into<Json>) {
        self.parts.insert(self.name.clone(), Part::Plain(json.into()));
    }

    /// Writes this value as numbers.
    pub fn blob(&mut self, blob: Blob<'static>) {
        self.parts.insert(self.name.clone(), Part::Blob(blob));
    }

    /// Writes a field of this value. Its name has no `/`.
    pub fn field(&mut self, name: &str, value: &impl Data) {
        value.encode(&mut self.at(name));
    }

    /// What takes a field of this value.
    pub fn at(&mut self, name: &str) -> Encoder<'_> {
        Encoder { name: below(&self.name, name), parts: self.parts, lasting: self.lasting }
    }
}

/// Gives the parts of one value, or of a field of it.
#[derive(Debug)]
pub struct Decoder<'d, 'a> {
    parts: &'d mut Parts<'a>,
    name: String,
    own: &'d Lasting,
}

impl<'d, 'a> Decoder<'d, 'a> {
    pub(crate) fn new(parts: &'d mut Parts<'a>, own: &'d Lasting) -> Self {
        Self { parts, name: String::new(), own }
    }

    /// The key by which this process knows what every process knows by `key`.
    pub(crate) fn own(&self, key: Key) -> Key {
        self.own.of(key)
    }

    /// This value, written as JSON.
    pub fn plain(&mut self) -> Result<Json, Malformed> {
        match self.parts.remove(&self.name) {
            Some(Part::Plain(json)) => Ok(json),
            Some(Part::Blob(_)) => Err(self.malformed("is a blob, and JSON is wanted")),
            None => Err(self.malformed("is missing")),
        }
    }

    /// This value, written as numbers.
    pub fn blob(&mut self) -> Result<Blob<'a>, Malformed> {
        match self.parts.remove(&self.name) {
            Some(Part::Blob(blob)) => Ok(blob),
            Some(Part::Plain(_)) => Err(self.malformed("is JSON, and a blob is wanted")),
            None => Err(self.malformed("is missing")),
        }
    }

    /// A field of this value.
    pub fn field<T: Data>(&mut self, name: &str) -> Result<T, Malformed> {
        T::decode(&mut self.at(name))
    }

    /// What gives a field of this value.
    pub fn at(&mut self, name: &str) -> Decoder<'_, 'a> {
        Decoder { name: below(&self.name, name), parts: self.parts, own: self.own }
    }

    /// Whether there is any part of this value.
    pub fn is_there(&self) -> bool {
        self.parts.contains_key(&self.name) || self.fields().next().is_some()
    }

    /// Whether this value is written as numbers.
    pub fn is_blob(&self) -> bool {
        matches!(self.parts.get(&self.name), Some(Part::Blob(_)))
    }

    /// The names of this value's fields, sorted; one that has fields of its own comes once for each.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let folder = if self.name.is_empty() { String::new() } else { format!("{}/", self.name) };
        let skipped = folder.len();
        let all = self.parts.range(folder.clone()..).map(|(name, _)| name.as_str());
        let inside = all.take_while(move |name| name.starts_with(&folder)).filter(|name| !name.is_empty());
        inside.map(move |name| name[skipped..].split('/').next().unwrap_or_default())
    }

    /// An error about this value.
    pub fn malformed(&self, why: impl Into<String>) -> Malformed {
        Malformed { part: self.name.clone(), why: why.into() }
    }
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// How a wire type is written.
pub enum Codec<T> {
    /// It is data.
    Data { encode: fn(&T, &mut Encoder<'_>), decode: fn(&mut Decoder<'_, '_>) -> Result<T, Malformed> },
    /// It is never written: it says how something is made, and that is made again in each process.
    Recipe,
}

impl<T: Data> Codec<T> {
    pub const DATA: Self = Self::Data { encode: T::encode, decode: T::decode };
}
