//! Huffman codes and the bit stream of a scan (ITU-T T.81, annex F).

use anyhow::{Result, bail, ensure};

use super::TRUNCATED;

const FAST_BITS: usize = 9;

/// A Huffman table, ready for decoding.
pub(super) struct Table {
    /// By the next nine bits: (length, value); length 0 where the code is longer.
    fast: Vec<(u8, u8)>,
    /// By length: one past the largest code, shifted to sixteen bits.
    limits: [u32; 17],
    /// By length: what to add to a code to get its place in `values`.
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl Table {
    /// `counts`: codes of each length 1 … 16; `values`: their meanings in order of code.
    pub(super) fn new(counts: &[u8], values: &[u8]) -> Result<Table> {
        let mut table =
            Table { fast: vec![(0, 0); 1 << FAST_BITS], limits: [0; 17], offsets: [0; 17], values: values.to_vec() };
        let (mut code, mut index) = (0u32, 0usize);
        for length in 1..=16usize {
            let count = usize::from(counts[length - 1]);
            table.offsets[length] = index as i32 - code as i32;
            for _ in 0..count {
                ensure!(code < 1 << length, "is a damaged jpeg file (a huffman table): export it again");
                if length <= FAST_BITS {
                    let first = (code << (FAST_BITS - length)) as usize;
                    table.fast[first..first + (1 << (FAST_BITS - length))].fill((length as u8, values[index]));
                }
                code += 1;
                index += 1;
            }
            table.limits[length] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }
}

/// The bits of a scan, with stuffed zero bytes taken out.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
    /// Zero bits lent beyond the end or a marker; more than are held means that the scan is short.
    lent: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, at: 0, held: 0, count: 0, lent: 0 }
    }

    /// Where the scan's bytes end: at the next marker.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                (Some(0xFF), Some(0)) => {
                    self.at += 2;
                    0xFF
                }
                (Some(0xFF), _) | (None, _) => {
                    self.lent += 8;
                    0
                }
                (Some(&byte), _) => {
                    self.at += 1;
                    byte
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn peek(&mut self, bits: u32) -> u32 {
        if self.count < bits {
            self.fill();
        }
        (self.held >> (64 - bits)) as u32
    }

    fn drop(&mut self, bits: u32) -> Result<()> {
        self.held <<= bits;
        self.count -= bits;
        ensure!(self.count >= self.lent, TRUNCATED);
        Ok(())
    }

    /// The next `bits` (0 to 16) as a number.
    pub(super) fn take(&mut self, bits: u32) -> Result<u32> {
        if bits == 0 {
            return Ok(0);
        }
        let value = self.peek(bits);
        self.drop(bits)?;
        Ok(value)
    }

    /// A signed number of `bits` bits in JPEG's form: the lower half of the range stands for negative numbers.
    pub(super) fn signed(&mut self, bits: u32) -> Result<i32> {
        let value = self.take(bits)? as i32;
        Ok(if bits > 0 && value < 1 << (bits - 1) { value - (1 << bits) + 1 } else { value })
    }

    /// The next Huffman-coded value.
    pub(super) fn symbol(&mut self, table: &Table) -> Result<u8> {
        let next = self.peek(16);
        let (length, value) = table.fast[(next >> (16 - FAST_BITS)) as usize];
        if length > 0 {
            self.drop(length.into())?;
            return Ok(value);
        }
        for length in FAST_BITS + 1..=16 {
            if next < table.limits[length] {
                let index = (next >> (16 - length)) as i32 + table.offsets[length];
                self.drop(length as u32)?;
                return match table.values.get(index as usize) {
                    Some(&value) => Ok(value),
                    None => bail!("is a damaged jpeg file (an unknown code): export it again"),
                };
            }
        }
        bail!("is a damaged jpeg file (an unknown code): export it again")
    }

    /// Forgets the bits held and steps over the restart marker that must come next.
    pub(super) fn restart(&mut self) -> Result<()> {
        (self.held, self.count, self.lent) = (0, 0, 0);
        while self.bytes.get(self.at + 1) == Some(&0xFF) && self.bytes[self.at] == 0xFF {
            self.at += 1;
        }
        match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
            (Some(0xFF), Some(0xD0..=0xD7)) => self.at += 2,
            (None, _) | (_, None) => bail!(TRUNCATED),
            _ => bail!("is a damaged jpeg file (a restart marker is missing): export it again"),
        }
        Ok(())
    }
}
