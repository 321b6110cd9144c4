//! PNG and animated PNG, with Pillow's meaning of each colour type.

use std::io::{Cursor, ErrorKind};

use anyhow::{Context, Result, bail, ensure};
use png::{BitDepth, BlendOp, ColorType, DisposeOp, FrameControl, Transformations};

use super::frame::{Budget, Frame};
use super::orientation::OrientationSources;

/// What one byte (or several) of a raster stands for. Animated pictures are composed in this form, because Pillow
/// composes palette pictures by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Grey,
    /// Two bytes, most significant first.
    Grey16,
    GreyAlpha,
    Rgb,
    Rgba,
    Palette,
}

impl Mode {
    fn bytes(self) -> usize {
        match self {
            Mode::Grey | Mode::Palette => 1,
            Mode::Grey16 | Mode::GreyAlpha => 2,
            Mode::Rgb => 3,
            Mode::Rgba => 4,
        }
    }
}

/// What the header says about every frame.
struct Layout {
    width: usize,
    height: usize,
    mode: Mode,
    color: ColorType,
    depth: BitDepth,
    palette: Vec<u8>,
    transparency: Option<Vec<u8>>,
}

/// All frames of a PNG file, composed.
///
/// # Errors
/// If the file is damaged, or larger than `budget` allows.
pub(super) fn frames(bytes: &[u8], budget: &mut Budget) -> Result<(Vec<Frame>, OrientationSources)> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().context("is not a readable png file: export it again")?;
    budget.take(header.width, header.height)?;
    let mut reader = decoder.read_info().context("is a damaged png file: export it again")?;
    let layout = layout(reader.info())?;
    let mut canvas = Canvas::new(&layout);
    let mut frames = Vec::new();
    let count = frame_count(reader.info());
    let mut buffer = vec![0; reader.output_buffer_size().context("is too large to be held in memory: scale it down")?];
    for number in 0..count {
        if number > 0 {
            budget.take(layout.width as u64, layout.height as u64)?;
        }
        let (width, height, line, cut) = if count == 1 && !reader.info().interlaced {
            let (cut, line) = rows(&mut reader, &mut buffer, layout.height)?;
            (layout.width, layout.height, line, cut)
        } else {
            let output = reader.next_frame(&mut buffer).context(DAMAGED)?;
            (output.width as usize, output.height as usize, output.line_size, false)
        };
        let control = reader.info().frame_control;
        let pixels = unpack(&layout, &buffer, line, width, height);
        canvas.draw(StoredFrame { pixels, width, height, control });
        frames.push(Frame { cut, ..layout.frame(&canvas.now) });
    }
    // Metadata may follow the pixels. Errors there are ignored.
    let _ = reader.finish();
    Ok((frames, orientation_sources(reader.info())))
}

const DAMAGED: &str = "is a damaged or truncated png file: export it again";

/// Reads a still picture row by row into the buffer, which holds zeros: as in Pillow, what is missing of a truncated file stays 0, and
/// what would follow the last row is not missed. Also gives the length of a row.
///
/// # Errors
/// If the file is damaged, or ends before the first row does.
fn rows(reader: &mut png::Reader<Cursor<&[u8]>>, buffer: &mut [u8], height: usize) -> Result<(bool, usize)> {
    let line = buffer.len() / height.max(1);
    for (number, place) in buffer.chunks_exact_mut(line.max(1)).take(height).enumerate() {
        match reader.next_row() {
            Ok(Some(row)) => place.copy_from_slice(row.data()),
            Ok(None) => bail!(DAMAGED),
            Err(png::DecodingError::IoError(error)) if number > 0 && error.kind() == ErrorKind::UnexpectedEof => {
                return Ok((true, line));
            }
            Err(error) => return Err(error).context(DAMAGED),
        }
    }
    Ok((false, line))
}

