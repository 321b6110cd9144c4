//! GIF, still and animated, by Pillow's rules: the first frame keeps its palette, later frames are drawn over it in
//! RGB, and a file without colours stays grey.

use std::borrow::Cow;
use std::io::Cursor;

use anyhow::{Context, Result, bail};
use gif::DisposalMethod;
use redraft_engine::memory;

use super::frame::{Budget, Frame};

/// All frames of a GIF file, composed.
///
/// # Errors
/// If the file is damaged, or larger than `budget` allows.
pub(super) fn frames(bytes: &[u8], budget: &mut Budget) -> Result<Vec<Frame>> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    options.set_memory_limit(gif::MemoryLimit::Bytes(
        std::num::NonZeroU64::new(super::frame::MAX_PIXELS).context("the limit on pictures is zero")?,
    ));
    // Both may copy it.
    memory::ask(2 * bytes.len(), "the picture")?;
    let bytes = with_end(with_palette(bytes));
    let mut decoder = options.read_info(Cursor::new(&*bytes)).context("is not a readable gif file: export it again")?;
    let global = decoder.global_palette().and_then(colours);
    let background = decoder.bg_color().and_then(|index| u8::try_from(index).ok()).unwrap_or(0);
    let mut canvas = Canvas::new(decoder.width().into(), decoder.height().into(), background);
    let mut frames = Vec::new();
    loop {
        let info = match decoder.next_frame_info() {
            Ok(Some(info)) => info,
            Ok(None) => break,
            Err(error) => return Err(error).context("is a damaged gif file: export it again"),
        };
        let region = Region::of(info);
        let (width, height) = canvas.size_with(&region);
        budget.take(width as u64, height as u64)?;
        let frame = decoder.current_frame_info().context("is a damaged gif file: export it again")?;
        let local = frame.palette.as_deref().map(colours);
        let drawing = Drawing {
            region,
            palette: local.unwrap_or_else(|| global.clone()),
            transparent: frame.transparent,
            disposal: frame.dispose,
            indices: Vec::new(),
        };
        let mut indices = vec![0; decoder.buffer_size()];
        decoder.read_into_buffer(&mut indices).context("is a damaged or truncated gif file: export it again")?;
        canvas.draw(Drawing { indices, ..drawing })?;
        frames.push(canvas.frame());
    }
    if frames.is_empty() {
        bail!("is a gif file without a picture in it: export it again");
    }
    Ok(frames)
}

/// The file, with the end marker that some lack. In the middle of a frame it is taken for data, and the file is still too short.
fn with_end(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    const END: u8 = 0x3b;
    match bytes.last() {
        Some(&END) => bytes,
        _ => Cow::Owned([&*bytes, &[END]].concat()),
    }
}

/// The file, with a global palette of greys inserted if it has no palette. Pillow reads such a picture as grey; the gif
/// crate would refuse it.
fn with_palette(bytes: &[u8]) -> Cow<'_, [u8]> {
    const SCREEN_DESCRIPTOR_END: usize = 13;
    match bytes.get(10) {
        Some(flags) if flags & 0x80 == 0 && bytes.len() >= SCREEN_DESCRIPTOR_END => {
            let (head, rest) = bytes.split_at(SCREEN_DESCRIPTOR_END);
            let mut file = [head, rest].concat();
            file[10] = flags & !7 | 0x87;
            // Without a palette the background colour has no meaning.
            file[11] = 0;
            file.splice(SCREEN_DESCRIPTOR_END..SCREEN_DESCRIPTOR_END, (0..=255).flat_map(|v| [v; 3]));
            Cow::Owned(file)
        }
        _ => Cow::Borrowed(bytes),
    }
}

/// The palette, or nothing if it is the ramp of greys (index = value), which Pillow reads as a grey picture.
fn colours(palette: &[u8]) -> Option<Vec<u8>> {
    let ramp = palette.chunks_exact(3).enumerate().all(|(i, c)| c.iter().all(|&v| usize::from(v) == i));
    (!ramp).then(|| palette.to_vec())
}

#[derive(Clone, Copy)]
struct Region {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Region {
    fn of(frame: &gif::Frame) -> Region {
        Region { x: frame.left.into(), y: frame.top.into(), width: frame.width.into(), height: frame.height.into() }
    }
}

/// One frame as the file holds it. `palette` is missing for greys.
struct Drawing {
    region: Region,
    palette: Option<Vec<u8>>,
    transparent: Option<u8>,
    disposal: DisposalMethod,
    indices: Vec<u8>,
}

impl Drawing {
    fn colour(&self, index: u8) -> [u8; 3] {
        palette_colour(self.palette.as_deref(), index)
    }

