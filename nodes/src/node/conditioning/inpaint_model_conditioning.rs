use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::networks::Networks;
use crate::ops::inpaint::prepared;
use crate::recipes::VaeRecipe;
use crate::values::extras::{CONCAT_LATENT, CONCAT_MASK};
use crate::values::{Conditioning, Image, Latent, Mask};

/// Prepares conditionings and a latent for a checkpoint made for inpainting, which is shown the pictures without their
/// masked part.
#[derive(Node)]
#[node(category = "conditioning/inpaint")]
struct InpaintModelConditioning {
    positive: Conditioning,
    negative: Conditioning,
    vae: VaeRecipe,
    pixels: Image,
    /// 1 = repaint. It is resized to the pictures.
    mask: Mask,
    /// Whether the mask is also set as the latent's noise mask, so that everything else stays as it is.
    #[input(default = true)]
    noise_mask: bool,
}

#[derive(Outputs)]
struct Prepared {
    #[output(name = "positive")]
    positive: Conditioning,
    #[output(name = "negative")]
    negative: Conditioning,
    #[output(name = "latent")]
    latent: Latent,
}

impl Run for InpaintModelConditioning {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Prepared> {
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        let (pixels, mask) = prepared(&self.pixels.0, &self.mask.0, 8)?;
        let shown = vae.encode(&pixels)?;
        let samples = vae.encode(&self.pixels.0)?;
        let with_shown = |conditioning: Conditioning| {
            conditioning.map(|entry| {
                entry.extras.set(CONCAT_LATENT, shown.shallow_clone());
                entry.extras.set(CONCAT_MASK, mask.shallow_clone());
            })
        };
        Ok(Prepared {
            positive: with_shown(self.positive),
            negative: with_shown(self.negative),
            latent: Latent { noise_mask: self.noise_mask.then(|| mask.shallow_clone()), ..Latent::new(samples) },
        })
    }
}
