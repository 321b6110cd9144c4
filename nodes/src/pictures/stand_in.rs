//! Stand-ins for missing pictures that a workflow names: the draft, under that name and in that format.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use image::{DynamicImage, ImageFormat, RgbaImage};

use super::draft::{MAX_SIDE, draw};
use super::names::{is_one_name, subfolder};
use super::write::write_new;

/// Writes the draft as `name` in or below `directory`. The extension of the name tells the format (PNG, if it is not
/// one that can be written). With `hole` a disc in the middle is transparent, if the format allows it.
///
/// # Returns
/// The file, or nothing if there is one of that name already.
///
/// # Errors
/// If a side is 0 or above 8192, the name leads outside the directory, or the file cannot be written.
pub fn write_stand_in(
    directory: &Path,
    name: &str,
    (width, height): (u32, u32),
    hole: bool,
) -> Result<Option<PathBuf>> {
    let fits = |side| (1..=MAX_SIDE).contains(&side);
    ensure!(fits(width) && fits(height), "a stand-in of {width} × {height} pixels: choose sides from 1 to {MAX_SIDE}");
    let name = name.replace('\\', "/");
    let (parent, file) = name.rsplit_once('/').unwrap_or(("", &name));
    ensure!(is_one_name(file) && !matches!(file, "" | "." | ".."), "{name:?} names no file: name a picture");
    let (folder, _) = subfolder(directory, parent)?;
    let path = folder.join(file);
    let format = format(file);
    let with_alpha = hole && !matches!(format, ImageFormat::Jpeg | ImageFormat::Bmp);
    let picture = draft(width, height, with_alpha)?;
    let picture = if with_alpha { picture } else { picture.into_rgb8().into() };
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).with_context(|| format!("cannot make {} pixels as {file}", width * height))?;
    Ok(write_new(&path, bytes.get_ref())?.then_some(path))
}

/// By the extension. When a picture is read its content decides, so that a PNG may have any name.
pub(super) fn format(file: &str) -> ImageFormat {
    let named = ImageFormat::from_path(file).unwrap_or(ImageFormat::Png);
    let written = [ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff];
    if written.contains(&named) { named } else { ImageFormat::Png }
}

fn draft(width: u32, height: u32, hole: bool) -> Result<DynamicImage> {
    let colours = draw(width, height);
    let mut pixels = Vec::with_capacity(colours.len() / 3 * 4);
    let radius = width.min(height) as f32 / 4.0;
    for (at, colour) in colours.chunks_exact(3).enumerate() {
        let (x, y) = (at as u32 % width, at as u32 / width);
        let distance = (x as f32 + 0.5 - width as f32 / 2.0).hypot(y as f32 + 0.5 - height as f32 / 2.0);
        let seen = !hole || distance > radius;
        pixels.extend_from_slice(colour);
        pixels.push(if seen { 255 } else { 0 });
    }
    let picture = RgbaImage::from_raw(width, height, pixels).context("cannot make a picture: this is a bug")?;
    Ok(picture.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pictures::read::read;

    #[test]
    fn every_format_can_be_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut values = Vec::new();
        for name in ["a.png", "sub/a.JPG", "a.jpeg", "a.webp", "a.gif", "a.bmp", "a.tiff", "no extension", "a.avif"] {
            let path = write_stand_in(dir.path(), name, (40, 24), true).unwrap().unwrap();
            assert_eq!(path, dir.path().join(name));
            let picture = read(&path).unwrap();
            assert_eq!(picture.image.size(), [1, 24, 40, 3], "{name}");
            values.push((name, picture.mask.size()[1], picture.mask.mean(tch::Kind::Float).double_value(&[])));
        }
        let masked: Vec<_> = values.iter().filter(|(_, rows, _)| *rows == 24).collect();
        assert_eq!(masked.len(), 6, "{values:?}");
        assert!(masked.iter().all(|(_, _, mean)| (0.1..0.15).contains(mean)), "a disc of radius 6 in 960: {values:?}");
        let opaque = write_stand_in(dir.path(), "opaque.png", (8, 8), false).unwrap().unwrap();
        assert_eq!(read(&opaque).unwrap().mask.size(), [1, 64, 64]);
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_leaves_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("input");
        fs_err::create_dir(&inside).unwrap();
        fs_err::write(inside.join("mine.png"), "mine").unwrap();
        assert!(write_stand_in(&inside, "mine.png", (8, 8), false).unwrap().is_none());
        assert_eq!(fs_err::read(inside.join("mine.png")).unwrap(), b"mine");
        for name in ["../out.png", "a/../../out.png", "/tmp/out.png", "..\\out.png", "", "sub/", "..", "a\0b.png"] {
            assert!(write_stand_in(&inside, name, (8, 8), false).is_err(), "{name:?}");
        }
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_stand_in(&inside, "large.png", (8193, 8), false).is_err());
    }
}