    /// The colour with which a region is cleared. An index beyond the palette counts as index 0 here.
    fn clearing_colour(&self, index: u8) -> [u8; 3] {
        let beyond = self.palette.as_ref().is_some_and(|p| usize::from(index) * 3 + 3 > p.len());
        self.colour(if beyond { 0 } else { index })
    }
}

/// The mode of the canvas: indices into the first frame's palette, greys, or RGB.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Palette,
    Grey,
    Rgb,
    Rgba,
}

/// How a frame is removed before the next one is drawn.
enum Undo {
    Index(u8),
    Colour([u8; 4]),
    /// The earlier content of the region, row by row.
    Saved(Vec<[u8; 4]>),
}

/// The picture while frames are laid over it. A pixel is four bytes, of which only the first is used in the index
/// modes.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 4]>,
    mode: Mode,
    palette: Option<Vec<u8>>,
    /// The first frame's transparent index, for as long as the canvas holds indices.
    transparent: Option<u8>,
    background: u8,
    /// The disposal method, which stays in force until a frame names another one.
    disposal: DisposalMethod,
    undo: Option<(Undo, Region)>,
    started: bool,
}

impl Canvas {
    fn new(width: usize, height: usize, background: u8) -> Canvas {
        Canvas {
            width,
            height,
            pixels: Vec::new(),
            mode: Mode::Grey,
            palette: None,
            transparent: None,
            background,
            disposal: DisposalMethod::Any,
            undo: None,
            started: false,
        }
    }

    /// The size of the canvas with a frame that may reach beyond it.
    fn size_with(&self, region: &Region) -> (usize, usize) {
        (self.width.max(region.x + region.width), self.height.max(region.y + region.height))
    }

    fn draw(&mut self, drawing: Drawing) -> Result<()> {
        if drawing.disposal != DisposalMethod::Any {
            self.disposal = drawing.disposal;
        }
        if let Some((undo, region)) = self.undo.take() {
            self.restore(&undo, region);
        }
        if !self.started {
            return self.draw_first(drawing);
        }
        self.turn_to_colour();
        self.undo = self.undo_of(&drawing).map(|undo| (undo, drawing.region));
        self.grow(&drawing);
        if self.mode == Mode::Grey && drawing.palette.is_some() {
            bail!("is a gif file that turns from grey to colour between frames: export it as an animated webp");
        }
        let grey = self.mode == Mode::Grey;
        self.lay(&drawing.indices, drawing.region, |index| match drawing.transparent {
            Some(transparent) if transparent == index => None,
            _ if grey => Some([index, 0, 0, 255]),
            _ => Some(opaque(drawing.colour(index))),
        });
        Ok(())
    }

    fn draw_first(&mut self, drawing: Drawing) -> Result<()> {
        self.started = true;
        (self.width, self.height) = self.size_with(&drawing.region);
        self.undo = match self.disposal {
            DisposalMethod::Background => Some(Undo::Index(drawing.transparent.unwrap_or(self.background))),
            DisposalMethod::Previous => drawing.transparent.map(Undo::Index),
            _ => None,
        }
        .map(|undo| (undo, drawing.region));
        self.mode = if drawing.palette.is_some() { Mode::Palette } else { Mode::Grey };
        self.transparent = drawing.transparent;
        self.pixels = vec![[drawing.transparent.unwrap_or(0), 0, 0, 255]; self.width * self.height];
        self.lay(&drawing.indices, drawing.region, |index| Some([index, 0, 0, 255]));
        self.palette = drawing.palette;
        Ok(())
    }

    /// Converts indices to RGB, which happens when a second frame is drawn.
    fn turn_to_colour(&mut self) {
        if self.mode != Mode::Palette {
            return;
        }
        for pixel in &mut self.pixels {
            let index = pixel[0];
            *pixel = opaque(palette_colour(self.palette.as_deref(), index));
            if self.transparent == Some(index) {
                pixel[3] = 0;
            }
        }
        self.mode = if self.transparent.take().is_some() { Mode::Rgba } else { Mode::Rgb };
    }