fn frame_count(info: &png::Info) -> u32 {
    // A default image comes first, also if it is not part of the animation.
    info.animation_control.map_or(1, |control| control.num_frames.max(1) + u32::from(info.frame_control.is_none()))
}

fn layout(info: &png::Info) -> Result<Layout> {
    let mode = match (info.color_type, info.bit_depth) {
        (ColorType::Grayscale, BitDepth::Sixteen) => Mode::Grey16,
        (ColorType::Grayscale, _) => Mode::Grey,
        (ColorType::GrayscaleAlpha, _) => Mode::GreyAlpha,
        (ColorType::Rgb, _) => Mode::Rgb,
        (ColorType::Rgba, _) => Mode::Rgba,
        (ColorType::Indexed, _) => Mode::Palette,
    };
    let palette = info.palette.as_deref().unwrap_or_default().to_vec();
    ensure!(mode != Mode::Palette || !palette.is_empty(), "is a png file without its palette: export it again");
    Ok(Layout {
        width: info.width as usize,
        height: info.height as usize,
        mode,
        color: info.color_type,
        depth: info.bit_depth,
        palette,
        transparency: info.trns.as_deref().map(<[u8]>::to_vec),
    })
}

/// A frame's packed rows as one raster in the layout's mode.
fn unpack(layout: &Layout, packed: &[u8], line: usize, width: usize, height: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(width * height * layout.mode.bytes());
    for row in packed.chunks(line.max(1)).take(height) {
        match (layout.depth, layout.mode) {
            (BitDepth::Eight, _) | (_, Mode::Grey16) => pixels.extend_from_slice(row),
            // Pillow keeps the upper byte of 16-bit colour.
            (BitDepth::Sixteen, _) => pixels.extend(row.chunks_exact(2).map(|sample| sample[0])),
            (depth, mode) => {
                let bits = depth as usize;
                let largest = (1u8 << bits) - 1;
                let scale = if mode == Mode::Palette { 1 } else { 255 / largest };
                pixels.extend((0..width).map(|x| {
                    let shift = 8 - bits - x * bits % 8;
                    (row[x * bits / 8] >> shift & largest) * scale
                }));
            }
        }
    }
    pixels
}

impl Layout {
    fn palette_alpha(&self, index: u8) -> u8 {
        self.transparency.as_ref().and_then(|t| t.get(usize::from(index))).copied().unwrap_or(255)
    }

    fn palette_rgb(&self, index: u8) -> [u8; 3] {
        let at = usize::from(index) * 3;
        // An index beyond the palette is black, as in Pillow.
        self.palette.get(at..at + 3).map_or([0; 3], |c| [c[0], c[1], c[2]])
    }

    /// The transparent colour of a picture without alpha channel or palette, in Pillow's reading: the low byte of the
    /// file's number is compared with the picture's 8-bit samples, whatever the file's own depth.
    fn colour_key(&self) -> Option<Vec<u8>> {
        let bytes = self.transparency.as_deref()?;
        // The png crate has cut the numbers to one byte already unless the file has sixteen bits.
        let step = if self.depth == BitDepth::Sixteen { 2 } else { 1 };
        let low: Vec<u8> = bytes.chunks_exact(step).map(|number| number[step - 1]).collect();
        match self.color {
            ColorType::Grayscale if self.depth == BitDepth::One => {
                low.first().map(|&value| vec![if value > 0 { 255 } else { 0 }])
            }
            ColorType::Grayscale if !low.is_empty() => Some(vec![low[0]]),
            ColorType::Rgb if low.len() >= 3 => Some(low[..3].to_vec()),
            _ => None,
        }
    }

