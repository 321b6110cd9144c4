use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::networks::Networks;
use crate::recipes::VaeRecipe;
use crate::values::{Image, Latent};

/// Decodes latents to pictures, those of a video to its frames.
#[derive(Node)]
#[node(category = "latent", display = "VAE Decode")]
struct VAEDecode {
    /// The latents.
    samples: Latent,
    /// The VAE.
    vae: VaeRecipe,
}

impl Run for VAEDecode {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Image> {
        Ok(Image(self.vae.network(&*cx.service::<Networks>()?)?.decode(&self.samples.samples)?))
    }
}
