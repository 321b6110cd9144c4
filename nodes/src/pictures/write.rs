//! Writing PNG files as SaveImage and PreviewImage do.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::aside::Aside;
use redraft_engine::memory;
use serde_json::Value;
use tch::Tensor;

use super::names::SaveLocation;
use crate::ops::bytes::{eight_bits, rounded_eight_bits, sixteen_bits};
use crate::python::json;

/// How hard a PNG is compressed; the pixels are the same either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// zlib level 4, as SaveImage.
    Saved,
    /// zlib level 1, as PreviewImage.
    Preview,
}

impl Compression {
    fn level(self) -> u8 {
        match self {
            Compression::Saved => 4,
            Compression::Preview => 1,
        }
    }
}

/// A picture that has been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub path: PathBuf,
    /// The name alone, `NAME_00001_.png`.
    pub file_name: String,
}

/// Writes every picture of a batch to its own PNG file, counting up from the location's counter.
///
/// `images` is B × H × W × C with C = 3 (RGB) or 4 (RGBA), values 0 … 1, clipped and truncated (not rounded) to 8 bits.
/// Each entry of `metadata` becomes a `tEXt` chunk before the pixels, its value as Python's JSON; give `prompt` first,
/// then `workflow`, or nothing to write none. A file is written under a temporary name and then renamed, so that it is
/// never incomplete. Existing files stay: the next free number is used.
///
/// # Errors
/// If the tensor has another shape, a metadata name is no PNG keyword, or the folder cannot be written to.
pub fn save_batch(
    location: &SaveLocation,
    images: &Tensor,
    metadata: &[(String, Value)],
    compression: Compression,
) -> Result<Vec<Saved>> {
    let [batch, ..] = images.size()[..] else {
        bail!("a picture without dimensions cannot be saved: connect an image")
    };
    let mut counter = location.counter;
    let mut saved = Vec::new();
    for number in 0..batch {
        let png = encode(&images.get(number), metadata, compression)?;
        saved.push(write_numbered(
            location,
            &mut counter,
            |counter| location.file_name(number as usize, counter),
            &png,
        )?);
    }
    Ok(saved)
}

/// Writes a new file under the first free number from `counter` on, and sets `counter` to the number after it. `name`
/// makes a file name of a number.
///
/// # Errors
/// If the folder cannot be written to.
pub fn write_numbered(
    location: &SaveLocation,
    counter: &mut u64,
    name: impl Fn(u64) -> String,
    bytes: &[u8],
) -> Result<Saved> {
    write_numbered_by(location, counter, name, |aside, path| aside.write_all(bytes).with_context(|| not_written(path)))
}

/// As [`write_numbered`], where `write` writes the file: it is given the file as it lies under a temporary name, and the path that it
/// will have. Where another run takes that path meanwhile, it writes again.
///
/// # Errors
/// If the folder cannot be written to, or as `write` has it.
pub fn write_numbered_by(
    location: &SaveLocation,
    counter: &mut u64,
    name: impl Fn(u64) -> String,
    mut write: impl FnMut(&mut Aside, &Path) -> Result<()>,
) -> Result<Saved> {
    loop {
        let file_name = name(*counter);
        let path = location.folder.join(&file_name);
        *counter = counter.checked_add(1).context("the file names have run out of numbers: use another prefix")?;
        if write_new_by(&path, |aside| write(aside, &path))? {
            return Ok(Saved { path, file_name });
        }
    }
}

/// One picture (H × W × C, C = 3 or 4, values 0 … 1) as the bytes of a PNG file; see [`save_batch`].
///
/// # Errors
/// If the tensor has another shape, or a metadata name is no PNG keyword.
pub fn encode(image: &Tensor, metadata: &[(String, Value)], compression: Compression) -> Result<Vec<u8>> {
    match image.size().last() {
        Some(1) => bail!("a picture of 1 channels cannot be saved: make it RGB or RGBA"),
        _ => encode_deep(image, metadata, compression, Depth::Eight),
    }
}

/// How many bits each value of a PNG has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Eight,
    Sixteen,
}

