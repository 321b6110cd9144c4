use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::values::Image;

use super::hints::{each, in_colour};
use super::resolution::ResizeMode;
use super::thinning::{maxima, thin};
use crate::opencv::morphology::{SQUARE, dilate, erode};
use crate::opencv::threshold::{otsu, threshold};
use crate::opencv::{Going, Method, Raster, resize};

/// Resizes what a preprocessor gave: black and white stays so, thin lines stay thin, and few colours stay those.
#[derive(Node)]
#[node(class = "HintImageEnchance", category = "ControlNet Preprocessors", display = "Enchance And Resize Hint Images")]
pub(super) struct HintImageEnhance {
    pub(super) hint_image: Image,
    #[input(default = 512, min = 64, max = 8192, step = 8)]
    pub(super) image_gen_width: i64,
    #[input(default = 512, min = 64, max = 8192, step = 8)]
    pub(super) image_gen_height: i64,
    #[input(default = "Just Resize")]
    pub(super) resize_mode: ResizeMode,
}

impl Run for HintImageEnhance {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let size = (usize::try_from(self.image_gen_width)?, usize::try_from(self.image_gen_height)?);
        each(&self.hint_image, cx, |hint, going| {
            ensure!(hint.channels >= 3, "the pictures have {} channels; connect pictures with 3 or 4", hint.channels);
            match self.resize_mode {
                ResizeMode::Stretch => resized(hint, size, going),
                ResizeMode::Crop => cropped(hint, size, going),
                ResizeMode::Fill => filled(hint, size, going),
            }
        })
    }
}

/// The size with another factor for its sides, which `choose` chooses.
fn scaled(hint: &Raster<u8>, (width, height): (usize, usize), choose: fn(f64, f64) -> f64) -> (usize, usize) {
    let (across, down) = (width as f64 / hint.width as f64, height as f64 / hint.height as f64);
    let factor = choose(down, across);
    let side = |side: usize| (side as f64 * factor).round_ties_even() as usize;
    (side(hint.width), side(hint.height))
}

fn cropped(hint: &Raster<u8>, (width, height): (usize, usize), going: Going) -> Result<Raster<u8>> {
    let made = resized(hint, scaled(hint, (width, height), f64::max), going)?;
    let place = (made.width.saturating_sub(width) / 2, made.height.saturating_sub(height) / 2);
    made.cut(place, (width, height), going)
}

/// Around it stands the median of its edges.
fn filled(hint: &Raster<u8>, (width, height): (usize, usize), going: Going) -> Result<Raster<u8>> {
    let mut colour = edge_colour(hint);
    if let [_, _, _, alpha] = &mut colour[..] {
        *alpha = 255;
    }
    let made = resized(hint, scaled(hint, (width, height), f64::min), going)?;
    let mut frame: Raster<u8> = Raster::blank(width, height, hint.channels)?;
    frame.values.chunks_exact_mut(hint.channels).for_each(|pixel| pixel.copy_from_slice(&colour));
    let (left, top) = (width.saturating_sub(made.width) / 2, height.saturating_sub(made.height) / 2);
    for (into, row) in frame.rows_mut().skip(top).zip(made.rows()) {
        going()?;
        into[left * made.channels..].iter_mut().zip(row).for_each(|(into, value)| *into = *value);
    }
    Ok(frame)
}

/// The median of each channel along all four edges, cut off.
fn edge_colour(hint: &Raster<u8>) -> Vec<u8> {
    let (last_x, last_y) = (hint.width - 1, hint.height - 1);
    let pixel = |x: usize, y: usize| &hint.row(y)[x * hint.channels..][..hint.channels];
    let along = (0..hint.width).flat_map(|x| [pixel(x, 0), pixel(x, last_y)]);
    let edge: Vec<&[u8]> = along.chain((0..hint.height).flat_map(|y| [pixel(0, y), pixel(last_x, y)])).collect();
    let median = |channel: usize| {
        let mut values: Vec<u8> = edge.iter().map(|pixel| pixel[channel]).collect();
        values.sort_unstable();
        // There is an even number of them.
        let half = values.len() / 2;
        u8::midpoint(values[half - 1], values[half])
    };
    (0..hint.channels).map(median).collect()
}

/// Resized by what it shows: colours of a few as they are, black and white as black and white, all else smoothly. Alpha becomes 0 or 255.
fn resized(hint: &Raster<u8>, size: (usize, usize), going: Going) -> Result<Raster<u8>> {
    let colours = match hint.channels {
        4 => hint.pixels(3, going, |pixel, into| into.copy_from_slice(&pixel[..3]))?,
        _ => hint.clone(),
    };
    let is_same = (hint.width, hint.height) == size;
    let (before, behind) = (hint.width * hint.height, size.0 * size.1);
    let count = colour_count(&colours);
    let method = match count {
        3..MANY => Method::Nearest,
        _ if behind < before => Method::Area,
        _ => Method::Cubic,
    };
    let mut made = resize(&colours, size, method, going)?;
    if !is_same && count == 2 && is_binary(&colours) {
        made = binary(&made, has_thin_lines(&colours, going)?, behind > before, going)?;
    }
    if hint.channels == 3 {
        return Ok(made);
    }
    let mut alpha = resize(&hint.channel(3, going)?, size, method, going)?;
    threshold(&mut alpha, 127, 0, 255);
    let mut alpha = alpha.values.into_iter();
    made.pixels(4, going, |pixel, into| {
        into[..3].copy_from_slice(pixel);
        into[3] = alpha.next().unwrap_or(0);
    })
}

/// With so many colours a picture is no map of a few.
const MANY: usize = 200;

/// How many colours there are, as far as they are few.
fn colour_count(picture: &Raster<u8>) -> usize {
    let mut seen = BTreeSet::new();
    for pixel in picture.values.chunks_exact(picture.channels) {
        seen.insert(pixel);
        if seen.len() == MANY {
            break;
        }
    }
    seen.len()
}

fn is_binary(picture: &Raster<u8>) -> bool {
    picture.values.iter().any(|value| *value < 16) && picture.values.iter().any(|value| *value > 240)
}

/// Whether most of what is light disappears if a pixel is taken off all around.
fn has_thin_lines(picture: &Raster<u8>, going: Going) -> Result<bool> {
    let opened = dilate(&erode(picture, &SQUARE, going)?, &SQUARE, going)?;
    let gone = opened.values.iter().zip(&picture.values).filter(|(opened, value)| opened < value).count();
    let light = picture.values.iter().filter(|value| **value > 127).count();
    Ok(gone * 2 > light)
}

/// Black and white again; lines as thin as they were.
fn binary(picture: &Raster<u8>, thin_lines: bool, is_larger: bool, going: Going) -> Result<Raster<u8>> {
    let mut grey = picture.pixels(1, going, |pixel, into| {
        let sum: f32 = pixel.iter().map(|value| f32::from(*value)).sum();
        into[0] = (sum / 3.0) as u8;
    })?;
    if thin_lines {
        grey = maxima(&grey, going)?;
    }
    let limit = otsu(&grey);
    threshold(&mut grey, limit, 0, 255);
    if thin_lines {
        thin(&mut grey, is_larger, going)?;
    }
    in_colour(grey, going)
}
