//! Writing a batch of pictures as an animation, PNG or WebP, as ComfyUI's save nodes do through Pillow.

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::memory;
use serde_json::Value;
use tch::Tensor;
use webp::{AnimEncoder, AnimFrame, Encoder, PixelLayout, WebPConfig};

use crate::ops::bytes::{eight_bits, rounded_eight_bits};
use crate::python::json;

/// The longest side of a WebP picture.
const MAX_WEBP_SIDE: usize = 16383;
/// The EXIF tags that ComfyUI uses for metadata: that of the prompt, and that of the first other text. The tag of each
/// further text is one lower.
const MODEL: u16 = 0x0110;
const MAKE: u16 = 0x010F;

/// A batch in eight bits a channel. Consecutive equal pictures are one frame that is shown for longer.
pub struct Frames {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) alpha: bool,
    /// The pixels of each frame, and its duration in milliseconds.
    pub(super) frames: Vec<(Vec<u8>, u64)>,
}

impl Frames {
    /// From B×H×W×C, C = 3 or 4, values 0 … 1, cut to eight bits as ComfyUI does.
    fn new(images: &Tensor, milliseconds: u64) -> Result<Frames> {
        Self::with(images, milliseconds, eight_bits)
    }

    /// From B×H×W×C, C = 3 or 4, values 0 … 1, rounded to eight bits.
    ///
    /// # Errors
    /// If the tensor has another shape, or there is no memory.
    pub fn rounded(images: &Tensor, milliseconds: u64) -> Result<Frames> {
        Self::with(images, milliseconds, rounded_eight_bits)
    }

    fn with(images: &Tensor, milliseconds: u64, bytes: fn(&Tensor) -> Result<Vec<u8>>) -> Result<Frames> {
        let size = images.size();
        let &[count, height, width, channels @ (3 | 4)] = size.as_slice() else {
            bail!("pictures of shape {size:?} cannot be saved: make them RGB or RGBA");
        };
        ensure!(
            count > 0 && width > 0 && height > 0,
            "there is no picture to save: connect one with at least one pixel"
        );
        // The frames, what an encoder makes of them (four bytes a pixel), and the file.
        memory::ask(memory::product(&size, 3), "the animation")?;
        let mut frames: Vec<(Vec<u8>, u64)> = Vec::new();
        for picture in images.unbind(0) {
            let bytes = bytes(&picture)?;
            match frames.last_mut() {
                Some((last, shown)) if *last == bytes => *shown += milliseconds,
                _ => frames.push((bytes, milliseconds)),
            }
        }
        Ok(Frames { width: usize::try_from(width)?, height: usize::try_from(height)?, alpha: channels == 4, frames })
    }
}

/// A batch (B×H×W×C, C = 3 or 4, values 0 … 1) as the bytes of an animated PNG file that loops forever. If all pictures
/// are equal, it is a still. The metadata is in `comf` chunks after the pixels.
///
/// # Errors
/// If the tensor has another shape, or a frame would be shown for more than 65535 seconds.
pub fn png(images: &Tensor, milliseconds: u64, level: u8, metadata: &[(String, Value)]) -> Result<Vec<u8>> {
    const BUG: &str = "the pictures cannot be compressed: this is a bug";
    let Frames { width, height, alpha, frames } = Frames::new(images, milliseconds)?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, u32::try_from(width)?, u32::try_from(height)?);
    encoder.set_color(if alpha { png::ColorType::Rgba } else { png::ColorType::Rgb });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_deflate_compression(png::DeflateCompression::Level(level));
    encoder.set_filter(png::Filter::Adaptive);
    let moving = frames.len() > 1;
    if moving {
        encoder.set_animated(u32::try_from(frames.len())?, 0).context(BUG)?;
    }
    let mut writer = encoder.write_header().context(BUG)?;
    for (pixels, shown) in &frames {
        if moving {
            let (seconds, parts) = delay(*shown)?;
            writer.set_frame_delay(seconds, parts).context(BUG)?;
        }
        writer.write_image_data(pixels).context(BUG)?;
    }
    for (key, value) in metadata {
        let text = format!("{key}\0{}", json::dumps(value));
        writer.write_chunk(png::chunk::ChunkType(*b"comf"), text.as_bytes()).context(BUG)?;
    }
    writer.finish().context(BUG)?;
    Ok(bytes)
}

/// Milliseconds as a reduced fraction of a second.
fn delay(milliseconds: u64) -> Result<(u16, u16)> {
    let (mut divisor, mut rest) = (1000, milliseconds % 1000);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let parts = u16::try_from(1000 / divisor)?;
    let shown = u16::try_from(milliseconds / divisor)
        .with_context(|| format!("a frame cannot be shown for {milliseconds} ms: set a higher fps"))?;
    Ok((shown, parts))
}

/// How a WebP file is compressed.
#[derive(Debug, Clone, Copy)]
pub struct WebpSettings {
    pub lossless: bool,
    /// 0 to 100: the quality of the picture, or in lossless files the effort of compression.
    pub quality: u8,
    /// 0 (fast) to 6 (small files).
    pub method: u8,
}

