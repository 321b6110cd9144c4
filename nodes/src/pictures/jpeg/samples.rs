//! From coefficients to colours: inverse DCT, chroma to full size, colour conversion.

use anyhow::{Context, Result};

use super::{Component, Picture, Tables};
use crate::pictures::frame::Frame;

/// Natural position (row × 8 + column) of each coefficient in the file's order.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// A component's samples; `columns` × `rows` of them are picture, the rest fills up the blocks.
pub(super) struct Plane {
    stride: usize,
    columns: usize,
    rows: usize,
    samples: Vec<u8>,
}

impl Plane {
    pub(super) fn new(stride: usize, padded_rows: usize, columns: usize, rows: usize) -> Plane {
        Plane { stride, columns, rows, samples: vec![0; stride * padded_rows] }
    }

    /// Dequantises and transforms one block (coefficients in zigzag order) into its place.
    pub(super) fn put_block(&mut self, column: usize, row: usize, coefficients: &[i16; 64], quantisation: &[u16; 64]) {
        let mut block = [0i32; 64];
        for ((&value, &step), &at) in coefficients.iter().zip(quantisation).zip(&ZIGZAG) {
            block[at] = i32::from(value).wrapping_mul(i32::from(step));
        }
        let samples = inverse_dct(&mut block);
        for (y, line) in samples.chunks_exact(8).enumerate() {
            let start = (row * 8 + y) * self.stride + column * 8;
            self.samples[start..start + 8].copy_from_slice(line);
        }
    }

    fn row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..y * self.stride + self.columns]
    }
}

/// Fixed-point constants, times 2^13.
const BITS: u32 = 13;
const C0_298631336: i32 = 2446;
const C0_390180644: i32 = 3196;
const C0_541196100: i32 = 4433;
const C0_765366865: i32 = 6270;
const C0_899976223: i32 = 7373;
const C1_175875602: i32 = 9633;
const C1_501321110: i32 = 12299;
const C1_847759065: i32 = 15137;
const C1_961570560: i32 = 16069;
const C2_053119869: i32 = 16819;
const C2_562915447: i32 = 20995;
const C3_072711026: i32 = 25172;

/// One-dimensional inverse DCT of eight values (Loeffler, Ligtenberg, Moschytz), scaled by √8 · 2^13.
/// Wrapping, because a damaged file may hold any numbers.
fn inverse_dct_1d(v: [i32; 8]) -> [i32; 8] {
    let mul = |a: i32, b: i32| a.wrapping_mul(b);
    let add = |a: i32, b: i32| a.wrapping_add(b);
    let z1 = mul(add(v[2], v[6]), C0_541196100);
    let even2 = add(z1, mul(v[6], -C1_847759065));
    let even3 = add(z1, mul(v[2], C0_765366865));
    let even0 = add(v[0], v[4]).wrapping_shl(BITS);
    let even1 = v[0].wrapping_sub(v[4]).wrapping_shl(BITS);
    let even = [add(even0, even3), add(even1, even2), even1.wrapping_sub(even2), even0.wrapping_sub(even3)];

    let z5 = mul(add(add(v[7], v[3]), add(v[5], v[1])), C1_175875602);
    let z1 = mul(add(v[7], v[1]), -C0_899976223);
    let z2 = mul(add(v[5], v[3]), -C2_562915447);
    let z3 = add(mul(add(v[7], v[3]), -C1_961570560), z5);
    let z4 = add(mul(add(v[5], v[1]), -C0_390180644), z5);
    let odd = [
        add(mul(v[1], C1_501321110), add(z1, z4)),
        add(mul(v[3], C3_072711026), add(z2, z3)),
        add(mul(v[5], C2_053119869), add(z2, z4)),
        add(mul(v[7], C0_298631336), add(z1, z3)),
    ];
    let mut out = [0; 8];
    for i in 0..4 {
        out[i] = add(even[i], odd[i]);
        out[7 - i] = even[i].wrapping_sub(odd[i]);
    }
    out
}

