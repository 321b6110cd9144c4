use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::diffusion::patch::{Patch, Site, UNetPart};
use crate::ops::resize::{Crop, Method, methods, resize};
use crate::recipes::Model;
use crate::sampling::hooks::Hook;

methods! {
    /// The methods for resizing features.
    FeatureMethod: Bicubic, NearestExact, Bilinear, Area, Bislerp
}

/// Shrinks the features of a UNet block early in the schedule, so that large pictures get a single composition (Kohya's
/// deep shrink).
#[derive(Node)]
#[node(category = "model_patches/unet", display = "PatchModelAddDownscale (Kohya Deep Shrink)")]
struct PatchModelAddDownscale {
    model: Model,
    /// The input block whose features are shrunk.
    #[input(default = 3, min = 1, max = 32, step = 1)]
    block_number: usize,
    #[input(default = 2.0, min = 0.1, max = 9.0, step = 0.001)]
    downscale_factor: f64,
    /// Where in the schedule shrinking starts: 0 is pure noise.
    #[input(default = 0.0, min = 0.0, max = 1.0, step = 0.001)]
    start_percent: f64,
    /// Where in the schedule shrinking ends.
    #[input(default = 0.35, min = 0.0, max = 1.0, step = 0.001)]
    end_percent: f64,
    /// Whether the features are shrunk after the block's skip connection is taken, which then keeps its size.
    #[input(default = true)]
    downscale_after_skip: bool,
    downscale_method: FeatureMethod,
    upscale_method: FeatureMethod,
}

impl Run for PatchModelAddDownscale {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let level = |percent| self.model.sampling().percent_to_sigma(percent);
        let hook = Shrunk {
            block: self.block_number,
            factor: 1.0 / self.downscale_factor,
            levels: (level(self.start_percent), level(self.end_percent)),
            after_skip: self.downscale_after_skip,
            down: self.downscale_method.0,
            up: self.upscale_method.0,
        };
        Ok(self.model.with_hook(hook))
    }
}

#[derive(Debug)]
struct Shrunk {
    block: usize,
    factor: f64,
    /// Features are shrunk at noise levels between the first (highest) and the second (lowest).
    levels: (f64, f64),
    after_skip: bool,
    down: Method,
    up: Method,
}

impl Shrunk {
    fn shrink(&self, h: Tensor, site: &Site) -> Tensor {
        let sigma = site.call.sigma;
        if site.part != UNetPart::Input || site.block != self.block || sigma > self.levels.0 || sigma < self.levels.1 {
            return h;
        }
        let side = |side: i64| ((side as f64 * self.factor).round_ties_even() as i64).max(1);
        resized(h.size()[2..].iter().map(|&s| side(s)).collect(), h, self.down)
    }
}

/// Features resized to a height and width. They stay as they are where that is impossible.
fn resized(size: Vec<i64>, h: Tensor, method: Method) -> Tensor {
    resize(&h, size[1], size[0], method, Crop::Disabled).unwrap_or(h)
}

impl Hook for Shrunk {
    fn patch(&self) -> Option<&dyn Patch> {
        Some(self)
    }
}

impl Patch for Shrunk {
    fn after_input_block(&self, h: Tensor, site: &Site) -> Tensor {
        if self.after_skip { h } else { self.shrink(h, site) }
    }

    fn after_skip(&self, h: Tensor, site: &Site) -> Tensor {
        if self.after_skip { self.shrink(h, site) } else { h }
    }

    fn before_output_block(&self, h: Tensor, skip: Tensor, _: &Site) -> (Tensor, Tensor) {
        let size = skip.size();
        if h.size()[2] == size[2] {
            return (h, skip);
        }
        (resized(size[2..].to_vec(), h, self.up), skip)
    }
}
