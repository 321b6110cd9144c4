//! Bytes taken from the front, never beyond the end.

#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// An unsigned number of `width` bytes, at most 8, the most significant first.
    pub(super) fn big(&mut self, width: usize) -> Option<usize> {
        let bytes = self.take(width)?;
        usize::try_from(bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte))).ok()
    }

    /// An unsigned number of `width` bytes, at most 8, the least significant first.
    pub(super) fn little(&mut self, width: usize) -> Option<usize> {
        let bytes = self.take(width)?;
        usize::try_from(bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte))).ok()
    }
}

/// Where `needle` first stands.
pub(super) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
