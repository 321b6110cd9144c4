//! Prompts that are a picture: for Stable Video Diffusion, SV3D and Zero123.

mod stable_zero123;
mod sv3d;
mod svd_img2vid;

use anyhow::{Context, Result};
use redraft_engine::cx::Cx;
use redraft_engine::{Inputs, Outputs};
use tch::Tensor;

use crate::networks::Networks;
use crate::ops::resize::{Crop, Method, resize_pictures};
use crate::recipes::{ClipVision, VaeRecipe};
use crate::values::extras::{CONCAT_LATENT, Extras};
use crate::values::{Conditioning, Entry, Image, Latent};

/// A picture, and what looks at it.
#[derive(Inputs)]
struct Seen {
    clip_vision: ClipVision,
    /// The picture; it is cropped to the result's shape and resized.
    init_image: Image,
    vae: VaeRecipe,
}

/// What a picture is to a model.
struct Told {
    /// As a vector in the space of texts, 1×B×W.
    embeds: Tensor,
    /// As a latent, B×4×h×w.
    latent: Tensor,
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

impl Seen {
    /// What is seen in the picture; `changed` changes it in the result's size, B×H×W×C, before it is encoded.
    fn told(
        &self,
        cx: &mut Cx,
        (width, height): (i64, i64),
        changed: impl FnOnce(Tensor) -> Result<Tensor>,
    ) -> Result<Told> {
        let networks = cx.service::<Networks>()?;
        let embeds = self.clip_vision.network(&networks)?.encode(&self.init_image.0, true)?.embeds;
        let embeds = embeds.filter(|embeds| embeds.dim() == 2).context(
            "clip_vision makes no single vector of a picture; use the image encoder of the model's checkpoint, or CLIP's",
        )?;
        let pixels = resize_pictures(&self.init_image.0, width, height, Method::Bilinear, Crop::Center)?;
        let latent = self.vae.network(&networks)?.encode(&changed(pixels)?)?;
        Ok(Told { embeds: embeds.unsqueeze(0), latent })
    }
}

impl Told {
    /// Prompts with the picture, and with none, and what the model is told besides.
    fn prompts(&self, cond: Tensor, extras: &Extras) -> [Conditioning; 2] {
        let prompt = |cond: Tensor, latent: Tensor| {
            let extras = extras.clone().with(CONCAT_LATENT, latent);
            Conditioning(vec![Entry { extras, ..Entry::new(cond) }])
        };
        [prompt(cond, self.latent.shallow_clone()), prompt(self.embeds.zeros_like(), self.latent.zeros_like())]
    }
}
