//! A UNet as the sampling mathematics sees it.

use anyhow::Result;
use tch::{Device, Tensor};

use super::families::Family;
use super::unet::UNet;
use crate::diffusion::latent_format::LatentFormat;
use crate::diffusion::network::{Beside, Network};
use crate::diffusion::patch::Call;
use crate::recipes::Model;

/// A UNet as the sampling mathematics sees it.
pub struct UNetNetwork<'a> {
    unet: &'a UNet,
    family: Family,
    latent_format: LatentFormat,
}

impl<'a> UNetNetwork<'a> {
    pub fn new(unet: &'a UNet, model: &Model) -> Self {
        Self { unet, family: model.family, latent_format: model.latent_format }
    }
}

impl Network for UNetNetwork<'_> {
    fn predict(&self, x: &Tensor, timestep: &Tensor, context: &Tensor, call: &Call) -> Result<Tensor> {
        Ok(self.unet.patched(x, timestep, context, call))
    }

    fn device(&self) -> Device {
        self.unet.placement().device
    }

    fn latent_format(&self) -> LatentFormat {
        self.latent_format
    }

    fn beside(&self) -> Option<Beside> {
        self.family.beside()
    }
}
