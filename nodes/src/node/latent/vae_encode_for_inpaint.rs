use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::networks::Networks;
use crate::ops::inpaint::{grown_for_latents, prepared};
use crate::recipes::VaeRecipe;
use crate::values::{Image, Latent, Mask};

/// Encodes pictures with the masked part greyed out, and sets the mask as the latent's noise mask.
#[derive(Node)]
#[node(category = "latent/inpaint", display = "VAE Encode (for Inpainting)")]
struct VAEEncodeForInpaint {
    /// Sides that are not multiples of 8 are cropped about the centre.
    pixels: Image,
    vae: VaeRecipe,
    /// 1 = repaint. It is resized to the pictures.
    mask: Mask,
    /// The number of pixels by which the mask is grown, so that no seam is visible.
    #[input(default = 6, min = 0, max = 64, step = 1)]
    grow_mask_by: i64,
}

impl Run for VAEEncodeForInpaint {
    type Out = Latent;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Latent> {
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        let (pixels, mask) = prepared(&self.pixels.0, &self.mask.0, vae.factor())?;
        let samples = vae.encode(&pixels)?;
        Ok(Latent { noise_mask: Some(grown_for_latents(&mask, self.grow_mask_by)), ..Latent::new(samples) })
    }
}
