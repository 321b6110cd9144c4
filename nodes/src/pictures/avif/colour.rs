//! From brightness and colour to red, green and blue, with the arithmetic of libavif 1.4: where it has libyuv do it, in whole numbers, else
//! in floats.

use anyhow::{Result, bail, ensure};

use super::Frame;
use super::av1::{Layout, Planes};
use super::boxes::DAMAGED;

/// How samples stand for colours, in the numbers of ITU-T H.273.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) primaries: u16,
    pub(super) matrix: u16,
    /// Whether samples use all of their range.
    pub(super) full: bool,
}

/// The picture that planes hold.
///
/// # Errors
/// If the opacity does not fit, or samples stand for colours in a way that is not read.
pub(super) fn frame(planes: &Planes, meaning: Meaning, alpha: Option<Planes>, premultiplied: bool) -> Result<Frame> {
    let &Planes { width, height, depth, layout, .. } = planes;
    if let Some(alpha) = &alpha {
        ensure!((alpha.width, alpha.height, alpha.depth) == (width, height, depth), DAMAGED);
    }
    let weights = Weights::of(meaning, layout).filter(|_| layout != Layout::Grey || alpha.is_some());
    let precision = match (weights, depth, layout) {
        (None, ..) => None,
        (_, 10, Layout::Grey) | (_, 8, _) => Some(Precision::Eight),
        (_, 10, _) if alpha.is_some() => Some(Precision::Ten),
        (_, 12, Layout::Quarter) if alpha.is_some() => Some(Precision::TwelveNearest),
        _ => Some(Precision::Eight),
    };
    let mut rgb = match weights.zip(precision) {
        Some((weights, precision)) => whole(planes, weights, precision),
        None => floats(planes, meaning)?,
    };
    let Some(alpha) = alpha else { return Ok(Frame::opaque(width, height, rgb)) };
    // libyuv drops bits, libavif rounds.
    let drops = layout != Layout::Grey && matches!(precision, Some(Precision::Eight | Precision::Ten));
    let alpha = opacity(&alpha, drops);
    if premultiplied {
        rgb.chunks_exact_mut(3).zip(&alpha).for_each(|(pixel, alpha)| divide(pixel, *alpha));
    }
    Ok(Frame { alpha: Some(alpha), ..Frame::opaque(width, height, rgb) })
}

/// What a pixel is made of, in 64ths of a step.
#[derive(Clone, Copy)]
struct Weights {
    /// Of a sample of 16 bits, in 65,536ths.
    brightness: u32,
    offset: i32,
    blue: i32,
    green: (i32, i32),
    red: i32,
}

impl Weights {
    /// Those of libyuv, if it has any for this meaning.
    fn of(meaning: Meaning, layout: Layout) -> Option<Weights> {
        let matrix = match (meaning.matrix, meaning.primaries) {
            (0, _) if layout == Layout::Grey => 6,
            (12, 1 | 2) => 1,
            (12, 5 | 6) => 6,
            (12, 9) => 9,
            (matrix, _) => matrix,
        };
        let (brightness, offset) = match (meaning.full, matrix) {
            (true, _) => (16320, 32),
            (false, 9) => (19003, -1160),
            (false, _) => (18997, -1160),
        };
        let (blue, green, red) = match (meaning.full, matrix) {
            (true, 1) => (119, (12, 30), 101),
            (true, 2 | 5 | 6) => (113, (22, 46), 90),
            (true, 9) => (120, (11, 37), 94),
            (false, 1) => (128, (14, 34), 115),
            (false, 2 | 5 | 6) => (128, (25, 52), 102),
            (false, 9) => (128, (12, 42), 107),
            _ => return None,
        };
        Some(Weights { brightness, offset, blue, green, red })
    }

    /// Red, green and blue of a brightness of 16 bits and colours of 8.
    fn pixel(&self, brightness: u32, u: u16, v: u16) -> [u8; 3] {
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        let y = ((brightness * self.brightness) >> 16) as i32 + self.offset;
        let byte = |value: i32| (value >> 6).clamp(0, 255) as u8;
        [byte(y + v * self.red), byte(y - (u * self.green.0 + v * self.green.1)), byte(y + u * self.blue)]
    }
}

