//! A model that is ready to be sampled: its network is in memory.

use std::rc::Rc;

use anyhow::Result;

use super::control::ControlPartsOf;
use super::grounding::GroundersOf;
use super::hooks::Hooks;
use crate::diffusion::extra_conds::ExtraConds;
use crate::diffusion::latent_format::LatentFormat;
use crate::diffusion::network::Network;
use crate::diffusion::parameterisation::Parameterisation;
use crate::diffusion::run_entry::RunEntry;

/// What makes a network's input of a prompt besides its text.
pub type ExtraCondsOf = dyn Fn(&RunEntry) -> Result<ExtraConds>;

/// A network with everything that sampling needs to know about it.
pub struct ReadyModel {
    /// The network.
    pub network: Rc<dyn Network>,
    /// What its output means.
    pub sampling: Rc<Parameterisation>,
    /// The latent space that it works in.
    pub latent_format: &'static LatentFormat,
    /// What it takes with a prompt besides its text.
    pub extra_conds: Box<ExtraCondsOf>,
    /// What takes the networks that steer it into memory.
    pub controls: Box<ControlPartsOf>,
    /// What takes the networks that tell it what lies where into memory.
    pub grounders: Box<GroundersOf>,
    /// What is changed about how it is sampled.
    pub hooks: Hooks,
}
