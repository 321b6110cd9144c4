//! Preparing pictures and masks for inpainting.

use anyhow::Result;
use tch::{Kind, Tensor};

use super::masks;

/// Crops pictures B×H×W×C and a mask about the centre to multiples of `factor`, and greys the masked part of the
/// pictures. Returns the pictures and the mask, N×1×H×W.
///
/// # Errors
/// If the mask has no pixels, or the pictures are smaller than `factor`.
pub fn prepared(pixels: &Tensor, mask: &Tensor, factor: i64) -> Result<(Tensor, Tensor)> {
    let (_, height, width, _) = pixels.size4()?;
    let mask = masks::resized(mask, height, width)?.unsqueeze(1);
    let whole = |side: i64| ((side % factor) / 2, side / factor * factor);
    let ((top, rows), (left, columns)) = (whole(height), whole(width));
    anyhow::ensure!(
        rows > 0 && columns > 0,
        "pictures of {width} x {height} pixels are too small for the VAE: use at least {factor} x {factor}"
    );
    let pixels = pixels.narrow(1, top, rows).narrow(2, left, columns);
    let mask = mask.narrow(2, top, rows).narrow(3, left, columns);
    Ok((greyed(&pixels, &mask), mask))
}

/// The pictures, with grey 0.5 where the rounded mask is 1. Alpha stays.
fn greyed(pixels: &Tensor, mask: &Tensor) -> Tensor {
    let keep: Tensor = 1.0 - mask.round().permute([0, 2, 3, 1]);
    let channels = pixels.size()[3];
    let colours = (pixels.narrow(3, 0, channels.min(3)) - 0.5) * keep + 0.5;
    match channels {
        ..=3 => colours,
        _ => Tensor::cat(&[colours, pixels.narrow(3, 3, channels - 3)], 3),
    }
}

/// A mask N×1×H×W, rounded, then grown: each pixel becomes a square of `by` pixels. With 0 it is only rounded.
pub fn grown_for_latents(mask: &Tensor, by: i64) -> Tensor {
    let (height, width) = (mask.size()[2], mask.size()[3]);
    let grown = match by {
        0 => mask.shallow_clone(),
        _ => {
            let square = Tensor::ones([1, 1, by, by], (Kind::Float, mask.device()));
            let padding = by / 2;
            let sums = mask.round().conv2d(&square, None::<Tensor>, [1, 1], [padding, padding], [1, 1], 1);
            sums.clamp(0.0, 1.0).narrow(2, 0, height).narrow(3, 0, width)
        }
    };
    grown.round()
}
