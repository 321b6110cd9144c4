//! Nodes that make operations on latents, and nodes that apply them.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::latent_operation::LatentOperation;
use crate::recipes::Model;
use crate::sampling::hooks::OnGuidedDifference;
use crate::values::Latent;

/// Applies an operation to latents.
#[derive(Node)]
#[node(category = "latent/advanced/operations", experimental)]
struct LatentApplyOperation {
    samples: Latent,
    operation: LatentOperation,
}

impl Run for LatentApplyOperation {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(self.samples.with_samples(self.operation.apply(&self.samples.samples)?))
    }
}

/// Makes a model apply an operation to the guidance (positive less negative prediction) at each step.
#[derive(Node)]
#[node(category = "latent/advanced/operations", experimental)]
struct LatentApplyOperationCFG {
    model: Model,
    operation: LatentOperation,
}

impl Run for LatentApplyOperationCFG {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        Ok(self.model.with_hook(OnGuidedDifference(self.operation)))
    }
}

/// An operation that compresses large values by Reinhard's tone curve.
#[derive(Node)]
#[node(category = "latent/advanced/operations", experimental)]
struct LatentOperationTonemapReinhard {
    #[input(default = 1.0, min = 0.0, max = 100.0, step = 0.01)]
    multiplier: f64,
}

impl Run for LatentOperationTonemapReinhard {
    type Out = LatentOperation;

    fn run(self, _: &mut Cx) -> anyhow::Result<LatentOperation> {
        Ok(LatentOperation::Reinhard { multiplier: self.multiplier })
    }
}

/// An operation that sharpens latents.
#[derive(Node)]
#[node(category = "latent/advanced/operations", experimental)]
struct LatentOperationSharpen {
    /// The radius of the kernel in latent pixels.
    #[input(default = 9, min = 1, max = 31, step = 1)]
    sharpen_radius: i64,
    #[input(default = 1.0, min = 0.1, max = 10.0, step = 0.1)]
    sigma: f64,
    #[input(default = 0.1, min = 0.0, max = 5.0, step = 0.01)]
    alpha: f64,
}

impl Run for LatentOperationSharpen {
    type Out = LatentOperation;

    fn run(self, _: &mut Cx) -> anyhow::Result<LatentOperation> {
        Ok(LatentOperation::Sharpen { radius: self.sharpen_radius, sigma: self.sigma, alpha: self.alpha })
    }
}
