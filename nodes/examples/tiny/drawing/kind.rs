//! The kinds of shapes and their outlines as paths.

use tiny_skia::{Path, PathBuilder, Rect, Transform};

/// A kind of shape, by its name in captions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Circle,
    Square,
    Triangle,
    Star,
    Heart,
    Ring,
    Cross,
    Diamond,
}

impl Kind {
    pub(crate) const ALL: [Kind; 8] =
        [Self::Circle, Self::Square, Self::Triangle, Self::Star, Self::Heart, Self::Ring, Self::Cross, Self::Diamond];

    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    /// The radius of the circle around a shape of size 1: kinds that fill less of it reach further, so that shapes of
    /// the same size look about as large.
    pub(crate) fn reach(self) -> f32 {
        self.row().1
    }

    /// How far a shape of this kind is turned from upright, at most, in degrees. Further than that a square would
    /// read as a diamond.
    pub(crate) fn most_turned(self) -> f32 {
        self.row().2
    }

    fn row(self) -> (&'static str, f32, f32) {
        match self {
            Self::Circle => ("circle", 0.9, 180.0),
            Self::Square => ("square", 1.05, 14.0),
            Self::Triangle => ("triangle", 1.2, 30.0),
            Self::Star => ("star", 1.2, 36.0),
            Self::Heart => ("heart", 1.05, 20.0),
            Self::Ring => ("ring", 1.0, 180.0),
            Self::Cross => ("cross", 1.1, 15.0),
            Self::Diamond => ("diamond", 1.15, 10.0),
        }
    }

    /// The outline of a shape of size 1 around the origin, y downwards, to be filled by the even-odd rule.
    pub(crate) fn path(self) -> Path {
        let mut path = PathBuilder::new();
        match self {
            Self::Circle => path.push_circle(0.0, 0.0, 1.0),
            Self::Square => path.push_rect(box_of(0.707, 0.707)),
            Self::Triangle => corners(&mut path, (0..3).map(|i| (i as f32 / 3.0, 1.0))),
            Self::Star => corners(&mut path, (0..10).map(|i| (i as f32 / 10.0, if i % 2 == 0 { 1.0 } else { 0.45 }))),
            Self::Heart => {
                path.move_to(0.0, -0.45);
                path.cubic_to(0.2, -0.95, 1.0, -0.95, 1.0, -0.25);
                path.cubic_to(1.0, 0.3, 0.35, 0.6, 0.0, 0.95);
                path.cubic_to(-0.35, 0.6, -1.0, 0.3, -1.0, -0.25);
                path.cubic_to(-1.0, -0.95, -0.2, -0.95, 0.0, -0.45);
                path.close();
            }
            Self::Ring => {
                path.push_circle(0.0, 0.0, 1.0);
                path.push_circle(0.0, 0.0, 0.55);
            }
            Self::Cross => {
                let (near, far) = (0.3, 0.954);
                let quarter = [(-near, -far), (near, -far), (near, -near)];
                // Three corners to each quarter turn.
                let turned = (0..4).flat_map(|turn| {
                    quarter.map(|(x, y)| match turn {
                        0 => (x, y),
                        1 => (-y, x),
                        2 => (-x, -y),
                        _ => (y, -x),
                    })
                });
                polygon(&mut path, turned);
            }
            Self::Diamond => polygon(&mut path, [(0.0, -1.0), (0.68, 0.0), (0.0, 1.0), (-0.68, 0.0)]),
        }
        let path = path.finish().expect("every kind has an outline");
        path.transform(Transform::from_scale(self.reach(), self.reach())).expect("a finite scale")
    }
}

fn box_of(x: f32, y: f32) -> Rect {
    Rect::from_ltrb(-x, -y, x, y).expect("left of right and above below")
}

/// A polygon of corners given as parts of a turn from upright, clockwise, and distances from the origin.
fn corners(path: &mut PathBuilder, polar: impl IntoIterator<Item = (f32, f32)>) {
    let tau = std::f32::consts::TAU;
    polygon(path, polar.into_iter().map(|(turn, far)| (far * (tau * turn).sin(), -far * (tau * turn).cos())));
}

fn polygon(path: &mut PathBuilder, corners: impl IntoIterator<Item = (f32, f32)>) {
    for (i, (x, y)) in corners.into_iter().enumerate() {
        if i == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
    }
    path.close();
}
