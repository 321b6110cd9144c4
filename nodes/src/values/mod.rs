//! The wire types: what travels between nodes.

pub mod conditioning;
pub mod guider;
pub mod image;
pub mod image_or_mask;
pub mod latent;
pub mod mask;
pub mod noise;
pub mod sigmas;
pub mod svg;

pub use conditioning::{Area, Conditioning, Entry};
pub use guider::Guider;
pub use image::Image;
pub use image_or_mask::ImageOrMask;
pub use latent::Latent;
pub use mask::Mask;
pub use noise::NoiseChoice;
pub use sigmas::Sigmas;
pub use svg::Svg;
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
    Svg: "SVG",
    NoiseChoice: "NOISE",
    Sampler: "SAMPLER",
    Guider: "GUIDER",
    LatentOperation: "LATENT_OPERATION",
);
