//! Previews: the denoised latent of a step as a rough picture.

use anyhow::{Context, Result};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Rgb, RgbImage};
use tch::{Device, Kind, Tensor};

use crate::diffusion::latent_format::LatentFormat;

/// The side of the square into which previews fit, in pixels.
const SIDE: u32 = 512;
/// The JPEG quality of previews.
const QUALITY: u8 = 95;

/// A JPEG file of the first latent of a batch, B×C×h×w in the network's scale; of a video's, B×C×T×h×w, the first frame.
pub fn jpeg(latent: &Tensor, format: &LatentFormat) -> Result<Vec<u8>> {
    let rough = pixels(latent, format)?;
    let (width, height) = fitted(rough.width(), rough.height());
    let shown = resize(&rough, width, height, FilterType::Triangle);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&shown)?;
    Ok(bytes)
}

/// The first latent of a batch as a picture with one pixel for each latent pixel.
pub fn pixels(latent: &Tensor, format: &LatentFormat) -> Result<RgbImage> {
    let factors = Tensor::from_slice(format.rgb.as_flattened()).view([-1, 3]);
    let first = latent.narrow(0, 0, 1).squeeze_dim(0).to_device(Device::Cpu).to_kind(Kind::Float);
    let first = if first.dim() == 4 { first.select(1, 0) } else { first };
    let (_, height, width) = first.size3()?;
    let rgb = first.permute([1, 2, 0]).matmul(&factors) + Tensor::from_slice(&format.rgb_bias);
    let bytes = (((rgb + 1.0) / 2.0).nan_to_num(0.0, 1.0, 0.0).clamp(0.0, 1.0) * 255.0).to_kind(Kind::Uint8);
    let mut data = vec![0; bytes.numel()];
    let count = data.len();
    bytes.contiguous().copy_data_u8(&mut data, count);
    let image: Option<ImageBuffer<Rgb<u8>, Vec<u8>>> = ImageBuffer::from_raw(width as u32, height as u32, data);
    image.context("a preview has another size than its latent; this is a bug")
}

/// The largest size with that aspect ratio that fits into the square.
fn fitted(width: u32, height: u32) -> (u32, u32) {
    let part = |short: u32, long: u32| {
        let side = f64::from(short) / f64::from(long) * f64::from(SIDE);
        (side.round_ties_even() as u32).max(1)
    };
    if width >= height { (SIDE, part(height, width)) } else { (part(width, height), SIDE) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::diffusion::latent_format::SD15;

    #[test]
    fn pixels_follow_the_matrix() {
        // In the first latent of the batch, pixel k has 1 in channel k. The second latent is ignored.
        let latent = Tensor::zeros([2, 4, 2, 2], (Kind::Float, Device::Cpu));
        for channel in 0..4 {
            let _ = latent.select(0, 0).select(0, channel).view(-1).narrow(0, channel, 1).fill_(1.0);
        }
        let _ = latent.select(0, 1).fill_(9.0);
        let image = pixels(&latent, &SD15).unwrap();
        // int((factor + 1) / 2 · 255)
        let expected = [[172, 156, 168], [168, 190, 157], [91, 149, 162], [100, 94, 35]];
        assert_eq!(image.pixels().map(|pixel| pixel.0).collect::<Vec<_>>(), expected);
        let film = Tensor::stack(&[&latent, &latent.zeros_like()], 2);
        assert_eq!(pixels(&film, &SD15).unwrap(), image);
    }

    #[test]
    fn previews_fit_into_a_square() {
        assert_eq!(fitted(12, 8), (512, 341));
        assert_eq!(fitted(7, 10), (358, 512));
        assert_eq!(fitted(1, 4000), (1, 512));
        let latent = Tensor::zeros([1, 4, 8, 12], (Kind::Float, Device::Cpu));
        let bytes = jpeg(&latent, &SD15).unwrap();
        let image = image::load_from_memory(&bytes).unwrap();
        assert_eq!((image.width(), image.height()), (512, 341));
        assert!(image.to_rgb8().pixels().all(|pixel| pixel.0.iter().all(|value| value.abs_diff(127) <= 2)));
    }
}