fn rounded(value: i32, bits: u32) -> i32 {
    value.wrapping_add(1 << (bits - 1)) >> bits
}

/// Columns first with two extra bits kept, then rows; samples are centred on 128.
fn inverse_dct(block: &mut [i32; 64]) -> [u8; 64] {
    for x in 0..8 {
        let column = inverse_dct_1d(std::array::from_fn(|y| block[y * 8 + x]));
        for (y, value) in column.into_iter().enumerate() {
            block[y * 8 + x] = rounded(value, BITS - 2);
        }
    }
    let mut samples = [0; 64];
    for y in 0..8 {
        let row = inverse_dct_1d(std::array::from_fn(|x| block[y * 8 + x]));
        for (x, value) in row.into_iter().enumerate() {
            samples[y * 8 + x] = rounded(value, BITS + 2 + 3).wrapping_add(128).clamp(0, 255) as u8;
        }
    }
    samples
}

/// The finished picture: what a progressive file left as coefficients is transformed first.
pub(super) fn finish(mut picture: Picture, tables: &Tables) -> Result<Frame> {
    for component in &mut picture.components {
        if picture.progressive {
            let quantisation = tables.quantisation[component.quantisation]
                .as_ref()
                .context("is a damaged jpeg file (a quantisation table is missing): export it again")?;
            for (at, coefficients) in component.coefficients.iter().enumerate() {
                let (column, row) = (at % component.block_columns, at / component.block_columns);
                component.plane.put_block(column, row, coefficients, quantisation);
            }
            component.coefficients = Vec::new();
        }
    }
    let conversion = Conversion::of(&picture, tables);
    let (width, height) = (picture.width, picture.height);
    let mut rgb = Vec::with_capacity(width * height * 3);
    let mut rows: Vec<Vec<u8>> = vec![Vec::with_capacity(width + 8); picture.components.len()];
    for y in 0..height {
        for (component, row) in picture.components.iter().zip(&mut rows) {
            full_size_row(&picture, component, y, row);
        }
        conversion.append(&rows, width, &mut rgb);
    }
    Ok(Frame::opaque(width, height, rgb))
}

/// Row `y` of a component at the picture's full size (or a little wider).
fn full_size_row(picture: &Picture, component: &Component, y: usize, out: &mut Vec<u8>) {
    let plane = &component.plane;
    let across = picture.largest_horizontal / component.horizontal;
    let down = picture.largest_vertical / component.vertical;
    let exact = across * component.horizontal == picture.largest_horizontal
        && down * component.vertical == picture.largest_vertical;
    out.clear();
    if !exact {
        // Ratios such as 3:2, which libjpeg refuses; the nearest sample will do.
        let source = plane.row((y * component.vertical / picture.largest_vertical).min(plane.rows - 1));
        out.extend((0..picture.width).map(|x| source[x * component.horizontal / picture.largest_horizontal]));
        return;
    }
    let near = y / down;
    // The neighbouring row on the other side: above for the upper half of a doubled row, below for the lower.
    let far = if y.is_multiple_of(down) { near.saturating_sub(1) } else { (near + 1).min(plane.rows - 1) };
    let (near, far) = (plane.row(near), plane.row(far));
    match (across, down) {
        (1, 1) => out.extend_from_slice(near),
        (2, 1) if near.len() > 2 => doubled(near, out),
        (1, 2) => {
            let bias = if y.is_multiple_of(2) { 1 } else { 2 };
            out.extend(near.iter().zip(far).map(|(&n, &f)| ((u32::from(n) * 3 + u32::from(f) + bias) >> 2) as u8));
        }
        (2, 2) if near.len() > 2 => doubled_both_ways(near, far, out),
        _ => out.extend(near.iter().flat_map(|&v| std::iter::repeat_n(v, across))),
    }
}

