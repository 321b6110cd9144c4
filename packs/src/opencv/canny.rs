//! `cv2.Canny`.

use anyhow::Result;

use super::raster::{Going, Raster};

/// tan(22.5°) in 32768ths.
const TAN_22: i64 = 13573;

/// The gradient of a pixel in the channel where it is strongest, and how strong: |x| + |y|.
#[derive(Clone, Copy, Default)]
struct Gradient {
    x: i16,
    y: i16,
    size: i32,
}

/// Equals `cv2.Canny(picture, low, high)` on bytes of any number of channels, in every byte: 255 on an edge, 0 elsewhere, in one channel.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(crate) fn canny(picture: &Raster<u8>, low: i32, high: i32, going: Going) -> Result<Raster<u8>> {
    let (low, high) = (low.min(high), low.max(high));
    let gradients = gradients(picture, going)?;
    let mut edges: Raster<u8> = Raster::blank(picture.width, picture.height, 1)?;
    let mut open = Vec::new();
    for (y, into) in edges.rows_mut().enumerate() {
        going()?;
        for (x, into) in into.iter_mut().enumerate() {
            if is_ridge(&gradients, x, y, low) {
                *into = MAYBE;
                if gradients.row(y)[x].size > high {
                    *into = EDGE;
                    open.push((x, y));
                }
            }
        }
    }
    drop(gradients);
    grow(&mut edges, open, going)?;
    for value in &mut edges.values {
        *value = if *value == EDGE { EDGE } else { 0 };
    }
    Ok(edges)
}

const EDGE: u8 = 255;
/// An edge if it is connected to one.
const MAYBE: u8 = 1;

/// What is connected to an edge becomes one.
fn grow(edges: &mut Raster<u8>, mut open: Vec<(usize, usize)>, going: Going) -> Result<()> {
    let (width, height) = (edges.width, edges.height);
    let mut seen = 0_usize;
    while let Some((x, y)) = open.pop() {
        seen += 1;
        if seen.is_multiple_of(1 << 16) {
            going()?;
        }
        for y in y.saturating_sub(1)..(y + 2).min(height) {
            for x in x.saturating_sub(1)..(x + 2).min(width) {
                let value = &mut edges.values[y * width + x];
                if *value == MAYBE {
                    *value = EDGE;
                    open.push((x, y));
                }
            }
        }
    }
    Ok(())
}

/// Whether the gradient is above `low`, and largest across the edge. Beyond the picture it is 0.
fn is_ridge(gradients: &Raster<Gradient>, x: usize, y: usize, low: i32) -> bool {
    let Gradient { x: across, y: down, size } = gradients.row(y)[x];
    if size <= low {
        return false;
    }
    let at = |right: isize, below: isize| {
        let (x, y) = (x.wrapping_add_signed(right), y.wrapping_add_signed(below));
        if x < gradients.width && y < gradients.height { gradients.row(y)[x].size } else { 0 }
    };
    let (width, height) = (i64::from(across).abs(), i64::from(down).abs() << 15);
    let flat = width * TAN_22;
    if height < flat {
        return size > at(-1, 0) && size >= at(1, 0);
    }
    if height > flat + (width << 16) {
        return size > at(0, -1) && size >= at(0, 1);
    }
    let side = if (across ^ down) < 0 { -1 } else { 1 };
    size > at(-side, -1) && size > at(side, 1)
}

/// Sobel's gradients, 3 × 3; beyond an edge are the pixels at the edge.
fn gradients(picture: &Raster<u8>, going: Going) -> Result<Raster<Gradient>> {
    let (width, height, channels) = (picture.width, picture.height, picture.channels);
    let mut gradients = Raster::blank(width, height, 1)?;
    for (y, into) in gradients.rows_mut().enumerate() {
        going()?;
        let rows = [y.saturating_sub(1), y, (y + 1).min(height - 1)].map(|y| picture.row(y));
        for (x, into) in into.iter_mut().enumerate() {
            let columns = [x.saturating_sub(1), x, (x + 1).min(width - 1)].map(|x| x * channels);
            *into = gradient(rows, columns, 0);
            for channel in 1..channels {
                let other = gradient(rows, columns, channel);
                if other.size > into.size {
                    *into = other;
                }
            }
        }
    }
    Ok(gradients)
}

fn gradient(rows: [&[u8]; 3], [left, middle, right]: [usize; 3], channel: usize) -> Gradient {
    let [above, here, below] = rows.map(|row| [left, middle, right].map(|column| i16::from(row[column + channel])));
    let x = (above[2] - above[0]) + 2 * (here[2] - here[0]) + (below[2] - below[0]);
    let y = (below[0] - above[0]) + 2 * (below[1] - above[1]) + (below[2] - above[2]);
    Gradient { x, y, size: i32::from(x.abs()) + i32::from(y.abs()) }
}
