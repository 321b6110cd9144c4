//! What the preprocessors share: pictures in bytes, how they are resized before, and what is made of the result.

use anyhow::{Context, Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::memory;
use redraft_nodes::values::Image;
use tch::{Device, Kind, Tensor};

use crate::opencv::{Going, Method, Raster, resize};

/// The shorter side in pixels, if a node is not told another.
pub(super) const RESOLUTION: i64 = 512;
/// Pictures are padded to a multiple of so many pixels.
const BLOCK: usize = 64;

/// Makes each picture of a batch anew.
///
/// # Errors
/// If the pictures have no pixels, other than 1, 3 or 4 channels, or `make` fails.
pub(super) fn each(
    image: &Image,
    cx: &mut Cx,
    make: impl Fn(&Raster<u8>, Going) -> Result<Raster<u8>>,
) -> Result<Image> {
    let pictures = image.0.unbind(0);
    ensure!(!pictures.is_empty(), "the batch holds no pictures; connect at least one");
    let mut made = Vec::with_capacity(pictures.len());
    for (number, picture) in pictures.iter().enumerate() {
        let result = make(&raster(picture)?, &|| cx.check())?;
        made.push(tensor(&result)?);
        cx.progress(number + 1, pictures.len())?;
    }
    memory::ask(made.iter().map(|picture| picture.numel() * 4).sum::<usize>(), "the pictures")?;
    Ok(Image(Tensor::stack(&made, 0)))
}

/// H×W×C in bytes: values times 255, cut off, and of larger and negative ones the lowest eight bits.
fn raster(picture: &Tensor) -> Result<Raster<u8>> {
    let size: Vec<usize> = picture.size().into_iter().map(usize::try_from).collect::<Result<_, _>>()?;
    let &[height, width, channels] = size.as_slice() else {
        anyhow::bail!("the pictures have the shape {size:?}; connect a batch of pictures");
    };
    ensure!(matches!(channels, 1 | 3 | 4), "the pictures have {channels} channels; connect pictures with 3 or 4");
    let mut made = Raster::blank(width, height, channels)?;
    memory::ask(made.values.len().saturating_mul(8), "the pictures in bytes")?;
    let values = picture.to_device(Device::Cpu).to_kind(Kind::Float) * 255.0;
    let mut floats = vec![0.0_f32; made.values.len()];
    values.contiguous().f_copy_data(&mut floats, made.values.len()).context("cannot read the picture's values")?;
    let byte = |value: f32| if value.abs() < 2e9 { value as i32 as u8 } else { 0 };
    made.values.iter_mut().zip(floats).for_each(|(into, value)| *into = byte(value));
    Ok(made)
}

/// H×W×C with values from 0 to 1.
fn tensor(picture: &Raster<u8>) -> Result<Tensor> {
    memory::ask(picture.values.len().saturating_mul(4), "the picture")?;
    let shape = [picture.height, picture.width, picture.channels].map(|side| side as i64);
    Ok(Tensor::from_slice(&picture.values).view(shape).to_kind(Kind::Float) / 255.0)
}

/// Three channels: grey three times; with alpha in front of white.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(super) fn in_colour(picture: Raster<u8>, going: Going) -> Result<Raster<u8>> {
    match picture.channels {
        1 => picture.pixels(3, going, |pixel, into| into.fill(pixel[0])),
        4 => picture.pixels(3, going, |pixel, into| {
            let alpha = f32::from(pixel[3]) / 255.0;
            for (into, value) in into.iter_mut().zip(pixel) {
                *into = (f32::from(*value) * alpha + 255.0 * (1.0 - alpha)) as u8;
            }
        }),
        _ => Ok(picture),
    }
}

/// A picture in three channels whose shorter side is the resolution, padded at the right and the bottom with its edge.
pub(super) struct Framed {
    pub(super) picture: Raster<u8>,
    width: usize,
    height: usize,
}

impl Framed {
    /// Resized to the resolution: with `larger` if it grows, else by the mean of what a new pixel covers.
    ///
    /// # Errors
    /// If there is too little memory, or `going` fails.
    pub(super) fn of(picture: &Raster<u8>, resolution: i64, larger: Method, going: Going) -> Result<Self> {
        let picture = in_colour(picture.clone(), going)?;
        let factor = resolution as f64 / picture.width.min(picture.height) as f64;
        let side = |side: usize| (side as f64 * factor).round_ties_even() as usize;
        let (width, height) = (side(picture.width), side(picture.height));
        let method = if factor > 1.0 { larger } else { Method::Area };
        let picture = resize(&picture, (width, height), method, going)?;
        Ok(Self { picture: padded(&picture, going)?, width, height })
    }

    /// What was made of the padded picture: without what was padded, in three channels.
    ///
    /// # Errors
    /// If there is too little memory, or `going` fails.
    pub(super) fn cut(&self, made: &Raster<u8>, going: Going) -> Result<Raster<u8>> {
        in_colour(made.corner(self.width, self.height, going)?, going)
    }
}

fn padded(picture: &Raster<u8>, going: Going) -> Result<Raster<u8>> {
    let side = |side: usize| side.div_ceil(BLOCK) * BLOCK;
    let mut made = Raster::blank(side(picture.width), side(picture.height), picture.channels)?;
    let last = picture.height - 1;
    for (y, into) in made.rows_mut().enumerate() {
        going()?;
        let row = picture.row(y.min(last));
        let (inside, beyond) = into.split_at_mut(row.len());
        inside.copy_from_slice(row);
        let edge = &row[row.len() - picture.channels..];
        beyond.chunks_exact_mut(picture.channels).for_each(|pixel| pixel.copy_from_slice(edge));
    }
    Ok(made)
}
