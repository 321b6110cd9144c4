use std::rc::Rc;

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::models::esrgan::Esrgan;
use crate::networks::Networks;
use crate::recipes::UpscaleModel;
use crate::values::Image;

/// Upscales pictures with an upscale model.
#[derive(Node)]
#[node(category = "image/upscaling", display = "Upscale Image (using Model)")]
struct ImageUpscaleWithModel {
    upscale_model: UpscaleModel,
    image: Image,
}

impl Run for ImageUpscaleWithModel {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Image> {
        let networks = cx.service::<Networks>()?;
        let network = networks
            .get(&self.upscale_model.weights, |weights, numerics| Ok(Rc::new(Esrgan::load(weights, numerics)?)))?;
        network.upscale(&self.image.0, &mut |done, total| cx.progress(done, total)).map(Image)
    }
}
