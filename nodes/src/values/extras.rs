//! What a prompt carries beside its text, its place and its time: properties that some families of models read.
//!
//! A property is one constant below: its name, which is ComfyUI's, and the type of its value. Dumps, data sets, codecs and memory
//! accounting treat all properties alike.

use std::marker::PhantomData;

use indexmap::IndexMap;
use serde_json::Value as Json;
use tch::Tensor;

/// The pooled text embedding, 1×W.
pub const POOLED: Property<Tensor> = Property::new("pooled_output");
/// The latent of a picture that checkpoints with further input channels are shown, B×C×h×w in VAE units.
pub const CONCAT_LATENT: Property<Tensor> = Property::new("concat_latent_image");
/// The mask that inpainting checkpoints are shown, 1 = repaint: H×W or N×H×W at any size.
pub const CONCAT_MASK: Property<Tensor> = Property::new("concat_mask");
/// The size in pixels that SDXL takes a training picture to have had.
pub const WIDTH: Property<i64> = Property::new("width");
/// The same, height.
pub const HEIGHT: Property<i64> = Property::new("height");
/// How many pixels SDXL takes to have been cropped off a training picture's left edge.
pub const CROP_W: Property<i64> = Property::new("crop_w");
/// The same, off its top edge.
pub const CROP_H: Property<i64> = Property::new("crop_h");
/// The size in pixels that SDXL is to draw for.
pub const TARGET_WIDTH: Property<i64> = Property::new("target_width");
/// The same, height.
pub const TARGET_HEIGHT: Property<i64> = Property::new("target_height");
/// How beautiful SDXL's refiner takes a training picture to have been found, about 1 to 10.
pub const AESTHETIC_SCORE: Property<f64> = Property::new("aesthetic_score");

/// How strongly Flux follows the text; null: it is not told.
pub const GUIDANCE: Property<f64> = Property::new("guidance");
/// Latents of pictures to go by, B×C×h×w each in VAE units.
pub const REFERENCE_LATENTS: Property<Vec<Tensor>> = Property::new("reference_latents");
/// Where a model takes these to lie: `offset`, `index`, `uxo`, `index_timestep_zero` or `negative_index`, of which each knows some.
pub const REFERENCE_METHOD: Property<String> = Property::new("reference_latents_method");

/// Where among the channels of [`CONCAT_LATENT`] Wan's models are shown the mask.
pub const CONCAT_MASK_INDEX: Property<i64> = Property::new("concat_mask_index");
/// What CLIP saw in a picture, B×N×1280: the states before its last layer.
pub const CLIP_VISION_OUTPUT: Property<Tensor> = Property::new("clip_vision_output");
/// Frames that Wan's models are shown behind the latent's, B×C×T×h×w in VAE units.
pub const TIME_DIM_CONCAT: Property<Tensor> = Property::new("time_dim_concat");
/// What VACE is to go by, B×2·C×T×h×w each in VAE units: what is kept of a control video, and what is made anew.
pub const VACE_FRAMES: Property<Vec<Tensor>> = Property::new("vace_frames");
/// Its masks, B×64×T×h×w each: every pixel under a latent point has a channel.
pub const VACE_MASK: Property<Vec<Tensor>> = Property::new("vace_mask");
/// How strongly each of them acts.
pub const VACE_STRENGTH: Property<Vec<f64>> = Property::new("vace_strength");

/// What CLIP saw in pictures that the model is to go by, N×W each: unCLIP models, and SDXL in place of the pooled text.
pub const UNCLIP_EMBEDS: Property<Vec<Tensor>> = Property::new("unclip_conditioning");
/// How strongly each of them acts.
pub const UNCLIP_STRENGTH: Property<Vec<f64>> = Property::new("unclip_strength");
/// How much noise is mixed into each of them, 0 to 1.
pub const UNCLIP_NOISE: Property<Vec<f64>> = Property::new("unclip_noise_augmentation");

/// How much moves in the videos of Stable Video Diffusion, 1 to 1023.
pub const MOTION_BUCKET: Property<i64> = Property::new("motion_bucket_id");
/// How many frames a second of these shows.
pub const FPS: Property<i64> = Property::new("fps");
/// How much noise the picture has that they are to go by.
pub const AUGMENTATION: Property<f64> = Property::new("augmentation_level");
/// From how far above SV3D looks at a thing in each frame, in degrees.
pub const ELEVATION: Property<Vec<f64>> = Property::new("elevation");
/// From which side, in degrees.
pub const AZIMUTH: Property<Vec<f64>> = Property::new("azimuth");

/// Which tokens of the text LTX-Video and HunyuanVideo look at, 1×T of 1 and 0, int64.
pub const ATTENTION_MASK: Property<Tensor> = Property::new("attention_mask");
/// Frames in a second, of the video that LTX-Video makes.
pub const FRAME_RATE: Property<f64> = Property::new("frame_rate");
/// Where the last points of LTX-Video's latent lie in the video, 1×3×K×2, int64; null: nowhere else than they are.
pub const KEYFRAMES: Property<Tensor> = Property::new("keyframe_idxs");

/// The noise level that HunyuanVideo takes its first frame to have.
pub const FIRST_FRAME: Property<f64> = Property::new("guiding_frame_index");
/// The latent of a picture that HunyuanVideo is to go by, B×16×T×h×w in VAE units.
pub const REFERENCE_LATENT: Property<Tensor> = Property::new("ref_latent");

