//! Lanczos resampling on eight bits a channel, equal to Pillow 13's bit for bit.
//!
//! Pillow resamples along one side and then along the other, and rounds to bytes between. It computes in integers, with
//! weights of 22 fractional bits. Pictures with alpha are resampled with premultiplied colours.

use std::f64::consts::PI;

use anyhow::{Result, bail, ensure};
use tch::Tensor;

use super::bytes::{eight_bits, unit_floats};

/// The filter's radius in old pixels (when downscaling, in new ones).
const REACH: f64 = 3.0;
/// Fractional bits of a weight.
const PRECISION: u32 = 22;

/// Resizes N×C×H×W with values 0 … 1 to N×C×`height`×`width`; values are first clipped and truncated to eight bits,
/// even if the size stays.
///
/// # Errors
/// If the tensor has another number of dimensions or channels, or no pixels.
pub fn lanczos(samples: &Tensor, width: usize, height: usize) -> Result<Tensor> {
    let &[batch, channels, rows, columns] = samples.size().as_slice() else {
        bail!("cannot resize values of shape {:?}: connect pictures", samples.size());
    };
    ensure!(rows > 0 && columns > 0, "cannot resize {columns} × {rows} pixels: connect a larger picture");
    let (channels, rows, columns) = (channels as usize, rows as usize, columns as usize);
    let (across, down) = (weights(columns, width), weights(rows, height));
    let shape = [height as i64, width as i64, channels as i64];
    let mut resized = Vec::new();
    for picture in samples.permute([0, 2, 3, 1]).unbind(0) {
        let mut pixels = eight_bits(&picture)?;
        if (rows, columns) != (height, width) {
            let with_alpha = channels == 2 || channels == 4;
            if with_alpha {
                pixels.chunks_exact_mut(channels).for_each(multiply_by_alpha);
            }
            let height_first = height_first((columns, rows), (width, height));
            if height_first {
                pixels = resample_columns(&pixels, columns * channels, &down);
            }
            if columns != width {
                pixels = resample_rows(&pixels, columns, channels, &across);
            }
            if rows != height && !height_first {
                pixels = resample_columns(&pixels, width * channels, &down);
            }
            if with_alpha {
                pixels.chunks_exact_mut(channels).for_each(divide_by_alpha);
            }
        }
        resized.push(unit_floats(&pixels, &shape));
    }
    ensure!(batch > 0, "cannot resize a batch without pictures: connect at least one");
    Ok(Tensor::stack(&resized, 0).permute([0, 3, 1, 2]))
}

/// Whether the height is resampled before the width. Pillow 13 does so, for speed, if the height loses more than twice
/// as many pixels (found by comparing 603 sizes). Before 13 the width always came first.
fn height_first((columns, rows): (usize, usize), (width, height): (usize, usize)) -> bool {
    rows.saturating_sub(height) > 2 * columns.saturating_sub(width)
}

/// The old pixels that contribute to a new one: the index of the first, and the weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The taps of each of `new` pixels among `old` ones.
fn weights(old: usize, new: usize) -> Vec<Taps> {
    let scale = old as f64 / new as f64;
    let stretch = scale.max(1.0);
    let reach = REACH * stretch;
    let step = 1.0 / stretch;
    let taps = |at: usize| {
        let center = (at as f64 + 0.5) * scale;
        let first = (center - reach + 0.5).max(0.0) as usize;
        let end = ((center + reach + 0.5) as usize).min(old);
        let mut weights: Vec<f64> = (first..end).map(|x| windowed_sinc((x as f64 - center + 0.5) * step)).collect();
        let sum: f64 = weights.iter().sum();
        if sum != 0.0 {
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        let whole = |weight: f64| (weight * f64::from(1 << PRECISION) + if weight < 0.0 { -0.5 } else { 0.5 }) as i32;
        Taps { first, weights: weights.into_iter().map(whole).collect() }
    };
    (0..new).map(taps).collect()
}

/// sinc(x) · sinc(x / 3) for -3 ≤ x < 3.
fn windowed_sinc(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
    if (-REACH..REACH).contains(&x) { sinc(x) * sinc(x / REACH) } else { 0.0 }
}

fn resample_rows(pixels: &[u8], width: usize, channels: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.len() / width * taps.len());
    for row in pixels.chunks_exact(width * channels) {
        for Taps { first, weights } in taps {
            for channel in 0..channels {
                let old = row[first * channels + channel..].iter().step_by(channels);
                let sum = old.zip(weights).map(|(&value, weight)| i32::from(value) * weight).sum::<i32>();
                out.push(rounded(sum));
            }
        }
    }
    out
}

