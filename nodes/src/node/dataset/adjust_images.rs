use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::OneImage;
use crate::values::Image;

/// Moves and stretches a picture's values: what is `mean` becomes 0, what is `std` above it becomes 1.
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
    /// What every value is multiplied by.
    #[input(default = 1.0, min = 0.0, max = 2.0)]
    factor: f64,
}

impl Run for AdjustBrightness {
    type Out = OneImage;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneImage> {
        Ok(OneImage { images: Image((self.images.0 * self.factor).clamp(0.0, 1.0)) })
    }
}

/// Moves a picture's values away from the middle, or nearer to it.
#[derive(Node)]
#[node(category = "dataset/image", display = "Adjust Contrast", experimental)]
struct AdjustContrast {
    images: Image,
    /// What the distance to 0.5 is multiplied by.
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
