//! Reading a picture file as LoadImage and LoadImageMask do.
//!
//! Compared with ComfyUI 0.8.0 and Pillow 13.0. ComfyUI shows what is left of a truncated or damaged file. Here such a
//! file is refused, because half a picture is hardly ever the intended input.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tch::{Kind, Tensor};

pub use super::frame::MAX_PIXELS;
use super::frame::{Budget, Frame};
use super::orientation::{OrientationSources, upright};
use super::{gif_file, jpeg_file, png_file, stills, webp_file};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// A picture file's content.
#[derive(Debug)]
pub struct Picture {
    /// B × H × W × 3, 32-bit floats in 0 … 1; B counts the frames of an animation.
    pub image: Tensor,
    /// B × H × W, 32-bit floats, 1 where the picture is transparent. B × 64 × 64 zeros for a picture without alpha.
    pub mask: Tensor,
}

/// The channel that LoadImageMask takes from a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Alpha,
    Red,
    Green,
    Blue,
}

/// Reads a PNG, JPEG, WebP, GIF, BMP or TIFF file, told apart by content, not by name.
///
/// As in ComfyUI, the picture is turned upright by its EXIF orientation, 16-bit colour keeps its upper byte, 16-bit
/// grey is clipped to 0 … 255, colour profiles and gamma are ignored, and frames of another size than the first are
/// left out.
///
/// # Errors
/// If the file cannot be read, is no picture, is damaged or truncated, or holds more than [`MAX_PIXELS`] pixels.
pub fn read(path: &Path) -> Result<Picture> {
    let mut frames = load(path)?;
    let (width, height) = (frames[0].width, frames[0].height);
    frames.retain(|frame| (frame.width, frame.height) == (width, height));
    for frame in &mut frames {
        if frame.alpha_is_colour_key {
            frame.alpha = None;
        }
    }
    let masked = frames.iter().filter(|frame| frame.alpha.is_some()).count();
    ensure!(
        masked == 0 || masked == frames.len(),
        "{}: only some of its frames have transparency: export it with transparency in all or in none",
        path.display()
    );
    let images: Vec<Tensor> = frames.iter().map(|frame| unit_floats(&frame.rgb, &[1, height, width, 3])).collect();
    let mask = if masked == 0 {
        Tensor::zeros([frames.len() as i64, 64, 64], (Kind::Float, tch::Device::Cpu))
    } else {
        let alphas = frames.iter().filter_map(|frame| frame.alpha.as_ref());
        let masks: Vec<Tensor> = alphas.map(|alpha| 1.0 - unit_floats(alpha, &[1, height, width])).collect();
        stack(masks)
    };
    Ok(Picture { image: stack(images), mask })
}

/// Reads one channel of a picture file's first frame as LoadImageMask does.
///
/// # Returns
/// 1 × H × W, 32-bit floats in 0 … 1. `Channel::Alpha` is inverted (1 where the picture is transparent) and all zeros
/// for a picture without alpha.
///
/// # Errors
/// As [`read`].
pub fn read_mask(path: &Path, channel: Channel) -> Result<Tensor> {
    let frame = load(path)?.swap_remove(0);
    let shape = [1, frame.height, frame.width];
    let colour = |c: usize| frame.rgb.iter().skip(c).step_by(3).copied().collect::<Vec<u8>>();
    Ok(match channel {
        Channel::Red => unit_floats(&colour(0), &shape),
        Channel::Green => unit_floats(&colour(1), &shape),
        Channel::Blue => unit_floats(&colour(2), &shape),
        Channel::Alpha => {
            let alpha = frame.alpha.unwrap_or_else(|| vec![255; frame.width * frame.height]);
            1.0 - unit_floats(&alpha, &shape)
        }
    })
}

/// The colours of a picture file's first frame as they are stored: not turned by its EXIF orientation, without alpha.
///
/// # Returns
/// 1 × H × W × 3, 32-bit floats in 0 … 1.
///
/// # Errors
/// As [`read`].
pub fn read_stored(path: &Path) -> Result<Tensor> {
    let frame = stored(path)?.0.swap_remove(0);
    Ok(unit_floats(&frame.rgb, &[1, frame.height, frame.width, 3]))
}

fn unit_floats(bytes: &[u8], shape: &[usize]) -> Tensor {
    let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    Tensor::from_slice(bytes).view(shape.as_slice()).to_kind(Kind::Float) / 255.0
}

fn stack(mut parts: Vec<Tensor>) -> Tensor {
    if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 0) }
}

/// All frames of a file, upright; at least one.
fn load(path: &Path) -> Result<Vec<Frame>> {
    let (frames, orientation) = stored(path)?;
    Ok(frames.into_iter().map(|frame| upright(frame, orientation)).collect())
}

/// All frames of a file (at least one) as they are stored, and their EXIF orientation.
fn stored(path: &Path) -> Result<(Vec<Frame>, u32)> {
    let name = || path.display().to_string();
    let about = fs_err::metadata(path).context("cannot read the picture: check the file name")?;
    ensure!(about.is_file(), "{}: is not a file: name a picture file", name());
    ensure!(
        about.len() <= MAX_FILE_BYTES,
        "{}: is {} bytes; at most {MAX_FILE_BYTES} are read: scale it down",
        name(),
        about.len()
    );
    let bytes = fs_err::read(path).context("cannot read the picture: check its permissions")?;
    let (frames, orientation) =
        decode(&bytes).map_err(|error| error.context(format!("{}: cannot be read as a picture", name())))?;
    ensure!(!frames.is_empty(), "{}: holds no picture: choose another file", name());
    Ok((frames, orientation))
}

/// Decodes a file by the format that its first bytes tell.
fn decode(bytes: &[u8]) -> Result<(Vec<Frame>, u32)> {
    let mut budget = Budget::new();
    let budget = &mut budget;
    let (frames, metadata) = if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        png_file::frames(bytes, budget)?
    } else if bytes.starts_with(b"\xFF\xD8\xFF") {
        let (frame, metadata) = jpeg_file::frame(bytes, budget)?;
        (vec![frame], metadata)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        webp_file::frames(bytes, budget)?
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        (gif_file::frames(bytes, budget)?, OrientationSources::default())
    } else if bytes.starts_with(b"BM") {
        (stills::bmp(bytes, budget)?, OrientationSources::default())
    } else if bytes.starts_with(b"II") || bytes.starts_with(b"MM") {
        (stills::tiff(bytes, budget)?, OrientationSources::default())
    } else {
        bail!("is not a png, jpeg, webp, gif, bmp or tiff file: export it as png")
    };
    Ok((frames, metadata.orientation()))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
