//! Reading a picture file as LoadImage and LoadImageMask do.
//!
//! Compared with ComfyUI 0.8.0 and Pillow 13.0. As there, a file that lacks its end marker is read, and of a truncated JPEG, or a still PNG
//! that is not interlaced, what is left of it, with a warning. Others that are truncated or damaged are refused, where ComfyUI shows something.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::files;
use tch::{Kind, Tensor};

pub use super::frame::MAX_PIXELS;
use super::frame::{Budget, Frame};
use super::orientation::{OrientationSources, upright};
use crate::files::torch_file::bounded;

use super::{avif, gif_file, jpeg_file, png_file, stills, webp_file};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// A picture file's content.
#[derive(Debug)]
pub struct Picture {
    /// B × H × W × 3, 32-bit floats in 0 … 1; B counts the frames of an animation.
    pub image: Tensor,
    /// B × H × W, 32-bit floats, 1 where the picture is transparent. B × 64 × 64 zeros for a picture without alpha.
    pub mask: Tensor,
    /// Whether the file ended before the picture did; what is missing is grey or black.
    pub cut: bool,
}

/// The channel that LoadImageMask takes from a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Alpha,
    Red,
    Green,
    Blue,
}

/// Reads a PNG, JPEG, WebP, GIF, BMP, TIFF, JPEG 2000, TGA or AVIF file, told apart by content, not by name.
///
/// As in ComfyUI, the picture is turned upright by its EXIF orientation, 16-bit colour keeps its upper byte, 16-bit
/// grey is clipped to 0 … 255, colour profiles and gamma are ignored, and frames of another size than the first are
/// left out.
///
/// # Errors
/// If the file cannot be read, is no picture, is damaged, or holds more than [`MAX_PIXELS`] pixels.
pub fn read(path: &Path) -> Result<Picture> {
    let mut frames = load(path)?;
    let (width, height) = (frames[0].width, frames[0].height);
    frames.retain(|frame| (frame.width, frame.height) == (width, height));
    for frame in &mut frames {
        if frame.alpha_is_colour_key {
            frame.alpha = None;
        }
    }
    let count = frames.len();
    let masked = frames.iter().filter(|frame| frame.alpha.is_some()).count();
    ensure!(
        masked == 0 || masked == count,
        "{}: only some of its frames have transparency: export it with transparency in all or in none",
        path.display()
    );
    let alphas: Vec<Vec<u8>> = frames.iter_mut().filter_map(|frame| frame.alpha.take()).collect();
    let mask = if masked == 0 {
        Tensor::zeros([count as i64, 64, 64], (Kind::Float, tch::Device::Cpu))
    } else {
        unit_floats(alphas, &[height, width]).g_mul_scalar_(-1.0).g_add_scalar_(1.0)
    };
    let cut = frames.iter().any(|frame| frame.cut);
    let colours = frames.into_iter().map(|frame| frame.rgb).collect();
    Ok(Picture { image: unit_floats(colours, &[height, width, 3]), mask, cut })
}

/// Reads one channel of a picture file's first frame as LoadImageMask does.
///
/// # Returns
/// 1 × H × W, 32-bit floats in 0 … 1. `Channel::Alpha` is inverted (1 where the picture is transparent) and all zeros
/// for a picture without alpha. And whether the file ended before the picture did.
///
/// # Errors
/// As [`read`].
pub fn read_mask(path: &Path, channel: Channel) -> Result<(Tensor, bool)> {
    let frame = load(path)?.swap_remove(0);
    let shape = [frame.height, frame.width];
    let colour = |c: usize| frame.rgb.iter().skip(c).step_by(3).copied().collect::<Vec<u8>>();
    let mask = match channel {
        Channel::Red => unit_floats(vec![colour(0)], &shape),
        Channel::Green => unit_floats(vec![colour(1)], &shape),
        Channel::Blue => unit_floats(vec![colour(2)], &shape),
        Channel::Alpha => {
            let alpha = frame.alpha.unwrap_or_else(|| vec![255; frame.width * frame.height]);
            1.0 - unit_floats(vec![alpha], &shape)
        }
    };
    Ok((mask, frame.cut))
}

/// The colours of a picture file's first frame as they are stored: not turned by its EXIF orientation, without alpha.
///
/// # Returns
/// 1 × H × W × 3, 32-bit floats in 0 … 1.
///
/// # Errors
/// As [`read`], and if the file ends before the picture does: ComfyUI refuses it where it reads data sets.
pub fn read_stored(path: &Path) -> Result<Tensor> {
    let frame = stored(path)?.0.swap_remove(0);
    ensure!(!frame.cut, "{}: is truncated: fetch it again", path.display());
    Ok(unit_floats(vec![frame.rgb], &[frame.height, frame.width, 3]))
}

