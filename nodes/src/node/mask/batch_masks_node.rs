use anyhow::Context;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::dynamic::Grow;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::ops::masks::batched;
use crate::ops::resize::{Crop, Method, resize};
use crate::values::Mask;

/// Joins masks to a batch. All are cropped and resized to the size of the first.
#[derive(Node)]
#[node(category = "mask", display = "Batch Masks")]
struct BatchMasksNode {
    #[input(prefix = "mask", min = 2, max = 50)]
    masks: Grow<Mask>,
}

impl Run for BatchMasksNode {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        let masks: Vec<Tensor> = self.masks.0.iter().map(|mask| batched(&mask.0)).collect::<anyhow::Result<_>>()?;
        let (_, height, width) = masks.first().context("there are no masks to batch; connect at least one")?.size3()?;
        let fitted = masks.iter().map(|mask| match mask.size()[1..] == [height, width] {
            true => Ok(mask.shallow_clone()),
            false => Ok(resize(&mask.unsqueeze(1), width, height, Method::Bilinear, Crop::Center)?.squeeze_dim(1)),
        });
        Ok(Mask(Tensor::cat(&fitted.collect::<anyhow::Result<Vec<_>>>()?, 0)))
    }
}