/// As [`encode`], with values of 8 or 16 bits, and of one channel, too, which is grey.
///
/// # Errors
/// As [`encode`].
pub fn encode_deep(
    image: &Tensor,
    metadata: &[(String, Value)],
    compression: Compression,
    depth: Depth,
) -> Result<Vec<u8>> {
    let [height, width, channels] = image.size()[..] else {
        bail!("a picture of shape {:?} cannot be saved: it must be height × width × channels", image.size());
    };
    let color = match channels {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        4 => png::ColorType::Rgba,
        _ => bail!("a picture of {channels} channels cannot be saved: make it RGB or RGBA"),
    };
    ensure!(width > 0 && height > 0, "a picture of {width} × {height} pixels cannot be saved: make it larger");
    let texts: Vec<(&str, String)> = metadata.iter().map(|(key, value)| (key.as_str(), json::dumps(value))).collect();
    let size = (u32::try_from(width)?, u32::try_from(height)?);
    match depth {
        Depth::Eight => encode_bytes(&eight_bits(image)?, size, (color, png::BitDepth::Eight), &texts, compression),
        Depth::Sixteen => {
            encode_bytes(&sixteen_bits(image)?, size, (color, png::BitDepth::Sixteen), &texts, compression)
        }
    }
}

/// One picture (H × W × C, C = 3 or 4, values 0 … 1) as the bytes of a PNG file, rounded to 8 bits, with texts as they are.
///
/// # Errors
/// As [`encode`].
pub fn encode_rounded(image: &Tensor, texts: &[(&str, String)]) -> Result<Vec<u8>> {
    let &[height, width, channels @ (3 | 4)] = image.size().as_slice() else {
        bail!("a picture of shape {:?} cannot be saved: make it RGB or RGBA", image.size());
    };
    ensure!(width > 0 && height > 0, "a picture of {width} × {height} pixels cannot be saved: make it larger");
    let color = if channels == 4 { png::ColorType::Rgba } else { png::ColorType::Rgb };
    let (size, pixels) = ((u32::try_from(width)?, u32::try_from(height)?), rounded_eight_bits(image)?);
    encode_bytes(&pixels, size, (color, png::BitDepth::Eight), texts, Compression::Saved)
}

pub(super) fn encode_bytes(
    pixels: &[u8],
    (width, height): (u32, u32),
    (color, depth): (png::ColorType, png::BitDepth),
    texts: &[(&str, String)],
    compression: Compression,
) -> Result<Vec<u8>> {
    memory::ask(pixels.len(), "the compressed picture")?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(BufWriter::new(&mut bytes), width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_deflate_compression(png::DeflateCompression::Level(compression.level()));
    encoder.set_filter(png::Filter::Adaptive);
    for (key, text) in texts {
        encoder
            .add_text_chunk((*key).to_owned(), text.clone())
            .with_context(|| format!("metadata {key:?} cannot be written: use a name of 1 to 79 Latin letters"))?;
    }
    let mut writer = encoder
        .write_header()
        .context("the picture's metadata cannot be written: use names of 1 to 79 Latin letters")?;
    writer.write_image_data(pixels).context("the picture cannot be compressed: this is a bug")?;
    writer.finish().context("the picture cannot be compressed: this is a bug")?;
    Ok(bytes)
}

/// Writes a new file under a temporary name, and then renames it.
///
/// # Returns
/// `false`, with nothing changed, if the name is already taken, even if that happened only just now.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool> {
    write_new_by(path, |aside| aside.write_all(bytes).with_context(|| not_written(path)))
}

fn write_new_by(path: &Path, write: impl FnOnce(&mut Aside) -> Result<()>) -> Result<bool> {
    // Links and devices count as taken names.
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    let mut aside = Aside::of(path).with_context(|| not_written(path))?;
    write(&mut aside)?;
    aside.stand_new().with_context(|| not_written(path))
}

/// Writes a file under a temporary name, and then renames it. An existing file of the name is replaced.
///
/// # Errors
/// If the folder cannot be written to.
pub fn write_over(path: &Path, bytes: &[u8]) -> Result<()> {
    aside(path, bytes).and_then(Aside::stand_over).with_context(|| not_written(path))
}

fn not_written(path: &Path) -> String {
    format!("cannot write {}: check the folder's permissions and space", path.display())
}

