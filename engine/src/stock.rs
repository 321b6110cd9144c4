//! The declarations of every node that ComfyUI ships with, also of those that we cannot run: they let a file be converted and
//! checked. They are those of [`Version::HERE`], and of classes that it lacks, those of the newest [`Version`]; by which others
//! a file may have been saved, [`Schemas::saved_by`] says.

use serde_json::{Map, Value, json};

use crate::foreign::Foreign;
use crate::node::{Class, Registry};
use crate::schema::{Edition, Folders, Input, Kind, Options, Output, Schema, Schemas};
pub use crate::versions::Version;
use crate::versions::{self, Declared, History};

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
const FOLDERS_OF: [(&str, &str, &str); 16] = [
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
    ("LoadBackgroundRemovalModel", "bg_removal_name", "background_removal"),
    ("FrameInterpolationModelLoader", "model_name", "frame_interpolation"),
    ("OpticalFlowLoader", "model_name", "optical_flow"),
    ("LoadMoGeModel", "model_name", "geometry_estimation"),
    ("LoadDA3Model", "model_name", "geometry_estimation"),
    ("LoadMediaPipeFaceLandmarker", "model_name", "detection"),
];

/// Choices beside the files.
const BESIDES: [(&str, &str); 3] = [("vae_name", "pixel_space"), ("existing_lora", "[None]"), ("model_file", "none")];

/// Combos whose choices exist only in the browser, or are folders of data: any value is taken.
const ANYTHING: [(&str, &str); 2] = [("CustomCombo", "choice"), ("LoadTrainingDataset", "folder_name")];

/// The declarations of ComfyUI's own nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stock;

impl Stock {
    /// The names of all classes, in alphabetical order.
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<_> = versions::names().collect();
        names.sort_unstable();
        names
    }

    /// A class as a version declares it, if that has it.
    pub fn at(version: Version, class: &str) -> Option<&'static Schema> {
        Some(read(class, versions::history(class)?.at(version)?))
    }

    /// The version whose declaration stands for a class here: [`Version::HERE`], or the newest for a class that this lacks.
    pub fn version(class: &str) -> Option<Version> {
        Some(here(class)?.version)
    }

    fn declared(class: &str) -> Option<&'static Schema> {
        Some(read(class, here(class)?))
    }

    /// Those of a class besides the one that stands for it here.
    fn others<'a>(class: &str) -> impl Iterator<Item = Edition<'a>> {
        let all = versions::history(class).map_or(&[][..], |history| &history.declared);
        let here = Self::version(class);
        let others = all.iter().filter(move |declared| Some(declared.version) != here);
        others.map(move |declared| Edition::<'a> { version: Some(declared.version), schema: read(class, declared) })
    }
}

impl Schemas for Stock {
    fn schema(&self, class: &str) -> Option<&Schema> {
        Self::declared(class)
    }

    fn saved_by(&self, class: &str) -> Vec<Edition<'_>> {
        let own = Self::declared(class).map(|schema| Edition { version: Self::version(class), schema });
        own.into_iter().chain(Self::others(class)).collect()
    }
}

fn here(class: &str) -> Option<&'static Declared> {
    versions::history(class).and_then(History::here)
}

fn read(class: &str, declared: &'static Declared) -> &'static Schema {
    declared.line.schema(|entry| {
        let mut schema = Schema::from_object_info(class, entry);
        schema.inputs.iter_mut().for_each(|input| read_from_folder(class, input));
        schema
    })
}

/// The declarations of all classes that we know: of those that run, their own; of the others, ComfyUI's; of those that it lacks, the
/// packs'.
#[derive(Clone, Copy)]
pub struct Known<'a>(pub &'a Registry);

