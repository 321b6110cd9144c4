//! WebP, still and animated. The `image` crate decodes each frame. Frames are composed here, because the crate's
//! blending is off by one where an opaque pixel covers another.

use std::io::Cursor;

use anyhow::{Context, Result, ensure};
use image::codecs::webp::WebPDecoder;
use image::{DynamicImage, ImageDecoder};

use super::frame::{Budget, Frame};
use super::orientation::OrientationSources;
use super::stills::{eight_bits, limits};

const DAMAGED: &str = "is a damaged or truncated webp file: export it again";

/// All frames of a WebP file, composed over a transparent canvas as libwebp does, whatever background it names.
///
/// # Errors
/// If the file is damaged, or larger than `budget` allows.
pub(super) fn frames(bytes: &[u8], budget: &mut Budget) -> Result<(Vec<Frame>, OrientationSources)> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).context("is not a readable webp file: export it again")?;
    let (width, height) = decoder.dimensions();
    budget.take(width, height)?;
    decoder.set_limits(limits()).context(DAMAGED)?;
    let metadata =
        OrientationSources { exif: decoder.exif_metadata().ok().flatten(), xmp: decoder.xmp_metadata().ok().flatten() };
    if !decoder.has_animation() {
        return Ok((vec![eight_bits(DynamicImage::from_decoder(decoder).context(DAMAGED)?)?], metadata));
    }
    let has_alpha = decoder.color_type().has_alpha();
    let mut canvas = Canvas::new(width as usize, height as usize);
    let mut frames: Vec<Frame> = Vec::new();
    // A frame that is missing at the end would go unseen.
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
    ensure!(length.is_some_and(|length| length as usize + 8 <= bytes.len()), DAMAGED);
    for (_, content) in chunks(&bytes[12..]).filter(|(name, _)| *name == b"ANMF") {
        if !frames.is_empty() {
            budget.take(width, height)?;
        }
        canvas.draw(StoredFrame::read(content, &canvas)?);
        let mut frame = Frame::rgba(canvas.width, canvas.height, canvas.pixels.as_flattened());
        if !has_alpha {
            frame.alpha = None;
        }
        frames.push(frame);
    }
    ensure!(!frames.is_empty(), "is a webp file without a picture in it: export it again");
    Ok((frames, metadata))
}

/// The chunks in a part of a RIFF file. An incomplete chunk at the end is left out.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, rest) = bytes.split_first_chunk::<4>()?;
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let size = u32::from_le_bytes(*size) as usize;
        let content = rest.get(..size)?;
        bytes = rest.get(size + size % 2..).unwrap_or_default();
        Some((name, content))
    })
}

#[derive(Clone, Copy)]
struct Region {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Region {
    fn contains(&self, x: usize, y: usize) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }
}

/// One frame as the file holds it.
struct StoredFrame {
    region: Region,
    has_alpha: bool,
    blends: bool,
    clears_afterwards: bool,
    pixels: Vec<u8>,
}

impl StoredFrame {
    fn read(content: &[u8], canvas: &Canvas) -> Result<StoredFrame> {
        let (head, picture) = content.split_at_checked(16).context(DAMAGED)?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], 0]) as usize;
        let region = Region { x: number(0) * 2, y: number(3) * 2, width: number(6) + 1, height: number(9) + 1 };
        let fits = region.x + region.width <= canvas.width && region.y + region.height <= canvas.height;
        ensure!(fits, "is a webp file with a frame beyond its edges: export it again");
        let decoder = WebPDecoder::new(Cursor::new(standalone(picture, &head[6..12])?)).context(DAMAGED)?;
        let size = (region.width as u32, region.height as u32);
        ensure!(decoder.dimensions() == size && !decoder.has_animation(), DAMAGED);
        let has_alpha = decoder.color_type().has_alpha();
        let pixels = DynamicImage::from_decoder(decoder).context(DAMAGED)?.into_rgba8().into_raw();
        Ok(StoredFrame { region, has_alpha, blends: head[15] & 2 == 0, clears_afterwards: head[15] & 1 != 0, pixels })
    }
}

/// A frame's picture as a WebP file of its own. `size`: width and height less one, three bytes each.
fn standalone(picture: &[u8], size: &[u8]) -> Result<Vec<u8>> {
    let mut body = b"WEBP".to_vec();
    let mut append = |name: &[u8; 4], content: &[u8]| {
        body.extend_from_slice(name);
        body.extend_from_slice(&(content.len() as u32).to_le_bytes());
        body.extend_from_slice(content);
        body.resize(body.len().next_multiple_of(2), 0);
    };
    let parts: Vec<_> =
        chunks(picture).filter(|(name, _)| matches!(*name, b"ALPH" | b"VP8 " | b"VP8L")).take(2).collect();
    if parts.first().is_some_and(|(name, _)| *name == b"ALPH") {
        const HAS_ALPHA: u8 = 0x10;
        append(b"VP8X", &[&[HAS_ALPHA, 0, 0, 0], size].concat());
    }
    for (name, content) in &parts {
        append(name, content);
    }
    ensure!(!parts.is_empty(), DAMAGED);
    Ok([b"RIFF".as_slice(), &u32::try_from(body.len())?.to_le_bytes(), &body].concat())
}

/// The picture while frames are laid over it.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 4]>,
    /// The previous frame: its region, whether it is cleared before the next, and whether it was independent of earlier
    /// frames.
    previous: Option<(Region, bool, bool)>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, pixels: vec![[0; 4]; width * height], previous: None }
    }

    fn covers_all(&self, region: Region) -> bool {
        region.width == self.width && region.height == self.height
    }

    fn draw(&mut self, stored: StoredFrame) {
        let cleared = self.previous.and_then(|(region, clears, _)| clears.then_some(region));
        // A frame that is independent of earlier ones starts on an empty canvas, and is not blended.
        let independent = match self.previous {
            None => true,
            _ if (!stored.blends || !stored.has_alpha) && self.covers_all(stored.region) => true,
            Some((region, clears, independent)) => clears && (self.covers_all(region) || independent),
        };
        if independent {
            self.pixels.fill([0; 4]);
        } else if let Some(region) = cleared {
            for y in region.y..region.y + region.height {
                self.pixels[y * self.width + region.x..][..region.width].fill([0; 4]);
            }
        }
        let blends = stored.blends && !independent;
        for (at, new) in stored.pixels.chunks_exact(4).enumerate() {
            let (x, y) = (stored.region.x + at % stored.region.width, stored.region.y + at / stored.region.width);
            let old = &mut self.pixels[y * self.width + x];
            let new = [new[0], new[1], new[2], new[3]];
            let onto_cleared = cleared.is_some_and(|region| region.contains(x, y));
            *old = if blends && !onto_cleared { blend(*old, new) } else { new };
        }
        self.previous = Some((stored.region, stored.clears_afterwards, independent));
    }
}

/// `new` over `old` in libwebp's integer arithmetic, which truncates.
fn blend(old: [u8; 4], new: [u8; 4]) -> [u8; 4] {
    match new[3] {
        0 => old,
        255 => new,
        alpha => {
            let alpha = u32::from(alpha);
            let old_share = (u32::from(old[3]) * (256 - alpha)) >> 8;
            let sum = alpha + old_share;
            let scale = (1 << 24) / sum;
            let channel = |c: usize| {
                let weighted = u32::from(new[c]) * alpha + u32::from(old[c]) * old_share;
                ((u64::from(weighted) * u64::from(scale)) >> 24) as u8
            };
            [channel(0), channel(1), channel(2), sum.min(255) as u8]
        }
    }
}