/// The states behind every layer of a language model, 1×L×N×W, which HiDream takes beside the text.
pub const LANGUAGE_LAYERS: Property<Tensor> = Property::new("conditioning_llama3");

/// The name of a property whose values are of type `T`.
#[derive(Debug)]
pub struct Property<T> {
    /// ComfyUI's name of it.
    pub name: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Property<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Property<T> {}

impl<T> Property<T> {
    /// A property of that name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, of: PhantomData }
    }
}

/// A value of a property.
#[derive(Debug)]
pub enum Extra {
    /// One tensor.
    Tensor(Tensor),
    /// Several, such as reference latents.
    Tensors(Vec<Tensor>),
    /// A number, a text or a truth value.
    Plain(Json),
}

/// A type that values of properties have.
pub trait ExtraType: Sized {
    /// Puts the value away.
    fn into_extra(self) -> Extra;
    /// The value, unless another type was put there, as a stranger's file may do. A tensor shares its memory.
    fn from_extra(extra: &Extra) -> Option<Self>;
}

impl ExtraType for Tensor {
    fn into_extra(self) -> Extra {
        Extra::Tensor(self)
    }

    fn from_extra(extra: &Extra) -> Option<Self> {
        if let Extra::Tensor(tensor) = extra { Some(tensor.shallow_clone()) } else { None }
    }
}

impl ExtraType for Vec<Tensor> {
    fn into_extra(self) -> Extra {
        Extra::Tensors(self)
    }

    fn from_extra(extra: &Extra) -> Option<Self> {
        if let Extra::Tensors(all) = extra { Some(all.iter().map(Tensor::shallow_clone).collect()) } else { None }
    }
}

macro_rules! plain {
    ($($ty:ty: $read:ident),*) => { $(impl ExtraType for $ty {
        fn into_extra(self) -> Extra {
            Extra::Plain(self.into())
        }

        fn from_extra(extra: &Extra) -> Option<Self> {
            if let Extra::Plain(json) = extra { json.$read() } else { None }
        }
    })* };
}
plain!(i64: as_i64, f64: as_f64, bool: as_bool);

impl ExtraType for Vec<f64> {
    fn into_extra(self) -> Extra {
        Extra::Plain(self.into())
    }

    fn from_extra(extra: &Extra) -> Option<Self> {
        if let Extra::Plain(json) = extra { json.as_array()?.iter().map(Json::as_f64).collect() } else { None }
    }
}

impl ExtraType for String {
    fn into_extra(self) -> Extra {
        Extra::Plain(self.into())
    }

    fn from_extra(extra: &Extra) -> Option<Self> {
        if let Extra::Plain(json) = extra { json.as_str().map(str::to_owned) } else { None }
    }
}

/// The properties of a prompt, in the order in which they were set. A clone shares the tensors.
#[derive(Debug, Default)]
pub struct Extras(IndexMap<String, Extra>);

impl Extras {
    /// The value of a property, if it is set.
    pub fn get<T: ExtraType>(&self, property: Property<T>) -> Option<T> {
        self.0.get(property.name).and_then(T::from_extra)
    }

    /// Whether a property is set to null.
    pub fn is_null<T>(&self, property: Property<T>) -> bool {
        matches!(self.0.get(property.name), Some(Extra::Plain(Json::Null)))
    }

    /// Sets a property to null, which is something else than not setting it.
    pub fn set_null<T>(&mut self, property: Property<T>) {
        self.insert(property.name, Extra::Plain(Json::Null));
    }

    /// Sets a property.
    pub fn set<T: ExtraType>(&mut self, property: Property<T>, value: T) {
        self.insert(property.name, value.into_extra());
    }

    /// The same with a property set.
    #[must_use]
    pub fn with<T: ExtraType>(mut self, property: Property<T>, value: T) -> Self {
        self.set(property, value);
        self
    }

    /// Sets a property by its name: what a file says.
    pub fn insert(&mut self, name: impl Into<String>, value: Extra) {
        self.0.insert(name.into(), value);
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Extra)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// All tensors.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.0.values().flat_map(|value| match value {
            Extra::Tensor(tensor) => std::slice::from_ref(tensor),
            Extra::Tensors(tensors) => tensors,
            Extra::Plain(_) => &[],
        })
    }
}

impl Clone for Extra {
    fn clone(&self) -> Self {
        match self {
            Extra::Tensor(tensor) => Extra::Tensor(tensor.shallow_clone()),
            Extra::Tensors(all) => Extra::Tensors(all.iter().map(Tensor::shallow_clone).collect()),
            Extra::Plain(json) => Extra::Plain(json.clone()),
        }
    }
}

impl Clone for Extras {
    fn clone(&self) -> Self {
        Extras(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_counts_as_missing() {
        let mut extras = Extras::default().with(WIDTH, 640).with(AESTHETIC_SCORE, 6.0);
        assert_eq!((extras.get(WIDTH), extras.get(HEIGHT), extras.get(AESTHETIC_SCORE)), (Some(640), None, Some(6.0)));
        extras.insert("pooled_output", Extra::Plain(5.into()));
        extras.insert("width", Extra::Tensor(Tensor::from(1.0)));
        assert!(extras.get(POOLED).is_none() && extras.get(WIDTH).is_none());
        assert_eq!(extras.tensors().count(), 1);
        let names: Vec<&str> = extras.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["width", "aesthetic_score", "pooled_output"]);
    }
}
