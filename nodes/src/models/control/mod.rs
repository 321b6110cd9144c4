//! Networks that steer a model by a picture: ControlNets and T2I-Adapters. What a file is, is told by its tensors.

pub mod adapter;
pub mod flux;
mod lora;
mod names;
pub mod qwen_image;
pub mod sd3;
mod transformer_names;
pub mod unet;
pub mod union;

use std::rc::Rc;

use anyhow::{Result, bail, ensure};
use redraft_engine::error::Unsupported;
use tch::Tensor;

use self::adapter::Adapter;
use self::flux::FluxControl;
use self::qwen_image::QwenControl;
use self::sd3::{Sd3Control, Sd35Control};
use self::unet::UNetControl;
use crate::diffusion::control::ControlNetwork;
use crate::diffusion::latent_format;
use crate::files::weights::Weights;
use crate::models::families::{self, ModelPart};
use crate::models::unet::UNet;
use crate::networks::Networks;

/// What a file of weights that steers a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A ControlNet of a UNet, whole.
    UNet,
    /// The same as its difference from a model.
    Difference,
    /// The same as low-rank changes of the model that it steers.
    Lora,
    /// A T2I-Adapter.
    Adapter,
    /// A ControlNet of Stable Diffusion 3's blocks.
    Sd3,
    /// A ControlNet of Stable Diffusion 3.5, without text.
    Sd35,
    /// A ControlNet of Flux, for pictures.
    FluxPictures,
    /// The same for latents.
    FluxLatents,
    /// A ControlNet of Qwen-Image.
    QwenImage,
}

/// The weights of a network that steers a model.
#[derive(Clone)]
pub struct ControlFile {
    /// What it is.
    pub kind: Kind,
    /// The network's tensors, under the original's names.
    pub weights: Weights,
}

/// What is made of the pictures before a network sees them.
#[derive(Clone, Copy)]
pub struct HintFormat {
    /// Pixels of the hint for a latent point along a side, beside the autoencoder's.
    pub ratio: i64,
    /// By what the sides are to be divisible.
    pub multiple: i64,
    /// The latents that an autoencoder makes of the pictures, for networks that take these.
    pub latent: Option<fn(&Tensor) -> Tensor>,
    /// What is done to the pictures' values.
    pub prepared: fn(&Tensor) -> Tensor,
    /// Whether a mask lies beside.
    pub masked: bool,
}

/// A network that steers, in memory.
#[derive(Clone)]
pub enum Steerer {
    /// It looks at the states in every step.
    Control(Rc<dyn ControlNetwork>),
    /// It looks at the picture alone.
    Adapter(Rc<Adapter>),
}

impl Steerer {
    /// Channels of the pictures that an adapter takes.
    pub fn channels(&self) -> Option<i64> {
        match self {
            Steerer::Adapter(adapter) => Some(adapter.channels()),
            Steerer::Control(_) => None,
        }
    }
}

/// Rows of what no network here takes: what it is told by, and what it is.
const NOT_YET: [(&str, &str); 4] = [
    ("after_proj_list.18.bias", "a ControlNet of HunyuanDiT, which is not supported"),
    ("backbone.0.0.weight", "a ControlNet of Stable Cascade, which is not supported"),
    ("backbone.10.blocks.0.weight", "a ControlNet of Stable Cascade, which is not supported"),
    ("controlnet_patch_embedding.weight", "a ControlNet of Wan, which is not supported"),
];

/// A tensor that Stable Diffusion 3 has, and no other model.
const OF_SD3: &str = "joint_blocks.0.context_block.attn.qkv.weight";
/// The same of Qwen-Image.
const OF_QWEN_IMAGE: &str = "transformer_blocks.0.img_mlp.net.0.proj.weight";

/// What a file is that has layers for the blocks of a transformer.
fn transformer(file: &Weights) -> Option<Kind> {
    if file.contains("controlnet_blocks.0.linear.weight") {
        return Some(Kind::FluxPictures);
    }
    if !file.contains("controlnet_blocks.0.weight") {
        return None;
    }
    if file.contains("double_blocks.0.img_attn.norm.key_norm.scale") {
        return Some(Kind::FluxPictures);
    }
    if file.contains("pos_embed_input.proj.weight") {
        let without_text = file.contains("transformer_blocks.0.adaLN_modulation.1.bias");
        return Some(if without_text { Kind::Sd35 } else { Kind::Sd3 });
    }
    if file.contains(OF_QWEN_IMAGE) {
        return Some(Kind::QwenImage);
    }
    let of_flux = file.contains("controlnet_x_embedder.weight") && file.contains("x_embedder.weight");
    of_flux.then_some(Kind::FluxLatents)
}