    fn undo_of(&self, drawing: &Drawing) -> Option<Undo> {
        let transparent = self.transparent.or(drawing.transparent);
        match (self.disposal, self.mode) {
            (DisposalMethod::Background, Mode::Grey) => Some(Undo::Index(transparent.unwrap_or(self.background))),
            (DisposalMethod::Background, _) => Some(Undo::Colour(match transparent {
                Some(index) => clear(drawing.clearing_colour(index)),
                None => opaque(drawing.clearing_colour(self.background)),
            })),
            (DisposalMethod::Previous, _) => Some(Undo::Saved(self.saved(drawing.region))),
            _ => None,
        }
    }

    /// The content of a region. Beyond the canvas it is black and transparent.
    fn saved(&self, region: Region) -> Vec<[u8; 4]> {
        let mut saved = Vec::with_capacity(region.width * region.height);
        for y in region.y..region.y + region.height {
            for x in region.x..region.x + region.width {
                let inside = x < self.width && y < self.height;
                saved.push(if inside { self.pixels[y * self.width + x] } else { [0; 4] });
            }
        }
        saved
    }

    fn restore(&mut self, undo: &Undo, region: Region) {
        for row in 0..region.height.min(self.height.saturating_sub(region.y)) {
            for column in 0..region.width.min(self.width.saturating_sub(region.x)) {
                let at = (region.y + row) * self.width + region.x + column;
                self.pixels[at] = match undo {
                    Undo::Index(index) => [*index, 0, 0, 255],
                    Undo::Colour(colour) => *colour,
                    Undo::Saved(saved) => saved[row * region.width + column],
                };
            }
        }
    }

    /// Enlarges the canvas for a frame that reaches beyond it. The new part is filled as in Pillow.
    fn grow(&mut self, drawing: &Drawing) {
        let (width, height) = self.size_with(&drawing.region);
        if (width, height) == (self.width, self.height) {
            return;
        }
        let filling = match self.mode {
            Mode::Grey => [0, 0, 0, 255],
            _ if drawing.transparent.is_some() => [0; 4],
            _ => opaque(drawing.colour(0)),
        };
        let mut pixels = vec![filling; width * height];
        for (old, new) in self.pixels.chunks_exact(self.width.max(1)).zip(pixels.chunks_exact_mut(width)) {
            new[..self.width].copy_from_slice(old);
        }
        (self.width, self.height, self.pixels) = (width, height, pixels);
    }

    fn lay(&mut self, indices: &[u8], region: Region, pixel: impl Fn(u8) -> Option<[u8; 4]>) {
        for (row, y) in indices.chunks_exact(region.width.max(1)).zip(region.y..) {
            for (&index, x) in row.iter().zip(region.x..) {
                if let Some(new) = pixel(index) {
                    self.pixels[y * self.width + x] = new;
                }
            }
        }
    }

    fn frame(&self) -> Frame {
        let (width, height) = (self.width, self.height);
        let first: Vec<u8> = self.pixels.iter().map(|p| p[0]).collect();
        let mut frame = match self.mode {
            Mode::Rgba => return Frame::rgba(width, height, self.pixels.as_flattened()),
            Mode::Rgb => {
                let rgb = self.pixels.iter().flat_map(|p| [p[0], p[1], p[2]]).collect();
                return Frame::opaque(width, height, rgb);
            }
            Mode::Grey => Frame::grey(width, height, &first),
            Mode::Palette => {
                let colour = |&index: &u8| palette_colour(self.palette.as_deref(), index);
                Frame::opaque(width, height, first.iter().flat_map(colour).collect())
            }
        };
        if let Some(transparent) = self.transparent {
            frame.alpha = Some(first.iter().map(|&index| if index == transparent { 0 } else { 255 }).collect());
            frame.alpha_is_colour_key = self.mode == Mode::Grey;
        }
        frame
    }
}

/// A colour of a palette. Beyond its end it is black; without a palette it is the grey of that value.
fn palette_colour(palette: Option<&[u8]>, index: u8) -> [u8; 3] {
    let at = usize::from(index) * 3;
    match palette {
        Some(palette) => palette.get(at..at + 3).map_or([0; 3], |c| [c[0], c[1], c[2]]),
        None => [index; 3],
    }
}

fn opaque([r, g, b]: [u8; 3]) -> [u8; 4] {
    [r, g, b, 255]
}

fn clear([r, g, b]: [u8; 3]) -> [u8; 4] {
    [r, g, b, 0]
}
