//! A reader for the part of Python's pickle format that tensor files use. It executes nothing.
//!
//! Values are data in an arena, so that neither cycles nor depth matter. A callable is known by name and rebuilt here
//! (tensors, ordered dictionaries), kept as an opaque mark (a few harmless ones that training tools leave), or refused.
//! Opcodes after CPython's `pickletools`; the callables are those that `torch.load(weights_only=True)` meets in files.

mod machine;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use tch::Kind;

use machine::Machine;

/// More opcodes than any checkpoint's index needs (about 30 per tensor).
const MAX_OPCODES: usize = 4_000_000;

/// A value of a pickle. Containers are numbers into [`Pickle`]'s arena.
#[derive(Clone, Debug)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits, as little-endian two's complement.
    Long(Rc<[u8]>),
    Float(f64),
    Str(Rc<str>),
    Bytes(Rc<[u8]>),
    List(ContainerId),
    Tuple(ContainerId),
    Dict(ContainerId),
    Storage(Rc<StorageRef>),
    Tensor(Rc<TensorRef>),
    Global(Global),
    /// An object that is known to be harmless and of no use here.
    Opaque,
}

impl Value {
    /// The type, in words.
    pub fn what(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Long(_) | Self::Float(_) => "a number",
            Self::Str(_) => "a text",
            Self::Bytes(_) => "a byte string",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dictionary",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Global(_) => "a name",
            Self::Opaque => "an unused object",
        }
    }
}

/// The number of a container in its pickle.
#[derive(Clone, Copy, Debug)]
pub struct ContainerId(usize);

/// What a file says about a storage: the flat memory behind tensors.
#[derive(Debug, PartialEq)]
pub struct StorageRef {
    pub kind: Kind,
    pub key: String,
    /// Number of elements.
    pub len: usize,
}

/// A view into a storage, checked to lie within it.
#[derive(Debug)]
pub struct TensorRef {
    pub storage: Rc<StorageRef>,
    pub offset: i64,
    pub size: Vec<i64>,
    pub stride: Vec<i64>,
}

/// The names that a pickle may refer to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    Storage(Kind),
    /// Calling it, or giving it a state, yields [`Value::Opaque`].
    Harmless,
}

impl Global {
    fn named(module: &str, name: &str) -> Result<Self> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch" | "torch.storage", storage) if storage.ends_with("Storage") => {
                Self::Storage(storage_kind(storage)?)
            }
            ("torch", "device" | "float32" | "float16" | "bfloat16" | "float64" | "int64" | "int32" | "bool")
            | ("_codecs", "encode")
            | ("builtins" | "__builtin__", "set")
            | ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
            | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar")
            | ("numpy", "dtype") => Self::Harmless,
            _ => bail!(
                "the file refers to `{module}.{name}`, which is not among the names a tensor file needs; refused unexecuted: convert the file to .safetensors"
            ),
        })
    }
}

fn storage_kind(name: &str) -> Result<Kind> {
    Ok(match name {
        "FloatStorage" => Kind::Float,
        "HalfStorage" => Kind::Half,
        "BFloat16Storage" => Kind::BFloat16,
        "DoubleStorage" => Kind::Double,
        "LongStorage" => Kind::Int64,
        "IntStorage" => Kind::Int,
        "ShortStorage" => Kind::Int16,
        "CharStorage" => Kind::Int8,
        "ByteStorage" | "UntypedStorage" => Kind::Uint8,
        "BoolStorage" => Kind::Bool,
        _ => {
            bail!("the file holds a `torch.{name}`, a kind of number that is not supported: convert it to .safetensors")
        }
    })
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Str(Rc<str>),
    Int(i64),
    /// A key of another type: kept apart from all others.
    Other(usize),
}

#[derive(Debug)]
enum Container {
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(IndexMap<Key, Value>),
}

/// A pickle that has been read.
#[derive(Debug)]
pub struct Pickle {
    containers: Vec<Container>,
    storages: Vec<Rc<StorageRef>>,
    root: Value,
}

impl Pickle {
    /// Reads one pickle off the start of `bytes`; also gives its length.
    ///
    /// # Errors
    /// The bytes end early, hold an unknown opcode, refer to a name outside the list, or describe a tensor that
    /// reaches outside its storage.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut machine = Machine::new(bytes);
        for _ in 0..MAX_OPCODES {
            let at = machine.at();
            if let Some(root) = machine.step().with_context(|| format!("unreadable pickle at byte {at}"))? {
                let length = machine.at();
                return Ok((machine.finish(root), length));
            }
        }
        bail!("the pickle has more than {MAX_OPCODES} opcodes: it is no tensor file")
    }

    pub fn root(&self) -> &Value {
        &self.root
    }

    /// Every mention of a storage, in the order of the file.
    pub fn storages(&self) -> impl Iterator<Item = &StorageRef> {
        self.storages.iter().map(|storage| &**storage)
    }

    /// Elements of a list or tuple.
    pub fn items(&self, value: &Value) -> Option<&[Value]> {
        match value {
            Value::List(id) | Value::Tuple(id) => match &self.containers[id.0] {
                Container::List(items) | Container::Tuple(items) => Some(items),
                Container::Dict(_) => None,
            },
            _ => None,
        }
    }

    /// Entries of a dictionary that have text as key, in the order of the file.
    pub fn entries(&self, value: &Value) -> Option<impl Iterator<Item = (&str, &Value)>> {
        let Value::Dict(id) = value else { return None };
        let Container::Dict(entries) = &self.containers[id.0] else { return None };
        Some(entries.iter().filter_map(|(key, value)| match key {
            Key::Str(key) => Some((&**key, value)),
            _ => None,
        }))
    }

    /// Entries of a dictionary that have a whole number as key, in the order of the file.
    pub fn numbered(&self, value: &Value) -> Option<impl Iterator<Item = (i64, &Value)>> {
        let Value::Dict(id) = value else { return None };
        let Container::Dict(entries) = &self.containers[id.0] else { return None };
        Some(entries.iter().filter_map(|(key, value)| match key {
            Key::Int(key) => Some((*key, value)),
            _ => None,
        }))
    }
}

impl TensorRef {
    /// Checks that every element lies in the storage, and that a view does not blow a small storage up.
    fn checked(storage: Rc<StorageRef>, offset: i64, size: Vec<i64>, stride: Vec<i64>) -> Result<Self> {
        /// Expanded views up to this size are let pass.
        const MAX_EXPANDED: usize = 1 << 20;
        let view = || {
            let negative = offset < 0 || size.len() != stride.len() || size.iter().chain(&stride).any(|n| *n < 0);
            let count = size.iter().try_fold(1_i64, |count, n| count.checked_mul(*n)).filter(|_| !negative)?;
            let last = size
                .iter()
                .zip(&stride)
                .try_fold(offset, |last, (n, step)| last.checked_add((n - 1).max(0).checked_mul(*step)?))?;
            Some((usize::try_from(count).ok()?, usize::try_from(last).ok()?))
        };
        match view() {
            Some((0, _)) => Ok(Self { storage, offset: 0, size, stride }),
            Some((count, last)) if last < storage.len && count <= storage.len.max(MAX_EXPANDED) => {
                Ok(Self { storage, offset, size, stride })
            }
            _ => bail!(
                "a tensor of size {size:?}, stride {stride:?}, offset {offset} does not fit its storage of {} elements: the file is damaged",
                storage.len
            ),
        }
    }
}
