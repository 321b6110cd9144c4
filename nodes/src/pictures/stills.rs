//! BMP, TGA and TIFF through the `image` crate, JPEG 2000 through `hayro-jpeg2000`.

use std::collections::HashSet;
use std::io::Cursor;

use anyhow::{Context, Result, anyhow, bail, ensure};
use hayro_jpeg2000::{ComponentData, DecodeSettings, DecoderContext};
use image::codecs::bmp::BmpDecoder;
use image::codecs::tga::TgaDecoder;
use image::codecs::tiff::TiffDecoder;
use image::{DynamicImage, ImageDecoder, Limits};
use redraft_engine::memory;
use tiff::decoder::DecodingResult;

use super::frame::{Budget, Frame};
use super::orientation::upright;

/// The most memory a decoder of the `image` crate may take for itself.
const DECODER_BYTES: u64 = 3 << 30;

pub(super) fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODER_BYTES);
    limits
}

/// A BMP file's one picture.
///
/// # Errors
/// If the file is damaged, or larger than `budget` allows.
pub(super) fn bmp(bytes: &[u8], budget: &mut Budget) -> Result<Vec<Frame>> {
    let mut decoder = BmpDecoder::new(Cursor::new(bytes)).context("is not a readable bmp file: export it as png")?;
    let (width, height) = decoder.dimensions();
    budget.take(width, height)?;
    decoder.set_limits(limits()).context("is too large to be held in memory: scale it down")?;
    let image = DynamicImage::from_decoder(decoder).context("is a damaged bmp file: export it again")?;
    Ok(vec![eight_bits(image)?])
}

/// All pages of a TIFF file, each turned upright.
///
/// # Errors
/// If the file is damaged, larger than `budget` allows, or of a kind that is not read (YCbCr, palette, …).
pub(super) fn tiff(bytes: &[u8], budget: &mut Budget) -> Result<Vec<Frame>> {
    const UNREADABLE: &str = "is not a tiff file of a kind that is read here: export it as png";
    let mut frames = Vec::new();
    memory::ask(bytes.len(), "the picture")?;
    let mut file = bytes.to_vec();
    for page in pages(bytes)? {
        // The decoder reads the page that the header points to.
        file[4..8].copy_from_slice(&page);
        if let Some(frame) = wide_grey(&file, budget)? {
            frames.push(frame);
            continue;
        }
        let mut decoder = TiffDecoder::new(Cursor::new(&file)).context(UNREADABLE)?;
        let (width, height) = decoder.dimensions();
        budget.take(width, height)?;
        decoder.set_limits(limits()).context("is too large to be held in memory: scale it down")?;
        let orientation = u32::from(decoder.orientation().map_or(1, image::metadata::Orientation::to_exif));
        let image = DynamicImage::from_decoder(decoder).context(UNREADABLE)?;
        frames.push(upright(eight_bits(image)?, orientation));
    }
    Ok(frames)
}

/// A page of one channel of 32 bits; nothing if it is another kind of page. As in ComfyUI through Pillow, floats are clipped to 0 … 255 and
/// cut to whole numbers, whole numbers divided by 255 first.
fn wide_grey(file: &[u8], budget: &mut Budget) -> Result<Option<Frame>> {
    let Ok(mut decoder) = tiff::decoder::Decoder::new(Cursor::new(file)) else { return Ok(None) };
    if !matches!(decoder.colortype(), Ok(tiff::ColorType::Gray(32))) {
        return Ok(None);
    }
    const DAMAGED: &str = "is a damaged tiff file: export it again";
    let (width, height) = decoder.dimensions().context(DAMAGED)?;
    budget.take(width, height)?;
    let mut decoder = decoder.with_limits(tiff::decoder::Limits::unlimited());
    let whole = |value: f64| (value * (1.0 / 255.0)).clamp(0.0, 255.0) as u8;
    let grey: Vec<u8> = match decoder.read_image().context(DAMAGED)? {
        DecodingResult::F32(values) => values.into_iter().map(|value| value.clamp(0.0, 255.0) as u8).collect(),
        DecodingResult::I32(values) => values.into_iter().map(|value| whole(value.into())).collect(),
        // Pillow takes them for signed numbers.
        DecodingResult::U32(values) => values.into_iter().map(|value| whole(value.cast_signed().into())).collect(),
        _ => return Ok(None),
    };
    let (width, height) = (width as usize, height as usize);
    ensure!(grey.len() == width * height, DAMAGED);
    Ok(Some(Frame::grey(width, height, &grey)))
}

/// A TGA file's one picture.
///
/// # Errors
/// If the file is damaged, or larger than `budget` allows.
pub(super) fn tga(bytes: &[u8], budget: &mut Budget) -> Result<Vec<Frame>> {
    const DAMAGED: &str = "is a damaged tga file, or no picture at all: export it as png";
    let mut decoder = TgaDecoder::new(Cursor::new(bytes)).context(DAMAGED)?;
    let (width, height) = decoder.dimensions();
    budget.take(width, height)?;
    decoder.set_limits(limits()).context("is too large to be held in memory: scale it down")?;
    Ok(vec![eight_bits(DynamicImage::from_decoder(decoder).context(DAMAGED)?)?])
}

