//! Writing an animation as a GIF file: each frame with a palette of its own by median cut, as Pillow does.

use std::collections::HashMap;

use anyhow::{Context, Result};
use gif::{DisposalMethod, Encoder, Frame, Repeat};
use redraft_engine::memory;

use super::animation::Frames;
use crate::ops::quantise::{Palette, Rgb, median_cut};

/// The most colours of a palette.
const MOST: usize = 256;
/// From this value of alpha on a pixel is opaque: a GIF file knows no others.
const OPAQUE: u8 = 128;

/// Frames as the bytes of a GIF file that is played `loops` times after the first, or for ever if that is 0. The place of a frame is cleared
/// before the next one is drawn. Times are cut to hundredths of a second.
///
/// # Errors
/// If a side is longer than 65535 pixels, or there is no memory.
pub fn gif_of(frames: &Frames, loops: u16) -> Result<Vec<u8>> {
    const BUG: &str = "the pictures cannot be written as a gif file: this is a bug";
    let side = |side: usize| u16::try_from(side).context("a gif file has sides of up to 65535 pixels: scale them down");
    let (width, height) = (side(frames.width)?, side(frames.height)?);
    memory::ask(frames.width.saturating_mul(frames.height).saturating_mul(16), "a frame of a gif file")?;
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height, &[]).context(BUG)?;
    if frames.frames.len() > 1 {
        encoder.set_repeat(if loops == 0 { Repeat::Infinite } else { Repeat::Finite(loops) }).context(BUG)?;
    }
    for (pixels, milliseconds) in &frames.frames {
        let Indexed { palette, indices, transparent } = if frames.alpha {
            indexed(pixels.chunks_exact(4).map(|p| ([p[0], p[1], p[2]], p[3] >= OPAQUE)))
        } else {
            indexed(pixels.chunks_exact(3).map(|p| ([p[0], p[1], p[2]], true)))
        };
        let frame = Frame {
            width,
            height,
            delay: u16::try_from(milliseconds / 10).unwrap_or(u16::MAX),
            dispose: DisposalMethod::Background,
            transparent,
            palette: Some(palette),
            buffer: indices.into(),
            ..Frame::default()
        };
        encoder.write_frame(&frame).context(BUG)?;
    }
    drop(encoder);
    Ok(bytes)
}

/// A frame in colours of a palette.
struct Indexed {
    /// Three bytes a colour.
    palette: Vec<u8>,
    indices: Vec<u8>,
    /// The index of what is not there.
    transparent: Option<u8>,
}

/// Pixels, of which each is there or not, in colours of a palette.
fn indexed(pixels: impl Iterator<Item = (Rgb, bool)> + Clone) -> Indexed {
    let there: Vec<Rgb> = pixels.clone().filter(|(_, opaque)| *opaque).map(|(colour, _)| colour).collect();
    let holes = pixels.clone().any(|(_, opaque)| !opaque);
    let mut colours = match there.is_empty() {
        true => vec![[0; 3]],
        false => median_cut(&there, MOST - usize::from(holes)),
    };
    let mut nearest = Palette::new(colours.clone());
    let mut places: HashMap<Rgb, u8> = HashMap::new();
    for (colour, place) in colours.iter().zip(0u8..) {
        places.entry(*colour).or_insert(place);
    }
    let transparent = holes.then(|| u8::try_from(colours.len()).unwrap_or(u8::MAX));
    if holes {
        colours.push([0; 3]);
    }
    let place = |(colour, opaque): (Rgb, bool)| match transparent {
        Some(hole) if !opaque => hole,
        _ => places.get(&nearest.nearest(colour)).copied().unwrap_or(0),
    };
    let indices = pixels.map(place).collect();
    Indexed { palette: colours.into_flattened(), indices, transparent }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pictures::read::read;
    use tch::{Kind, Tensor};

    fn written(images: &Tensor, milliseconds: u64, loops: u16) -> Vec<u8> {
        gif_of(&Frames::rounded(images, milliseconds).unwrap(), loops).unwrap()
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let red = Tensor::from_slice(&[1.0f32, 0.0, 0.0]).expand([1, 4, 5, 3], true);
        let grey = Tensor::full([1, 4, 5, 3], 0.5, (Kind::Float, tch::Device::Cpu));
        let images = Tensor::cat(&[&red, &grey, &grey, &red], 0);
        let bytes = written(&images, 125, 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gif");
        fs_err::write(&path, &bytes).unwrap();
        let read = read(&path).unwrap().image;
        // Equal frames are one that is shown for longer.
        assert_eq!(read.size(), [3, 4, 5, 3]);
        assert_eq!(read.get(1).double_value(&[0, 0, 0]), f64::from(128.0f32 / 255.0));
        assert!((read.get(2) - red.get(0)).abs().max().double_value(&[]) == 0.0);
        let mut decoder = gif::DecodeOptions::new().read_info(&bytes[..]).unwrap();
        assert_eq!(decoder.repeat(), Repeat::Infinite);
        let mut delays = Vec::new();
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            assert_eq!(frame.dispose, DisposalMethod::Background);
            delays.push(frame.delay);
        }
        assert_eq!(delays, [12, 25, 12]);
        let finite = written(&images, 100, 3);
        assert_eq!(gif::DecodeOptions::new().read_info(&finite[..]).unwrap().repeat(), Repeat::Finite(3));
    }

    #[test]
    fn what_is_transparent_stays_so() {
        let pixels = [[1.0f32, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.2], [0.0, 0.0, 1.0, 0.9], [0.0, 0.0, 0.0, 0.0]];
        let images = Tensor::from_slice(&pixels.concat()).view([1, 2, 2, 4]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gif");
        fs_err::write(&path, written(&images, 100, 0)).unwrap();
        let mask = read(&path).unwrap().mask;
        assert_eq!(Vec::<f32>::try_from(mask.view(-1)).unwrap(), [0.0, 1.0, 0.0, 1.0]);
    }
}
