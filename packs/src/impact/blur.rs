use anyhow::{Result, ensure};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::values::Mask;
use tch::Tensor;

use crate::gaussian;

/// Blurs a mask. Where it is small beside the kernel, the kernel is made smaller.
#[derive(Node)]
#[node(class = "ImpactGaussianBlurMask", category = "ImpactPack/Util", display = "Gaussian Blur Mask")]
struct GaussianBlurMask {
    mask: Mask,
    /// The radius in pixels.
    #[input(default = 10, min = 0, max = 100, step = 1)]
    kernel_size: i64,
    #[input(default = 10.0, min = 0.1, max = 100.0, step = 0.1)]
    sigma: f64,
}

impl Run for GaussianBlurMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> Result<Mask> {
        let mask = match self.mask.0.size()[..] {
            [height, width] => self.mask.0.view([1, height, width]),
            [_, _, _] => self.mask.0,
            ref size => anyhow::bail!("the mask has the shape {size:?}; connect one of pictures"),
        };
        Ok(Mask(blurred(&mask, self.kernel_size, self.sigma)?))
    }
}

/// N×H×W blurred with a kernel of `2 · radius + 1` pixels; the edges are reflected.
fn blurred(mask: &Tensor, radius: i64, sigma: f64) -> Result<Tensor> {
    let (height, width) = (mask.size()[1], mask.size()[2]);
    let mut side = 2 * radius + 1;
    let shortest = height.min(width);
    if shortest <= side {
        side = (shortest / 2) | 1;
    }
    if radius <= 0 || side < 3 {
        return Ok(mask.shallow_clone());
    }
    ensure!(sigma > 0.0, "input 'sigma' is {sigma}; set it above 0");
    Ok(gaussian::blurred(mask, side, sigma))
}
