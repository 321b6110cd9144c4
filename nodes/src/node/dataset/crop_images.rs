use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::{OneImage, single, through_eight_bits};
use crate::ops::resize::picture_size;
use crate::python::random_state::RandomState;
use crate::values::Image;

/// Crops a picture about its centre. A side that is shorter than asked for stays as it is.
#[derive(Node)]
#[node(category = "dataset/image", display = "Center Crop Images", experimental)]
struct CenterCropImages {
    images: Image,
    #[input(default = 512, min = 1, max = 8192)]
    width: i64,
    #[input(default = 512, min = 1, max = 8192)]
    height: i64,
}

impl Run for CenterCropImages {
    type Out = OneImage;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneImage> {
        let image = single(&self.images)?;
        let (columns, rows) = picture_size(image)?;
        let (left, top) = ((columns - self.width).max(0) / 2, (rows - self.height).max(0) / 2);
        let cut = cut(image, (left, top), (self.width, self.height));
        Ok(OneImage { images: Image(through_eight_bits(&cut)?) })
    }
}

/// Crops a picture at a random position.
#[derive(Node)]
#[node(category = "dataset/image", display = "Random Crop Images", experimental)]
struct RandomCropImages {
    images: Image,
    #[input(default = 512, min = 1, max = 8192)]
    width: i64,
    #[input(default = 512, min = 1, max = 8192)]
    height: i64,
    /// The seed of the position. Pictures of the same size are all cropped at the same position.
    #[input(default = 0, min = 0, max = u64::MAX)]
    seed: u64,
}

impl Run for RandomCropImages {
    type Out = OneImage;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneImage> {
        let image = single(&self.images)?;
        let (columns, rows) = picture_size(image)?;
        let mut random = RandomState::seeded(self.seed);
        let mut place = |room: i64| if room > 0 { i64::from(random.up_to(room as u32)) } else { 0 };
        let (left, top) = (place(columns - self.width), place(rows - self.height));
        let cut = cut(image, (left, top), (self.width, self.height));
        Ok(OneImage { images: Image(through_eight_bits(&cut)?) })
    }
}

/// The part of the rectangle that lies inside the picture.
fn cut(image: &Tensor, (left, top): (i64, i64), (width, height): (i64, i64)) -> Tensor {
    image.slice(1, top, top + height, 1).slice(2, left, left + width, 1)
}
