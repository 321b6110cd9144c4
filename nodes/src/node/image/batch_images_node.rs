use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::dynamic::Grow;
use redraft_engine::node::Run;

use super::image_batch::batch_images;
use crate::values::Image;

/// Joins batches of pictures. All are cropped and resized to the size of the first. If only some have alpha, the others
/// get an opaque alpha channel.
#[derive(Node)]
#[node(category = "image", display = "Batch Images")]
struct BatchImagesNode {
    #[input(prefix = "image", min = 2, max = 50)]
    images: Grow<Image>,
}

impl Run for BatchImagesNode {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        batch_images(self.images.0)
    }
}
