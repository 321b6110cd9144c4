//! The declarations of every node that ComfyUI 0.8.0 ships with, also of those that we cannot run: they let a file be
//! converted and checked. Facts from its `/object_info`, put together by `scripts/stock-declarations.py`.
//!
//! Nothing is parsed before a class is asked for, and then only that class's line.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use serde_json::{Map, Value, json};

use crate::node::{Class, Registry};
use crate::schema::{Folders, Input, Kind, Options, Schema, Schemas};

const LINES: &str = include_str!("../data/stock-0.8.0.jsonl");

/// Which folder a combo of files lists, by the input's name. The declarations do not say it.
const FOLDERS: [(&str, &str); 22] = [
    ("ckpt_name", "checkpoints"),
    ("config_name", "configs"),
    ("lora_name", "loras"),
    ("existing_lora", "loras"),
    ("vae_name", "vae"),
    ("control_net_name", "controlnet"),
    ("unet_name", "diffusion_models"),
    ("clip_name", "text_encoders"),
    ("clip_name1", "text_encoders"),
    ("clip_name2", "text_encoders"),
    ("clip_name3", "text_encoders"),
    ("clip_name4", "text_encoders"),
    ("text_encoder", "text_encoders"),
    ("style_model_name", "style_models"),
    ("gligen_name", "gligen"),
    ("hypernetwork_name", "hypernetworks"),
    ("photomaker_model_name", "photomaker"),
    ("audio_encoder_name", "audio_encoders"),
    ("image", "input"),
    ("latent", "input"),
    ("audio", "input"),
    ("model_file", "input"),
];

/// Exceptions, by class: the same input name stands for another folder there.
const FOLDERS_OF: [(&str, &str, &str); 10] = [
    ("DiffusersLoader", "model_path", "diffusers"),
    ("CLIPVisionLoader", "clip_name", "clip_vision"),
    ("UpscaleModelLoader", "model_name", "upscale_models"),
    ("LatentUpscaleModelLoader", "model_name", "latent_upscale_models"),
    ("ModelPatchLoader", "name", "model_patches"),
    ("LoadVideo", "file", "input"),
    ("OpenAIInputFiles", "file", "input"),
    ("GeminiInputFiles", "file", "input"),
    ("LoadImageDataSetFromFolder", "folder", "input_folders"),
    ("LoadImageTextDataSetFromFolder", "folder", "input_folders"),
];

/// Choices beside the files.
const BESIDES: [(&str, &str); 2] = [("vae_name", "pixel_space"), ("existing_lora", "[None]")];

/// Combos whose choices exist only in the browser, or are folders of models: any value is taken.
const ANYTHING: [(&str, &str); 1] = [("CustomCombo", "choice")];

struct Line {
    text: &'static str,
    schema: OnceLock<Schema>,
}

static CLASSES: LazyLock<HashMap<&'static str, Line>> = LazyLock::new(|| {
    let named = LINES.lines().filter_map(|text| {
        let name = text.strip_prefix("{\"name\":\"")?.split('"').next()?;
        Some((name, Line { text, schema: OnceLock::new() }))
    });
    named.collect()
});

/// The declarations of ComfyUI's own nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stock;

impl Schemas for Stock {
    fn schema(&self, class: &str) -> Option<&Schema> {
        let line = CLASSES.get(class)?;
        Some(line.schema.get_or_init(|| {
            let mut schema = Schema::from_object_info(class, &entry(class));
            schema.inputs.iter_mut().for_each(|input| read_from_folder(class, input));
            schema
        }))
    }
}

impl Stock {
    /// The names of all classes, in alphabetical order.
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<_> = CLASSES.keys().copied().collect();
        names.sort_unstable();
        names
    }
}

/// The declarations of all classes that we know: of those that run, their own; of the others, ComfyUI's.
#[derive(Clone, Copy)]
pub struct Known<'a>(pub &'a Registry);

impl<'a> Known<'a> {
    /// The class, if it can run.
    pub fn runnable(&self, class: &str) -> Option<&'a Class> {
        self.0.class(class)
    }

    /// The declaration, for as long as the registry lives.
    pub fn declared(&self, class: &str) -> Option<&'a Schema> {
        self.0.class(class).map(|class| &class.schema).or_else(|| Stock.schema_static(class))
    }
}

impl Schemas for Known<'_> {
    fn schema(&self, class: &str) -> Option<&Schema> {
        self.declared(class)
    }
}

impl Stock {
    fn schema_static(self, class: &str) -> Option<&'static Schema> {
        static STOCK: Stock = Stock;
        STOCK.schema(class)
    }
}

/// The class's line, parsed; null for a class that ComfyUI does not ship.
fn entry(class: &str) -> Value {
    CLASSES.get(class).and_then(|line| serde_json::from_str(line.text).ok()).unwrap_or(Value::Null)
}

/// Whether a class declares a default for an input. Of classes that ComfyUI does not have, one that is not zero, empty or the first
/// choice counts as declared.
pub(crate) fn declares_default(class: &str, input: &Input) -> bool {
    let entry = entry(class);
    let declared = ["required", "optional"].into_iter().find_map(|group| entry["input"][group].get(&input.name));
    if let Some(declared) = declared {
        return !declared[1]["default"].is_null();
    }
    match &input.kind {
        Kind::Int { default, .. } => *default != 0,
        Kind::Float { default, .. } => *default != 0.0,
        Kind::Boolean { default } => *default,
        Kind::Text { default, .. } => !default.is_empty(),
        Kind::Combo { default, .. } => default.is_some(),
        Kind::Widget { default, .. } => default.is_some(),
        Kind::Socket(_) | Kind::DynamicCombo(_) | Kind::Autogrow(_) => false,
    }
}