/// A batch (B×H×W×C, C = 3 or 4, values 0 … 1) as the bytes of an animated WebP file that loops forever; a single
/// picture is a still. The metadata is in its EXIF data.
///
/// # Errors
/// If the tensor has another shape, a side is longer than 16383 pixels, or libwebp cannot encode the pictures.
pub fn webp(
    images: &Tensor,
    milliseconds: u64,
    settings: WebpSettings,
    metadata: &[(String, Value)],
) -> Result<Vec<u8>> {
    let texts = metadata.iter().map(|(key, value)| format!("{key}:{}", json::dumps(value)));
    webp_of(&Frames::new(images, milliseconds)?, settings, 0, &exif(texts))
}

/// Frames as the bytes of an animated WebP file that is played `loops` times, or for ever if that is 0; a single frame is a still.
///
/// # Errors
/// As [`webp`].
pub fn webp_of(frames: &Frames, settings: WebpSettings, loops: u16, exif: &[u8]) -> Result<Vec<u8>> {
    let &Frames { width, height, alpha, ref frames } = frames;
    ensure!(
        width <= MAX_WEBP_SIDE && height <= MAX_WEBP_SIDE,
        "pictures of {width} × {height} pixels do not fit into a webp file: \
         scale them down to {MAX_WEBP_SIDE} a side, or save a png"
    );
    let (wide, high) = (u32::try_from(width)?, u32::try_from(height)?);
    let mut config = WebPConfig::new().map_err(|()| anyhow::anyhow!("libwebp does not start: this is a bug"))?;
    config.lossless = i32::from(settings.lossless);
    config.quality = f32::from(settings.quality);
    config.method = i32::from(settings.method);
    let layout = if alpha { PixelLayout::Rgba } else { PixelLayout::Rgb };
    let bytes = if let [(pixels, _)] = frames.as_slice() {
        let encoded = Encoder::new(pixels, layout, wide, high).encode_advanced(&config);
        encoded.map_err(|error| anyhow::anyhow!("the picture cannot be compressed ({error:?}): save a png"))?.to_vec()
    } else {
        let mut encoder = AnimEncoder::new(wide, high, &config);
        encoder.set_loop_count(i32::from(loops));
        let mut start = 0;
        for (pixels, shown) in frames {
            let place = i32::try_from(start).context("the animation is too long: set a higher fps")?;
            encoder.add_frame(AnimFrame::new(pixels, layout, wide, high, place, None));
            start += shown;
        }
        let encoded = encoder.try_encode();
        encoded.map_err(|error| anyhow::anyhow!("the pictures cannot be compressed ({error:?}): save a png"))?.to_vec()
    };
    with_exif(bytes, (width, height), alpha, exif)
}

/// EXIF data with the given texts, of which the first is the camera's model. Empty if there are no texts.
fn exif(texts: impl Iterator<Item = String>) -> Vec<u8> {
    let tags = std::iter::once(MODEL).chain((0..=MAKE).rev());
    let mut entries: Vec<(u16, String)> = tags.zip(texts.map(|text| text + "\0")).collect();
    if entries.is_empty() {
        return Vec::new();
    }
    entries.sort();
    let mut directory = Vec::from(*b"II*\0\x08\0\0\0");
    directory.extend((entries.len() as u16).to_le_bytes());
    // After the header, the entries of 12 bytes each, and the offset of the next directory.
    let mut place = 8 + 2 + 12 * entries.len() + 4;
    for (tag, text) in &entries {
        directory.extend(tag.to_le_bytes());
        directory.extend([2, 0]);
        directory.extend((text.len() as u32).to_le_bytes());
        directory.extend((place as u32).to_le_bytes());
        place += text.len();
    }
    directory.extend([0; 4]);
    entries.iter().for_each(|(_, text)| directory.extend(text.as_bytes()));
    directory
}

/// Appends an EXIF chunk to a WebP file. The extended header that announces it is added if it is missing.
fn with_exif(webp: Vec<u8>, (width, height): (usize, usize), alpha: bool, exif: &[u8]) -> Result<Vec<u8>> {
    const HAS_EXIF: u8 = 0x08;
    const HAS_ALPHA: u8 = 0x10;
    if exif.is_empty() {
        return Ok(webp);
    }
    let mut chunks = webp.get(12..).context("libwebp wrote no file: this is a bug")?.to_vec();
    if chunks.starts_with(b"VP8X") {
        chunks[8] |= HAS_EXIF;
    } else {
        let flags = if alpha { HAS_EXIF | HAS_ALPHA } else { HAS_EXIF };
        let side = |length: usize| ((length - 1) as u32).to_le_bytes();
        let header = [&b"VP8X\x0A\0\0\0"[..], &[flags, 0, 0, 0], &side(width)[..3], &side(height)[..3]].concat();
        chunks.splice(0..0, header);
    }
    chunks.extend(b"EXIF");
    chunks.extend((exif.len() as u32).to_le_bytes());
    chunks.extend(exif);
    if exif.len() % 2 == 1 {
        chunks.push(0);
    }
    let size =
        u32::try_from(chunks.len() + 4).context("the webp file would be larger than 4 GiB: save fewer frames")?;
    Ok([&b"RIFF"[..], &size.to_le_bytes(), b"WEBP", &chunks].concat())
}

#[cfg(test)]
#[path = "animation_tests.rs"]
mod tests;