fn resample_columns(pixels: &[u8], row_length: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(row_length * taps.len());
    let mut sums = vec![0i32; row_length];
    for Taps { first, weights } in taps {
        sums.fill(0);
        let rows = pixels.chunks_exact(row_length).skip(*first);
        for (row, weight) in rows.zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| rounded(sum)));
    }
    out
}

fn rounded(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

/// Colours times alpha over 255, rounded.
fn multiply_by_alpha(pixel: &mut [u8]) {
    if let Some((alpha, colours)) = pixel.split_last_mut() {
        for colour in colours {
            let product = u32::from(*colour) * u32::from(*alpha) + 128;
            *colour = (((product >> 8) + product) >> 8) as u8;
        }
    }
}

/// Colours times 255 over alpha, truncated.
fn divide_by_alpha(pixel: &mut [u8]) {
    if let Some((alpha, colours)) = pixel.split_last_mut()
        && !matches!(alpha, 0 | 255)
    {
        for colour in colours {
            *colour = (255 * u32::from(*colour) / u32::from(*alpha)).min(255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Irregular pixels: (7919 · index + 13) mod 251.
    fn picture(rows: i64, columns: i64, channels: i64) -> Tensor {
        let bytes: Vec<u8> = (0..rows * columns * channels).map(|at| ((7919 * at + 13) % 251) as u8).collect();
        unit_floats(&bytes, &[1, rows, columns, channels]).permute([0, 3, 1, 2])
    }

    fn resized(picture: &Tensor, width: usize, height: usize) -> Vec<u8> {
        let resized = lanczos(picture, width, height).unwrap().permute([0, 2, 3, 1]);
        Vec::try_from((resized * 255.0).round().to_kind(tch::Kind::Uint8).flatten(0, -1)).unwrap()
    }

    /// Figures from Pillow 13.0: `Image.fromarray(a).resize((width, height), Image.Resampling.LANCZOS)`.
    #[test]
    fn equal_to_pillow() {
        assert_eq!(resized(&picture(3, 4, 3), 2, 2), [111, 127, 121, 109, 145, 86, 146, 137, 156, 145, 96, 121]);
        assert_eq!(
            resized(&picture(6, 3, 3), 3, 2),
            [91, 137, 45, 162, 36, 187, 74, 212, 99, 226, 100, 217, 125, 83, 150, 37, 175, 62]
        );
        assert_eq!(
            resized(&picture(2, 2, 4), 3, 2),
            [4, 142, 30, 170, 41, 178, 65, 201, 68, 205, 92, 232, 80, 0, 120, 19, 153, 40, 178, 50, 166, 53, 188, 81]
        );
        assert_eq!(
            resized(&picture(5, 2, 3), 3, 2),
            [90, 155, 103, 81, 140, 101, 72, 125, 99, 166, 138, 75, 157, 123, 131, 148, 108, 186]
        );
    }

    #[test]
    fn a_batch_without_pictures_or_pixels_is_refused() {
        let error = lanczos(&picture(1, 1, 3).narrow(0, 0, 0), 2, 2).unwrap_err().to_string();
        assert_eq!(error, "cannot resize a batch without pictures: connect at least one");
        let error = lanczos(&picture(2, 2, 3).narrow(2, 0, 0), 2, 2).unwrap_err().to_string();
        assert_eq!(error, "cannot resize 2 × 0 pixels: connect a larger picture");
    }
}
