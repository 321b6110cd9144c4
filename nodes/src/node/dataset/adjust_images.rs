use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::OneImage;
use crate::values::Image;

/// Normalises a picture: subtracts `mean` from each value and divides by `std`.
#[derive(Node)]
#[node(category = "dataset/image", display = "Normalize Images", experimental)]
struct NormalizeImages {
    images: Image,
    #[input(default = 0.5, min = 0.0, max = 1.0)]
    mean: f64,
    #[input(default = 0.5, min = 0.001, max = 1.0)]
    std: f64,
}

impl Run for NormalizeImages {
    type Out = OneImage;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneImage> {
        Ok(OneImage { images: Image((self.images.0 - self.mean) / self.std) })
    }
}

/// Makes a picture brighter or darker.
#[derive(Node)]
#[node(category = "dataset/image", display = "Adjust Brightness", experimental)]
struct AdjustBrightness {
    images: Image,
    /// The factor on every value.
    #[input(default = 1.0, min = 0.0, max = 2.0)]
    factor: f64,
}

impl Run for AdjustBrightness {
    type Out = OneImage;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneImage> {
        Ok(OneImage { images: Image((self.images.0 * self.factor).clamp(0.0, 1.0)) })
    }
}

/// Raises or lowers the contrast of a picture.
#[derive(Node)]
#[node(category = "dataset/image", display = "Adjust Contrast", experimental)]
struct AdjustContrast {
    images: Image,
    /// The factor on each value's distance from 0.5.
    #[input(default = 1.0, min = 0.0, max = 2.0)]
    factor: f64,
}

impl Run for AdjustContrast {
    type Out = OneImage;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneImage> {
        let away = (self.images.0 - 0.5) * self.factor;
        Ok(OneImage { images: Image((away + 0.5).clamp(0.0, 1.0)) })
    }
}
