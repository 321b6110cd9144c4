use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::networks::Networks;
use crate::recipes::VaeRecipe;
use crate::values::extras::CONCAT_LATENT;
use crate::values::{Conditioning, Image, Latent};

/// Prepares conditionings for an InstructPix2Pix checkpoint, which edits the given pictures as a prompt says, and gives
/// empty latents of their size.
#[derive(Node)]
#[node(category = "conditioning/instructpix2pix")]
struct InstructPixToPixConditioning {
    positive: Conditioning,
    negative: Conditioning,
    vae: VaeRecipe,
    /// Cropped at the centre to sides that are multiples of 8.
    pixels: Image,
}

#[derive(Outputs)]
struct Shown {
    #[output(name = "positive")]
    positive: Conditioning,
    #[output(name = "negative")]
    negative: Conditioning,
    #[output(name = "latent")]
    latent: Latent,
}

impl Run for InstructPixToPixConditioning {
    type Out = Shown;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Shown> {
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        let shown = vae.encode(&self.pixels.0)?;
        let with_shown = |conditioning: Conditioning| {
            conditioning.map(|entry| entry.extras.set(CONCAT_LATENT, shown.shallow_clone()))
        };
        Ok(Shown {
            positive: with_shown(self.positive),
            negative: with_shown(self.negative),
            latent: Latent::new(shown.zeros_like()),
        })
    }
}
