//! Latents of zeros in the shapes of other model families.

use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::values::Latent;

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
        Ok(Latent::zeros(&[self.batch_size, 128, self.height / 16, self.width / 16])?)
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
        Ok(Latent::zeros(&[self.batch_size, 64, self.height / 32, self.width / 32])?)
    }
}

/// Makes latents of zeros for Stable Diffusion 3 and Flux: 16 channels, an eighth of the size.
#[derive(Node)]
#[node(category = "latent/sd3")]
struct EmptySD3LatentImage {
    #[input(default = 1024, min = 16, max = 16384, step = 16)]
    width: i64,
    #[input(default = 1024, min = 16, max = 16384, step = 16)]
    height: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptySD3LatentImage {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(Latent::zeros(&[self.batch_size, 16, self.height / 8, self.width / 8])?)
    }
}

/// Makes pictures of zeros for Chroma Radiance, which samples pixels: 3 channels, the whole size.
#[derive(Node)]
#[node(category = "latent/chroma_radiance")]
struct EmptyChromaRadianceLatentImage {
    #[input(default = 1024, min = 16, max = 16384, step = 16)]
    width: i64,
    #[input(default = 1024, min = 16, max = 16384, step = 16)]
    height: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyChromaRadianceLatentImage {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(Latent::zeros(&[self.batch_size, 3, self.height, self.width])?)
    }
}

/// Makes latents of zeros for pictures in layers: 16 channels, an eighth of the size, one frame for each layer and one
/// for the composite.
#[derive(Node)]
#[node(category = "latent/qwen", display = "Empty Qwen Image Layered Latent")]
struct EmptyQwenImageLayeredLatentImage {
    #[input(default = 640, min = 16, max = 16384, step = 16)]
    width: i64,
    #[input(default = 640, min = 16, max = 16384, step = 16)]
    height: i64,
    #[input(default = 3, min = 0, max = 16384, step = 1)]
    layers: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyQwenImageLayeredLatentImage {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(Latent::zeros(&[self.batch_size, 16, self.layers + 1, self.height / 8, self.width / 8])?)
    }
}

/// Makes latents of zeros for both stages of Stable Cascade.
#[derive(Node)]
#[node(class = "StableCascade_EmptyLatentImage", category = "latent/stable_cascade")]
struct StableCascadeEmptyLatentImage {
    #[input(default = 1024, min = 256, max = 16384, step = 8)]
    width: i64,
    #[input(default = 1024, min = 256, max = 16384, step = 8)]
    height: i64,
    /// The factor by which the latent of stage C is smaller than the picture.
    #[input(default = 42, min = 4, max = 128, step = 1)]
    compression: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

#[derive(Outputs)]
struct Stages {
    /// 16 channels.
    #[output(name = "stage_c")]
    c: Latent,
    /// 4 channels, a quarter of the size.
    #[output(name = "stage_b")]
    b: Latent,
}

impl Run for StableCascadeEmptyLatentImage {
    type Out = Stages;

    fn run(self, _: &mut Cx) -> anyhow::Result<Stages> {
        let Self { width, height, compression, batch_size } = self;
        let c = Latent::zeros(&[batch_size, 16, height / compression, width / compression])?;
        Ok(Stages { c, b: Latent::zeros(&[batch_size, 4, height / 4, width / 4])? })
    }
}
