//! Messages in Protocol Buffers' encoding, as far as vocabularies need it.

use anyhow::{Context, Result, bail};

/// The fields of a message in Protocol Buffers' encoding, with their numbers.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

/// A field's value. Doubles do not occur in vocabularies, and are passed over.
pub(super) enum Value<'a> {
    Number(u64),
    Float(f32),
    Bytes(&'a [u8]),
    Double,
}

impl<'a> Fields<'a> {
    /// A number of up to ten bytes, low ones first, of seven bits each.
    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for place in 0..10 {
            let byte = self.take(1)?.first().copied().unwrap_or(0);
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        bail!("a number goes on for too long")
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let (taken, rest) = self.0.split_at_checked(count).context("it ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>)> {
        let key = self.number()?;
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Double)?,
            2 => {
                let length = self.number()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Float(f32::from_le_bytes(self.take(4)?.try_into()?)),
            kind => bail!("a field has the unknown kind {kind}"),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
