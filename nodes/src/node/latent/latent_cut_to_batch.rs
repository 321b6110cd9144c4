use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::values::Latent;

/// Cuts latents into slices of equal length, which become a batch. A shorter rest is dropped.
#[derive(Node)]
#[node(category = "latent/advanced")]
struct LatentCutToBatch {
    samples: Latent,
    /// The width (x), the height (y) or time (t). Latents of pictures have no time, and stay as they are.
    dim: Dim,
    /// The length of a slice in latent pixels.
    #[input(default = 1, min = 1, max = 16384, step = 1)]
    slice_size: i64,
}

#[derive(Clone, Copy, Combo)]
enum Dim {
    T,
    X,
    Y,
}

impl Run for LatentCutToBatch {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let samples = &self.samples.samples;
        let from_end = match self.dim {
            Dim::X => 1,
            Dim::Y => 2,
            Dim::T => 3,
        };
        let dim = samples.dim() as i64 - from_end;
        if dim < 2 {
            return Ok(self.samples);
        }
        let strips = samples.movedim_int(dim, 1);
        let width = strips.size()[1];
        let slice = self.slice_size.min(width);
        let strips = strips.narrow(1, 0, width / slice * slice);
        let mut shape = strips.size();
        (shape[0], shape[1]) = (-1, slice);
        Ok(self.samples.with_samples(strips.reshape(shape).movedim_int(1, dim)))
    }
}
