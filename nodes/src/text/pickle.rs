//! A reader for the part of Python's pickle format that tensor files use. It executes nothing.
//!
//! Values are data in an arena, so that neither cycles nor depth matter. A callable is known by name and rebuilt here
//! (tensors, ordered dictionaries), kept as an opaque mark (a few harmless ones that training tools leave), or refused.
//! Opcodes after CPython's `pickletools`; the callables are those that `torch.load(weights_only=True)` meets in files.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use indexmap::IndexMap;
use tch::Kind;

/// More opcodes than any checkpoint's index needs (about 30 per tensor).
const MAX_OPCODES: usize = 4_000_000;
const MAX_DIMENSIONS: usize = 16;

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
        let mut machine = Machine { bytes, copies_left: bytes.len(), ..Machine::default() };
        for _ in 0..MAX_OPCODES {
            let at = machine.at;
            if let Some(root) = machine.step().with_context(|| format!("unreadable pickle at byte {at}"))? {
                let Machine { containers, storages, at, .. } = machine;
                return Ok((Self { containers, storages, root }, at));
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
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What calls may still copy: a file must not make more of itself than it holds.
    copies_left: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<usize, Value>,
    containers: Vec<Container>,
    storages: Vec<Rc<StorageRef>>,
}

impl<'a> Machine<'a> {
    /// Runs one opcode; gives the root at the end of the pickle.
    fn step(&mut self) -> Result<Option<Value>> {
        let opcode = self.take(1)?[0];
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack.push(self.top()?.clone()),
            b'N' | 0x88 | 0x89 | b'J' | b'K' | b'M' | b'G' | 0x8a | 0x8b => {
                let value = self.number(opcode)?;
                self.stack.push(value);
            }
            b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | b'T' | b'U' => {
                let value = self.text(opcode)?;
                self.stack.push(value);
            }
            b'q' | b'r' | 0x94 => {
                let slot =
                    if opcode == 0x94 { self.memo.len() } else { self.length(if opcode == b'q' { 1 } else { 4 })? };
                self.memo.insert(slot, self.top()?.clone());
            }
            b'h' | b'j' => {
                let slot = self.length(if opcode == b'h' { 1 } else { 4 })?;
                let value = self.memo.get(&slot).with_context(|| format!("memo {slot} was never filled"))?.clone();
                self.stack.push(value);
            }
            b'c' | 0x93 | b'R' | 0x81 | b'b' | b'Q' => self.object(opcode)?,
            _ => self.container(opcode)?,
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        ensure!(count <= rest.len(), "the pickle ends early");
        self.at += count;
        Ok(&rest[..count])
    }

    /// An unsigned little-endian number of 1 to 8 bytes.
    fn length(&mut self, width: usize) -> Result<usize> {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(self.take(width)?);
        usize::try_from(u64::from_le_bytes(bytes)).context("a length beyond memory")
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').context("the pickle ends early")?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).context("a name is not UTF-8")
    }

    fn top(&self) -> Result<&Value> {
        ensure!(self.stack.len() > self.marks.last().copied().unwrap_or(0), "nothing on the stack");
        self.stack.last().context("nothing on the stack")
    }

    fn pop(&mut self) -> Result<Value> {
        self.top()?;
        self.stack.pop().context("nothing on the stack")
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().context("no mark on the stack")?;
        Ok(self.stack.split_off(mark))
    }

    fn number(&mut self, opcode: u8) -> Result<Value> {
        Ok(match opcode {
            b'J' => Value::Int(i64::from(i32::from_le_bytes(self.take(4)?.try_into()?))),
            b'K' => Value::Int(i64::from(self.take(1)?[0])),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.take(2)?.try_into()?))),
            b'G' => Value::Float(f64::from_be_bytes(self.take(8)?.try_into()?)),
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            0x8a | 0x8b => {
                let length = self.length(if opcode == 0x8a { 1 } else { 4 })?;
                let bytes = self.take(length)?;
                if bytes.len() > 8 {
                    return Ok(Value::Long(bytes.into()));
                }
                let sign = if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xFF } else { 0 };
                let mut extended = [sign; 8];
                extended[..bytes.len()].copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(extended))
            }
            _ => Value::None,
        })
    }

    fn text(&mut self, opcode: u8) -> Result<Value> {
        let width = match opcode {
            0x8c | b'C' | b'U' => 1,
            0x8d | 0x8e => 8,
            _ => 4,
        };
        let length = self.length(width)?;
        let bytes = self.take(length)?;
        Ok(match opcode {
            b'X' | 0x8c | 0x8d => Value::Str(std::str::from_utf8(bytes).context("a text is not UTF-8")?.into()),
            // A byte string of Python 2, where texts were such strings.
            b'T' | b'U' => {
                std::str::from_utf8(bytes).map_or_else(|_| Value::Bytes(bytes.into()), |text| Value::Str(text.into()))
            }
            _ => Value::Bytes(bytes.into()),
        })
    }

    fn keep(&mut self, container: Container) -> Value {
        let id = ContainerId(self.containers.len());
        let value = match &container {
            Container::List(_) => Value::List(id),
            Container::Tuple(_) => Value::Tuple(id),
            Container::Dict(_) => Value::Dict(id),
        };
        self.containers.push(container);
        value
    }

    fn container(&mut self, opcode: u8) -> Result<()> {
        let new = match opcode {
            b']' | 0x8f => Container::List(Vec::new()),
            b'}' => Container::Dict(IndexMap::new()),
            b')' => Container::Tuple(Vec::new()),
            b'l' => Container::List(self.pop_mark()?),
            b't' => Container::Tuple(self.pop_mark()?),
            b'd' => {
                let entries = self.pop_mark()?;
                let dict = self.keep(Container::Dict(IndexMap::new()));
                self.stack.push(dict);
                return self.set_items(entries);
            }
            0x85..=0x87 => {
                let mut items = (0x85..=opcode).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
                items.reverse();
                Container::Tuple(items)
            }
            b'a' => {
                let item = self.pop()?;
                return self.append(vec![item]);
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                return self.append(items);
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                return self.set_items(vec![key, value]);
            }
            b'u' => {
                let entries = self.pop_mark()?;
                return self.set_items(entries);
            }
            _ => bail!("opcode 0x{opcode:02x} is not one that tensor files use"),
        };
        let value = self.keep(new);
        self.stack.push(value);
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Result<()> {
        let id = match self.top()? {
            Value::Opaque => return Ok(()),
            Value::List(id) => *id,
            other => bail!("append to something else than a list: {}", other.what()),
        };
        let Container::List(list) = &mut self.containers[id.0] else { bail!("append to something else than a list") };
        list.extend(items);
        Ok(())
    }

    fn set_items(&mut self, entries: Vec<Value>) -> Result<()> {
        ensure!(entries.len().is_multiple_of(2), "a key without a value");
        let id = match self.top()? {
            Value::Opaque => return Ok(()),
            Value::Dict(id) => *id,
            other => bail!("entries for something else than a dictionary: {}", other.what()),
        };
        let Container::Dict(dict) = &mut self.containers[id.0] else {
            bail!("entries for something else than a dictionary")
        };
        let mut entries = entries.into_iter();
        while let (Some(key), Some(value)) = (entries.next(), entries.next()) {
            let key = match key {
                Value::Str(text) => Key::Str(text),
                Value::Int(number) => Key::Int(number),
                _ => Key::Other(dict.len()),
            };
            dict.insert(key, value);
        }
        Ok(())
    }

    fn object(&mut self, opcode: u8) -> Result<()> {
        let value = match opcode {
            b'c' => {
                let module = self.line()?;
                Value::Global(Global::named(module, self.line()?)?)
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Str(name), Value::Str(module)) => Value::Global(Global::named(&module, &name)?),
                _ => bail!("a name that is not text"),
            },
            b'b' => {
                // The state of an object, such as the metadata of a state dictionary: not needed.
                self.pop()?;
                return match self.top()? {
                    Value::Dict(_) | Value::Tensor(_) | Value::Opaque => Ok(()),
                    other => bail!("a state for {}", other.what()),
                };
            }
            b'Q' => {
                let id = self.pop()?;
                self.storage(&id)?
            }
            _ => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(&callable, &arguments)?
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn tuple(&self, value: &Value) -> Result<&[Value]> {
        match value {
            Value::Tuple(id) | Value::List(id) => match &self.containers[id.0] {
                Container::Tuple(items) | Container::List(items) => Ok(items),
                Container::Dict(_) => bail!("a dictionary where a tuple belongs"),
            },
            other => bail!("{} where a tuple belongs", other.what()),
        }
    }

    fn numbers(&self, value: &Value) -> Result<Vec<i64>> {
        let items = self.tuple(value)?;
        ensure!(
            items.len() <= MAX_DIMENSIONS,
            "a tensor of {} dimensions; at most {MAX_DIMENSIONS} are read",
            items.len()
        );
        let number = |item: &Value| match item {
            Value::Int(number) => Ok(*number),
            other => bail!("{} where a number belongs", other.what()),
        };
        items.iter().map(number).collect()
    }

    /// A storage from its persistent id: `("storage", type, key, device, elements)`, in old files with a view at the end.
    fn storage(&mut self, id: &Value) -> Result<Value> {
        match self.tuple(id)? {
            [Value::Str(tag), Value::Global(Global::Storage(kind)), Value::Str(key), _, Value::Int(len), view @ ..]
                if &**tag == "storage" =>
            {
                ensure!(
                    matches!(view, [] | [Value::None]),
                    "storage {key} is a view of another one, which is not supported"
                );
                let len = usize::try_from(*len).ok().with_context(|| format!("storage {key} has {len} elements"))?;
                let storage = Rc::new(StorageRef { kind: *kind, key: key.to_string(), len });
                self.storages.push(storage.clone());
                Ok(Value::Storage(storage))
            }
            _ => bail!("a persistent id that names no storage"),
        }
    }

    fn call(&mut self, callable: &Value, arguments: &Value) -> Result<Value> {
        let Value::Global(global) = callable else { bail!("a call of {}", callable.what()) };
        let arguments = self.tuple(arguments)?;
        Ok(match (global, arguments) {
            (Global::RebuildTensor, [Value::Storage(storage), Value::Int(offset), size, stride, ..]) => {
                let (size, stride) = (self.numbers(size)?, self.numbers(stride)?);
                Value::Tensor(Rc::new(TensorRef::checked(storage.clone(), *offset, size, stride)?))
            }
            (Global::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => tensor.clone(),
            (Global::Size, [size]) => {
                let size = self.numbers(size)?.into_iter().map(Value::Int).collect();
                self.keep(Container::Tuple(size))
            }
            (Global::OrderedDict, []) => self.keep(Container::Dict(IndexMap::new())),
            (Global::OrderedDict, [pairs]) => {
                let pairs = self.tuple(pairs)?.iter().map(|pair| self.tuple(pair)).collect::<Result<Vec<_>>>()?;
                ensure!(pairs.iter().all(|pair| pair.len() == 2), "an ordered dictionary's entry is no pair");
                let left = self.copies_left.checked_sub(pairs.len());
                let left = left.context("dictionaries that copy more than the file holds")?;
                let entries: Vec<Value> = pairs.concat();
                self.copies_left = left;
                let dict = self.keep(Container::Dict(IndexMap::new()));
                self.stack.push(dict);
                self.set_items(entries)?;
                self.pop()?
            }
            (Global::Harmless, _) => Value::Opaque,
            (global, _) => bail!("{global:?} called with arguments that it does not take"),
        })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn refused(bytes: &[u8]) -> String {
        format!("{:#}", Pickle::read(bytes).unwrap_err())
    }

    /// A pickle of one tensor over a float storage of `len` elements; numbers below 256.
    fn tensor(len: u8, offset: u8, size: &[u8], stride: &[u8]) -> Vec<u8> {
        let numbers =
            |list: &[u8]| [b"(".to_vec(), list.iter().flat_map(|n| [b'K', *n]).collect(), b"t".to_vec()].concat();
        let mut bytes =
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK".to_vec();
        bytes.push(len);
        bytes.extend(b"tQK");
        bytes.push(offset);
        bytes.extend([numbers(size), numbers(stride)].concat());
        bytes.extend(b"\x89NtR.");
        bytes
    }

    #[test]
    fn reads_plain_values() {
        // {"a": [1, -2, 2.5, None, True], "b": (3,)} and a second pickle behind it.
        let bytes =
            b"\x80\x02}(U\x01a](K\x01J\xfe\xff\xff\xffG\x40\x04\0\0\0\0\0\0N\x88eX\x01\0\0\0bq\x05K\x03\x85u.more";
        let (pickle, length) = Pickle::read(bytes).unwrap();
        assert_eq!(&bytes[length..], b"more");
        let entries: Vec<_> = pickle.entries(pickle.root()).unwrap().collect();
        assert_eq!(entries.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["a", "b"]);
        let list = pickle.items(entries[0].1).unwrap();
        assert!(matches!(list, [Value::Int(1), Value::Int(-2), Value::Float(2.5), Value::None, Value::Bool(true)]));
        assert!(matches!(pickle.items(entries[1].1).unwrap(), [Value::Int(3)]));
    }

    #[test]
    fn integers_of_any_length() {
        let table: [(&[u8], i64); 5] =
            [(b"\0", 0), (b"\x01\xff", -1), (b"\x02\xff\0", 255), (b"\x01\x80", -128), (b"\x03\0\0\x01", 65536)];
        for (digits, number) in table {
            let bytes = [b"\x8a", digits, b"."].concat();
            assert!(matches!(Pickle::read(&bytes).unwrap().0.root(), Value::Int(n) if *n == number), "{number}");
        }
    }

    #[test]
    fn refuses_other_names_by_name() {
        let os = refused(b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R.");
        assert!(
            os.contains("`os.system`, which is not among the names a tensor file needs; refused unexecuted"),
            "{os}"
        );
        let eval = refused(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.");
        assert!(eval.contains("`builtins.eval`"), "{eval}");
        assert!(refused(b"ctorch\nComplexDoubleStorage\n.").contains("`torch.ComplexDoubleStorage`"));
    }

    #[test]
    fn tensors_lie_within_their_storage() {
        for (offset, size, stride) in
            [(0, [3, 4], [4, 1]), (0, [4, 3], [1, 4]), (4, [2, 4], [4, 1]), (0, [12, 9], [1, 0]), (9, [0, 4], [4, 1])]
        {
            assert!(Pickle::read(&tensor(12, offset, &size, &stride)).is_ok(), "{offset} {size:?} {stride:?}");
        }
        for (offset, size, stride) in
            [(1, [3, 4], [4, 1]), (0, [3, 4], [5, 1]), (12, [1, 1], [1, 1]), (0, [13, 1], [1, 1])]
        {
            let error = refused(&tensor(12, offset, &size, &stride));
            assert!(error.contains("does not fit its storage of 12 elements"), "{error}");
        }
        assert!(refused(&tensor(12, 0, &[3, 4], &[4])).contains("does not fit"));
        assert!(refused(&tensor(12, 0, &[1; 17], &[1; 17])).contains("17 dimensions"));
        // 255^4 elements of one number are no view to hand on.
        assert!(refused(&tensor(12, 0, &[255; 4], &[0; 4])).contains("does not fit"));
    }

    #[test]
    fn damaged_pickles_are_errors() {
        for bytes in [
            &b""[..],
            b".",
            b"(.",
            b"}K\x01.",
            b"K",
            b"X\xff\xff\xff\x7fa.",
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
            b"h\x05.",
            b"t.",
            b"\xff.",
            b"NR.",
            b"NQ.",
            b"](K\x01u.",
            b"]Nb.",
            b"(K\x01d.",
        ] {
            let result = Pickle::read(bytes);
            // `}K\x01.` is a fine pickle with a value left over.
            assert_eq!(result.is_err(), bytes != b"}K\x01.", "{bytes:?}");
        }
    }

    #[test]
    fn cycles_and_depth_are_no_matter() {
        // A list that holds itself.
        assert!(Pickle::read(b"]q\0h\0a.").is_ok());
        let deep = [&b"]".repeat(1_000_000)[..], &b"a".repeat(999_999), b"."].concat();
        assert!(Pickle::read(&deep).is_ok());
    }

    #[test]
    fn copies_are_bounded() {
        // ordered dictionaries made again and again of one long list
        let pairs = b"K\x01K\x02\x86".repeat(1000);
        let again = b"h\0h\x01\x85R".repeat(1000);
        let bytes = [&b"ccollections\nOrderedDict\nq\0]q\x01("[..], &pairs, b"e", &again, b"."].concat();
        assert!(refused(&bytes).contains("copy more than the file holds"));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Pickle::read(&bytes);
        }

        #[test]
        fn no_mix_of_opcodes_panics(parts in proptest::collection::vec(proptest::sample::select(vec![
            &b"("[..], b"]", b"}", b")", b"K\x01", b"U\x01a", b"q\0", b"h\0", b"a", b"e", b"s", b"u", b"t", b"\x85", b"\x86", b"R", b"b", b"Q",
            b"0", b"1", b"2", b"d", b"l", b"N", b"ccollections\nOrderedDict\n", b"ctorch\nSize\n", b"ctorch\nFloatStorage\n",
            b"ctorch._utils\n_rebuild_tensor_v2\n", b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x09tQ",
        ]), 0..40)) {
            let bytes = [&parts.concat()[..], b"."].concat();
            let _ = Pickle::read(&bytes);
        }
    }
}
