use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};
use tch::Tensor;

use super::super::channels::matched;
use crate::ops::resize::{Crop, Method, resize_pictures};
use crate::values::Image;

/// Blends two pictures. The second is cropped and resized to the size of the first.
#[derive(Node)]
#[node(category = "image/postprocessing")]
struct ImageBlend {
    /// The lower picture.
    image1: Image,
    /// The upper picture.
    image2: Image,
    /// The share of the blended picture: 0 gives the first picture alone.
    #[input(default = 0.5, min = 0.0, max = 1.0, step = 0.01, beyond = Both)]
    blend_factor: f64,
    blend_mode: Mode,
}

#[derive(Combo, Clone, Copy)]
enum Mode {
    Normal,
    Multiply,
    Screen,
    Overlay,
    SoftLight,
    Difference,
}

impl Run for ImageBlend {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let lower = self.image1.0;
        let upper = matched(&self.image2.0, &lower);
        let size = lower.size();
        let upper = match upper.size() == size {
            true => upper,
            false => resize_pictures(&upper, size[2], size[1], Method::Bicubic, Crop::Center)?,
        };
        let blended = blend(&lower, &upper, self.blend_mode);
        let mixed = lower * (1.0 - self.blend_factor) + blended * self.blend_factor;
        Ok(Image(mixed.clamp(0.0, 1.0)))
    }
}

/// The formulas of the modes. `a` is the lower picture, `b` the upper one.
fn blend(a: &Tensor, b: &Tensor, mode: Mode) -> Tensor {
    let screened = || 1.0 - (1.0 - a) * (1.0 - b);
    match mode {
        Mode::Normal => b.shallow_clone(),
        Mode::Multiply => a * b,
        Mode::Screen => screened(),
        Mode::Overlay => {
            let dark: Tensor = 2.0 * a * b;
            let light: Tensor = 1.0 - 2.0 * (1.0 - a) * (1.0 - b);
            dark.where_self(&a.le(0.5), &light)
        }
        Mode::SoftLight => {
            let dark: Tensor = a - (1.0 - 2.0 * b) * a * (1.0 - a);
            let light: Tensor = a + (2.0 * b - 1.0) * (lightened(a) - a);
            dark.where_self(&b.le(0.5), &light)
        }
        Mode::Difference => a - b,
    }
}

/// The curve of soft light: a square root, and below 1/4 a cubic polynomial that continues it.
fn lightened(a: &Tensor) -> Tensor {
    let cubic: Tensor = ((16.0 * a - 12.0) * a + 4.0) * a;
    cubic.where_self(&a.le(0.25), &a.sqrt())
}