    fn frame(&self, pixels: &[u8]) -> Frame {
        let (width, height) = (self.width, self.height);
        let mut frame = match self.mode {
            Mode::Grey => Frame::grey(width, height, pixels),
            // Pillow clips 16-bit grey to 0 … 255 instead of scaling it.
            Mode::Grey16 => {
                let clipped: Vec<u8> = pixels.chunks_exact(2).map(|v| if v[0] == 0 { v[1] } else { 255 }).collect();
                Frame::grey(width, height, &clipped)
            }
            Mode::GreyAlpha => {
                let rgba: Vec<u8> = pixels.chunks_exact(2).flat_map(|v| [v[0], v[0], v[0], v[1]]).collect();
                Frame::rgba(width, height, &rgba)
            }
            Mode::Rgb => Frame::opaque(width, height, pixels.to_vec()),
            Mode::Rgba => Frame::rgba(width, height, pixels),
            Mode::Palette => {
                Frame::opaque(width, height, pixels.iter().flat_map(|&index| self.palette_rgb(index)).collect())
            }
        };
        if self.mode == Mode::Palette && self.transparency.is_some() {
            frame.alpha = Some(pixels.iter().map(|&index| self.palette_alpha(index)).collect());
        } else if let Some(key) = self.colour_key() {
            frame.alpha = Some(frame.rgb.chunks_exact(3).map(|pixel| key_alpha(&key, pixel)).collect());
            frame.alpha_is_colour_key = true;
        }
        frame
    }

    /// How much of a pixel of an overlaid frame covers what was there.
    fn coverage(&self, pixel: &[u8], key: Option<&[u8]>) -> u8 {
        match (self.mode, key) {
            (Mode::GreyAlpha, _) => pixel[1],
            (Mode::Rgba, _) => pixel[3],
            (Mode::Palette, _) => self.palette_alpha(pixel[0]),
            (Mode::Rgb, Some(key)) => key_alpha(key, pixel),
            _ => 255,
        }
    }
}

/// 0 for the transparent colour (one grey or three channels), 255 for any other.
fn key_alpha(key: &[u8], pixel: &[u8]) -> u8 {
    if key.iter().zip(pixel).all(|(k, v)| k == v) { 0 } else { 255 }
}

/// One frame as the file holds it.
struct StoredFrame {
    pixels: Vec<u8>,
    width: usize,
    height: usize,
    control: Option<FrameControl>,
}

#[derive(Clone, Copy)]
struct Region {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

/// The picture while frames are laid over it, with Pillow's rules for disposal and blending.
struct Canvas<'a> {
    layout: &'a Layout,
    now: Vec<u8>,
    /// The canvas that "restore to previous" restores. Missing before the second frame.
    previous: Option<Vec<u8>>,
    dispose: Option<(DisposeOp, Region)>,
}

