//! What a value consists of, for `--dump` and `verify`: tensors and plain values, under the conformance cases' keys.

use redraft_engine::io::Value;
use serde_json::{Map, Value as Json, json};
use tch::Tensor;

use super::extras::Extra;
use super::{Area, Audio, ClipVisionOutput, Conditioning, Entry, Image, Latent, Mask, Sigmas};

/// A part of a value.
#[derive(Debug)]
pub enum Part {
    Tensor(Tensor),
    Plain(Json),
}

/// The parts of a value with the ends of their keys: nothing for a tensor itself, `/samples` and its like for members. Values
/// of other types (MODEL, CLIP, VAE) have none.
pub fn parts(value: &Value) -> Vec<(String, Part)> {
    let one = |part| vec![(String::new(), part)];
    if let Some(Image(tensor)) = value.downcast() {
        one(Part::Tensor(tensor.shallow_clone()))
    } else if let Some(Mask(tensor)) = value.downcast() {
        one(Part::Tensor(tensor.shallow_clone()))
    } else if let Some(Sigmas(levels)) = value.downcast() {
        one(Part::Tensor(Tensor::from_slice(levels)))
    } else if let Some(latent) = value.downcast::<Latent>() {
        latent_parts(latent)
    } else if let Some(Audio { waveform, sample_rate }) = value.downcast() {
        vec![
            ("/waveform".to_owned(), Part::Tensor(waveform.shallow_clone())),
            ("/sample_rate".to_owned(), Part::Plain(json!(sample_rate))),
        ]
    } else if let Some(seen) = value.downcast::<ClipVisionOutput>() {
        seen_parts(seen)
    } else if let Some(Conditioning(entries)) = value.downcast() {
        entries.iter().enumerate().flat_map(|(i, entry)| entry_parts(i, entry)).collect()
    } else {
        plain(value).map(|json| one(Part::Plain(json))).unwrap_or_default()
    }
}

fn plain(value: &Value) -> Option<Json> {
    let int = value.downcast::<i128>().map(|v| redraft_engine::schema::integer(*v));
    let float = value.downcast::<f64>().map(|v| json!(v));
    let text = value.downcast::<String>().map(|v| json!(v));
    let flag = || value.downcast::<bool>().map(|v| json!(v));
    // A constant that was given to a `*` socket.
    let constant = || value.downcast::<Json>().filter(|json| !json.is_null() && !json.is_array() && !json.is_object());
    int.or(float).or(text).or_else(flag).or_else(|| constant().cloned())
}

fn seen_parts(seen: &ClipVisionOutput) -> Vec<(String, Part)> {
    let ClipVisionOutput { penultimate, last, embeds, projected } = seen;
    let all = [
        ("/penultimate_hidden_states", Some(penultimate)),
        ("/last_hidden_state", last.as_ref()),
        ("/image_embeds", embeds.as_ref()),
        ("/mm_projected", projected.as_ref()),
    ];
    let part = |(name, tensor): (&str, Option<&Tensor>)| Some((name.to_owned(), Part::Tensor(tensor?.shallow_clone())));
    all.into_iter().filter_map(part).collect()
}

fn latent_parts(latent: &Latent) -> Vec<(String, Part)> {
    let mut parts = vec![("/samples".to_owned(), Part::Tensor(latent.samples.shallow_clone()))];
    if let Some(mask) = &latent.noise_mask {
        parts.push(("/noise_mask".to_owned(), Part::Tensor(mask.shallow_clone())));
    }
    if let Some(places) = &latent.batch_index {
        parts.push(("/batch_index".to_owned(), Part::Plain(json!(places))));
    }
    parts
}

fn entry_parts(index: usize, entry: &Entry) -> Vec<(String, Part)> {
    let named = |name: &str, tensor: &Tensor| (format!("/{index}/{name}"), Part::Tensor(tensor.shallow_clone()));
    let mut parts = vec![named("cond", &entry.cond)];
    parts.extend(entry.mask.iter().map(|mask| named("mask", mask)));
    for (name, extra) in entry.extras.iter() {
        match extra {
            Extra::Tensor(tensor) => parts.push(named(name, tensor)),
            Extra::Tensors(tensors) => {
                parts.extend(tensors.iter().enumerate().map(|(i, tensor)| named(&format!("{name}/{i}"), tensor)));
            }
            Extra::Plain(_) => {}
        }
    }
    let options = options(entry);
    if !options.is_empty() {
        parts.push((format!("/{index}"), Part::Plain(Json::Object(options))));
    }
    parts
}

/// The plain options that a node has set.
pub(crate) fn options(entry: &Entry) -> Map<String, Json> {
    let mut options = Map::new();
    let area = entry.area.map(|area| match area {
        Area::Latent { height, width, y, x } => json!([height, width, y, x]),
        Area::Fraction { height, width, y, x } => json!(["percentage", height, width, y, x]),
    });
    let mut put = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            options.insert(name.to_owned(), value);
        }
    };
    put("area", area);
    put("control_apply_to_uncond", entry.control.is_some().then(|| json!(entry.control_for_others)));
    put("start_percent", entry.start_percent.map(|v| json!(v)));
    put("end_percent", entry.end_percent.map(|v| json!(v)));
    put("mask_strength", entry.mask_strength.map(|v| json!(v)));
    put("set_area_to_bounds", entry.set_area_to_bounds.map(|v| json!(v)));
    put("strength", entry.strength.map(|v| json!(v)));
    for (name, extra) in entry.extras.iter() {
        if let Extra::Plain(json) = extra {
            put(name, Some(json.clone()));
        }
    }
    options
}
