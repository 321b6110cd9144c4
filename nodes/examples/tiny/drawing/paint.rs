//! Scenes as pixels.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;
use tiny_skia::{FillRule, Mask, Path, Stroke, Transform};

use super::colour::mix;
use super::{Background, Rgb, Scene, Shape, Texture};

/// How far the paper's slow unevenness and each pixel's grain go from the colour, of 255.
const UNEVEN: f32 = 5.0;
const GRAIN: f32 = 2.5;

impl Scene {
    /// The scene as a square picture: `size * size` pixels in rows from the top, red, green and blue of each.
    ///
    /// Panics for a size of 0 or beyond 65535.
    pub(crate) fn draw(&self, size: u32) -> Vec<u8> {
        let mut mask = Mask::new(size, size).expect("a size from 1 to 65535");
        let mut canvas = self.background.paint(size as usize);
        for shape in &self.shapes {
            shape.paint(&mut canvas, &mut mask);
        }
        self.grained(&canvas, size as usize)
    }

    /// The finished picture: no part of it is quite flat.
    fn grained(&self, canvas: &[Rgb], size: usize) -> Vec<u8> {
        let mut rng = Pcg32::seed_from_u64(self.grain);
        let coarse: [[f32; 6]; 6] = std::array::from_fn(|_| std::array::from_fn(|_| UNEVEN * signed(rng.next_u32())));
        let mut pixels = Vec::with_capacity(3 * canvas.len());
        for (i, colour) in canvas.iter().enumerate() {
            let slow = bilinear(&coarse, (i % size) as f32 / size as f32, (i / size) as f32 / size as f32);
            let by = slow + GRAIN * signed(rng.next_u32());
            pixels.extend(colour.map(|v| (v + by).round().clamp(0.0, 255.0) as u8));
        }
        pixels
    }
}

/// A number from -1 to 1.
fn signed(random: u32) -> f32 {
    random as f32 / (u32::MAX as f32 / 2.0) - 1.0
}

/// What the grid holds at a point of the unit square that it spans.
fn bilinear<const N: usize>(grid: &[[f32; N]; N], x: f32, y: f32) -> f32 {
    let [(left, across), (top, down)] = [x, y].map(|at| {
        let at = at * (N - 1) as f32;
        let cell = (at as usize).min(N - 2);
        (cell, at - cell as f32)
    });
    let row = |y: usize| grid[y][left] + (grid[y][left + 1] - grid[y][left]) * across;
    row(top) + (row(top + 1) - row(top)) * down
}

impl Background {
    fn paint(&self, size: usize) -> Vec<Rgb> {
        let middle = size as f32 / 2.0;
        let [from, to] = self.fills;
        let direction = self.direction.map(|degrees| degrees.to_radians().sin_cos());
        let pixel = |i: usize| {
            let (x, y) = ((i % size) as f32 + 0.5 - middle, (i / size) as f32 + 0.5 - middle);
            let t = match direction {
                Some((sin, cos)) => 0.5 + (x * cos + y * sin) / size as f32,
                None => x.hypot(y) / size as f32 * 1.5,
            };
            mix(from, to, t.clamp(0.0, 1.0))
        };
        (0..size * size).map(pixel).collect()
    }
}

impl Shape {
    /// Where it lies in a picture of this size.
    fn transform(&self, size: f32) -> Transform {
        let scale = self.radius * size;
        Transform::from_rotate(self.turn)
            .post_scale(scale, scale)
            .post_translate(self.centre[0] * size, self.centre[1] * size)
    }

    fn paint(&self, canvas: &mut [Rgb], mask: &mut Mask) {
        let size = mask.width() as f32;
        let transform = self.transform(size);
        let path = self.kind.path().transform(transform).expect("a finite transform");
        let back = transform.invert().expect("a radius above 0");
        let period = (0.5 * self.radius).max(0.075) / self.radius;
        // A pixel of the picture, in shape units: the width over which a texture's edges are softened.
        let soft = 1.0 / (self.radius * size);
        fill(canvas, mask, &path, FillRule::EvenOdd, |x, y| {
            let (u, v) = (back.sx * x + back.kx * y + back.tx, back.ky * x + back.sy * y + back.ty);
            let shade = 1.0 - 0.05 * (u + v);
            mix(self.fill, self.accent, self.texture.at(u, v, period, soft)).map(|c| c * shade)
        });
        if let Some(colour) = self.outline.rgb() {
            let stroke = Stroke { width: size * (0.1 * self.radius).max(0.02), ..Stroke::default() };
            if let Some(edge) = path.stroke(&stroke, 1.0) {
                fill(canvas, mask, &edge, FillRule::Winding, |_, _| colour);
            }
        }
    }
}

/// Fills a path with a colour that depends on the pixel's centre.
fn fill(canvas: &mut [Rgb], mask: &mut Mask, path: &Path, rule: FillRule, colour: impl Fn(f32, f32) -> Rgb) {
    mask.clear();
    mask.fill_path(path, rule, true, Transform::identity());
    let size = mask.width() as usize;
    let bounds = path.bounds();
    let range = |from: f32, to: f32| from.floor().max(0.0) as usize..(to.ceil().max(0.0) as usize).min(size);
    for y in range(bounds.top(), bounds.bottom()) {
        for x in range(bounds.left(), bounds.right()) {
            let covered = mask.data()[y * size + x];
            if covered > 0 {
                let pixel = &mut canvas[y * size + x];
                *pixel = mix(*pixel, colour(x as f32 + 0.5, y as f32 + 0.5), f32::from(covered) / 255.0);
            }
        }
    }
}

impl Texture {
    /// How much of the accent there is at a point of the shape, from 0 to 1, for a pattern that repeats after
    /// `period` and whose edges are `soft` wide.
    fn at(self, u: f32, v: f32, period: f32, soft: f32) -> f32 {
        // The distance from the middle of the nearest repetition, of a pattern with one in the shape's middle.
        let near = |x: f32, period: f32| (x / period - (x / period).round()).abs() * period;
        let inside = |edge: f32, distance: f32| ((edge - distance) / soft + 0.5).clamp(0.0, 1.0);
        match self {
            Self::Plain => 0.0,
            Self::Striped => inside(0.21 * period, near(u + v, period)),
            Self::Dotted => inside(0.29 * period, near(u, period).hypot(near(v, period))),
            Self::Checked => {
                let [a, b] = [u, v].map(|x| inside(0.25 * period, near(x, period)));
                a * b + (1.0 - a) * (1.0 - b)
            }
        }
    }
}
