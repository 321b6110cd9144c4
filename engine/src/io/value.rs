//! A value on a wire, and the types that travel there.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use serde_json::Value as Json;

use crate::codec::{Codec, Encoder};

/// A value on a wire. Cloning it shares it; nobody changes a value that has left its node.
#[derive(Clone)]
pub struct Value {
    ty: &'static str,
    inner: Rc<dyn Any>,
    of_type: &'static OfType,
}

/// What can be done with values of a type.
struct OfType {
    bytes: fn(&dyn Any) -> usize,
    describe: fn(&dyn Any) -> String,
    is_data: fn(&dyn Any) -> bool,
    /// Nothing for a type that is never written.
    encode: Option<fn(&dyn Any, &mut Encoder<'_>)>,
}

/// What one output socket carries: a list of values, usually of one.
pub type Socket = Rc<[Value]>;

/// What stands where there is no value.
struct Nothing;

struct Of<T>(PhantomData<T>);

impl<T: Wire> Of<T> {
    const TABLE: OfType = OfType {
        bytes: |any| any.downcast_ref().map_or(0, T::bytes),
        describe: |any| any.downcast_ref().map(T::describe).unwrap_or_default(),
        is_data: |any| any.downcast_ref().is_some_and(T::is_data),
        encode: match T::CODEC {
            Codec::Data { .. } => Some(|any, to| {
                if let (Codec::Data { encode, .. }, Some(value)) = (T::CODEC, any.downcast_ref()) {
                    encode(value, to);
                }
            }),
            Codec::Recipe => None,
        },
    };
}

static PLAIN: OfType = OfType { bytes: |_| 0, describe: |_| String::new(), is_data: |_| false, encode: None };

impl Value {
    /// A plain value: `i128` under `INT`, `f64`, `bool`, `String`, JSON.
    pub fn new<T: Any>(ty: &'static str, value: T) -> Self {
        Self { ty, inner: Rc::new(value), of_type: &PLAIN }
    }

    pub fn wire<T: Wire>(value: T) -> Self {
        Self { ty: T::TYPE, inner: Rc::new(value), of_type: &Of::<T>::TABLE }
    }

    /// Python's `None`: the value of an input whose source has no such output.
    pub fn nothing() -> Self {
        Self::new("NONE", Nothing)
    }

    pub fn is_nothing(&self) -> bool {
        self.downcast::<Nothing>().is_some()
    }

    /// The wire type's name, `LATENT`.
    pub fn type_name(&self) -> &'static str {
        self.ty
    }

    pub fn downcast<T: Any>(&self) -> Option<&T> {
        self.inner.downcast_ref()
    }

    /// About how much memory it holds, in bytes. What it shares with others counts in each.
    pub fn bytes(&self) -> usize {
        (self.of_type.bytes)(&*self.inner)
    }

    /// Whether it can be written: it is plain, or of a wire type that is data and has nothing in it that is made again.
    pub fn is_data(&self) -> bool {
        let number = self.downcast::<i128>().is_some() || self.downcast::<f64>().is_some();
        let plain = number || self.downcast::<bool>().is_some() || self.downcast::<String>().is_some();
        (self.of_type.is_data)(&*self.inner) || plain || self.is_nothing() || self.downcast::<Json>().is_some()
    }

    /// Writes a value of a wire type that is data; of any other, nothing.
    pub(crate) fn encode_wire(&self, to: &mut Encoder<'_>) {
        if let Some(encode) = self.of_type.encode {
            encode(&*self.inner, to);
        }
    }

    /// The value as error reports show it: numbers, flags and texts as they are, anything else as a short description.
    pub fn shown(&self) -> Json {
        if self.is_nothing() {
            return Json::Null;
        }
        let integer = self.downcast::<i128>().map(|&int| crate::schema::integer(int));
        let float = || self.downcast::<f64>().map(|float| Json::from(*float));
        let flag = || self.downcast::<bool>().map(|flag| Json::from(*flag));
        let text = || self.downcast::<String>().map(|text| Json::from(text.as_str()));
        let plain = integer.or_else(float).or_else(flag).or_else(text).or_else(|| self.downcast::<Json>().cloned());
        plain.unwrap_or_else(|| match (self.of_type.describe)(&*self.inner) {
            words if words.is_empty() => Json::from(self.ty),
            words => Json::from(words),
        })
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ty)
    }
}

/// A type that travels between nodes under a name of ComfyUI's. Cloning must be cheap: share, do not copy.
pub trait Wire: Any + Clone {
    const TYPE: &'static str;

    /// How it is written to be kept: `Codec::DATA`, or `Codec::Recipe` if it never is.
    const CODEC: Codec<Self>;

    /// About how much memory it holds, in bytes, for caches that must make room.
    fn bytes(&self) -> usize {
        0
    }

    /// About how much memory a clone takes, in bytes: what it does not share.
    fn clone_bytes(&self) -> usize {
        0
    }

    /// Whether it can be written. A value of a type that is data may hold something that is made again in each process.
    fn is_data(&self) -> bool {
        matches!(Self::CODEC, Codec::Data { .. })
    }

    /// What error reports say of it, such as `IMAGE 1 x 512 x 512 x 3`.
    fn describe(&self) -> String {
        Self::TYPE.to_owned()
    }
}

/// The type name of a constant that was given to a socket, which takes none.
pub const CONSTANT: &str = "CONSTANT";
