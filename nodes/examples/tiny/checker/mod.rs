//! What a picture of one shape shows: the judge of pictures that the tiny model made.
//!
//! It knows nothing of how the picture came about. The background is what reaches most of the edge without a step; the
//! shape is the largest part that differs from it; its colour is the name that most of its inner pixels are nearest to;
//! its kind is the one whose own drawing, turned as such shapes are, covers it best. How often that is wrong on real
//! drawings is measured in this module's tests.

mod background;
mod measure;
mod region;
mod templates;
#[cfg(test)]
mod tests;

use crate::drawing::colour::{distance, lab};
use crate::drawing::{Colour, Kind};
use background::Background;
pub(crate) use measure::{Confusion, single};
use region::Region;
pub(crate) use templates::Templates;

/// What was found in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) colour: Colour,
    pub(crate) kind: Kind,
    /// How well the kind's own drawing covers the shape: common part by union, from 0 to 1.
    pub(crate) fit: f32,
    /// The shape's part of the picture.
    pub(crate) part: f32,
}

/// The least difference from the background that makes a pixel part of a shape, in CIELAB.
const SEEN: f32 = 13.0;
/// The least part of the picture that counts as a shape.
const SMALLEST: f32 = 0.006;
/// A shape that no kind's drawing covers better than this is none of them.
const WORST_FIT: f32 = 0.6;
/// A pixel further from every named colour than this has none.
const FURTHEST: f32 = 45.0;

/// The colour and kind of the largest shape of a square picture: `size * size` pixels of sRGB in rows from the top.
/// None where nothing stands out from the background or what does is of no kind.
///
/// Panics if there are not `3 * size * size` values.
pub(crate) fn find(pixels: &[u8], size: usize, templates: &Templates) -> Option<Found> {
    assert_eq!(pixels.len(), 3 * size * size, "a picture of {size} by {size} pixels");
    let colours: Vec<[f32; 3]> =
        pixels.chunks_exact(3).map(|p| lab([f32::from(p[0]), f32::from(p[1]), f32::from(p[2])])).collect();
    let background = Background::of(&colours, size)?;
    let differs: Vec<bool> = (0..colours.len()).map(|at| background.difference(at, colours[at]) > SEEN).collect();
    let shape = Region::largest(&differs, size)?.without_specks();
    let part = shape.area() / (size * size) as f32;
    if part < SMALLEST {
        return None;
    }
    let (kind, fit) = templates.best(&shape);
    let colour = colour(&colours, &shape)?;
    (fit >= WORST_FIT).then_some(Found { colour, kind, fit, part })
}

/// The name that most inner pixels are nearest to.
fn colour(colours: &[[f32; 3]], shape: &Region) -> Option<Colour> {
    let named = Colour::ALL.map(|colour| (colour, [lab(colour.rgb()), lab(colour.accent())]));
    let mut votes = [0; Colour::ALL.len()];
    for pixel in shape.inner() {
        let far =
            |tones: &[[f32; 3]; 2]| tones.iter().map(|&tone| distance(colours[pixel], tone)).fold(f32::MAX, f32::min);
        let nearest = named.iter().map(|(colour, tones)| (far(tones), *colour)).min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((_, colour)) = nearest.filter(|&(far, _)| far < FURTHEST) {
            votes[colour as usize] += 1;
        }
    }
    Colour::ALL.into_iter().max_by_key(|&colour| votes[colour as usize]).filter(|&colour| votes[colour as usize] > 0)
}
