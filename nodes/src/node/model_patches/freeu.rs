//! FreeU (Si et al. 2023, arXiv:2309.11497): stronger backbone features and weaker low frequencies in skip connections.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Kind, Tensor};

use crate::diffusion::patch::{Patch, Site};
use crate::ops::frequencies::scaled_frequencies;
use crate::recipes::Model;
use crate::sampling::hooks::Hook;

/// Strengthens the backbone features of the UNet's decoder, and weakens its skip connections.
#[derive(Node)]
#[node(category = "model_patches/unet")]
struct FreeU {
    model: Model,
    /// Factor on half of the channels of the deepest features.
    #[input(default = 1.1, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    b1: f64,
    /// The same, one level up.
    #[input(default = 1.2, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    b2: f64,
    /// Factor on the low frequencies of the deepest skip connections.
    #[input(default = 0.9, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    s1: f64,
    /// The same, one level up.
    #[input(default = 0.2, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    s2: f64,
}

impl Run for FreeU {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let levels = [(4, self.b1, self.s1), (2, self.b2, self.s2)];
        Ok(self.model.with_hook(Rebalanced { levels, by_features: false }))
    }
}

/// FreeU in its second version: the factor at each pixel depends on the strength of the features there.
#[derive(Node)]
#[node(category = "model_patches/unet")]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct FreeU_V2 {
    model: Model,
    /// Factor on half of the channels of the deepest features, where these are strongest.
    #[input(default = 1.3, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    b1: f64,
    /// The same, one level up.
    #[input(default = 1.4, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    b2: f64,
    /// Factor on the low frequencies of the deepest skip connections.
    #[input(default = 0.9, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    s1: f64,
    /// The same, one level up.
    #[input(default = 0.2, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    s2: f64,
}

impl Run for FreeU_V2 {
    type Out = Model;

    fn run(self, _: &mut Cx) -> anyhow::Result<Model> {
        let levels = [(4, self.b1, self.s1), (2, self.b2, self.s2)];
        Ok(self.model.with_hook(Rebalanced { levels, by_features: true }))
    }
}

#[derive(Debug)]
struct Rebalanced {
    /// For each level: its number of channels as a multiple of the UNet's base width, the factor on features, and the
    /// factor on the low frequencies of the skip connection.
    levels: [(i64, f64, f64); 2],
    by_features: bool,
}

impl Hook for Rebalanced {
    fn patch(&self) -> Option<&dyn Patch> {
        Some(self)
    }
}

impl Patch for Rebalanced {
    fn before_output_block(&self, h: Tensor, skip: Tensor, site: &Site) -> (Tensor, Tensor) {
        let width = h.size()[1];
        let Some(&(_, b, s)) = self.levels.iter().find(|level| level.0 * site.model_channels == width) else {
            return (h, skip);
        };
        let parts = h.split_with_sizes([width / 2, width - width / 2], 1);
        let strong = if self.by_features { &parts[0] * (strength(&h) * (b - 1.0) + 1.0) } else { &parts[0] * b };
        (
            Tensor::cat(&[&strong, &parts[1]], 1),
            scaled_frequencies(&skip, |side| ((side / 2 - 1).max(0), side.min(2)), s, 1.0),
        )
    }
}

/// The strength of the features at each pixel, normalised to 0 … 1 over each picture.
fn strength(h: &Tensor) -> Tensor {
    let mean = h.mean_dim([1i64].as_slice(), true, None::<Kind>);
    let (low, high) = (mean.amin([1, 2, 3], true), mean.amax([1, 2, 3], true));
    (mean - &low) / (high - low)
}
