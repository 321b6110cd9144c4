//! What two runs have shown, side by side: pictures, latents, texts.

use std::io::Cursor;

use image::ImageReader;
use redraft_engine::memory;
use safetensors::{Dtype, SafeTensors};

/// The most pixels of a picture that is compared.
const MOST_PIXELS: u64 = 1 << 28;
/// For each level of tolerance in pixels, a latent may differ by this share of its largest value.
const LATENT_SHARE: f64 = 1e-3;

/// How far two things are apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Apart {
    Equal,
    /// Not equal, and within the tolerance: in words.
    Near(String),
    Far(String),
}

impl Apart {
    pub(super) fn is_far(&self) -> bool {
        matches!(self, Self::Far(_))
    }

    fn of(far: bool, words: String) -> Self {
        if far { Self::Far(words) } else { Self::Near(words) }
    }
}

/// Compares decoded pixels, in levels of 255.
///
/// # Errors
/// If one is no picture that can be read.
pub(super) fn pictures(ours: &[u8], theirs: &[u8], tolerance: u8) -> anyhow::Result<Apart> {
    let (ours, theirs) = (pixels(ours)?, pixels(theirs)?);
    if ours.dimensions() != theirs.dimensions() {
        let ((w, h), (wide, high)) = (ours.dimensions(), theirs.dimensions());
        return Ok(Apart::Far(format!("{w} x {h} here, {wide} x {high} there")));
    }
    let differences = || ours.as_raw().iter().zip(theirs.as_raw()).map(|(a, b)| a.abs_diff(*b));
    let largest = differences().max().unwrap_or(0);
    if largest == 0 {
        return Ok(Apart::Equal);
    }
    // The alpha values of pictures without any are equal, and count for nothing.
    let count = (ours.as_raw().len() / 4 * 3).max(1) as f64;
    let mean = differences().map(f64::from).sum::<f64>() / count;
    let square = differences().map(|d| f64::from(d).powi(2)).sum::<f64>() / count;
    let psnr = 10.0 * (255.0 * 255.0 / square).log10();
    let words = format!("the largest difference is {largest} of 255, the mean {mean:.3}, PSNR {psnr:.1} dB");
    Ok(Apart::of(largest > tolerance, words))
}

fn pixels(bytes: &[u8]) -> anyhow::Result<image::RgbaImage> {
    let reader = || ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let (width, height) = reader()?.into_dimensions()?;
    let count = u64::from(width) * u64::from(height);
    anyhow::ensure!(count <= MOST_PIXELS, "a picture of {width} x {height} pixels is too large to be compared");
    memory::ask(count * 16, "a picture to compare")?;
    Ok(reader()?.decode()?.into_rgba8())
}

/// Compares the files of SaveLatent.
///
/// # Errors
/// If one is no such file.
pub(super) fn latents(ours: &[u8], theirs: &[u8], tolerance: u8) -> anyhow::Result<Apart> {
    let ((shape, ours), (other, theirs)) = (latent(ours)?, latent(theirs)?);
    if shape != other {
        return Ok(Apart::Far(format!("its shape is {shape:?} here, {other:?} there")));
    }
    if ours.iter().zip(&theirs).all(|(a, b)| a.to_bits() == b.to_bits()) {
        return Ok(Apart::Equal);
    }
    let pairs = || ours.iter().zip(&theirs).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let differs = |(a, b): &(f64, f64)| a != b && !(a.is_nan() && b.is_nan());
    let odd = pairs().filter(|(a, b)| !(a.is_finite() && b.is_finite())).filter(differs).count();
    if odd > 0 {
        return Ok(Apart::Far(format!("{odd} values are NaN or infinite on one side, and others on the other")));
    }
    let finite = || pairs().filter(|(_, b)| b.is_finite());
    let scale = finite().fold(0.0, |most: f64, (_, b)| most.max(b.abs()));
    let largest = finite().fold(0.0, |most: f64, (a, b)| most.max((a - b).abs()));
    let mean = finite().map(|(a, b)| (a - b).abs()).sum::<f64>() / ours.len().max(1) as f64;
    let words = format!("the largest difference is {largest:.2e}, the mean {mean:.2e}, of values up to {scale:.3}");
    Ok(Apart::of(largest > f64::from(tolerance) * LATENT_SHARE * scale, words))
}

fn latent(bytes: &[u8]) -> anyhow::Result<(Vec<usize>, Vec<f32>)> {
    let file = SafeTensors::deserialize(bytes)?;
    let tensor = file.tensor("latent_tensor")?;
    anyhow::ensure!(tensor.dtype() == Dtype::F32, "a latent of the type {:?} is not compared", tensor.dtype());
    let values = tensor.data().chunks_exact(4).filter_map(|b| Some(f32::from_le_bytes(b.try_into().ok()?)));
    Ok((tensor.shape().to_vec(), values.collect()))
}

/// Compares texts.
pub(super) fn texts(ours: &[u8], theirs: &[u8]) -> Apart {
    if ours == theirs { Apart::Equal } else { Apart::Far("the texts differ".to_owned()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn png(values: &[u8]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let picture = image::RgbImage::from_raw(values.len() as u32 / 3, 1, values.to_vec()).unwrap();
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn file(values: &[f32]) -> Vec<u8> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(Dtype::F32, vec![values.len()], &bytes).unwrap();
        safetensors::serialize([("latent_tensor", view)], None).unwrap()
    }

    #[test]
    fn pixels_are_apart_by_levels() {
        let apart = |a: &[u8], b: &[u8], tolerance| pictures(&png(a), &png(b), tolerance).unwrap();
        assert_eq!(apart(&[1, 2, 3], &[1, 2, 3], 0), Apart::Equal);
        let words = "the largest difference is 2 of 255, the mean 0.667, PSNR 46.9 dB".to_owned();
        assert_eq!(apart(&[1, 2, 3], &[1, 4, 3], 1), Apart::Far(words.clone()));
        assert_eq!(apart(&[1, 2, 3], &[1, 4, 3], 2), Apart::Near(words));
        assert_eq!(apart(&[1, 2, 3], &[0; 6], 9), Apart::Far("1 x 1 here, 2 x 1 there".to_owned()));
        assert!(pictures(&png(&[1, 2, 3]), b"no picture", 1).is_err());
    }

    #[test]
    fn latents_are_apart_by_their_scale() {
        let apart = |a: &[f32], b: &[f32]| latents(&file(a), &file(b), 1).unwrap();
        assert_eq!(apart(&[1.0, 4.0], &[1.0, 4.0]), Apart::Equal);
        assert!(matches!(apart(&[1.0, 4.0], &[1.003, 4.0]), Apart::Near(_)));
        assert!(apart(&[1.0, 4.0], &[1.005, 4.0]).is_far());
        assert!(apart(&[1.0, f32::NAN], &[1.0, 4.0]).is_far());
        assert!(apart(&[1.0], &[1.0, 4.0]).is_far());
        let infinite = f32::INFINITY;
        assert!(apart(&[1.0, 4.0], &[1.0, infinite]).is_far() && apart(&[1.0, infinite], &[1.0, 4.0]).is_far());
        assert!(apart(&[1.0, infinite], &[1.0, -infinite]).is_far());
        assert!(matches!(apart(&[1.0005, infinite, f32::NAN], &[1.0, infinite, f32::NAN]), Apart::Near(_)));
        assert!(latents(&file(&[1.0]), b"junk", 1).is_err());
    }
}
