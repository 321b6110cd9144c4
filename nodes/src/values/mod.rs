//! The values that travel between nodes and are data: tensors and plain values.

pub mod audio;
pub mod clip_vision_output;
mod codec;
pub mod conditioning;
pub mod control;
pub mod extras;
pub mod grounding;
pub mod image;
pub mod image_or_mask;
pub mod latent;
pub mod mask;
pub mod memories;
pub mod noise_choice;
pub mod parts;
pub mod sigmas;
pub mod svg;
pub mod timesteps;
pub mod video;

pub use audio::Audio;
pub use clip_vision_output::ClipVisionOutput;
pub use conditioning::{Area, Conditioning, Entry};
pub use control::Control;
pub use grounding::{Grounding, Place};
pub use image::Image;
pub use image_or_mask::ImageOrMask;
pub use latent::Latent;
pub use mask::Mask;
pub use noise_choice::NoiseChoice;
pub use parts::{Part, parts};
use redraft_engine::codec::Codec;
use redraft_engine::io::Wire;
pub use sigmas::Sigmas;
pub use svg::Svg;
use tch::Tensor;
pub use timesteps::{ConditioningHooks, TimestepsRange};
pub use video::Video;

use crate::ops::latent_operation::LatentOperation;
use crate::sampling::samplers::Sampler;

macro_rules! wire {
    ($($ty:ty: $name:literal, $codec:expr);* $(;)?) => { $(impl Wire for $ty {
        const TYPE: &'static str = $name;
        const CODEC: Codec<Self> = $codec;
    })* };
}
wire!(
    Sigmas: "SIGMAS", Codec::DATA;
    Svg: "SVG", Codec::DATA;
    NoiseChoice: "NOISE", Codec::DATA;
    TimestepsRange: "TIMESTEPS_RANGE", Codec::DATA;
    LatentOperation: "LATENT_OPERATION", Codec::DATA;
    Sampler: "SAMPLER", Codec::Recipe;
    ConditioningHooks: "HOOKS", Codec::Recipe;
    Video: "VIDEO", Codec::Recipe;
);

/// The types that are tensors: their size and shapes are known.
macro_rules! tensor_wire {
    ($($ty:ty: $name:literal = $tensors:expr, $clone:expr, $is_data:expr);* $(;)?) => { $(impl Wire for $ty {
        const TYPE: &'static str = $name;
        const CODEC: Codec<Self> = Codec::DATA;

        fn bytes(&self) -> usize {
            let tensors: fn(&Self) -> Vec<&Tensor> = $tensors;
            tensors(self).into_iter().map(|tensor| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum()
        }

        fn describe(&self) -> String {
            let tensors: fn(&Self) -> Vec<&Tensor> = $tensors;
            let shapes = tensors(self).into_iter().map(|tensor| {
                let sides: Vec<_> = tensor.size().iter().map(ToString::to_string).collect();
                sides.join("x")
            });
            format!("{} {}", Self::TYPE, shapes.take(MOST_SHAPES).collect::<Vec<_>>().join(" "))
        }

        fn is_data(&self) -> bool {
            let is_data: fn(&Self) -> bool = $is_data;
            is_data(self)
        }

        fn clone_bytes(&self) -> usize {
            let bytes: fn(&Self) -> usize = $clone;
            bytes(self)
        }
    })* };
}
/// How many tensors of a value error reports describe.
const MOST_SHAPES: usize = 20;
tensor_wire!(
    Conditioning: "CONDITIONING" = |all| all.0.iter().flat_map(Entry::tensors).collect(), Conditioning::entry_bytes, Conditioning::is_data;
    Latent: "LATENT" = |latent| std::iter::once(&latent.samples).chain(&latent.noise_mask).collect(), |_| 0, |_| true;
    Image: "IMAGE" = |image| vec![&image.0], |_| 0, |_| true;
    Mask: "MASK" = |mask| vec![&mask.0], |_| 0, |_| true;
    Audio: "AUDIO" = |audio| vec![&audio.waveform], |_| 0, |_| true;
    ClipVisionOutput: "CLIP_VISION_OUTPUT" = ClipVisionOutput::tensors, |_| 0, |_| true;
);
