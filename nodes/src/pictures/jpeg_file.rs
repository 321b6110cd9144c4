//! JPEG through libjpeg, as in Pillow. Other decoders round differently: zune-jpeg differs in a quarter of all samples
//! of a picture with subsampled chroma.

use std::io::BufRead;

use anyhow::{Error, Result, anyhow, ensure};
use mozjpeg::decompress::DecompressBuilder;
use mozjpeg::{CompInfoExt, Decompress, Format, Marker};
use mozjpeg_sys::{
    JERR_ARITH_NOTIMPL, JERR_BAD_PRECISION, JERR_COMPONENT_COUNT, JERR_CONVERSION_NOTIMPL, JERR_FILE_READ,
    JERR_FRACT_SAMPLE_NOTIMPL, JERR_SOF_UNSUPPORTED, JWRN_HIT_MARKER, JWRN_JPEG_EOF, jpeg_error_mgr,
};
use redraft_engine::memory;

use super::frame::{Budget, Frame};
use super::orientation::OrientationSources;
use crate::ops::libjpeg::{Failure, caught, lenient_errors, strict_errors};

/// The picture of a JPEG file (of an MPO file, the first). What is missing at the end of a truncated file is grey, as in Pillow.
///
/// # Errors
/// If the file is damaged, is cut in its header, is of a kind that is not read (lossless, arithmetic-coded, 12 bits), or is larger than
/// `budget` allows.
pub(super) fn frame(bytes: &[u8], budget: &mut Budget) -> Result<(Frame, OrientationSources)> {
    let decoder = caught(|| settings(strict_errors()).from_mem(bytes)).map_err(explained)?;
    let (width, height) = decoder.size();
    budget.take(width as u64, height as u64)?;
    // Every block costs at least one bit, so a short file cannot hold a large picture. Refused before memory is taken.
    let blocks: usize = decoder.components().iter().map(|c| c.width_in_blocks() * c.height_in_blocks()).sum();
    ensure!(
        blocks / 8 <= bytes.len(),
        "claims {width} × {height} pixels but is only {} bytes: export it again",
        bytes.len()
    );
    let metadata = metadata(&decoder);
    match caught(|| colours(decoder)) {
        Ok(rgb) => Ok((Frame::opaque(width, height, rgb), metadata)),
        Err(Failure::Message(JWRN_JPEG_EOF | JWRN_HIT_MARKER | JERR_FILE_READ)) if lacks_end(bytes) => {
            memory::ask(bytes.len(), "the picture")?;
            let ended = [bytes, b"\xFF\xD9"].concat();
            let rgb = caught(|| colours(settings(lenient_errors()).from_mem(&ended)?)).map_err(explained)?;
            Ok((Frame { cut: true, ..Frame::opaque(width, height, rgb) }, metadata))
        }
        Err(failure) => Err(explained(failure)),
    }
}

/// Whether a file ends without the marker for that, so that a part of it is missing, and none is damaged.
fn lacks_end(bytes: &[u8]) -> bool {
    /// What programs put behind the marker.
    const BEHIND: usize = 64;
    !bytes[bytes.len().saturating_sub(BEHIND)..].windows(2).any(|marker| marker == b"\xFF\xD9")
}

fn settings<'a>(errors: jpeg_error_mgr) -> DecompressBuilder<'a> {
    Decompress::builder().with_err(errors).with_markers(&[Marker::APP(1)])
}

/// All pixels, in three bytes each.
fn colours<R: BufRead>(decoder: Decompress<R>) -> std::io::Result<Vec<u8>> {
    Ok(match decoder.image()? {
        Format::RGB(mut rows) => rows.read_scanlines::<[u8; 3]>()?.into_flattened(),
        Format::Gray(mut rows) => rows.read_scanlines::<u8>()?.into_iter().flat_map(|grey| [grey; 3]).collect(),
        Format::CMYK(mut rows) => rows.read_scanlines::<[u8; 4]>()?.into_iter().flat_map(without_inks).collect(),
    })
}

/// Converts CMYK to RGB as Pillow does: the light that black leaves, less each ink's share of it. The inks in files are
/// inverted, as Adobe's programs write them.
fn without_inks([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let left = u32::from(black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(255 - ink) * left + 128;
        (left - ((product + (product >> 8)) >> 8).min(left)) as u8
    })
}

fn metadata<R>(decoder: &Decompress<R>) -> OrientationSources {
    let mut metadata = OrientationSources::default();
    for segment in decoder.markers().map(|marker| marker.data) {
        match (&mut metadata.exif, segment.strip_prefix(b"Exif\0\0")) {
            (Some(exif), Some(more)) => exif.extend_from_slice(more),
            (None, Some(_)) => metadata.exif = Some(segment.to_vec()),
            _ if segment.starts_with(b"http://ns.adobe.com/xap/1.0/\0") => metadata.xmp = Some(segment.to_vec()),
            _ => {}
        }
    }
    metadata
}

fn explained(failure: Failure) -> Error {
    let Failure::Message(code) = failure else {
        return anyhow!(match failure {
            Failure::TooManyScans => "is a jpeg file of too many scans: export it again",
            _ => "is a damaged jpeg file, or one without a picture in it: export it again",
        });
    };
    match code {
        JWRN_JPEG_EOF | JWRN_HIT_MARKER | JERR_FILE_READ => {
            anyhow!("is a truncated jpeg file: fetch or export it again")
        }
        JERR_ARITH_NOTIMPL
        | JERR_BAD_PRECISION
        | JERR_COMPONENT_COUNT
        | JERR_CONVERSION_NOTIMPL
        | JERR_FRACT_SAMPLE_NOTIMPL
        | JERR_SOF_UNSUPPORTED => {
            anyhow!("is a jpeg file of a rare kind, which is not read: export it as png")
        }
        code => anyhow!("is a damaged jpeg file (libjpeg's message {code}): export it again"),
    }
}
