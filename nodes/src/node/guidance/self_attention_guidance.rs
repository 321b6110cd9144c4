use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Context;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Device, Kind, Tensor};

use crate::diffusion::patch::{Patch, Site, UNetPart};
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair, PromptSet, RunStart};

/// Guides away from the prediction for a degraded picture, in which the regions that get most self-attention are
/// blurred.
///
/// Self-attention guidance (Hong et al. 2022, arXiv:2210.00939).
#[derive(Node)]
#[node(category = "_for_testing", display = "Self-Attention Guidance", experimental)]
struct SelfAttentionGuidance {
    model: Model,
    /// The strength of the guidance. Below 0 it guides towards that prediction.
    #[input(default = 0.5, min = -2.0, max = 5.0, step = 0.01)]
    scale: f64,
    /// The standard deviation of the blur, in latent pixels.
    #[input(default = 2.0, min = 0.0, max = 10.0, step = 0.1)]
    blur_sigma: f64,
}

impl Run for SelfAttentionGuidance {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let hook = Blurring { scale: self.scale, sigma: self.blur_sigma, weights: RefCell::default() };
        Ok(self.model.with_hook(hook))
    }
}

#[derive(Debug)]
struct Blurring {
    scale: f64,
    sigma: f64,
    /// The weights of the middle block's self-attention in the last evaluation under the negative conditioning:
    /// B×heads×N×N.
    weights: RefCell<Option<Tensor>>,
}

/// A latent with a side of this or less is not changed: the kernel would be larger than it.
const TOO_SMALL: i64 = 4;
/// The side of the blur's kernel.
const KERNEL: i64 = 9;

impl Hook for Blurring {
    fn begin(&self, _: &RunStart) -> Option<Rc<dyn Hook>> {
        Some(Rc::new(Blurring { weights: RefCell::default(), ..*self }))
    }

    fn needs_uncond(&self) -> bool {
        true
    }

    fn patch(&self) -> Option<&dyn Patch> {
        Some(self)
    }

    fn after_guidance(&self, denoised: Tensor, pair: &Pair, evaluation: &Evaluation) -> anyhow::Result<Tensor> {
        let (_, _, height, width) = denoised.size4()?;
        if height.min(width) <= TOO_SMALL {
            return Ok(denoised);
        }
        let weights = self.weights.borrow();
        let weights = weights.as_ref().context(
            "self-attention guidance saw no negative prompt up to this step; let the negative conditioning act from the start",
        )?;
        let mask = attended(weights, height, width);
        let blurred = blurred(pair.uncond, self.sigma) * &mask + pair.uncond * (1f64 - &mask);
        let state = &blurred + evaluation.x - pair.uncond;
        let predicted = evaluation.network.predict(PromptSet::Uncond, &state, evaluation.sigma, None)?;
        Ok(denoised + (blurred - predicted) * self.scale)
    }
}

impl Patch for Blurring {
    fn self_attention(&self, qkv: [&Tensor; 3], heads: i64, site: &Site) -> Option<Tensor> {
        if site.part != UNetPart::Middle {
            return None;
        }
        let place = site.call.lists.iter().position(|list| *list == 1)?;
        let (batch, length, width) = (qkv[0].size()[0], qkv[0].size()[1], qkv[0].size()[2]);
        let [q, k, v] = qkv.map(|t| t.view([batch, -1, heads, width / heads]).transpose(1, 2));
        let scale = ((width / heads) as f64).powf(-0.5);
        let weights = (q.matmul(&k.transpose(-2, -1)) * scale).softmax(-1, None::<Kind>);
        let share = batch / site.call.lists.len() as i64;
        self.weights.replace(Some(weights.narrow(0, place as i64 * share, share)));
        Some(weights.matmul(&v).transpose(1, 2).reshape([batch, length, width]))
    }
}

/// 1 where the sum of the attention weights is above average, B×1×`height`×`width`.
fn attended(weights: &Tensor, height: i64, width: i64) -> Tensor {
    let received = weights.mean_dim([1i64].as_slice(), false, None::<Kind>).sum_dim_intlist(
        [1i64].as_slice(),
        false,
        None::<Kind>,
    );
    let mask = received.gt(1.0).to_kind(weights.kind());
    let (batch, total) = (mask.size()[0], mask.size()[1]);
    let rows = rows_of(total, height as f64 / width as f64);
    mask.view([batch, 1, rows, total / rows]).upsample_nearest2d([height, width], None, None)
}

/// The number of rows of a grid of `total` pixels: the divisor nearest to what the aspect ratio asks for.
fn rows_of(total: i64, aspect: f64) -> i64 {
    let wanted = (aspect * total as f64).sqrt().round_ties_even() as i64;
    let reach = ((total as f64).sqrt() / 2.0).floor() as i64;
    let candidates = (0..reach.max(1)).flat_map(|off| [wanted + off, (wanted - off).max(1)]);
    candidates.into_iter().find(|rows| *rows > 0 && total % rows == 0).unwrap_or(1)
}

/// A latent blurred by a Gaussian, with reflected edges.
fn blurred(latent: &Tensor, sigma: f64) -> Tensor {
    let half = (KERNEL - 1) as f64 * 0.5;
    let line = Tensor::linspace(-half, half, KERNEL, (Kind::Float, Device::Cpu));
    let bell = ((line / sigma).square() * -0.5).exp();
    let bell = &bell / bell.sum(Kind::Float);
    let kernel = bell.unsqueeze(1).matmul(&bell.unsqueeze(0)).to_device(latent.device());
    let channels = latent.size()[1];
    let kernel = kernel.expand([channels, 1, KERNEL, KERNEL], false);
    let padded = latent.reflection_pad2d([KERNEL / 2; 4]);
    padded.conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], channels)
}
