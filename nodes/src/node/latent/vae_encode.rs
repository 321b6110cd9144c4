use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::networks::Networks;
use crate::recipes::VaeRecipe;
use crate::values::{Image, Latent};

/// Encodes pictures to latents: the mean of the posterior, so the same picture gives the same latent. A VAE for videos takes the batch as the
/// frames of one.
///
/// Sides that are not multiples of 8 are cropped about the centre.
#[derive(Node)]
#[node(category = "latent", display = "VAE Encode")]
struct VAEEncode {
    pixels: Image,
    vae: VaeRecipe,
}

impl Run for VAEEncode {
    type Out = Latent;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Latent> {
        Ok(Latent::new(self.vae.network(&*cx.service::<Networks>()?)?.encode(&self.pixels.0)?))
    }
}
