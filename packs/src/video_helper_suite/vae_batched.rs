//! A VAE that is given a few pictures at a time.

use anyhow::{Result, ensure};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::networks::Networks;
use redraft_nodes::recipes::VaeRecipe;
use redraft_nodes::values::{Image, Latent};
use tch::Tensor;

/// Decodes latents to pictures, some at a time.
#[derive(Node)]
#[node(
    class = "VHS_VAEDecodeBatched",
    category = "Video Helper Suite 🎥🅥🅗🅢/batched nodes",
    display = "VAE Decode Batched 🎥🅥🅗🅢"
)]
struct VAEDecodeBatched {
    samples: Latent,
    vae: VaeRecipe,
    /// How many latents at a time.
    #[input(default = 16, min = 1)]
    per_batch: i64,
}

impl Run for VAEDecodeBatched {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let network = self.vae.network(&*cx.service::<Networks>()?)?;
        let decoded = in_parts(&self.samples.samples, self.per_batch, cx, |part| network.decode(part))?;
        Ok(Image(decoded))
    }
}

/// Encodes pictures to latents, some at a time.
#[derive(Node)]
#[node(
    class = "VHS_VAEEncodeBatched",
    category = "Video Helper Suite 🎥🅥🅗🅢/batched nodes",
    display = "VAE Encode Batched 🎥🅥🅗🅢"
)]
struct VAEEncodeBatched {
    pixels: Image,
    vae: VaeRecipe,
    /// How many pictures at a time.
    #[input(default = 16, min = 1)]
    per_batch: i64,
}

impl Run for VAEEncodeBatched {
    type Out = Latent;

    fn run(self, cx: &mut Cx) -> Result<Latent> {
        let network = self.vae.network(&*cx.service::<Networks>()?)?;
        let encoded = in_parts(&self.pixels.0, self.per_batch, cx, |part| network.encode(part))?;
        Ok(Latent::new(encoded))
    }
}

/// A batch in parts, and what is made of them behind one another.
fn in_parts(batch: &Tensor, each: i64, cx: &mut Cx, make: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let count = batch.size().first().copied().unwrap_or(0);
    ensure!(count > 0, "there is nothing in the batch; connect something");
    let mut all = Vec::new();
    for start in (0..count).step_by(usize::try_from(each.clamp(1, count))?) {
        cx.progress(usize::try_from(start)?, usize::try_from(count)?)?;
        all.push(make(&batch.narrow(0, start, each.min(count - start)))?);
    }
    Ok(Tensor::cat(&all, 0))
}