/// Whether a class uses ComfyUI's V3 schema, for which some error texts differ.
pub(crate) fn is_newer(class: &str) -> bool {
    CLASSES.get(class).is_some_and(|line| line.text.ends_with("\"v3\":true}"))
}

/// `[type, options]` of an input as ComfyUI's errors print it: exactly as the class declares it, including whether a
/// float is written without a point and whether a combo is in the old style. For classes that ComfyUI does not have,
/// our own declaration is printed.
pub(crate) fn config(class: &str, input: &Input, name: &str, folders: &dyn Folders) -> Value {
    let entry = entry(class);
    let declared = ["required", "optional"].into_iter().find_map(|group| entry["input"][group].get(name));
    let Some(Value::Array(declared)) = declared.filter(|_| !matches!(input.kind, Kind::DynamicCombo(_))) else {
        return if is_newer(class) { newer(input.to_json(folders)) } else { input.to_json(folders) };
    };
    let mut kind = declared.first().cloned().unwrap_or_default();
    let mut options = declared.get(1).cloned().unwrap_or_else(|| json!({}));
    if let Kind::Combo { options: Options::Files { .. }, .. } = &input.kind {
        let list = json!(input.kind.choices(folders));
        if kind.is_array() { kind = list } else { options["options"] = list }
    }
    if kind == "COMBO" && options.get("options").is_some() {
        options["multiselect"] = json!(false);
    }
    json!([kind, options])
}

/// A combo's entry in the newer form: the choices among the options.
fn newer(entry: Value) -> Value {
    let [Value::Array(choices), Value::Object(options)] = entry.as_array().map_or(&[][..], |all| all) else {
        return entry;
    };
    let mut all = Map::from_iter([("multiselect".to_owned(), json!(false)), ("options".to_owned(), json!(choices))]);
    all.extend(options.clone());
    json!(["COMBO", all])
}

/// Turns a combo with a recorded list of files into one that lists a folder: the declarations hold the files of the
/// machine that they were recorded on.
fn read_from_folder(class: &str, input: &mut Input) {
    let Kind::Combo { options, upload, default, .. } = &mut input.kind else { return };
    if ANYTHING.contains(&(class, input.name.as_str())) {
        input.kind = Kind::Widget { ty: "COMBO".into(), default: default.as_ref().map(|default| json!(default)) };
        return;
    }
    let recorded = options.list(&());
    let besides = BESIDES.iter().filter(|(name, _)| *name == input.name).map(|(_, choice)| (*choice).to_owned());
    let besides: Vec<_> = besides.filter(|choice| recorded.contains(choice)).collect();
    let exact = FOLDERS_OF.iter().find(|(of, name, _)| (*of, *name) == (class, input.name.as_str()));
    // Other combos of the same name, such as an API node's choice of a model, list no files.
    if exact.is_none() && upload.is_none() && input.name != "config_name" && recorded.len() > besides.len() {
        return;
    }
    let usual = || FOLDERS.iter().find(|(name, _)| *name == input.name).map(|(_, folder)| *folder);
    if let Some(folder) = exact.map(|(_, _, folder)| *folder).or_else(usual) {
        *options = Options::Files { folder: folder.to_owned(), besides };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_line_is_a_class_and_no_combo_is_left_without_choices() {
        assert_eq!(Stock::names().len(), 567);
        for name in Stock::names() {
            let schema = Stock.schema(name).unwrap();
            assert!(entry(name).is_object() && schema.class == name, "{name}");
            for input in &schema.inputs {
                if let Kind::Combo { options: Options::Fixed(choices), .. } = &input.kind {
                    assert!(!choices.is_empty() && !choices[0].ends_with(".png"), "{name}.{}", input.name);
                }
            }
        }
    }

    #[test]
    fn combos_of_files_know_their_folder() {
        let folder = |class: &str, input: &str| match &Stock.schema(class).unwrap().input(input).unwrap().kind {
            Kind::Combo { options: Options::Files { folder, .. }, .. } => folder.clone(),
            other => panic!("{class}.{input}: {other:?}"),
        };
        assert_eq!(folder("DualCLIPLoader", "clip_name2"), "text_encoders");
        assert_eq!(folder("CLIPVisionLoader", "clip_name"), "clip_vision");
        assert_eq!(folder("UNETLoader", "unet_name"), "diffusion_models");
        assert_eq!(folder("LoadImage", "image"), "input");
        assert_eq!(folder("LoadVideo", "file"), "input");
        assert_eq!(folder("LoadImageDataSetFromFolder", "folder"), "input_folders");
    }

    #[test]
    fn configs_are_as_comfyui_declares_them() {
        let of = |class: &str, name: &str| {
            let input = Stock.schema(class).unwrap().input(name).unwrap();
            config(class, input, name, &()).to_string()
        };
        assert_eq!(of("EmptyImage", "width"), r#"["INT",{"default":512,"min":1,"max":16384,"step":1}]"#);
        assert_eq!(of("UpscaleModelLoader", "model_name"), r#"["COMBO",{"options":[],"multiselect":false}]"#);
        assert_eq!(of("ImageScale", "crop"), r#"[["disabled","center"],{}]"#);
    }
}
