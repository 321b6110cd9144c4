//! The table of families of models, and what recognises a file of weights by its tensors' names and shapes.

mod aura_flow;
mod chroma;
mod diffusers;
mod flux;
mod hidream;
mod hunyuan_video;
mod ltxv;
mod others;
mod pixart;
mod qwen_image;
pub mod saving;
mod sd3;
mod stable_diffusion;
mod svd;
mod wan;
mod z_image;
mod zero123;

use std::fmt;
use std::rc::Rc;

use anyhow::{Result, bail};
use redraft_engine::error::Unsupported;
use redraft_engine::table::Row;

use crate::diffusion::extra_conds::ExtraConds;
use crate::diffusion::latent_format::LatentFormat;
use crate::diffusion::network::Network;
use crate::diffusion::parameterisation::Parameterisation;
use crate::diffusion::run_entry::RunEntry;
use crate::files::weights::Weights;
use crate::models::encoder_kind::EncoderKind;
use crate::models::hunyuan_video_vae::HunyuanVideoVae;
use crate::models::ltxv_vae::LtxvVae;
use crate::models::pixel_space::PixelSpace;
use crate::models::taesd::Taesd;
use crate::models::text_recipes::TextRecipe;
use crate::models::wan_vae::WanVae;
use crate::ops::numerics::Numerics;