/// A JPEG 2000 file's one picture: of grey or RGB, with or without transparency.
///
/// # Errors
/// If the file is damaged, of another kind, or larger than `budget` allows.
pub(super) fn jpeg2000(bytes: &[u8], budget: &mut Budget) -> Result<Vec<Frame>> {
    let damaged =
        |error| anyhow!("is a damaged jpeg 2000 file, or of a kind that is not read ({error}): export it as png");
    let image = hayro_jpeg2000::Image::new(bytes, &DecodeSettings::default()).map_err(damaged)?;
    budget.take(image.width(), image.height())?;
    let (width, height, alpha) = (image.width() as usize, image.height() as usize, image.has_alpha());
    let channels = image.color_space().num_channels();
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(damaged)?;
    let planes = decoded.components();
    ensure!(
        planes.len() == usize::from(channels) + usize::from(alpha)
            && planes
                .iter()
                .all(|plane| plane.samples().len() == width * height && (1..=16).contains(&plane.bit_depth())),
        "is a jpeg 2000 file of a kind that is not read: export it as png"
    );
    if let [plane] = planes
        && plane.bit_depth() > 8
    {
        // As 16-bit grey of other formats: clipped.
        let wide = |sample: &f32| (sample.round() as u32) << (16 - plane.bit_depth());
        let grey: Vec<u8> = plane.samples().iter().map(|sample| wide(sample).min(255) as u8).collect();
        return Ok(vec![Frame::grey(width, height, &grey)]);
    }
    let mut planes = planes.iter().map(eight_bit_samples);
    let mut next = || planes.next().unwrap_or_default();
    let mut frame = match channels {
        1 => Frame::grey(width, height, &next()),
        3 => {
            let [red, green, blue] = [next(), next(), next()];
            let pixels = red.iter().zip(green.iter().zip(&blue));
            Frame::opaque(width, height, pixels.flat_map(|(red, (green, blue))| [*red, *green, *blue]).collect())
        }
        _ => bail!("is a jpeg 2000 file of {channels} channels, which are not read: export it as png"),
    };
    if alpha {
        frame.alpha = Some(next());
    }
    Ok(vec![frame])
}

/// Samples in eight bits as Pillow brings them there: fewer bits are moved up, more are rounded away. What rounds up to 256 becomes 0.
fn eight_bit_samples(plane: &ComponentData) -> Vec<u8> {
    let bits = u32::from(plane.bit_depth());
    let byte = |sample: &f32| {
        let sample = sample.round() as u32;
        match bits.checked_sub(8) {
            Some(0) => sample.min(255) as u8,
            Some(more) => ((sample + (1 << (more - 1))) >> more) as u8,
            None => (sample << (8 - bits)) as u8,
        }
    };
    plane.samples().iter().map(byte).collect()
}

/// Whether a file begins like a TGA picture. The format has no mark of its own: this is what Pillow asks of it.
pub(super) fn may_be_tga(head: &[u8]) -> bool {
    let number = |at: usize| head.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let is = |at: usize, values: &[u8]| head.get(at).is_some_and(|value| values.contains(value));
    is(1, &[0, 1]) && is(2, &[1, 2, 3, 9, 10, 11]) && number(12) > 0 && number(14) > 0 && is(16, &[1, 8, 16, 24, 32])
}

/// The offsets of a TIFF file's pages, in the file's own byte order.
fn pages(bytes: &[u8]) -> Result<Vec<[u8; 4]>> {
    const DAMAGED: &str = "is a damaged tiff file: export it again";
    let take = |at: usize| bytes.get(at..at.checked_add(4)?).and_then(|b| <[u8; 4]>::try_from(b).ok());
    let little = bytes.starts_with(b"II");
    ensure!(
        bytes.get(if little { 2 } else { 3 }) == Some(&42),
        "is a tiff file of a kind that is not read: export it as png"
    );
    let number = |b: [u8; 4]| if little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) } as usize;
    let (mut pages, mut seen) = (Vec::new(), HashSet::new());
    let mut next = take(4).context(DAMAGED)?;
    while number(next) != 0 {
        if !seen.insert(next) {
            bail!("is a tiff file whose pages run in a circle: export it again");
        }
        pages.push(next);
        let start = take(number(next)).context(DAMAGED)?;
        let entries = if little { [start[0], start[1], 0, 0] } else { [0, 0, start[0], start[1]] };
        next = take(number(next) + 2 + number(entries) * 12).context(DAMAGED)?;
    }
    ensure!(!pages.is_empty(), DAMAGED);
    Ok(pages)
}

/// A decoded picture in eight bits a channel, reduced as in Pillow: 16-bit colour keeps its upper byte, 16-bit grey is
/// clipped.
pub(super) fn eight_bits(image: DynamicImage) -> Result<Frame> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let upper = |samples: Vec<u16>| samples.into_iter().map(|v| (v >> 8) as u8).collect::<Vec<u8>>();
    Ok(match image {
        DynamicImage::ImageLuma8(grey) => Frame::grey(width, height, &grey),
        DynamicImage::ImageLumaA8(grey) => {
            let rgba: Vec<u8> = grey.pixels().flat_map(|p| [p.0[0], p.0[0], p.0[0], p.0[1]]).collect();
            Frame::rgba(width, height, &rgba)
        }
        DynamicImage::ImageRgb8(rgb) => Frame::opaque(width, height, rgb.into_raw()),
        DynamicImage::ImageRgba8(rgba) => Frame::rgba(width, height, &rgba),
        DynamicImage::ImageLuma16(grey) => {
            let clipped: Vec<u8> = grey.iter().map(|&v| v.min(255) as u8).collect();
            Frame::grey(width, height, &clipped)
        }
        DynamicImage::ImageRgb16(rgb) => Frame::opaque(width, height, upper(rgb.into_raw())),
        DynamicImage::ImageRgba16(rgba) => Frame::rgba(width, height, &upper(rgba.into_raw())),
        other => bail!("holds {:?} pixels, which are not read: export it as png", other.color()),
    })
}
