//! Latents of zeros in the shapes of other model families.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Device, Kind, Tensor};

use crate::values::Latent;

fn zeros(batch: i64, channels: i64, height: i64, width: i64) -> Latent {
    Latent::new(Tensor::zeros([batch, channels, height, width], (Kind::Float, Device::Cpu)))
}

/// Makes latents of zeros for Flux 2: 128 channels, a sixteenth of the size.
#[derive(Node)]
#[node(category = "latent", display = "Empty Flux 2 Latent")]
struct EmptyFlux2LatentImage {
    #[input(default = 1024, min = 16, max = 16384, step = 16)]
    width: i64,
    #[input(default = 1024, min = 16, max = 16384, step = 16)]
    height: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyFlux2LatentImage {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(zeros(self.batch_size, 128, self.height / 16, self.width / 16))
    }
}

/// Makes latents of zeros for Hunyuan Image: 64 channels, a thirty-second of the size.
#[derive(Node)]
#[node(category = "latent")]
struct EmptyHunyuanImageLatent {
    #[input(default = 2048, min = 64, max = 16384, step = 32)]
    width: i64,
    #[input(default = 2048, min = 64, max = 16384, step = 32)]
    height: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyHunyuanImageLatent {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(zeros(self.batch_size, 64, self.height / 32, self.width / 32))
    }
}