/// How samples of more than eight bits are brought down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precision {
    /// To eight bits before anything else.
    Eight,
    /// Ten bits, colours once they are as dense as pixels.
    Ten,
    /// Twelve bits, each pixel with the colour next to it.
    TwelveNearest,
}

fn whole(planes: &Planes, weights: Weights, precision: Precision) -> Vec<u8> {
    let bits = if precision == Precision::Eight { planes.depth - 8 } else { 0 };
    // What is left of colours once they are spread.
    let rest = planes.depth - bits - 8;
    let brightness = |sample: u16| match precision {
        Precision::Eight => u32::from((sample >> bits).min(255)) * 0x101,
        Precision::Ten => u32::from((sample << 6) | (sample >> 4)),
        Precision::TwelveNearest => u32::from((sample << 4) | (sample >> 8)),
    };
    let mut rgb = Vec::with_capacity(planes.samples[0].len() * 3);
    let (mut u, mut v) = (vec![128; planes.width], vec![128; planes.width]);
    for (number, row) in planes.samples[0].chunks_exact(planes.width).enumerate() {
        if planes.layout != Layout::Grey {
            for (plane, spread) in [(1, &mut u), (2, &mut v)] {
                let rows = Rows::at(planes, plane, number);
                let at = |x: usize| {
                    let sample =
                        if precision == Precision::TwelveNearest { rows.nearest(x) } else { rows.smooth(x, bits) };
                    (sample >> rest).min(255)
                };
                spread.iter_mut().enumerate().for_each(|(x, spread)| *spread = at(x));
            }
        }
        rgb.extend(row.iter().zip(u.iter().zip(&v)).flat_map(|(y, (u, v))| weights.pixel(brightness(*y), *u, *v)));
    }
    rgb
}

/// The rows of a plane of colour that a row of pixels lies at.
struct Rows<'a> {
    layout: Layout,
    /// How many pixels there are.
    width: usize,
    near: &'a [u16],
    far: &'a [u16],
}

impl<'a> Rows<'a> {
    /// Those of the row of pixels `number`.
    fn at(planes: &'a Planes, plane: usize, number: usize) -> Rows<'a> {
        let (wide, high) = planes.layout.chroma(planes.width, planes.height);
        let row = |at: usize| &planes.samples[plane][at * wide..][..wide];
        let (near, far) = match planes.layout {
            Layout::Quarter => (number / 2, beside(number, high)),
            _ => (number, number),
        };
        Rows { layout: planes.layout, width: planes.width, near: row(near), far: row(far) }
    }

    fn nearest(&self, x: usize) -> u16 {
        self.near[if self.layout == Layout::Full { x } else { x / 2 }]
    }

    /// The four samples around a pixel, the nearest first; then that beside it, that above or below it, and the last.
    fn around(&self, x: usize) -> [u16; 4] {
        let (near, other) = (x / 2, beside(x, self.near.len()));
        [self.near[near], self.near[other], self.far[near], self.far[other]]
    }

    /// The colour at a pixel, between those around it, each without its last `bits`. As in libyuv, the last pixel of a row has nothing beside
    /// it.
    fn smooth(&self, x: usize, bits: u32) -> u16 {
        if self.layout == Layout::Full {
            return self.near[x] >> bits;
        }
        let [a, b, c, d] = self.around(x).map(|sample| u32::from(sample >> bits));
        let (b, d) = if x + 1 == self.width { (a, c) } else { (b, d) };
        match self.layout {
            Layout::Half => ((3 * a + b + 2) >> 2) as u16,
            _ => ((9 * a + 3 * b + 3 * c + d + 8) >> 4) as u16,
        }
    }
}

/// The second nearest sample of colour to a pixel, of `count` in a row or column; at the edges the nearest.
fn beside(pixel: usize, count: usize) -> usize {
    let near = pixel / 2;
    if pixel.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(count - 1) }
}

