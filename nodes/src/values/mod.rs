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
