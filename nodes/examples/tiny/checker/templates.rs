//! Every kind drawn at every angle it comes in, brought to one size, to lay shapes over.

use tiny_skia::{FillRule, Mask, Stroke, Transform};

use super::region::Region;
use crate::drawing::Kind;

/// The side of a template in cells. A shape brought to a template has an area of `(SIDE / 2)^2` cells and its centre
/// in the middle.
const SIDE: usize = 40;
/// Degrees between one template and the next.
const TURN: f32 = 4.0;
/// How much further than drawn a shape may be turned, in degrees.
const BEYOND: f32 = 8.0;

/// How wide outlines are, of a shape of size 1: they close a ring's hole a little, and blur closes it further.
const OUTLINES: [f32; 2] = [0.0, 0.25];

pub(crate) struct Templates(Vec<(Kind, Vec<f32>)>);

impl Templates {
    pub(crate) fn new() -> Templates {
        let drawn = |kind: Kind| {
            let round = matches!(kind, Kind::Circle | Kind::Ring);
            let steps = if round { 0 } else { ((kind.most_turned() + BEYOND) / TURN) as i32 };
            (-steps..=steps)
                .flat_map(move |step| OUTLINES.map(|outline| (kind, template(kind, step as f32 * TURN, outline))))
        };
        Templates(Kind::ALL.into_iter().flat_map(drawn).collect())
    }

    /// The kind that covers a region best, and how well.
    pub(super) fn best(&self, region: &Region) -> (Kind, f32) {
        let cells = normalised(region);
        let fits = self.0.iter().map(|(kind, template)| (*kind, overlap(template, &cells)));
        fits.max_by(|a, b| a.1.total_cmp(&b.1)).expect("there are templates")
    }
}

fn overlap(one: &[f32], other: &[f32]) -> f32 {
    let (mut common, mut union) = (0.0, 0.0);
    for (a, b) in one.iter().zip(other) {
        common += a.min(*b);
        union += a.max(*b);
    }
    common / union
}

/// A region in a template's cells.
fn normalised(region: &Region) -> Vec<f32> {
    let [x, y] = region.centre();
    let scale = region.area().sqrt() / (SIDE / 2) as f32;
    let cell = |i: usize| {
        let from_middle = |v: usize| (v as f32 + 0.5 - (SIDE / 2) as f32) * scale;
        region.at([x + from_middle(i % SIDE), y + from_middle(i / SIDE)])
    };
    (0..SIDE * SIDE).map(cell).collect()
}

/// A kind, drawn large, turned and outlined, in a template's cells.
fn template(kind: Kind, degrees: f32, outline: f32) -> Vec<f32> {
    let size = 160;
    let scale = 0.4 * size as f32 / kind.reach();
    let middle = size as f32 / 2.0;
    let transform = Transform::from_rotate(degrees).post_scale(scale, scale).post_translate(middle, middle);
    let mut mask = Mask::new(size, size).expect("a size above 0");
    let path = kind.path();
    mask.fill_path(&path, FillRule::EvenOdd, true, transform);
    if let Some(edge) = path.stroke(&Stroke { width: outline, ..Stroke::default() }, scale) {
        mask.fill_path(&edge, FillRule::Winding, true, transform);
    }
    let inside = mask.data().iter().map(|&covered| covered > 127).collect();
    normalised(&Region { size: size as usize, inside })
}
