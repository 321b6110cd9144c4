use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::channels::with_equal_channels;
use crate::ops::resize::{Crop, Method, resize_pictures};
use crate::values::Image;

/// Joins two batches of pictures. The second is cropped and resized to the size of the first. If only one has alpha,
/// the other gets an opaque alpha channel.
#[derive(Node)]
#[node(category = "image", display = "Batch Images", deprecated)]
struct ImageBatch {
    image1: Image,
    image2: Image,
}

impl Run for ImageBatch {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        batch_images(vec![self.image1, self.image2])
    }
}

/// All pictures in one batch, in the size of the first batch and with as many channels as the batch with most.
pub(super) fn batch_images(batches: Vec<Image>) -> anyhow::Result<Image> {
    let batches = with_equal_channels(batches.into_iter().map(|image| image.0).collect());
    let Some(first) = batches.first().map(Tensor::size) else {
        anyhow::bail!("there are no pictures to batch; connect at least one")
    };
    let fitted = batches.iter().map(|batch| match batch.size()[1..] == first[1..] {
        true => Ok(batch.shallow_clone()),
        false => resize_pictures(batch, first[2], first[1], Method::Bilinear, Crop::Center),
    });
    let fitted: Vec<Tensor> = fitted.collect::<anyhow::Result<_>>()?;
    Ok(Image(Tensor::cat(&fitted, 0)))
}
