//! Models and their parts written to files.

use std::cell::Cell;
use std::collections::HashMap;

use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::diffusion::parameterisation::Prediction;
use crate::files::written::{self, Pending};
use crate::models::families::saving::NETWORK;
use crate::networks::Networks;
use crate::node::image::metadata;
use crate::pictures::names::{SaveLocation, save_location};
use crate::pictures::write::write_numbered_by;
use crate::python::json;
use crate::recipes::{Clip, Model, VaeRecipe};

/// Saves a model with its text encoders and its VAE as one file, a checkpoint, with the workflow that made it.
///
/// What lies over them, such as LoRAs and merges, is written into the weights. They are written in the element types in which they are
/// held: on a CPU those of the model and of the VAE are float32, but a transformer that would take more than half of the memory so has its
/// file's type.
#[derive(Node)]
#[node(category = "advanced/model_merging", display = "Save Checkpoint", output, hidden("prompt", "extra_pnginfo"))]
struct CheckpointSave {
    model: Model,
    clip: Clip,
    vae: VaeRecipe,
    /// The prefix of the file's name. It may contain subfolders.
    #[input(default = "checkpoints/ComfyUI")]
    filename_prefix: String,
}

impl Run for CheckpointSave {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        let family = self.model.part.family;
        let networks = cx.service::<Networks>()?;
        let mut parts = Vec::new();
        for encoder in self.clip.pending(networks.numerics())? {
            let key = encoder.key;
            let named = family.named_in_checkpoint(encoder)?;
            if named.is_empty() {
                cx.warn(format!(
                    "the text encoder {key} is none of {}'s, and its checkpoints have no place for it; it is not saved",
                    family.name
                ));
            }
            parts.extend(named);
        }
        parts.extend(below(family.vae_place(), self.vae.pending(networks.numerics())?));
        save_model(cx, &self.model, parts, &self.filename_prefix)
    }
}

/// Saves a model alone, without text encoders and VAE, with the workflow that made it. UNETLoader opens the file.
#[derive(Node)]
#[node(category = "advanced/model_merging", display = "ModelSave", output, hidden("prompt", "extra_pnginfo"))]
struct ModelSave {
    model: Model,
    /// The prefix of the file's name. It may contain subfolders.
    #[input(default = "diffusion_models/ComfyUI")]
    filename_prefix: String,
}

impl Run for ModelSave {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        save_model(cx, &self.model, Vec::new(), &self.filename_prefix)
    }
}

/// Saves text encoders, each in a file of its own, with the workflow that made them. CLIPLoader opens the files.
#[derive(Node)]
#[node(category = "advanced/model_merging", display = "CLIPSave", output, hidden("prompt", "extra_pnginfo"))]
struct CLIPSave {
    clip: Clip,
    /// The prefix of the files' names; each encoder's key is put behind it. It may contain subfolders.
    #[input(default = "clip/ComfyUI")]
    filename_prefix: String,
}

/// The encoders whose keys ComfyUI puts behind the prefix.
const NAMED: [&str; 11] = [
    "clip_l",
    "clip_g",
    "clip_h",
    "t5xxl",
    "pile_t5xl",
    "mt5xl",
    "umt5xxl",
    "t5base",
    "gemma2_2b",
    "llama",
    "hydit_clip",
];

impl Run for CLIPSave {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        let networks = cx.service::<Networks>()?;
        for encoder in self.clip.pending(networks.numerics())? {
            let plain = |tensor: Pending| {
                let name = tensor.name.strip_prefix("transformer.").unwrap_or(&tensor.name).to_owned();
                tensor.named(name)
            };
            let tensors: Vec<_> = encoder.tensors.into_iter().chain(encoder.vocabulary).map(plain).collect();
            let prefix = &self.filename_prefix;
            let prefix =
                if NAMED.contains(&encoder.key) { format!("{prefix}_{}", encoder.key) } else { prefix.clone() };
            let mut texts = workflow(cx);
            if !cx.metadata.disabled {
                texts.insert("format".to_owned(), "pt".to_owned());
            }
            save(cx, &location(cx, &prefix)?, &tensors, |_| texts.clone())?;
        }
        Ok(())
    }
}

/// Saves a VAE, with the workflow that made it. VAELoader opens the file.
#[derive(Node)]
#[node(category = "advanced/model_merging", display = "VAESave", output, hidden("prompt", "extra_pnginfo"))]
struct VAESave {
    vae: VaeRecipe,
    /// The prefix of the file's name. It may contain subfolders.
    #[input(default = "vae/ComfyUI_vae")]
    filename_prefix: String,
}

impl Run for VAESave {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        let tensors = self.vae.pending(cx.service::<Networks>()?.numerics())?;
        let texts = workflow(cx);
        save(cx, &location(cx, &self.filename_prefix)?, &tensors, |_| texts.clone())
    }
}

/// Saves a model and what goes into its checkpoint beside it.
fn save_model(cx: &mut Cx, model: &Model, beside: Vec<Pending>, prefix: &str) -> Result<()> {
    let networks = cx.service::<Networks>()?;
    let mut tensors = below(NETWORK, model.pending(networks.numerics())?);
    tensors.extend(beside);
    tensors.extend(model.markers());
    let location = location(cx, prefix)?;
    let (texts, described) = (workflow(cx), spec(model));
    save(cx, &location, &tensors, |number| {
        let mut all = described.clone();
        if let Some(architecture) = model.part.family.architecture() {
            let title = format!("{} {number}", location.name);
            let spec = [
                ("modelspec.architecture", architecture),
                ("modelspec.sai_model_spec", "1.0.0"),
                ("modelspec.implementation", "sgm"),
                ("modelspec.title", &title),
            ];
            all.extend(spec.map(|(key, value)| (key.to_owned(), value.to_owned())));
        }
        all.extend(texts.clone());
        all
    })
}

/// What the model predicts, in the words of the modelspec.
fn spec(model: &Model) -> HashMap<String, String> {
    let own = &model.part.parameterisation;
    let key = match own.prediction() {
        Prediction::Epsilon => "epsilon",
        Prediction::Velocity if !own.is_continuous_velocity() => "v",
        _ => return HashMap::new(),
    };
    HashMap::from([("modelspec.predict_key".to_owned(), key.to_owned())])
}

fn below(place: &str, tensors: Vec<Pending>) -> Vec<Pending> {
    let named = |tensor: Pending| {
        let name = format!("{place}{}", tensor.name);
        tensor.named(name)
    };
    tensors.into_iter().map(named).collect()
}

/// The workflow, as files carry it.
fn workflow(cx: &Cx) -> HashMap<String, String> {
    metadata(cx).into_iter().map(|(key, value)| (key, json::dumps(&value))).collect()
}

pub(super) fn location(cx: &Cx, prefix: &str) -> Result<SaveLocation> {
    save_location(prefix, &cx.folders.output, 0, 0, chrono::Local::now().naive_local())
}

/// Writes a file under the next free number; `texts` is told the number.
pub(super) fn save(
    cx: &mut Cx,
    location: &SaveLocation,
    tensors: &[Pending],
    texts: impl Fn(u64) -> HashMap<String, String>,
) -> Result<()> {
    let (mut counter, number) = (location.counter, Cell::new(0));
    let name = |counter| {
        number.set(counter);
        location.batch_file_name(counter, "safetensors")
    };
    let here: &Cx = cx;
    let saved = write_numbered_by(location, &mut counter, name, |aside, _| {
        written::write(aside.path(), tensors, texts(number.get()), &|| here.check())
    })?;
    cx.saved(std::path::absolute(saved.path)?);
    Ok(())
}
