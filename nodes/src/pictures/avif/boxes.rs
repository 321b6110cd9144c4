//! The boxes that an AVIF file begins with.

use anyhow::{Context, Result, anyhow};
use mp4_atom::{Atom, Meta, Moov};

pub(super) const DAMAGED: &str = "is a damaged avif file, or of a kind that is not read: export it as png";
pub(super) const CUT: &str = "is a truncated avif file: fetch it again";

/// What a file says about its pictures.
pub(super) struct Boxes {
    pub(super) meta: Option<Meta>,
    pub(super) movie: Option<Moov>,
    /// Whether the file wants to be read as an animation.
    pub(super) is_sequence: bool,
}

impl Boxes {
    pub(super) fn of(bytes: &[u8]) -> Result<Boxes> {
        let (mut meta, mut movie, mut brand) = (None, None, None);
        for (kind, content) in boxes(bytes) {
            match &kind {
                b"ftyp" if brand.is_none() => brand = content.first_chunk::<4>().copied(),
                b"meta" if meta.is_none() => meta = Some(read::<Meta>(content)?),
                b"moov" if movie.is_none() => movie = Some(read::<Moov>(content)?),
                _ => {}
            }
        }
        let is_sequence = match brand.as_ref() {
            Some(b"avis") => true,
            Some(b"avif") => false,
            _ => movie.is_some(),
        };
        Ok(Boxes { meta, movie, is_sequence })
    }
}

fn read<A: Atom>(mut content: &[u8]) -> Result<A> {
    A::decode_body(&mut content).map_err(|error| anyhow!(error)).context(DAMAGED)
}

/// The boxes in a part of a file. The last may be incomplete.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (rest, size) = match u32::from_be_bytes(*size) {
            0 => (rest, rest.len() as u64),
            1 => {
                let (size, rest) = rest.split_first_chunk::<8>()?;
                (rest, u64::from_be_bytes(*size).checked_sub(16)?)
            }
            size => (rest, u64::from(size).checked_sub(8)?),
        };
        let (content, after) = rest.split_at(usize::try_from(size).unwrap_or(usize::MAX).min(rest.len()));
        bytes = after;
        Some((*kind, content))
    })
}