/// Meanings for which libyuv has no weights.
fn floats(planes: &Planes, meaning: Meaning) -> Result<Vec<u8>> {
    let (identity, ycgco) = (meaning.matrix == 0, meaning.matrix == 8);
    let (red, blue) = match meaning.matrix {
        _ if planes.layout == Layout::Grey => (0.299, 0.114),
        0 if planes.layout == Layout::Full => (0.0, 0.0),
        4 => (0.30, 0.11),
        7 => (0.212, 0.087),
        8 if meaning.full => (0.0, 0.0),
        matrix => bail!("is an avif file with matrix coefficients {matrix}, which are not read: export it as png"),
    };
    let green = 1.0 - red - blue;
    let scale = (1u32 << (planes.depth - 8)) as f32;
    let most = ((1u32 << planes.depth) - 1) as f32;
    let (low, range) = if meaning.full { (0.0, most) } else { (16.0 * scale, 219.0 * scale) };
    let brightness = |sample: u16| (f32::from(sample) - low) / range;
    let (middle, spread) = match (identity, meaning.full) {
        (true, _) => (low, range),
        (false, true) => (128.0 * scale, most),
        (false, false) => (128.0 * scale, 224.0 * scale),
    };
    let colour = |sample: u16| (f32::from(sample) - middle) / spread;
    let byte = |value: f32| (0.5 + value.clamp(0.0, 1.0) * 255.0) as u8;
    let mut rgb = Vec::with_capacity(planes.samples[0].len() * 3);
    for (number, row) in planes.samples[0].chunks_exact(planes.width).enumerate() {
        if planes.layout == Layout::Grey {
            rgb.extend(row.iter().flat_map(|sample| [byte(brightness(*sample)); 3]));
            continue;
        }
        let rows = [1, 2].map(|plane| Rows::at(planes, plane, number));
        for (x, sample) in row.iter().enumerate() {
            let y = brightness(*sample);
            let [b, r] = rows.each_ref().map(|rows| match rows.layout {
                Layout::Full => colour(rows.near[x]),
                _ => {
                    let [a, b, c, d] = rows.around(x).map(colour);
                    a * (9.0 / 16.0) + b * (3.0 / 16.0) + c * (3.0 / 16.0) + d * (1.0 / 16.0)
                }
            });
            let pixel = match (identity, ycgco) {
                (true, _) => [r, y, b],
                (_, true) => [y - b + r, y + b, y - b - r],
                _ => [
                    y + 2.0 * (1.0 - red) * r,
                    y - (2.0 * (red * (1.0 - red) * r + blue * (1.0 - blue) * b)) / green,
                    y + 2.0 * (1.0 - blue) * b,
                ],
            };
            rgb.extend(pixel.map(byte));
        }
    }
    Ok(rgb)
}

/// Opacity in eight bits.
fn opacity(alpha: &Planes, drops: bool) -> Vec<u8> {
    let most = (1i32 << alpha.depth) - 1;
    let (bits, scale) = (alpha.depth - 8, 1i32 << (alpha.depth - 8));
    // Pictures that do not use all of the range are stretched to it.
    let full = |sample: u16| match alpha.meaning.full {
        true => sample,
        false => {
            let range = 219 * scale;
            (((i32::from(sample) - 16 * scale) * most + range / 2) / range).clamp(0, most) as u16
        }
    };
    let byte = |sample: u16| match (bits, drops) {
        (0, _) | (_, true) => (sample >> bits).min(255) as u8,
        _ => (0.5 + f32::from(sample) / most as f32 * 255.0) as u8,
    };
    alpha.samples[0].iter().map(|sample| byte(full(*sample))).collect()
}

/// Takes the opacity out of a pixel's colours, in libyuv's arithmetic on x86: what is far too large becomes 0 there.
fn divide(pixel: &mut [u8], alpha: u8) {
    let inverse = match u32::from(alpha) {
        0 => 0,
        1 => 0xFFFF,
        255 => 0x100,
        alpha => 0x1_0000 / alpha,
    };
    for value in pixel {
        let divided = ((u32::from(*value) * 0x101 * inverse) >> 16) as u16;
        *value = divided.cast_signed().clamp(0, 255) as u8;
    }
}
