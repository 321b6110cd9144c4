use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Kind, Tensor};

use super::Patched;
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook};

/// Removes the part of the negative prediction that is orthogonal to the direction which it shares with the positive
/// one.
///
/// Tangential damping (Kwon et al. 2025, arXiv:2503.18137).
#[derive(Node)]
#[node(class = "TCFG", category = "advanced/guidance", display = "Tangential Damping CFG")]
struct Tcfg {
    model: Model,
}

impl Run for Tcfg {
    type Out = Patched;

    fn run(self, _: &mut Cx) -> anyhow::Result<Patched> {
        Ok(Patched { model: self.model.with_hook(Damped) })
    }
}

#[derive(Debug)]
struct Damped;

impl Hook for Damped {
    fn before_guidance(&self, predictions: &mut [Tensor], evaluation: &Evaluation) -> anyhow::Result<()> {
        if let [cond, uncond, ..] = predictions
            && evaluation.guided
        {
            *uncond = evaluation.x - damped(&(evaluation.x - &*uncond), &(evaluation.x - &*cond));
        }
        Ok(())
    }
}

/// `of` projected onto the first right singular vector of both, image by image.
fn damped(of: &Tensor, other: &Tensor) -> Tensor {
    let row = |tensor: &Tensor| tensor.flatten(1, -1).unsqueeze(1).to_kind(Kind::Float);
    let of_row = row(of);
    let (_, _, vectors) = Tensor::cat(&[&of_row, &row(other)], 1).svd(true, true);
    let shared = vectors.narrow(2, 0, 1);
    (of_row.matmul(&shared) * shared.transpose(-2, -1)).view_as(of)
}
