//! What stands in front of a GGUF file's numbers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::memory;
use safetensors::Dtype;

use super::{BlockKind, MAGIC};

/// The most tensors, and the most facts, of a file.
const MOST: u64 = 1 << 20;
/// The most dimensions of a tensor.
const MOST_DIMENSIONS: u32 = 8;
/// What converters put in front of the names of tensors whose shape they changed.
const SHAPE_OF: &str = "comfy.gguf.orig_shape.";

/// How a tensor is stored.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Stored {
    Plain(Dtype),
    Blocks(&'static BlockKind),
}

/// A tensor: how it is stored, its shape, and its first byte and the byte after its last, which lie within the file.
pub(in super::super) struct Place {
    pub(in super::super) stored: Stored,
    pub(in super::super) shape: Vec<i64>,
    pub(in super::super) bytes: (usize, usize),
}

/// What a file says of itself.
#[derive(Debug, Default)]
pub struct Header {
    facts: BTreeMap<String, Fact>,
}

/// The value of a fact.
#[derive(Debug)]
enum Fact {
    Number(f64),
    Text(String),
    Numbers(Vec<f64>),
    Texts(Vec<String>),
    /// An array of arrays, which nothing here needs.
    Other,
}

impl Header {
    /// The text of a fact.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.facts.get(name)? {
            Fact::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a fact; true counts as 1.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.facts.get(name)? {
            Fact::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The texts of a fact.
    pub fn texts(&self, name: &str) -> Option<&[String]> {
        match self.facts.get(name)? {
            Fact::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    /// The numbers of a fact.
    pub fn numbers(&self, name: &str) -> Option<&[f64]> {
        match self.facts.get(name)? {
            Fact::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// The kind of network: `flux`, `t5`, `llama`.
    pub fn architecture(&self) -> Option<&str> {
        self.text("general.architecture")
    }

    /// Reads the header of a file.
    ///
    /// # Errors
    /// If it is of another version, ends early, claims more than there is, or a tensor has a format that cannot be read.
    pub(in super::super) fn read(file: &[u8]) -> Result<(Self, BTreeMap<String, Place>)> {
        let mut reader = Reader { file, at: MAGIC.len() };
        let version = reader.u32()?;
        ensure!(
            (2..=3).contains(&version),
            "it is of version {version}; versions 2 and 3 can be read: convert it anew"
        );
        let (tensors, facts) = (reader.u64()?, reader.u64()?);
        ensure!(
            tensors <= MOST && facts <= MOST,
            "it claims {tensors} tensors and {facts} facts; at most {MOST} are read"
        );
        let mut header = Self::default();
        for _ in 0..facts {
            let name = reader.text()?;
            let kind = reader.u32()?;
            let fact = reader.fact(kind)?;
            header.facts.insert(name, fact);
        }
        let mut told = Vec::new();
        for _ in 0..tensors {
            told.push(reader.tensor()?);
        }
        let alignment = header.number("general.alignment").unwrap_or(32.0) as u64;
        ensure!(alignment.is_power_of_two() && alignment <= 1 << 20, "its alignment is {alignment}; it is damaged");
        let data = (reader.at as u64).next_multiple_of(alignment);
        let mut places = BTreeMap::new();
        for tensor in told {
            let place = header.place(&tensor, data, file.len() as u64);
            let place = place.with_context(|| format!("tensor {}", tensor.name))?;
            places.insert(tensor.name, place);
        }
        Ok((header, places))
    }

    fn place(&self, tensor: &Told, data: u64, length: u64) -> Result<Place> {
        const TOO_MUCH: &str = "it claims more numbers than there are";
        let elements =
            tensor.sides.iter().try_fold(1_u64, |product, side| product.checked_mul(*side)).context(TOO_MUCH)?;
        let (stored, block, bytes) = match tensor.format {
            0 => (Stored::Plain(Dtype::F32), 1, 4),
            1 => (Stored::Plain(Dtype::F16), 1, 2),
            30 => (Stored::Plain(Dtype::BF16), 1, 2),
            24 => (Stored::Plain(Dtype::I8), 1, 1),
            25 => (Stored::Plain(Dtype::I16), 1, 2),
            26 => (Stored::Plain(Dtype::I32), 1, 4),
            27 => (Stored::Plain(Dtype::I64), 1, 8),
            28 => (Stored::Plain(Dtype::F64), 1, 8),
            id => {
                let kind = BlockKind::of(id);
                let kind = kind.with_context(|| {
                    format!(
                        "format {id} of ggml cannot be read; use a file in F16, BF16 or one of {}",
                        BlockKind::names()
                    )
                })?;
                (Stored::Blocks(kind), kind.elements, kind.bytes)
            }
        };
        // A block lies within a row.
        let row = tensor.sides.first().copied().unwrap_or(1);
        ensure!(row.is_multiple_of(block), "rows of {row} numbers cannot be in blocks of {block}");
        let bytes = (elements / block).checked_mul(bytes).context(TOO_MUCH)?;
        let start = data.checked_add(tensor.offset).context(TOO_MUCH)?;
        let end = start.checked_add(bytes).filter(|end| *end <= length);
        let end = end.context("it lies outside of the file, which is truncated or damaged")?;
        // The side that varies fastest comes first.
        let mut shape = tensor.sides.iter().rev().map(|side| i64::try_from(*side)).collect::<Result<Vec<_>, _>>()?;
        if let Some(original) = self.numbers(&format!("{SHAPE_OF}{}", tensor.name)) {
            let original: Vec<i64> = original.iter().map(|side| *side as i64).collect();
            let product = original.iter().try_fold(1_i64, |product, side| product.checked_mul(*side));
            ensure!(
                original.iter().all(|side| *side >= 0) && product == i64::try_from(elements).ok(),
                "its original shape {original:?} does not fit {shape:?}"
            );
            shape = original;
        }
        Ok(Place { stored, shape, bytes: (usize::try_from(start)?, usize::try_from(end)?) })
    }
}

/// What the list of tensors says of one.
struct Told {
    name: String,
    /// The side that varies fastest first.
    sides: Vec<u64>,
    format: u32,
    offset: u64,
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let taken = end.and_then(|end| self.file.get(self.at..end));
        let taken = taken.context("its header ends early: it is truncated or damaged")?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N as u64)?.try_into()?)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String> {
        let length = self.u64()?;
        // What tokens of vocabularies stand for need not be UTF-8.
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// A number of a kind of fact, if it is one.
    fn number(&mut self, kind: u32) -> Result<Option<f64>> {
        Ok(Some(match kind {
            0 | 7 => f64::from(u8::from_le_bytes(self.array()?)),
            1 => f64::from(i8::from_le_bytes(self.array()?)),
            2 => f64::from(u16::from_le_bytes(self.array()?)),
            3 => f64::from(i16::from_le_bytes(self.array()?)),
            4 => f64::from(self.u32()?),
            5 => f64::from(i32::from_le_bytes(self.array()?)),
            6 => f64::from(f32::from_le_bytes(self.array()?)),
            10 => self.u64()? as f64,
            11 => i64::from_le_bytes(self.array()?) as f64,
            12 => f64::from_le_bytes(self.array()?),
            _ => return Ok(None),
        }))
    }

    fn fact(&mut self, kind: u32) -> Result<Fact> {
        if let Some(number) = self.number(kind)? {
            return Ok(Fact::Number(number));
        }
        match kind {
            8 => Ok(Fact::Text(self.text()?)),
            9 => self.list(),
            _ => bail!("a fact is of the unknown kind {kind}: it is damaged, or newer than what can be read"),
        }
    }

    fn list(&mut self) -> Result<Fact> {
        let (kind, count) = (self.u32()?, self.u64()?);
        ensure!(count <= self.file.len() as u64, "a list claims {count} values: it is damaged");
        memory::ask(usize::try_from(count)?.saturating_mul(32), "the header of a GGUF file")?;
        Ok(match kind {
            8 => Fact::Texts((0..count).map(|_| self.text()).collect::<Result<_>>()?),
            9 => {
                ensure!(count == 0, "lists of lists cannot be read");
                Fact::Other
            }
            _ => {
                let number =
                    |reader: &mut Self| reader.number(kind)?.with_context(|| format!("a list holds kind {kind}"));
                Fact::Numbers((0..count).map(|_| number(self)).collect::<Result<_>>()?)
            }
        })
    }

    fn tensor(&mut self) -> Result<Told> {
        let name = self.text()?;
        let dimensions = self.u32()?;
        ensure!(dimensions <= MOST_DIMENSIONS, "tensor {name} has {dimensions} dimensions: it is damaged");
        let sides = (0..dimensions).map(|_| self.u64()).collect::<Result<_>>()?;
        Ok(Told { name, sides, format: self.u32()?, offset: self.u64()? })
    }
}
