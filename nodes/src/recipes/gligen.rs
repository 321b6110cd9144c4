//! GLIGEN: a network that tells a UNet what lies where.

use std::rc::Rc;

use anyhow::Result;

use crate::files::weights::Weights;
use crate::models::gligen;
use crate::networks::Networks;

/// A recipe: the network is built when a model is sampled under it. A clone shares the file.
#[derive(Clone)]
pub struct Gligen {
    /// The file.
    pub weights: Weights,
}

impl Gligen {
    /// The network, for a denoising network with the tensors of `unet`.
    ///
    /// # Errors
    /// If the file is damaged, or was not made for such a UNet.
    pub fn network(&self, networks: &Networks, unet: &Weights) -> Result<Rc<gligen::Gligen>> {
        let network = networks.get(&self.weights, |w, n| gligen::Gligen::load(w, n).map(Rc::new))?;
        network.fits(unet)?;
        Ok(network)
    }
}
