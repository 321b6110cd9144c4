//! The wire types: what travels between nodes.

pub mod conditioning;
pub mod image;
pub mod latent;
pub mod mask;
pub mod sigmas;

pub use conditioning::{Area, Conditioning, Entry};
pub use image::Image;
pub use latent::Latent;
pub use mask::Mask;
pub use sigmas::Sigmas;
pub mod model;
pub mod parts;

pub use model::{Clip, Model, VaeRecipe};
pub use parts::{Part, parts};
use redraft_engine::io::Wire;

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
);
