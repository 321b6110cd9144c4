//! Scenes as windows of stained glass: a style that no caption names.

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg32;

use super::colour::mix;
use super::paint::grained;
use super::{Outline, Rgb, Scene, Shape};

/// Panes along each side of the picture.
const PANES: usize = 4;
/// Half of a lead's width, as a part of the picture's side.
const HALF_LEAD: f32 = 0.012;
/// How much lighter or darker than the background a pane is at most, of 255.
const TINT: f32 = 34.0;

impl Scene {
    /// The scene as [`Scene::draw`] draws it, but its background in panes between leads, and a lead around each shape.
    pub(crate) fn draw_in_glass(&self, size: u32) -> Vec<u8> {
        let shapes: Vec<Shape> =
            self.shapes.iter().map(|shape| Shape { outline: Outline::Dark, ..shape.clone() }).collect();
        let scene = Scene { shapes, ..self.clone() };
        let mut canvas = scene.background.paint(size as usize);
        Panes::random(&mut Pcg32::seed_from_u64(self.grain ^ 1)).paint(&mut canvas, size as usize);
        scene.paint_shapes(&mut canvas, size);
        grained(self.grain, &canvas, size as usize)
    }
}

/// Each pane is what lies nearest to one of these points of the unit square; beside it, its tint.
struct Panes(Vec<([f32; 2], f32)>);

impl Panes {
    fn random(rng: &mut impl Rng) -> Panes {
        let pane = |i: usize| {
            let [column, row] = [i % PANES, i / PANES].map(|i| i as f32 + rng.random_range(0.15..0.85));
            ([column / PANES as f32, row / PANES as f32], rng.random_range(-TINT..=TINT))
        };
        Panes((0..PANES * PANES).map(pane).collect())
    }

    fn paint(&self, canvas: &mut [Rgb], size: usize) {
        let lead = Outline::Dark.rgb().unwrap_or_default();
        for (i, pixel) in canvas.iter_mut().enumerate() {
            let at = [i % size, i / size].map(|place| (place as f32 + 0.5) / size as f32);
            let (tint, edge) = self.at(at);
            let leaded = ((HALF_LEAD - edge) * size as f32 + 0.5).clamp(0.0, 1.0);
            *pixel = mix(pixel.map(|c| (c + tint).clamp(0.0, 255.0)), lead, leaded);
        }
    }

    /// The tint of the pane at a point, and how far its edge is.
    fn at(&self, [x, y]: [f32; 2]) -> (f32, f32) {
        let mut near: Vec<(f32, &([f32; 2], f32))> =
            self.0.iter().map(|pane| ((pane.0[0] - x).hypot(pane.0[1] - y), pane)).collect();
        near.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let [(first, own), (second, other), ..] = near[..] else { return (0.0, 1.0) };
        let apart = (own.0[0] - other.0[0]).hypot(own.0[1] - other.0[1]);
        (own.1, (second * second - first * first) / (2.0 * apart).max(f32::EPSILON))
    }
}