/// Pictures of `shape`, in eight bits, as one batch of floats from 0 to 1. Each picture's bytes go as soon as they are taken over.
fn unit_floats(pictures: Vec<Vec<u8>>, shape: &[usize]) -> Tensor {
    let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    let batch = [&[pictures.len() as i64], shape.as_slice()].concat();
    let mut floats = Tensor::empty(batch, (Kind::Float, tch::Device::Cpu));
    for (place, bytes) in (0..).zip(pictures) {
        floats.get(place).copy_(&Tensor::from_slice(&bytes).view(shape.as_slice()));
    }
    floats.g_div_scalar_(255.0)
}

/// All frames of a file, upright; at least one.
fn load(path: &Path) -> Result<Vec<Frame>> {
    let (frames, orientation) = stored(path)?;
    Ok(frames.into_iter().map(|frame| upright(frame, orientation)).collect())
}

/// All frames of a file (at least one) as they are stored, and their EXIF orientation.
fn stored(path: &Path) -> Result<(Vec<Frame>, u32)> {
    let name = || path.display().to_string();
    let file = files::open(path).with_context(|| format!("cannot read the picture {}", name()))?;
    let length = file.metadata().with_context(|| format!("cannot read the picture {}", name()))?.len();
    ensure!(
        length <= MAX_FILE_BYTES,
        "{}: is {length} bytes; at most {MAX_FILE_BYTES} are read: scale it down",
        name(),
    );
    // Only what is there now: a file that grows or shrinks meanwhile is a damaged picture, no more.
    let bytes = bounded(file, MAX_FILE_BYTES).with_context(|| format!("cannot read the picture {}", name()))?;
    let (frames, orientation) =
        decode(&bytes).map_err(|error| error.context(format!("{}: cannot be read as a picture", name())))?;
    ensure!(!frames.is_empty(), "{}: holds no picture: choose another file", name());
    Ok((frames, orientation))
}

/// Looks at a picture file's beginning.
///
/// # Errors
/// If the file cannot be opened, is too large, or begins like no picture that is read.
pub fn look(path: &Path) -> Result<()> {
    let file = files::open(path)?;
    ensure!(file.metadata()?.len() <= MAX_FILE_BYTES, "it is larger than {MAX_FILE_BYTES} bytes: scale it down");
    let mut head = Vec::new();
    file.take(64).read_to_end(&mut head)?;
    ensure!(format_of(&head).is_some(), UNKNOWN);
    Ok(())
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Png,
    Jpeg,
    Webp,
    Gif,
    Bmp,
    Tiff,
    Jpeg2000,
    Tga,
    Avif,
}

const UNKNOWN: &str = "is not a png, jpeg, webp, gif, bmp, tiff, jpeg 2000, tga or avif file: export it as png";

/// The format that a file's first bytes tell.
fn format_of(bytes: &[u8]) -> Option<Format> {
    let is = |magic: &[u8]| bytes.starts_with(magic);
    Some(match bytes {
        _ if is(b"\x89PNG\r\n\x1a\n") => Format::Png,
        _ if is(b"\xFF\xD8\xFF") => Format::Jpeg,
        _ if is(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") => Format::Webp,
        _ if is(b"GIF87a") || is(b"GIF89a") => Format::Gif,
        _ if is(b"BM") => Format::Bmp,
        _ if is(b"II") || is(b"MM") => Format::Tiff,
        _ if is(b"\0\0\0\x0CjP  \r\n\x87\n") || is(b"\xFF\x4F\xFF\x51") => Format::Jpeg2000,
        _ if avif::is(bytes) => Format::Avif,
        _ if stills::may_be_tga(bytes) => Format::Tga,
        _ => return None,
    })
}

/// Decodes a file by the format that its first bytes tell.
fn decode(bytes: &[u8]) -> Result<(Vec<Frame>, u32)> {
    let mut budget = Budget::new();
    let budget = &mut budget;
    let plain = |frames: Vec<Frame>| (frames, OrientationSources::default());
    let (frames, metadata) = match format_of(bytes) {
        Some(Format::Png) => png_file::frames(bytes, budget)?,
        Some(Format::Jpeg) => {
            let (frame, metadata) = jpeg_file::frame(bytes, budget)?;
            (vec![frame], metadata)
        }
        Some(Format::Webp) => webp_file::frames(bytes, budget)?,
        Some(Format::Gif) => plain(gif_file::frames(bytes, budget)?),
        Some(Format::Bmp) => plain(stills::bmp(bytes, budget)?),
        Some(Format::Tiff) => plain(stills::tiff(bytes, budget)?),
        Some(Format::Jpeg2000) => plain(stills::jpeg2000(bytes, budget)?),
        Some(Format::Tga) => plain(stills::tga(bytes, budget)?),
        Some(Format::Avif) => return avif::frames(bytes, budget),
        None => bail!(UNKNOWN),
    };
    Ok((frames, metadata.orientation()))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