impl ControlFile {
    /// The network in a file; nothing if it holds none.
    pub fn find(file: &Weights) -> Option<ControlFile> {
        let found = |kind: Kind, weights: Weights| Some(ControlFile { kind, weights });
        if file.contains("lora_controlnet") {
            return found(Kind::Lora, file.clone());
        }
        if file.contains("controlnet_cond_embedding.conv_in.weight") {
            return found(Kind::UNet, names::unet(file));
        }
        if let Some(kind) = transformer(file) {
            let weights = match kind {
                Kind::Sd3 => transformer_names::sd3(file),
                Kind::Sd35 => transformer_names::sd35(file),
                Kind::FluxLatents => transformer_names::flux(file),
                _ => file.clone(),
            };
            return found(kind, weights);
        }
        if file.contains("control_model.zero_convs.0.0.weight") {
            let kind = if file.contains("difference") { Kind::Difference } else { Kind::UNet };
            return found(kind, file.at("control_model"));
        }
        if file.contains("zero_convs.0.0.weight") {
            return found(Kind::UNet, file.clone());
        }
        if file.contains("adapter.body.0.resnets.0.block1.weight") {
            return found(Kind::Adapter, names::adapter(file));
        }
        Adapter::is_in(file).then(|| ControlFile { kind: Kind::Adapter, weights: file.clone() })
    }

    /// The network in a file.
    ///
    /// # Errors
    /// If the file holds none: what it is instead, and what to do with it.
    pub fn recognise(file: &Weights) -> Result<ControlFile> {
        if let Some(found) = Self::find(file) {
            return Ok(found);
        }
        let path = file.path().display();
        if let Some((_, what)) = NOT_YET.iter().find(|(name, _)| file.contains(name)) {
            return Err(Unsupported(format!("{path} is {what}; use one of {SUPPORTED}")).into());
        }
        ensure!(
            !file.contains("controlnet_blocks.0.y_rms.weight"),
            "{path} is a patch of a model, no ControlNet; load it with ModelPatchLoader"
        );
        if !file.at("controlnet_blocks").is_empty() {
            return Err(Unsupported(format!(
                "{path} is a ControlNet of a kind that is not supported; use one of {SUPPORTED}"
            ))
            .into());
        }
        const OWN: [&str; 3] = ["control_model.", "input_hint_block.", "controlnet_cond_embedding."];
        ensure!(
            !file.names().iter().any(|name| OWN.iter().any(|own| name.starts_with(own))),
            "{path} is a ControlNet that lacks tensors (zero_convs or input_hint_block); it is incomplete, fetch it again"
        );
        let contents = families::recognise(file)?;
        match contents.model {
            Some(model) => {
                bail!("{path} is a model of {}, no ControlNet; load it with CheckpointLoaderSimple", model.family.name)
            }
            None => bail!("{path} is a part of a model, no ControlNet; choose a file of one"),
        }
    }

    /// Says whether the network can steer a model.
    ///
    /// # Errors
    /// If it was made for a model of another family or size.
    pub fn fits(&self, model: &ModelPart) -> Result<()> {
        let (own, base) = (&self.weights, &model.weights);
        let refused = |why: &str| -> Result<()> {
            bail!(
                "{} {why}, and the model {} is of {}; use one made for {}",
                self.named(),
                base.path().display(),
                model.family.name,
                model.family.name
            )
        };
        let width = |w: &Weights, name: &str, dim: usize| w.dim(name, dim).ok();
        // A tensor that only models of the same blocks have, and a layer of the same width.
        let beside = |marker: &str, of_own: &str, of_base: &str| {
            base.contains(marker) && width(own, of_own, 0).is_some_and(|own| width(base, of_base, 0) == Some(own))
        };
        let of_unet = families::is_unet(base);
        let first = "input_blocks.0.0.weight";
        let fits = match self.kind {
            // Its changes are held against the model's tensors when they are laid over it.
            Kind::Lora => of_unet,
            Kind::Adapter => {
                let made = width(own, "conv_in.weight", 0).or(width(own, "body.0.out_conv.weight", 0));
                of_unet && Adapter::is_of_sdxl(own) == families::is_sdxl(base) && made == width(base, first, 0)
            }
            Kind::UNet | Kind::Difference => {
                let same = |name: &str, dim: usize| width(own, name, dim) == width(base, name, dim);
                let text = |w: &Weights| UNet::context_width_of(w).ok();
                of_unet && same(first, 0) && same("label_emb.0.0.weight", 1) && text(own) == text(base)
            }
            Kind::Sd3 => beside(OF_SD3, "x_embedder.proj.weight", "x_embedder.proj.weight"),
            Kind::Sd35 => beside(OF_SD3, "y_embedder.mlp.0.weight", "x_embedder.proj.weight"),
            Kind::FluxPictures | Kind::FluxLatents => {
                beside("double_blocks.0.img_attn.qkv.weight", "img_in.weight", "img_in.weight")
            }
            Kind::QwenImage => beside(OF_QWEN_IMAGE, "img_in.weight", "img_in.weight"),
        };
        if fits { Ok(()) } else { refused("was made for another family or size of models") }
    }