/// Twice as wide with a triangle filter: each new sample is three parts the nearest, one part the next.
fn doubled(row: &[u8], out: &mut Vec<u8>) {
    let at = |i: usize| u32::from(row[i]);
    let last = row.len() - 1;
    for i in 0..=last {
        let left = if i == 0 { at(0) } else { (at(i) * 3 + at(i - 1) + 1) >> 2 };
        let right = if i == last { at(last) } else { (at(i) * 3 + at(i + 1) + 2) >> 2 };
        out.extend([left as u8, right as u8]);
    }
}

/// The same in both directions: weights 9, 3, 3, 1 of sixteen.
fn doubled_both_ways(near: &[u8], far: &[u8], out: &mut Vec<u8>) {
    let at = |i: usize| u32::from(near[i]) * 3 + u32::from(far[i]);
    let last = near.len() - 1;
    for i in 0..=last {
        let left = if i == 0 { at(0) * 4 + 8 } else { at(i) * 3 + at(i - 1) + 8 };
        let right = if i == last { at(last) * 4 + 7 } else { at(i) * 3 + at(i + 1) + 7 };
        out.extend([(left >> 4) as u8, (right >> 4) as u8]);
    }
}

/// How a file's components stand for colours.
enum Conversion {
    Grey,
    Rgb,
    YCbCr,
    /// Four inks, stored inverted as Adobe's programs do.
    Cmyk,
    /// As `Cmyk` with the first three as luma and chroma.
    Ycck,
}

impl Conversion {
    /// libjpeg's guess: by component count, then by the JFIF and Adobe markers, then by the component ids.
    fn of(picture: &Picture, tables: &Tables) -> Conversion {
        let ids: Vec<u8> = picture.components.iter().map(|c| c.id).collect();
        match (ids.len(), tables.adobe_transform) {
            (1, _) => Conversion::Grey,
            (4, Some(2)) => Conversion::Ycck,
            (4, _) => Conversion::Cmyk,
            _ if tables.jfif => Conversion::YCbCr,
            (_, Some(0)) => Conversion::Rgb,
            (_, Some(_)) => Conversion::YCbCr,
            _ if ids == *b"RGB" => Conversion::Rgb,
            _ => Conversion::YCbCr,
        }
    }

    fn append(&self, rows: &[Vec<u8>], width: usize, rgb: &mut Vec<u8>) {
        match self {
            Conversion::Grey => rgb.extend(rows[0][..width].iter().flat_map(|&v| [v; 3])),
            Conversion::Rgb => rgb.extend((0..width).flat_map(|x| [rows[0][x], rows[1][x], rows[2][x]])),
            Conversion::YCbCr => {
                rgb.extend((0..width).flat_map(|x| ycbcr_to_rgb(rows[0][x], rows[1][x], rows[2][x])));
            }
            Conversion::Cmyk => rgb.extend((0..width).flat_map(|x| {
                let ink = |c: usize| 255 - rows[c][x];
                inks_to_rgb([ink(0), ink(1), ink(2)], ink(3))
            })),
            Conversion::Ycck => rgb.extend((0..width).flat_map(|x| {
                // The converted colour is the ink's complement; Adobe's inversion complements it once more.
                inks_to_rgb(ycbcr_to_rgb(rows[0][x], rows[1][x], rows[2][x]), 255 - rows[3][x])
            })),
        }
    }
}

/// ITU-R BT.601 at full range, in 16-bit fixed point.
fn ycbcr_to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91881 * cr + HALF) >> 16);
    let green = y + ((-22554 * cb - 46802 * cr + HALF) >> 16);
    let blue = y + ((116130 * cb + HALF) >> 16);
    [red, green, blue].map(|v| v.clamp(0, 255) as u8)
}

/// Pillow's CMYK to RGB: what the black ink leaves, less each ink's share of it.
fn inks_to_rgb(inks: [u8; 3], black: u8) -> [u8; 3] {
    let left = 255 - u32::from(black);
    inks.map(|ink| {
        let product = u32::from(ink) * left + 128;
        (left - ((product + (product >> 8)) >> 8).min(left)) as u8
    })
}