impl<'a> Canvas<'a> {
    fn new(layout: &'a Layout) -> Canvas<'a> {
        let now = vec![0; layout.width * layout.height * layout.mode.bytes()];
        Canvas { layout, now, previous: None, dispose: None }
    }

    fn draw(&mut self, stored: StoredFrame) {
        let first = self.dispose.is_none();
        match self.dispose {
            Some((DisposeOp::Background, region)) => self.fill(region, None),
            Some((DisposeOp::Previous, region)) => {
                let previous = self.previous.take();
                self.fill(region, previous.as_deref());
            }
            _ => {}
        }
        if !first {
            self.previous = Some(self.now.clone());
        }
        let region = stored.control.map_or(Region { x: 0, y: 0, width: stored.width, height: stored.height }, |c| {
            Region { x: c.x_offset as usize, y: c.y_offset as usize, width: stored.width, height: stored.height }
        });
        let over = self.previous.is_some() && stored.control.is_some_and(|c| c.blend_op == BlendOp::Over);
        self.lay(&stored.pixels, region, over);
        if over {
            // Pillow draws into its saved copy here, so nothing older is left to be restored.
            self.previous = Some(self.now.clone());
        }
        let op = stored.control.map_or(DisposeOp::None, |c| c.dispose_op);
        let op = if op == DisposeOp::Previous && self.previous.is_none() { DisposeOp::Background } else { op };
        self.dispose = Some((op, region));
    }

    /// Puts `source`'s pixels (or zeros) back in a region.
    fn fill(&mut self, region: Region, source: Option<&[u8]>) {
        let bytes = self.layout.mode.bytes();
        for y in region.y..region.y + region.height {
            let start = (y * self.layout.width + region.x) * bytes;
            let range = start..start + region.width * bytes;
            match source {
                Some(source) => self.now[range.clone()].copy_from_slice(&source[range]),
                None => self.now[range].fill(0),
            }
        }
    }

    fn lay(&mut self, pixels: &[u8], region: Region, over: bool) {
        let bytes = self.layout.mode.bytes();
        let key = self.layout.colour_key();
        for (row, y) in pixels.chunks_exact(region.width * bytes).zip(region.y..) {
            for (new, x) in row.chunks_exact(bytes).zip(region.x..) {
                let at = (y * self.layout.width + x) * bytes;
                let coverage = if over { self.layout.coverage(new, key.as_deref()) } else { 255 };
                for (old, &new) in self.now[at..at + bytes].iter_mut().zip(new) {
                    *old = blend(*old, new, coverage);
                }
            }
        }
    }
}

/// `new` over `old` in 8-bit arithmetic, rounded to nearest.
fn blend(old: u8, new: u8, coverage: u8) -> u8 {
    let sum = u32::from(old) * u32::from(255 - coverage) + u32::from(new) * u32::from(coverage) + 128;
    ((sum + (sum >> 8)) >> 8) as u8
}

/// The names of the texts that may hold an orientation.
const EXIF_PROFILE: &str = "Raw profile type exif";
const XMP: &str = "XML:com.adobe.xmp";
/// The longest such text that is read, in bytes.
const MAX_TEXT: usize = 4 << 20;

fn orientation_sources(info: &png::Info) -> OrientationSources {
    let wanted = |keyword: &str| [EXIF_PROFILE, XMP].contains(&keyword);
    let latin1 = info.uncompressed_latin1_text.iter().filter(|chunk| wanted(&chunk.keyword));
    let latin1 = latin1.map(|chunk| (chunk.keyword.as_str(), Some(chunk.text.clone())));
    // A kilobyte may inflate to a megabyte and more.
    let compressed = info.compressed_latin1_text.iter().filter(|chunk| wanted(&chunk.keyword)).map(|chunk| {
        let mut inflated = chunk.clone();
        let text = inflated.decompress_text_with_limit(MAX_TEXT).and_then(|()| inflated.get_text());
        (chunk.keyword.as_str(), text.ok())
    });
    let utf8 = info.utf8_text.iter().filter(|chunk| wanted(&chunk.keyword)).map(|chunk| {
        let mut inflated = chunk.clone();
        let text = inflated.decompress_text_with_limit(MAX_TEXT).and_then(|()| inflated.get_text());
        (chunk.keyword.as_str(), text.ok())
    });
    let mut sources =
        OrientationSources { exif: info.exif_metadata.as_deref().map(<[u8]>::to_vec), ..Default::default() };
    for (keyword, text) in latin1.chain(compressed).chain(utf8) {
        let Some(text) = text else { continue };
        match keyword {
            EXIF_PROFILE if sources.exif.is_none() => sources.exif = raw_profile(&text).ok(),
            XMP => sources.xmp = Some(text.into_bytes()),
            _ => {}
        }
    }
    sources
}

/// ImageMagick's text form of a profile: a name, a length, then hexadecimal digits in lines.
fn raw_profile(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<u8> =
        text.trim_start().lines().skip(2).flat_map(str::bytes).filter(u8::is_ascii_hexdigit).collect();
    if digits.is_empty() {
        bail!("no profile data");
    }
    let hex = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
    Ok(digits.chunks_exact(2).map(|pair| hex(pair[0]) << 4 | hex(pair[1])).collect())
}
