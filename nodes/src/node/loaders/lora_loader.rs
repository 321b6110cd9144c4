//! LoRAs over a model and its text encoders.

use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Node, Outputs};

use crate::files::named_tensors::NamedTensors;
use crate::lora::{Lora, layers};
use crate::recipes::{Clip, Model};

/// Changes a model and its text encoders by a LoRA, or a relative of it: LoCon, LoHa, LoKr, GLoRA, OFT, BOFT, DoRA.
///
/// Several may follow each other. What does not fit the model is left out, with a warning.
#[derive(Node)]
#[node(category = "loaders", display = "Load LoRA")]
struct LoraLoader {
    /// The model that the LoRA is laid over.
    model: Model,
    /// The text encoders that it is laid over.
    clip: Clip,
    /// The LoRA's file.
    #[input(files = "loras")]
    lora_name: String,
    /// How much of it the model gets; below 0, it is taken away.
    #[input(default = 1.0, min = -100.0, max = 100.0, step = 0.01, beyond = Both)]
    strength_model: f64,
    /// How much of it the text encoders get.
    #[input(default = 1.0, min = -100.0, max = 100.0, step = 0.01, beyond = Both)]
    strength_clip: f64,
}

#[derive(Outputs)]
struct Changed {
    /// The changed model.
    model: Model,
    /// The changed text encoders.
    clip: Clip,
}

impl Run for LoraLoader {
    type Out = Changed;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Changed> {
        let Self { model, clip, lora_name, strength_model, strength_clip } = self;
        if strength_model == 0.0 && strength_clip == 0.0 {
            return Ok(Changed { model, clip });
        }
        let lora = Lora::open(&super::file(cx, "loras", &lora_name)?)?;
        let of_model = layers::unet(&model.part.weights);
        let of_clip = clip.layers();
        let fitted = lora.fit(&[of_model.as_slice(), &of_clip].concat());
        let model = model.changed(fitted.delta(&of_model, strength_model));
        Ok(Changed { model, clip: clip.changed(|key, _| fitted.delta(&of_encoder(&of_clip, key), strength_clip)) })
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders)
    }
}

/// What is wrong with the LoRA's file, as far as it says so itself.
fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
    Flaw::of_file(offer, folders, ("lora_name", "loras"), NamedTensors::look)
}

/// The layers of one text encoder.
fn of_encoder(layers: &[layers::Layer], key: &str) -> Vec<layers::Layer> {
    layers.iter().filter(|layer| layer.part.is_encoder(key)).cloned().collect()
}

/// Changes a model by a LoRA, and leaves its text encoders as they are.
#[derive(Node)]
#[node(category = "loaders", display = "LoraLoaderModelOnly")]
struct LoraLoaderModelOnly {
    model: Model,
    #[input(files = "loras")]
    lora_name: String,
    #[input(default = 1.0, min = -100.0, max = 100.0, step = 0.01, beyond = Both)]
    strength_model: f64,
}

impl Run for LoraLoaderModelOnly {
    type Out = Model;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Model> {
        let Self { model, lora_name, strength_model } = self;
        if strength_model == 0.0 {
            return Ok(model);
        }
        let lora = Lora::open(&super::file(cx, "loras", &lora_name)?)?;
        let layers = layers::unet(&model.part.weights);
        let delta = lora.fit(&layers).delta(&layers, strength_model);
        Ok(model.changed(delta))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders)
    }
}