/// All of a file, under a temporary name.
fn aside(path: &Path, bytes: &[u8]) -> std::io::Result<Aside> {
    let mut aside = Aside::of(path)?;
    aside.write_all(bytes)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pictures::names::save_location;
    use serde_json::json;
    use tch::{Device, Kind};

    fn location(folder: &Path, prefix: &str) -> SaveLocation {
        let now = chrono::NaiveDate::from_ymd_opt(2026, 1, 2).unwrap().and_hms_opt(3, 4, 5).unwrap();
        save_location(prefix, folder, 2, 1, now).unwrap()
    }

    fn decoded(bytes: &[u8]) -> (png::ColorType, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        (reader.info().color_type, pixels)
    }

    /// Figures from numpy: `np.clip(255. * v, 0, 255).astype(np.uint8)` on 32-bit floats.
    #[test]
    fn values_are_cut_to_eight_bits() {
        let values = [0.0f32, 0.5, 1.0, -0.25, 1.5, 0.9999, 1.0 / 255.0, 0.003_92, 0.7529412, f32::NAN, 0.2, 0.6];
        let image = Tensor::from_slice(&values).view([2, 2, 3]);
        let png = encode(&image, &[], Compression::Saved).unwrap();
        let (color, pixels) = decoded(&png);
        assert_eq!(color, png::ColorType::Rgb);
        assert_eq!(pixels, [0, 127, 255, 0, 255, 254, 1, 0, 192, 0, 51, 153]);
        let image = Tensor::from_slice(&[0.0f32, 0.2, 0.4, 0.6]).view([1, 1, 4]);
        let (color, pixels) = decoded(&encode(&image, &[], Compression::Preview).unwrap());
        assert_eq!((color, pixels), (png::ColorType::Rgba, vec![0, 51, 102, 153]));
        let error = encode(&Tensor::zeros([1, 1, 2], (Kind::Float, Device::Cpu)), &[], Compression::Saved).unwrap_err();
        assert_eq!(error.to_string(), "a picture of 2 channels cannot be saved: make it RGB or RGBA");
    }

    #[test]
    fn metadata_stands_before_the_pixels_in_order() {
        let image = Tensor::zeros([1, 1, 3], (Kind::Float, Device::Cpu));
        let metadata =
            [("prompt".to_owned(), json!({"3": {"cfg": 8.0}})), ("workflow".to_owned(), json!({"猫": [1, 2]}))];
        let png = encode(&image, &metadata, Compression::Saved).unwrap();
        let at = |text: &[u8]| png.windows(text.len()).position(|window| window == text).unwrap();
        let prompt = at(b"tEXtprompt\0{\"3\": {\"cfg\": 8.0}}");
        let workflow = at(b"tEXtworkflow\0{\"\\u732b\": [1, 2]}");
        assert!(prompt < workflow && workflow < at(b"IDAT"));
        let plain = encode(&image, &[], Compression::Saved).unwrap();
        assert!(!plain.windows(4).any(|window| window == b"tEXt"));
    }

    #[test]
    fn files_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let mut place = location(folder.path(), "sub/x");
        let images = Tensor::zeros([2, 1, 2, 3], (Kind::Float, Device::Cpu));
        let saved = save_batch(&place, &images, &[], Compression::Saved).unwrap();
        let names: Vec<&str> = saved.iter().map(|s| s.file_name.as_str()).collect();
        assert_eq!(names, ["x_00001_.png", "x_00002_.png"]);
        // Another run has taken the number in the meantime.
        std::fs::write(folder.path().join("sub/x_00004_.png"), "mine").unwrap();
        place.counter = 1;
        let saved = save_batch(&place, &images, &[], Compression::Saved).unwrap();
        let names: Vec<&str> = saved.iter().map(|s| s.file_name.as_str()).collect();
        assert_eq!(names, ["x_00003_.png", "x_00005_.png"]);
        assert_eq!(std::fs::read(folder.path().join("sub/x_00004_.png")).unwrap(), b"mine");
        assert_eq!(std::fs::read_dir(folder.path().join("sub")).unwrap().count(), 5, "no temporary file is left");
        assert_eq!(location(folder.path(), "sub/x").counter, 6);
    }
}
