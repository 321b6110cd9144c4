//! A small picture drawn by code, as an example input.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::{ImageFormat, RgbImage};

use super::stand_in::format;
use super::write::{Compression, encode_bytes, write_new, write_over};

/// The largest side of a draft, in pixels.
pub(super) const MAX_SIDE: u32 = 8192;

/// Draws a figure on a hill under an evening sky and writes it in the format that the path's extension tells (PNG, if it is not one that
/// can be written). The same size always gives the same bytes of picture.
///
/// # Errors
/// If a side is 0 or above 8192, the file exists already and is not to be replaced, or it cannot be written.
pub fn write_draft(path: &Path, (width, height): (u32, u32), replace: bool) -> Result<()> {
    let fits = |side| (1..=MAX_SIDE).contains(&side);
    ensure!(fits(width) && fits(height), "a draft of {width} × {height} pixels: choose sides from 1 to {MAX_SIDE}");
    let bytes = match format(&path.to_string_lossy()) {
        ImageFormat::Png => encode_bytes(
            &draw(width, height),
            (width, height),
            (png::ColorType::Rgb, png::BitDepth::Eight),
            &[],
            Compression::Saved,
        )?,
        format => {
            let picture = RgbImage::from_raw(width, height, draw(width, height));
            let picture = picture.context("cannot make a picture: this is a bug")?;
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, format).with_context(|| format!("cannot make {}", path.display()))?;
            bytes.into_inner()
        }
    };
    if replace {
        return write_over(path, &bytes);
    }
    ensure!(write_new(path, &bytes)?, "{} exists already: choose another name, or give --force", path.display());
    Ok(())
}

type Colour = [f32; 3];

/// height × width × 3 bytes.
pub(super) fn draw(width: u32, height: u32) -> Vec<u8> {
    let unit = height.min(width) as f32;
    let mut pixels = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            // The origin is the middle; the shorter side spans -1 to 1, y points down.
            let u = (2.0 * x as f32 + 1.0 - width as f32) / unit;
            let v = (2.0 * y as f32 + 1.0 - height as f32) / unit;
            let colour = colour_at(u, v, 2.0 / unit);
            pixels.extend(colour.map(|c| (255.0 * c.clamp(0.0, 1.0)).round() as u8));
        }
    }
    pixels
}

/// The scene, back to front. `pixel` is the size of one pixel, over which edges are softened.
fn colour_at(u: f32, v: f32, pixel: f32) -> Colour {
    let mut colour = mix([0.36, 0.55, 0.78], [0.98, 0.86, 0.72], (v + 1.0) / 1.6);
    let sun = (u - 0.48).hypot(v + 0.42);
    colour = mix(colour, [1.0, 0.93, 0.78], (0.55 - sun).max(0.0));
    colour = mix(colour, [1.0, 0.96, 0.84], inside(sun - 0.17, pixel));
    let far_hill = 0.30 - 0.16 * (0.9 * u + 0.5).cos();
    colour = mix(colour, mix([0.47, 0.60, 0.62], [0.66, 0.74, 0.66], v - far_hill), inside(far_hill - v, pixel));
    let near_hill = 0.62 + 0.10 * (u - 0.15) * (u - 0.15);
    colour =
        mix(colour, mix([0.42, 0.58, 0.33], [0.25, 0.40, 0.24], 1.6 * (v - near_hill)), inside(near_hill - v, pixel));
    let shadow = ((u + 0.02) / 0.42).hypot((v - 0.69) / 0.055) - 1.0;
    colour = mix(colour, [0.17, 0.28, 0.18], 0.7 * inside(shadow, 0.5));
    for (shape, paint) in figure(u + 0.15, v) {
        // Light falls from the right.
        let lit = mix([paint[0] * 0.72, paint[1] * 0.70, paint[2] * 0.76], paint, 2.2 * (u + 0.37));
        colour = mix(colour, lit, inside(shape, pixel));
    }
    colour
}

/// Signed distances (negative inside) and colours of the figure's parts.
fn figure(u: f32, v: f32) -> [(f32, Colour); 7] {
    let capsule = |from: (f32, f32), to: (f32, f32), radius: f32| {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let along = (((u - from.0) * dx + (v - from.1) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
        (u - from.0 - along * dx).hypot(v - from.1 - along * dy) - radius
    };
    // A coat that widens downwards.
    let coat = (u.abs() - 0.13 - 0.16 * (v + 0.06)).max((v - 0.19).abs() - 0.27);
    [
        (capsule((-0.07, 0.42), (-0.08, 0.66), 0.05), [0.24, 0.26, 0.38]),
        (capsule((0.07, 0.42), (0.08, 0.66), 0.05), [0.24, 0.26, 0.38]),
        (coat, [0.78, 0.27, 0.24]),
        (capsule((-0.14, -0.02), (-0.25, 0.27), 0.05), [0.70, 0.24, 0.22]),
        (capsule((0.14, -0.02), (0.30, -0.20), 0.05), [0.82, 0.30, 0.26]),
        (u.hypot(v + 0.24) - 0.15, [0.93, 0.74, 0.60]),
        ((u.hypot(v + 0.27) - 0.165).max(v + 0.29), [0.29, 0.20, 0.16]),
    ]
}

/// 1 inside a shape, 0 outside, with an edge `softness` wide.
fn inside(distance: f32, softness: f32) -> f32 {
    (0.5 - distance / softness).clamp(0.0, 1.0)
}

fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    let share = share.clamp(0.0, 1.0);
    [0, 1, 2].map(|i| from[i] + (to[i] - from[i]) * share)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn draws_a_figure_before_a_background() {
        let (width, height) = (96, 64);
        let pixels = draw(width, height);
        let at = |x: u32, y: u32| {
            let start = ((y * width + x) * 3) as usize;
            [pixels[start], pixels[start + 1], pixels[start + 2]]
        };
        let [r, g, b] = at(43, 38);
        assert!(r > 130 && r > 2 * g && r > 2 * b, "the coat is red: {r} {g} {b}");
        let [r, _, b] = at(2, 2);
        assert!(b > r, "the sky is blue at the top: {r} {b}");
        let [r, g, b] = at(90, 60);
        assert!(g > r && g > b, "the meadow is green: {r} {g} {b}");
        assert_eq!(pixels, draw(width, height));
    }

    #[test]
    fn writes_a_new_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("draft.png");
        write_draft(&path, (40, 30), false).unwrap();
        let picture = crate::pictures::read::read(&path).unwrap();
        assert_eq!(picture.image.size(), [1, 30, 40, 3]);
        let error = write_draft(&path, (40, 30), false).unwrap_err().to_string();
        assert!(error.ends_with("exists already: choose another name, or give --force"), "{error}");
        assert!(write_draft(&folder.path().join("x.png"), (0, 5), false).is_err());
        assert!(write_draft(&folder.path().join("x.png"), (9000, 5), false).is_err());
    }
}