impl<'a> Known<'a> {
    /// The class, if it can run.
    pub fn runnable(&self, class: &str) -> Option<&'a Class> {
        self.0.class(class)
    }

    /// The declaration, for as long as the registry lives.
    pub fn declared(&self, class: &str) -> Option<&'a Schema> {
        let here = self.0.class(class).map(|class| &class.schema);
        here.or_else(|| Stock::declared(class)).or_else(|| Some(Foreign::of(class)?.schema()))
    }

    /// Whether the class can run, or is ComfyUI's own.
    pub fn is_own(&self, class: &str) -> bool {
        self.0.class(class).is_some() || here(class).is_some()
    }

    /// The class as its pack declares it, if it is one that cannot run here.
    pub fn foreign(&self, class: &str) -> Option<Foreign> {
        if self.is_own(class) { None } else { Foreign::of(class) }
    }
}

impl Schemas for Known<'_> {
    fn schema(&self, class: &str) -> Option<&Schema> {
        self.declared(class)
    }

    fn saved_by(&self, class: &str) -> Vec<Edition<'_>> {
        let own = self.declared(class).map(|schema| Edition { version: Stock::version(class), schema });
        own.into_iter().chain(Stock::others(class)).collect()
    }
}

/// All that is known, where files are read by the declarations of one version, if one is given.
#[derive(Clone, Copy)]
pub struct ReadAs<'a>(pub Known<'a>, pub Option<Version>);

impl Schemas for ReadAs<'_> {
    fn schema(&self, class: &str) -> Option<&Schema> {
        self.0.declared(class)
    }

    fn saved_by(&self, class: &str) -> Vec<Edition<'_>> {
        let mut all = self.0.saved_by(class);
        let Some(version) = self.1 else { return all };
        // The last that is no later than the version; of a class that it lacks, the first.
        all.sort_by_key(|edition| edition.version);
        let at = all.iter().rposition(|edition| edition.version.is_none_or(|of| of <= version)).unwrap_or(0);
        all.into_iter().skip(at).take(1).collect()
    }
}

/// The class's line, parsed; null for a class that ComfyUI does not ship.
fn entry(class: &str) -> Value {
    here(class).map_or(Value::Null, |declared| declared.line.entry())
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

/// An output that a class has in another version, and which that is.
pub(crate) fn output_elsewhere(class: &str, slot: usize) -> Option<(Version, &'static Output)> {
    Stock::others(class).find_map(|edition| Some((edition.version?, edition.schema.outputs.get(slot)?)))
}

/// Whether a class uses ComfyUI's V3 schema, for which some error texts differ.
pub(crate) fn is_newer(class: &str) -> bool {
    here(class).is_some_and(|declared| declared.line.text.ends_with("\"v3\":true}"))
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
        assert_eq!(Stock::names().len(), 907);
        for name in Stock::names() {
            for Edition { schema, .. } in Stock.saved_by(name) {
                assert!(entry(name).is_object() && schema.class == name, "{name}");
                for input in &schema.inputs {
                    if let Kind::Combo { options: Options::Fixed(choices), .. } = &input.kind {
                        assert!(!choices.is_empty() && !choices[0].ends_with(".png"), "{name}.{}", input.name);
                    }
                }
            }
        }
    }

    #[test]
    fn a_class_is_read_by_those_that_may_have_saved_it() {
        let numbers = |class: &str| {
            let each = Stock.saved_by(class).into_iter().map(|edition| edition.version.map(Version::number));
            each.flatten().collect::<Vec<_>>()
        };
        assert_eq!(numbers("KSampler"), ["0.8.0"]);
        assert_eq!(numbers("CreateVideo"), ["0.8.0", "0.33.0"]);
        assert_eq!(numbers("SaveText"), ["0.33.0"]);
        assert_eq!(numbers("Nobody"), [""; 0]);
        let registry = Registry::linked().unwrap();
        let read_as = |version: &str, class: &str| {
            let read_as = ReadAs(Known(&registry), Some(version.parse().unwrap()));
            read_as.saved_by(class).iter().map(|edition| edition.version.unwrap().number()).collect::<Vec<_>>()
        };
        assert_eq!(read_as("0.8.0", "CreateVideo"), ["0.8.0"]);
        assert_eq!(read_as("0.33.0", "CreateVideo"), ["0.33.0"]);
        assert_eq!(read_as("0.33.0", "KSampler"), ["0.8.0"]);
        assert_eq!(read_as("0.8.0", "SaveText"), ["0.33.0"]);
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
