//! ComfyUI's nodes over libtorch: wire types, networks, sampling, text.

pub mod diffusion;
pub mod files;
pub mod lora;
pub mod media;
pub mod models;
pub mod networks;
pub mod node;
pub mod ops;
pub mod pictures;
pub mod python;
pub mod recipes;
pub mod sampling;
pub mod text;
pub mod values;

use redraft_engine::cx::Services;

use crate::networks::Networks;
use crate::ops::numerics::Numerics;

/// Gives the nodes what they share: the numerics in force, and the networks in memory.
pub fn provide(services: &mut Services, numerics: Numerics) {
    services.insert(numerics);
    services.insert(Networks::new(numerics));
}
