//! What a picture shows, and how scenes are made up.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::colour::{TONES, Tone, difference, jitter, mix};
use super::{Colour, Kind, Rgb};

/// The pairs of colour and kind that no training scene shows: one of each colour, one or two of each kind.
pub(crate) const HELD_OUT: [(Colour, Kind); 10] = [
    (Colour::Red, Kind::Triangle),
    (Colour::Orange, Kind::Ring),
    (Colour::Yellow, Kind::Circle),
    (Colour::Green, Kind::Star),
    (Colour::Blue, Kind::Cross),
    (Colour::Purple, Kind::Square),
    (Colour::Pink, Kind::Heart),
    (Colour::Brown, Kind::Diamond),
    (Colour::Black, Kind::Triangle),
    (Colour::White, Kind::Ring),
];

/// Which scenes: those to train on, or those of the pairs kept from training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// One to three shapes, none of a pair of [`HELD_OUT`].
    Train,
    /// One shape, of a pair of [`HELD_OUT`]; captions name the background.
    HeldOut,
}

/// Shapes on a background.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scene {
    pub(crate) split: Split,
    /// One to three, in the order in which they are drawn.
    pub(crate) shapes: Vec<Shape>,
    pub(crate) background: Background,
    /// The seed of the paper's grain.
    pub(crate) grain: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) colour: Colour,
    pub(crate) size: Size,
    pub(crate) texture: Texture,
    pub(crate) outline: Outline,
    /// `colour` with this shape's jitter.
    pub(crate) fill: Rgb,
    /// What stripes, dots and checks are filled with.
    pub(crate) accent: Rgb,
    /// The centre, as parts of the picture's side from the left and from the top.
    pub(crate) centre: [f32; 2],
    /// The scale of [`Kind::path`], as a part of the picture's side.
    pub(crate) radius: f32,
    /// Degrees clockwise.
    pub(crate) turn: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Small,
    Medium,
    Large,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Texture {
    Plain,
    Striped,
    Dotted,
    Checked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outline {
    None,
    Dark,
    White,
}

/// One tone, or a gradient from one to another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Background {
    pub(crate) tones: [Tone; 2],
    /// The tones with this picture's jitter.
    pub(crate) fills: [Rgb; 2],
    /// The direction in which the first tone becomes the second, in degrees clockwise from rightwards; none: from the
    /// middle outwards.
    pub(crate) direction: Option<f32>,
}

/// How far apart a shape and what is behind it look at least, in CIELAB.
const CONTRAST: f32 = 36.0;
/// The same for an outline, to both sides of it, and for the accents of a texture.
const FAINT_CONTRAST: f32 = 20.0;
/// What stays free between shapes and the picture's edge, as a part of its side.
const MARGIN: f32 = 0.03;

impl Scene {
    /// A scene made up from `rng`.
    pub(crate) fn random(rng: &mut impl Rng, split: Split) -> Scene {
        let count = match split {
            Split::HeldOut => 1,
            Split::Train => *[1, 1, 1, 1, 1, 1, 2, 2, 2, 3].choose(rng).expect("not empty"),
        };
        // A red, a white and a black shape leave few backgrounds; where none is left, other colours are tried.
        loop {
            let mut shapes = shapes(rng, split, count);
            if let Some(background) = Background::random(rng, &shapes) {
                for shape in &mut shapes {
                    shape.outline = outline(rng, shape, &background);
                }
                return Scene { split, shapes, background, grain: rng.random() };
            }
        }
    }
}

fn shapes(rng: &mut impl Rng, split: Split, count: usize) -> Vec<Shape> {
    let mut pairs: Vec<(Colour, Kind)> = Vec::new();
    while pairs.len() < count {
        let pair = match split {
            Split::HeldOut => *HELD_OUT.choose(rng).expect("not empty"),
            Split::Train => (*Colour::ALL.choose(rng).expect("not empty"), *Kind::ALL.choose(rng).expect("not empty")),
        };
        if !pairs.contains(&pair) && (HELD_OUT.contains(&pair) == (split == Split::HeldOut)) {
            pairs.push(pair);
        }
    }
    let mut sizes: Vec<Size> = pairs.iter().map(|_| Size::random(rng, count)).collect();
    loop {
        let mut placed: Vec<Shape> = Vec::new();
        for (&(colour, kind), &size) in pairs.iter().zip(&sizes) {
            let radius = size.radius(rng);
            let tries = if count == 1 { 1 } else { 40 };
            let free = (0..tries).map(|_| place(rng, kind.reach() * radius, count)).find(|centre| {
                placed.iter().all(|other| {
                    let [dx, dy] = [centre[0] - other.centre[0], centre[1] - other.centre[1]];
                    dx.hypot(dy) > kind.reach() * radius + other.reach()
                })
            });
            let Some(centre) = free else { break };
            placed.push(Shape::random(rng, (colour, kind), size, centre, radius));
        }
        if placed.len() == count {
            return placed;
        }
        sizes.fill(Size::Small);
    }
}

