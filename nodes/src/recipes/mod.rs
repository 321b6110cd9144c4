//! Values that are recipes: MODEL, CLIP, VAE and their like. Making one is free, and none is ever written to a file: it is made
//! again. The network behind it is built when something uses it.

pub mod control_net;
pub mod gligen;
pub mod guider;
mod merge;
pub mod model;
pub mod saving;
pub mod seeing;
pub mod text_files;
pub mod upscale_model;

pub use control_net::ControlNet;
pub use gligen::Gligen;
pub use guider::Guider;
pub use model::{Clip, Model, Text, VaeRecipe};
use redraft_engine::codec::Codec;
use redraft_engine::io::Wire;
pub use seeing::{ClipVision, StyleModel};
pub use upscale_model::UpscaleModel;

macro_rules! wire {
    ($($ty:ty: $name:literal),* $(,)?) => { $(impl Wire for $ty {
        const TYPE: &'static str = $name;
        const CODEC: Codec<Self> = Codec::Recipe;
    })* };
}
wire!(
    Model: "MODEL",
    Clip: "CLIP",
    VaeRecipe: "VAE",
    UpscaleModel: "UPSCALE_MODEL",
    ControlNet: "CONTROL_NET",
    Guider: "GUIDER",
    ClipVision: "CLIP_VISION",
    StyleModel: "STYLE_MODEL",
    Gligen: "GLIGEN",
);