/// A family of models that can be sampled. What is particular to it is a row here, and its network.
pub struct Family {
    /// As people write it: `Stable Diffusion 1.x`.
    pub name: &'static str,
    /// Whether a denoising network is of this family, by its tensors.
    pub recognise: fn(&Weights) -> bool,
    /// The latent space, what the network's output means, and on which noise levels it was trained.
    pub sampled: fn(&NetworkInFile) -> Result<(&'static LatentFormat, Parameterisation)>,
    /// How its prompts are encoded.
    pub text: &'static TextRecipe,
    /// Where a checkpoint keeps each of the recipe's encoders: the prefixes, of which the first that is there counts.
    pub text_places: &'static [&'static [&'static str]],
    /// Builds the network.
    pub load: fn(&Weights, &Numerics) -> Result<Rc<dyn Network>>,
    /// What the network takes with a prompt besides its text.
    pub extra_conds: fn(&ModelPart, &RunEntry) -> Result<ExtraConds>,
}

redraft_engine::open_table!(
    /// Tables of families; another crate may add one.
    pub FAMILY_TABLES: Family = FAMILIES, "family of models"
);

pub(crate) use stable_diffusion::{heads, is_sdxl, is_unet};

/// The families that are built in.
pub static FAMILIES: &[Family] = &[
    zero123::ZERO123,
    stable_diffusion::SD1,
    stable_diffusion::SD2,
    stable_diffusion::SD2_UNCLIP,
    stable_diffusion::SDXL,
    stable_diffusion::SDXL_REFINER,
    svd::SVD,
    svd::SV3D_U,
    svd::SV3D_P,
    sd3::SD3,
    aura_flow::AURA_FLOW,
    pixart::PIXART_SIGMA,
    pixart::PIXART_ALPHA,
    chroma::CHROMA,
    flux::FLUX,
    z_image::Z_IMAGE,
    qwen_image::QWEN_IMAGE,
    hidream::HIDREAM,
    ltxv::LTXV,
    hunyuan_video::HUNYUAN_VIDEO,
    wan::WAN21,
    wan::WAN22,
];

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A denoising network in a file.
pub struct NetworkInFile<'a> {
    /// The whole file: some say by a tensor's name beside the network how it is to be sampled.
    pub file: &'a Weights,
    /// The network's tensors.
    pub network: &'a Weights,
}

/// A denoising network, and how it is used.
#[derive(Clone)]
pub struct ModelPart {
    pub family: &'static Family,
    /// The network's tensors.
    pub weights: Weights,
    pub latent_format: &'static LatentFormat,
    pub parameterisation: Rc<Parameterisation>,
}

/// Text encoders, and how a prompt is encoded with them.
#[derive(Clone)]
pub struct TextPart {
    pub recipe: &'static TextRecipe,
    /// The tensors of each of the recipe's encoders; the file lacks some.
    pub encoders: Vec<Option<Weights>>,
}

/// What a file holds, each part with its prefix taken off.
#[derive(Clone)]
pub struct Contents {
    /// The denoising network.
    pub model: Option<ModelPart>,
    /// The text encoders that belong to it.
    pub text: Option<TextPart>,
    /// The autoencoder, for `autoencoder::load`.
    pub vae: Option<Weights>,
    /// The image encoder of a checkpoint, for `ClipVision::load`.
    pub vision: Option<Weights>,
}

/// Says which parts of a model `weights`, a whole file, holds.
///
/// Takes checkpoints of [`FAMILIES`] with or without text encoders and VAE, and a denoising network, VAE or CLIP text encoder
/// alone. Any other file is an error that says what it was found to be and what to do with it.
pub fn recognise(weights: &Weights) -> Result<Contents> {
    if let Some(what) = others::found(others::ADDITIONS, weights) {
        bail!(what);
    }
    if let Some(what) = others::found(others::NOT_YET, weights) {
        return Err(Unsupported(what).into());
    }
    if let Some(what) = others::found(others::OTHERS, weights) {
        bail!(what);
    }
    let converted;
    let weights = if diffusers::is_unet(weights) {
        converted = diffusers::in_original_layout(weights);
        &converted
    } else if hunyuan_video::is_in_first_names(weights) {
        converted = hunyuan_video::in_flux_names(weights);
        &converted
    } else {
        weights
    };
    let model = model_of(weights)?;
    let text = match &model {
        Some(model) => text_part(weights, model.family),
        None => EncoderKind::of(weights).map(|kind| kind.alone(weights)),
    };
    let contents = Contents { model, text, vae: vae_of(weights)?, vision: vision_of(weights) };
    if contents.model.is_none() && contents.text.is_none() && contents.vae.is_none() {
        let names = weights.names();
        let some: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
        bail!(
            "{} is not recognised: it has {} tensors ({}, …); a file of {} is needed",
            weights.path().display(),
            names.len(),
            some.join(", "),
            supported()
        );
    }
    Ok(contents)
}

impl Contents {
    /// The denoising network. An error for a file that holds other parts only, with the node that loads those.
    pub fn model(&self) -> Result<&ModelPart> {
        if let Some(model) = &self.model {
            return Ok(model);
        }
        let encoder = self.text.as_ref().and_then(|text| text.encoders.iter().flatten().next());
        match (&self.vae, encoder) {
            (Some(vae), _) => bail!("{} is a VAE, not a checkpoint; load it with VAELoader", vae.path().display()),
            (_, Some(clip)) => {
                bail!("{} is a text encoder, not a checkpoint; load it with CLIPLoader", clip.path().display())
            }
            _ => bail!("the file holds no model"),
        }
    }
}

/// The names of all families, for messages.
fn supported() -> String {
    Family::all().iter().map(|family| family.name).collect::<Vec<_>>().join(", ")
}

/// The denoising network of a file, in a checkpoint or alone.
fn model_of(file: &Weights) -> Result<Option<ModelPart>> {
    // AuraFlow's first files have it below `model`.
    let places = [file.at("model.diffusion_model"), file.clone(), file.at("model")];
    let found = places.into_iter().find_map(|network| {
        let family = Family::all().iter().copied().find(|family| (family.recognise)(&network))?;
        Some((family, network))
    });
    let Some((family, network)) = found else {
        if unet_of(file).is_none() {
            return Ok(None);
        }
        let file = file.path().display();
        let what = format!("{file} holds a UNet of a family that is not supported; use one of {}", supported());
        return Err(Unsupported(what).into());
    };
    let (latent_format, parameterisation) = (family.sampled)(&NetworkInFile { file, network: &network })?;
    Ok(Some(ModelPart { family, weights: network, latent_format, parameterisation: Rc::new(parameterisation) }))
}

/// A checkpoint's text encoders; nothing if it has none.
fn text_part(file: &Weights, family: &'static Family) -> Option<TextPart> {
    let place = |places: &&[&str]| places.iter().map(|place| file.at(place)).find(|encoder| !encoder.is_empty());
    let encoders: Vec<_> = family.text_places.iter().map(place).collect();
    encoders.iter().any(Option::is_some).then_some(TextPart { recipe: family.text, encoders })
}

/// The tensors of a UNet in the original's layout, in a checkpoint or alone.
fn unet_of(weights: &Weights) -> Option<Weights> {
    [weights.at("model.diffusion_model"), weights.clone()].into_iter().find(stable_diffusion::is_unet)
}

/// The tensors of an autoencoder, in a checkpoint or alone.
fn vae_of(weights: &Weights) -> Result<Option<Weights>> {
    // SV3D's files have two, of which ComfyUI takes the one that shows the picture.
    let shows = "conditioner.embedders.1.encoder";
    let places =
        || [weights.at(shows), weights.at("first_stage_model"), weights.at("vae"), weights.clone()].into_iter();
    if let Some(vae) = places().find(|w| {
        WanVae::is_in(w) || LtxvVae::is_in(w) || HunyuanVideoVae::is_in(w) || Taesd::is_in(w) || PixelSpace::is_in(w)
    }) {
        return Ok(Some(vae));
    }
    let found = places().find(|w| w.contains("decoder.conv_in.weight") && w.contains("encoder.conv_in.weight"));
    let Some(vae) = found else { return Ok(None) };
    let channels = vae.dim("decoder.conv_in.weight", 1)?;
    if vae.shape("decoder.conv_in.weight")?.len() != 4 || !LATENT_CHANNELS.contains(&channels) {
        let file = vae.path().display();
        let what = format!(
            "{file} is a VAE for latents of {channels} channels or for video, which is not supported yet; use one for pictures, of 4 \
             or 16 channels"
        );
        return Err(Unsupported(what).into());
    }
    Ok(Some(vae))
}

/// The image encoder of a checkpoint: below `visual`, or in a layout of its own.
fn vision_of(weights: &Weights) -> Option<Weights> {
    const PLACES: [&str; 3] = ["embedder.model", "conditioner.embedders.0.open_clip.model", "cond_stage_model.model"];
    let mut places = PLACES.iter().map(|place| weights.at(place));
    places.find(|place| place.contains("visual.class_embedding"))
}

/// How many channels the latents of supported families have.
const LATENT_CHANNELS: [i64; 2] = [4, 16];

#[cfg(test)]
mod tests;
