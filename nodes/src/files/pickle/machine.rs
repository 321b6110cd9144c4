//! The stack machine that a pickle is a program for.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use indexmap::IndexMap;

use super::{Container, ContainerId, Global, Key, Pickle, StorageRef, TensorRef, Value};

const MAX_DIMENSIONS: usize = 16;

#[derive(Default)]
pub(super) struct Machine<'a> {
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
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, copies_left: bytes.len(), ..Self::default() }
    }

    /// How many bytes are read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn finish(self, root: Value) -> Pickle {
        Pickle { containers: self.containers, storages: self.storages, root }
    }

    /// Runs one opcode; gives the root at the end of the pickle.
    pub(super) fn step(&mut self) -> Result<Option<Value>> {
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
