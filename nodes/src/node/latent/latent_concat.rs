use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};
use tch::Tensor;

use crate::ops::composite::fill_batch;
use crate::values::Latent;

/// Concatenates latents along the width (x), the height (y), or the third dimension from the end (t), which is time in
/// video latents and the channels in others.
#[derive(Node)]
#[node(category = "latent/advanced")]
struct LatentConcat {
    samples1: Latent,
    samples2: Latent,
    /// The dimension. With a minus the second latent comes first.
    dim: Side,
}

#[derive(Clone, Copy, Combo)]
enum Side {
    X,
    #[combo(name = "-x")]
    MinusX,
    Y,
    #[combo(name = "-y")]
    MinusY,
    T,
    #[combo(name = "-t")]
    MinusT,
}

impl Run for LatentConcat {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let one = &self.samples1.samples;
        let two = &fill_batch(&self.samples2.samples, one.size()[0]);
        let samples = match self.dim {
            Side::X => Tensor::cat(&[one, two], -1),
            Side::MinusX => Tensor::cat(&[two, one], -1),
            Side::Y => Tensor::cat(&[one, two], -2),
            Side::MinusY => Tensor::cat(&[two, one], -2),
            Side::T => Tensor::cat(&[one, two], -3),
            Side::MinusT => Tensor::cat(&[two, one], -3),
        };
        Ok(self.samples1.with_samples(samples))
    }
}