impl Shape {
    fn random(rng: &mut impl Rng, (colour, kind): (Colour, Kind), size: Size, centre: [f32; 2], radius: f32) -> Shape {
        let most = if rng.random_bool(0.5) { 0.1 * kind.most_turned() } else { kind.most_turned() };
        Shape {
            kind,
            colour,
            size,
            texture: match rng.random_range(0..100) {
                0..64 => Texture::Plain,
                64..78 => Texture::Striped,
                78..90 => Texture::Dotted,
                _ => Texture::Checked,
            },
            outline: Outline::None,
            fill: jitter(colour.rgb(), 4.0, rng),
            accent: jitter(colour.accent(), 3.0, rng),
            centre,
            radius,
            turn: rng.random_range(-most..=most),
        }
    }

    /// The radius of the circle around it, as a part of the picture's side.
    pub(crate) fn reach(&self) -> f32 {
        self.kind.reach() * self.radius
    }
}

impl Size {
    fn random(rng: &mut impl Rng, count: usize) -> Size {
        let sizes: &[Size] = match count {
            1 => &[Size::Small, Size::Medium, Size::Medium, Size::Large, Size::Large],
            2 => &[Size::Small, Size::Medium, Size::Medium],
            _ => &[Size::Small, Size::Small, Size::Medium],
        };
        *sizes.choose(rng).expect("not empty")
    }

    fn radius(self, rng: &mut impl Rng) -> f32 {
        match self {
            Self::Small => rng.random_range(0.13..0.155),
            Self::Medium => rng.random_range(0.195..0.235),
            Self::Large => rng.random_range(0.29..0.35),
        }
    }
}

/// A centre that keeps a shape of this reach inside the picture: for one shape, most often in the middle or at one of
/// the eight places around it; for several anywhere.
fn place(rng: &mut impl Rng, reach: f32, count: usize) -> [f32; 2] {
    let most = 1.0 - reach - MARGIN;
    let centred = count == 1 && rng.random_bool(0.3);
    std::array::from_fn(|_| {
        let middle = match rng.random_range(0..3) {
            _ if centred => 0.5,
            0 => 0.24,
            1 => 0.5,
            _ => 0.76,
        };
        let at: f32 = if count == 1 { middle + rng.random_range(-0.04..0.04) } else { rng.random_range(0.0..1.0) };
        at.clamp(1.0 - most, most)
    })
}

impl Background {
    fn random(rng: &mut impl Rng, shapes: &[Shape]) -> Option<Background> {
        let graded = rng.random_bool(0.35);
        for _ in 0..24 {
            let first = *TONES.choose_weighted(rng, |tone| tone.weight).expect("weights above 0");
            let second =
                if graded { *TONES.choose_weighted(rng, |tone| tone.weight).expect("weights above 0") } else { first };
            let fills = [jitter(first.rgb, 3.0, rng), jitter(second.rgb, 3.0, rng)];
            let direction = if rng.random_bool(0.8) { Some(rng.random_range(0..8) as f32 * 45.0) } else { None };
            let background = Background { tones: [first, second], fills, direction };
            let clear = |shape: &Shape| {
                background.contrast(shape.fill) >= CONTRAST
                    && (shape.texture == Texture::Plain || background.contrast(shape.accent) >= FAINT_CONTRAST)
            };
            // Tones much alike make no gradient that anyone would name.
            let sound = !graded || difference(first.rgb, second.rgb) > 15.0;
            if sound && shapes.iter().all(clear) {
                return Some(background);
            }
        }
        None
    }

    /// The least difference of a colour to any part of it.
    fn contrast(&self, of: Rgb) -> f32 {
        let [from, to] = self.fills;
        (0..=4).map(|i| difference(mix(from, to, i as f32 / 4.0), of)).fold(f32::INFINITY, f32::min)
    }
}

impl Outline {
    pub(crate) fn rgb(self) -> Option<Rgb> {
        match self {
            Self::None => None,
            Self::Dark => Some([32., 32., 38.]),
            Self::White => Some([250., 250., 250.]),
        }
    }
}

/// An outline that is seen against the shape and what is behind it, or none.
fn outline(rng: &mut impl Rng, shape: &Shape, background: &Background) -> Outline {
    let wished = match rng.random_range(0..10) {
        0..6 => Outline::None,
        6..8 => Outline::Dark,
        _ => Outline::White,
    };
    let seen = |rgb| difference(rgb, shape.fill) >= FAINT_CONTRAST && background.contrast(rgb) >= FAINT_CONTRAST;
    if wished.rgb().is_some_and(seen) { wished } else { Outline::None }
}
