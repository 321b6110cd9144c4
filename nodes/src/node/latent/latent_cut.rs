use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::values::Latent;

/// Cuts a slice out of latents, along the width (x), the height (y), or the third dimension from the end (t), which is
/// time in video latents and the channels in others.
#[derive(Node)]
#[node(category = "latent/advanced")]
struct LatentCut {
    samples: Latent,
    dim: Dim,
    /// The start of the slice in latent pixels. A negative number counts from the end.
    #[input(default = 0, min = -16384, max = 16384, step = 1, beyond = Below)]
    index: i64,
    /// The length of the slice. It is less if the latent ends before.
    #[input(default = 1, min = 1, max = 16384, step = 1)]
    amount: i64,
}

#[derive(Clone, Copy, Combo)]
pub(super) enum Dim {
    X,
    Y,
    T,
}

impl Dim {
    /// The index of the dimension in a tensor with `count` dimensions.
    pub(super) fn number(self, count: usize) -> i64 {
        count as i64 - 1 - self as i64
    }
}

impl Run for LatentCut {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let samples = &self.samples.samples;
        let dim = self.dim.number(samples.dim());
        let side = samples.size()[dim as usize];
        let start = if self.index >= 0 { self.index.min(side - 1) } else { (side + self.index).max(0) };
        Ok(self.samples.with_samples(samples.narrow(dim, start, self.amount.min(side - start))))
    }
}