    /// The network in memory. `model` is what it steers.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape than its neighbours call for, or the network does not fit the model.
    pub fn ready(&self, networks: &Networks, model: &ModelPart) -> Result<Steerer> {
        self.fits(model)?;
        Ok(match self.kind {
            Kind::UNet | Kind::Difference => Steerer::Control(networks.get(&self.weights, |w, numerics| {
                Ok(Rc::new(UNetControl::load(w, w, numerics, families::heads(w)?)?) as Rc<dyn ControlNetwork>)
            })?),
            Kind::Lora => {
                let trunk = lora::over(&model.weights, &self.weights)?;
                Steerer::Control(networks.of_several([&trunk, &self.weights], |[trunk, own], numerics| {
                    let heads = families::heads(&trunk)?;
                    Ok(Rc::new(UNetControl::load(&trunk, &own, numerics, heads)?) as Rc<dyn ControlNetwork>)
                })?)
            }
            Kind::Sd3 => Steerer::Control(networks.get(&self.weights, |w, numerics| {
                Ok(Rc::new(Sd3Control::load(w, numerics)?) as Rc<dyn ControlNetwork>)
            })?),
            Kind::Sd35 => {
                Steerer::Control(networks.of_several([&self.weights, &model.weights], |[own, base], numerics| {
                    Ok(Rc::new(Sd35Control::load(&own, &base, numerics)?) as Rc<dyn ControlNetwork>)
                })?)
            }
            Kind::FluxPictures | Kind::FluxLatents => {
                Steerer::Control(networks.get(&self.weights, |w, numerics| {
                    Ok(Rc::new(FluxControl::load(w, numerics)?) as Rc<dyn ControlNetwork>)
                })?)
            }
            Kind::QwenImage => Steerer::Control(networks.get(&self.weights, |w, numerics| {
                Ok(Rc::new(QwenControl::load(w, numerics)?) as Rc<dyn ControlNetwork>)
            })?),
            Kind::Adapter => {
                Steerer::Adapter(networks.get(&self.weights, |w, numerics| Ok(Rc::new(Adapter::load(w, numerics)?)))?)
            }
        })
    }

    /// What is made of the pictures before the network sees them.
    pub fn hint(&self) -> Result<HintFormat> {
        let plain = HintFormat { ratio: 8, multiple: 1, latent: None, prepared: Tensor::shallow_clone, masked: false };
        Ok(match self.kind {
            Kind::UNet | Kind::Difference | Kind::Lora | Kind::FluxPictures => plain,
            Kind::Sd3 => HintFormat {
                ratio: 1,
                // Unlike the model it was trained on latents that are not shifted.
                latent: Some(|latent| latent * latent_format::SD3.scale),
                masked: self.weights.dim("pos_embed_input.proj.weight", 1)? == 17,
                ..plain
            },
            Kind::Sd35 => {
                let latent: Option<fn(&Tensor) -> Tensor> = Some(|latent| latent_format::SD3.shown(latent));
                HintFormat { ratio: 1, latent, prepared: self.preparation()?, ..plain }
            }
            Kind::FluxLatents => HintFormat {
                ratio: 1,
                latent: Some(|latent| latent_format::FLUX.shown(latent)),
                masked: self.weights.dim("pos_embed_input.weight", 1)? == 17 * 4,
                ..plain
            },
            Kind::QwenImage => HintFormat {
                ratio: 1,
                latent: Some(|latent| latent_format::WAN21.shown(latent)),
                masked: self.weights.dim("controlnet_x_embedder.weight", 1)? == 17 * 4,
                ..plain
            },
            Kind::Adapter => {
                let multiple = if Adapter::is_of_sdxl(&self.weights) { 16 } else { 8 };
                HintFormat { multiple, ..plain }
            }
        })
    }

    /// What is done to the pictures' values, by what Stable Diffusion 3.5's networks say they are for.
    fn preparation(&self) -> Result<fn(&Tensor) -> Tensor> {
        let name = "control_type";
        let kind = match self.weights.contains(name) {
            true => self
                .weights
                .tensor(name, &self.weights.shape(name)?)?
                .flatten(0, -1)
                .double_value(&[0])
                .round_ties_even(),
            false => -1.0,
        };
        Ok(match kind as i64 {
            1 => |picture| picture * 255.0 * 0.5 + 0.5,
            2 => |picture| 1.0 - picture,
            _ => Tensor::shallow_clone,
        })
    }

    /// The same, which is a difference, with the tensors of a model added.
    ///
    /// # Errors
    /// If it is the difference from another model.
    pub fn completed(self, model: &ModelPart) -> Result<ControlFile> {
        if self.kind != Kind::Difference {
            return Ok(self);
        }
        ensure!(
            families::is_unet(&model.weights),
            "{} is the difference from a UNet, and the model is of {}; connect the model that it was made of",
            self.named(),
            model.family.name
        );
        Ok(ControlFile { kind: Kind::UNet, weights: lora::completed(&self.weights, &model.weights)? })
    }

    /// What it is and its file, for messages.
    fn named(&self) -> String {
        let what = match self.kind {
            Kind::Lora => "control-LoRA",
            Kind::Adapter => "T2I-Adapter",
            _ => "ControlNet",
        };
        format!("the {what} {}", self.weights.path().display())
    }
}

/// The kinds that are supported, for messages.
const SUPPORTED: &str = "Stable Diffusion 1.x, 2.x, 3 or 3.5, SDXL, Flux or Qwen-Image";

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transformer_tests;
