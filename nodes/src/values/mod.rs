//! The wire types: what travels between nodes.

pub mod conditioning;
pub mod guider;
pub mod image;
pub mod latent;
pub mod mask;
pub mod noise;
pub mod sigmas;
pub mod timesteps;

pub use conditioning::{Area, Conditioning, Entry};
pub use guider::Guider;
pub use image::Image;
pub use latent::Latent;
pub use mask::Mask;
pub use noise::NoiseChoice;
pub use sigmas::Sigmas;
pub use timesteps::{ConditioningHooks, TimestepsRange};
pub mod model;
pub mod parts;

pub use model::{Clip, Model, VaeRecipe};
pub use parts::{Part, parts};
use redraft_engine::io::Wire;

use crate::ops::latent_operation::LatentOperation;
use crate::sampling::samplers::Sampler;

macro_rules! wire {
    ($($ty:ty: $name:literal),* $(,)?) => { $(impl Wire for $ty { const TYPE: &'static str = $name; })* };
}
wire!(
    Model: "MODEL",
    Clip: "CLIP",
    VaeRecipe: "VAE",
    Conditioning: "CONDITIONING",
    Latent: "LATENT",
    Image: "IMAGE",
    Mask: "MASK",
    Sigmas: "SIGMAS",
    NoiseChoice: "NOISE",
    Sampler: "SAMPLER",
    Guider: "GUIDER",
    TimestepsRange: "TIMESTEPS_RANGE",
    ConditioningHooks: "HOOKS",
    LatentOperation: "LATENT_OPERATION",
);
