use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Kind, Tensor};

use super::Patched;
use crate::recipes::Model;
use crate::sampling::hooks::{Evaluation, Hook, Pair};

/// Mixes the guided prediction with the positive prediction times cfg, whose share is larger where the positive and the
/// negative prediction differ more.
#[derive(Node)]
#[node(category = "_for_testing", display = "Mahiro CFG", experimental)]
struct Mahiro {
    model: Model,
}

impl Run for Mahiro {
    type Out = Patched;

    fn run(self, _: &mut Cx) -> anyhow::Result<Patched> {
        Ok(Patched { model: self.model.with_hook(Leaping) })
    }
}

#[derive(Debug)]
struct Leaping;

impl Hook for Leaping {
    fn after_guidance(&self, denoised: Tensor, pair: &Pair, evaluation: &Evaluation) -> anyhow::Result<Tensor> {
        let (leap, away) = (pair.cond * evaluation.cfg, pair.uncond * evaluation.cfg);
        let root = |tensor: &Tensor| tensor.abs().sqrt() * tensor.sign();
        let between = (&leap + &denoised) / 2.0;
        let likeness = Tensor::cosine_similarity(&root(&away), &root(&between), 1, 1e-8).mean(Kind::Float);
        let weight = (likeness + 1.0) * 2.0;
        Ok((&weight * denoised + (4.0 - &weight) * leap) / 4.0)
    }
}
