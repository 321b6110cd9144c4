use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::diffusion::patch::{Patch, Site, UNetPart};
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair, PromptSet};

/// Guides away from the positive prediction of a weakened network: in its middle block, self-attention is replaced by
/// the identity.
///
/// Perturbed-attention guidance (Ahn et al. 2024, arXiv:2403.17377).
#[derive(Node)]
#[node(category = "model_patches/unet")]
struct PerturbedAttentionGuidance {
    model: Model,
    /// The strength of the guidance; 0 is none.
    #[input(default = 3.0, min = 0.0, max = 100.0, step = 0.01, round = 0.01, beyond = Both)]
    scale: f64,
}

impl Run for PerturbedAttentionGuidance {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(Perturbed { scale: self.scale }))
    }
}

#[derive(Debug)]
struct Perturbed {
    scale: f64,
}

impl Hook for Perturbed {
    fn after_guidance(&self, denoised: Tensor, pair: &Pair, evaluation: &Evaluation) -> anyhow::Result<Tensor> {
        if self.scale == 0.0 {
            return Ok(denoised);
        }
        let perturbed = evaluation.network.predict(PromptSet::Cond, evaluation.x, evaluation.sigma, Some(&Identity))?;
        Ok(denoised + (pair.cond - perturbed) * self.scale)
    }
}

/// The middle block's self-attention with an identity matrix as its weights.
#[derive(Debug)]
struct Identity;

impl Patch for Identity {
    fn self_attention(&self, [_, _, v]: [&Tensor; 3], _: i64, site: &Site) -> Option<Tensor> {
        (site.part == UNetPart::Middle).then(|| v.shallow_clone())
    }
}
