//! The editor's workflows against what the official frontend 1.35.9 makes of each: values, nodes, ids, titles, order.
//!
//! One test for each file. The pairs lie in `../shared/conversions`; without them each folder of them counts as an ignored test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use redraft_engine::object_info::ObjectInfo;
use redraft_engine::schema::{Folders, Kind, Schema, Schemas};
use redraft_engine::settable::input_of;
use redraft_engine::stock::Stock;
use redraft_engine::workflow::{Context, LocalTime, parse_json, read};
use serde_json::Value;

/// Files in which we differ from the frontend on purpose, each with the reason. A file here must really differ.
const OTHERWISE: [(&str, &str); 7] = [
    ("Set_Get", "SetNode and GetNode are followed; the frontend without KJNodes knows neither class"),
    ("Set_Get_image2image", "the same"),
    ("edge/dictvals", "the file stores nulls, which are values; its prompt was made of an object of values instead"),
    ("edge/nest_rev", "the frontend loads the parent first, so that the inner instance's values are not yet its own"),
    ("edge/nest_nopromote_rev", "the same"),
    ("hidream__hidream_e1_example.png", "the frontend shifts a group node's values and loses inputs behind reroutes"),
    ("image_qwen_image_edit_2511", "a title: the frontend's translations override the class's display name"),
];

fn shared() -> &'static Path {
    Path::new(env!("REDRAFT_SHARED_AT"))
}

/// What the two prompts differ in, in words.
fn difference(ours: &Value, theirs: &Value, schemas: &dyn Schemas) -> Option<String> {
    let (ours, theirs) = (ours.as_object().unwrap(), theirs.as_object().unwrap());
    let ids = |prompt: &serde_json::Map<String, Value>| prompt.keys().cloned().collect::<Vec<_>>();
    if ids(ours) != ids(theirs) {
        return Some(format!("ids {:?} instead of {:?}", ids(ours), ids(theirs)));
    }
    for (id, theirs) in theirs {
        let ours = &ours[id];
        // The frontend has no word for a class that it does not know; we keep the name.
        let known = match &theirs["class_type"] {
            Value::Null => schemas.schema(ours["class_type"].as_str().unwrap()).is_none(),
            class => ours["class_type"] == *class,
        };
        if !known || ours["_meta"]["title"] != theirs["_meta"]["title"] {
            return Some(format!("node {id}: {ours} instead of {theirs}"));
        }
        let inputs = |node: &Value| node["inputs"].as_object().unwrap().clone();
        let (ours, theirs) = (inputs(ours), inputs(theirs));
        if ids(&ours) != ids(&theirs) || !ours.iter().all(|(name, value)| same(value, &theirs[name])) {
            let text = |inputs: serde_json::Map<String, Value>| Value::Object(inputs).to_string();
            return Some(format!("node {id}: inputs\n    {}\n    {}", text(ours), text(theirs)));
        }
    }
    None
}

/// Equal, where the frontend's numbers are doubles.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => ours == theirs,
    }
}

/// The folders of pairs, and how many each has at least.
const GROUPS: [(&str, usize); 5] =
    [("documentation", 134), ("edge", 29), ("examples", 8), ("pictures", 55), ("templates", 41)];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (group, least) in GROUPS {
        if cfg!(not(shared)) {
            trials.push(Trial::test(group, || Ok(())).with_ignored_flag(true));
            continue;
        }
        let files = workflows(&shared().join("conversions").join(group));
        assert!(files.len() >= least, "only {} files in {group}", files.len());
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap();
            let name = format!("{group}::{}", name.strip_suffix(WORKFLOW).unwrap());
            trials.push(Trial::test(name, move || converts(shared(), &file)));
        }
    }
    trials.extend(newer());
    let damaged = Trial::test("damaged_files_never_panic", || {
        damaged_files_never_panic(shared());
        Ok(())
    });
    trials.push(damaged.with_ignored_flag(cfg!(not(shared))));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Files of which frontend 1.49.6 makes something else on purpose, each with the reason. A file here must really differ.
const OTHERWISE_NEWER: [(&str, &str); 23] = [
    ("RudyB24+ComfyUI_Workflows__Default_Turbo", GROUPS_ARE_GONE),
    ("RudyB24+ComfyUI_Workflows__IC-Light_Img2Img", GROUPS_ARE_GONE),
    ("dseditor+ComfyuiWorkflows__AnimeArt", GROUPS_ARE_GONE),
    ("ltdrdata+ComfyUI-extension-tutorials__ComfyUI-Impact-Pack__workflow__mask_to_segs-detailer", GROUPS_ARE_GONE),
    ("ltdrdata+ComfyUI-extension-tutorials__ComfyUI-Impact-Pack__workflow__maskdetailer", GROUPS_ARE_GONE),
    ("pwillia7+Basic_ComfyUI_Workflows__Video__WorkflowJSONs__wan22_lx2v_gguf", GROUPS_ARE_GONE),
    ("hidream__hidream_e1_example.png", "the frontend shifts a group node's values and loses inputs behind reroutes"),
    ("kijai+ComfyUI-CogVideoXWrapper__cogvideox_Fun_180_orbit_02", FOLLOWED),
    ("kijai+ComfyUI-HunyuanVideoWrapper__hunhyuan_rf_inversion_testing_01", FOLLOWED),
    ("kijai+ComfyUI-HunyuanVideoWrapper__hyvideo_i2v_example_01", FOLLOWED),
    ("kijai+ComfyUI-HunyuanVideoWrapper__hyvideo_i2v_example_fixed_model_02", FOLLOWED),
    ("kijai+ComfyUI-IC-Light__ic_light_animated_example_01", FOLLOWED),
    ("pwillia7+Basic_ComfyUI_Workflows__Flux__Training__WorkflowImages__flux_lora_train", FOLLOWED),
    ("yameprogrammer+comfyui-workflows__human__wan22__wan22_i2v", FOLLOWED),
    ("yameprogrammer+comfyui-workflows__human__wan22__wan22_upscale", FOLLOWED),
    ("RudyB24+ComfyUI_Workflows__Controlnet", EDITOR_ONLY),
    ("chrisgoringe+cg-use-everywhere__tests__compare", EDITOR_ONLY),
    ("nerdyrodent+AVeryComfyNerd__SD15__SD15_LCM_IPAdapter_Facefix", EDITOR_ONLY),
    ("nerdyrodent+AVeryComfyNerd__SDCore__SVD_Basic_Upscale", EDITOR_ONLY),
    ("templates__api_meshy7_image_to_model", "names beat places; the frontend sends a text as the seed"),
    ("templates__templates_graphic_design_recomposer", "the frontend sends a model's name as the aspect ratio"),
    (
        "dseditor+ComfyuiWorkflows__Flux__Kontext__FLUXKontextBasicLLM",
        "its server lists other files than the file names",
    ),
    ("mute_widget", "an input that a muted node feeds keeps its value there; in 1.35.9 it does not"),
];
const EDITOR_ONLY: &str = "nodes of the editor alone are no nodes; the frontend without their pack does not know them";
const GROUPS_ARE_GONE: &str = "the frontend no longer expands group nodes";
const FOLLOWED: &str = "SetNode and GetNode are followed; the frontend without KJNodes knows neither class";

/// The pairs of frontend 1.49.6 with ComfyUI 0.33.0: files of their own, and files of `conversions` that it converts otherwise
/// than 1.35.9 does.
fn newer() -> Vec<Trial> {
    let of = |below: &str| shared().join("conversions-0.33").join(below);
    let mut pairs: Vec<_> = workflows(&of("new")).into_iter().map(|file| (file.clone(), file)).collect();
    for group in ["edge", "pictures", "templates"] {
        for prompt in fs::read_dir(of("old").join(group)).unwrap().map(|entry| entry.unwrap().path()) {
            let name = prompt.file_name().unwrap().to_str().unwrap().replace(".prompt.json", WORKFLOW);
            pairs.push((shared().join("conversions").join(group).join(name), prompt));
        }
    }
    assert!(pairs.len() >= 175, "only {} pairs", pairs.len());
    let trial = |(file, pair): (PathBuf, PathBuf)| {
        let name = file.file_name().unwrap().to_str().unwrap().strip_suffix(WORKFLOW).unwrap().to_owned();
        let pair = pair.to_str().unwrap().replace(WORKFLOW, ".prompt.json");
        Trial::test(format!("0.33::{name}"), move || converts_newer(&name, &file, &pair))
    };
    pairs.into_iter().map(trial).collect()
}

fn converts_newer(name: &str, file: &Path, pair: &str) -> Result<(), Failed> {
    let info = fs::read(shared().join("reference/object_info-0.33.0.json")).unwrap();
    let info = ObjectInfo::from_json(&parse_json(&info).unwrap().0);
    let theirs: Value = serde_json::from_slice(&fs::read(pair).unwrap()).unwrap();
    // By the declarations as they were answered, by the same from the table that we carry, and by all of it, as nodes run here.
    let tables: [(&str, &dyn Schemas); 3] = [("recorded", &info), ("carried", &Newest), (HERE, &Stock)];
    for (table, schemas) in tables {
        let more = if table == HERE { &OTHERWISE_HERE[..] } else { &[] };
        let context = Context { schemas, folders: &(), seed: 0, now: LocalTime::default() };
        let found = match read(&fs::read(file).unwrap(), &context) {
            Ok(workflow) => newer_difference(&workflow.prompt.to_json(), &theirs, schemas),
            Err(error) => Some(error.to_string()),
        };
        match (found, OTHERWISE_NEWER.iter().chain(more).find(|(of, _)| *of == name)) {
            (Some(difference), None) => return Err(format!("{table}: {difference}").into()),
            (None, Some((_, reason))) => return Err(format!("{table}: no longer differs: {reason}").into()),
            _ => {}
        }
    }
    Ok(())
}

/// ComfyUI 0.33.0's declarations alone.
struct Newest;

impl Schemas for Newest {
    fn schema(&self, class: &str) -> Option<&Schema> {
        Stock::at("0.33.0".parse().unwrap(), class)
    }
}

/// The table of what nodes run by.
const HERE: &str = "here";
/// Files that differ only because nodes run by the declarations of 0.8.0, each with the reason.
const OTHERWISE_HERE: [(&str, &str); 5] = [
    ("blueprints__upscale_video_seedvr2_3b_int8", "`bit_depth` of CreateVideo, linked, is not known here"),
    ("templates__utility_seedvr2_3b_int8_upscale_video", "the same"),
    (
        "templates__api_openai_image_1_inpaint",
        "an output that PreviewImage has later only: what it passes on is linked",
    ),
    ("templates__api_bria_virtual_try_on", "the same"),
    (
        "templates__template_sirolim_image_script_video",
        "the storyboards of KlingOmniProImageToVideoNode, linked, are not known here",
    ),
];

/// What the two prompts differ in that a server would notice: nodes, classes, links, and the constants of declared inputs.
/// Frontend 1.49.6 gives new numbers to inner nodes whose ids occur twice, so that nodes are matched by their order.
fn newer_difference(ours: &Value, theirs: &Value, schemas: &dyn Schemas) -> Option<String> {
    let (ours, theirs) = (ours.as_object().unwrap(), theirs.as_object().unwrap());
    let known = |node: &Value| schemas.schema(node["class_type"].as_str().unwrap_or_default()).is_some();
    let (ids, others): (Vec<_>, Vec<_>) = (ours.keys().collect(), theirs.keys().collect());
    if ids.len() != others.len() {
        return Some(format!("ids {ids:?} instead of {others:?}"));
    }
    let renumbered =
        |id: &str| others.iter().position(|other| *other == id).map_or(id, |at| ids[at].as_str()).to_owned();
    for ((id, ours), (other, theirs)) in ours.iter().zip(theirs) {
        if known(ours) != known(theirs) || (known(ours) && ours["class_type"] != theirs["class_type"]) {
            return Some(format!("node {id}: {} instead of {}", ours["class_type"], theirs["class_type"]));
        }
        let schema = schemas.schema(ours["class_type"].as_str().unwrap());
        let notable = |name: &str, value: &Value| match value.as_array() {
            Some(_) => true,
            None => schema
                .and_then(|schema| input_of(schema, name))
                .is_some_and(|input| !matches!(input.kind, Kind::Widget { .. })),
        };
        let inputs = |node: &Value, renumber: &dyn Fn(&str) -> String| -> BTreeMap<String, Value> {
            let inputs = node["inputs"].as_object().unwrap().iter().filter(|(name, value)| notable(name, value));
            let each = inputs.map(|(name, value)| match value.as_array().map(Vec::as_slice) {
                Some([Value::String(id), slot]) => (name.clone(), serde_json::json!([renumber(id), slot])),
                _ => (name.clone(), value.clone()),
            });
            each.collect()
        };
        let (ours, theirs) = (inputs(ours, &|id| id.to_owned()), inputs(theirs, &renumbered));
        let equal = ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|((a, x), (b, y))| a == b && same(x, y));
        if !equal {
            return Some(format!("node {id} ({other}): inputs\n    {ours:?}\n    {theirs:?}"));
        }
    }
    None
}

const WORKFLOW: &str = ".workflow.json";

fn workflows(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.to_str().unwrap().ends_with(WORKFLOW));
    files.sort();
    files
}

fn recorded(shared: &Path) -> ObjectInfo {
    let info = fs::read(shared.join("reference/object_info-0.8.0.json")).unwrap();
    ObjectInfo::from_json(&parse_json(&info).unwrap().0)
}

/// Holds one file against its pair, with the recorded declarations, and with those that we carry, which know folders in place
/// of files.
fn converts(shared: &Path, file: &Path) -> Result<(), Failed> {
    compare(file, &recorded(shared), &())?;
    Ok(compare(file, &Stock, &ItsFiles)?)
}

/// The files of the machine that the pairs were recorded on.
struct ItsFiles;

impl Folders for ItsFiles {
    fn list(&self, folder: &str) -> Vec<String> {
        let files: &[&str] = match folder {
            "input" => &["example.png"],
            "configs" => &["anything_v3.yaml"],
            _ => &[],
        };
        files.iter().map(|name| (*name).to_owned()).collect()
    }
}

fn compare(file: &Path, schemas: &dyn Schemas, folders: &dyn Folders) -> Result<(), String> {
    let context = Context { schemas, folders, seed: 0, now: LocalTime::default() };
    let stem = file.to_str().unwrap().strip_suffix(WORKFLOW).unwrap();
    let theirs: Value = serde_json::from_slice(&fs::read(format!("{stem}.prompt.json")).unwrap()).unwrap();
    let reason = OTHERWISE.iter().find(|(end, _)| stem.ends_with(end));
    let found = match read(&fs::read(file).unwrap(), &context) {
        Ok(workflow) => difference(&workflow.prompt.to_json(), &theirs, schemas),
        Err(error) => Some(error.to_string()),
    };
    match (found, reason) {
        (Some(difference), None) => Err(difference),
        (None, Some((_, reason))) => Err(format!("no longer differs: {reason}")),
        _ => Ok(()),
    }
}

/// The value that a depth-first walk comes to as number `at`.
fn place(value: &mut Value, at: usize) -> Option<&mut Value> {
    let mut stack = vec![value];
    for _ in 0..at {
        match stack.pop()? {
            Value::Array(items) => stack.extend(items.iter_mut().rev()),
            Value::Object(fields) => stack.extend(fields.values_mut().rev()),
            _ => {}
        }
    }
    stack.pop()
}

/// Parts of real files put in wrong places: an error or a prompt, never a panic.
fn damaged_files_never_panic(shared: &Path) {
    let schemas = recorded(shared);
    let context = Context { schemas: &schemas, folders: &(), seed: 0, now: LocalTime::default() };
    let mut state = 1u64;
    let mut random = |below: usize| {
        // Knuth's MMIX constants; only the high bits are any good.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut converted = 0;
    for (group, _) in GROUPS {
        for file in fs::read_dir(shared.join("conversions").join(group)).unwrap().map(|e| e.unwrap().path()) {
            let whole: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
            for _ in 0..4 {
                let mut damaged = whole.clone();
                for _ in 0..6 {
                    let (from, to) = (random(3000), 1 + random(3000));
                    let part = place(&mut damaged, from).map_or(Value::Null, |part| part.clone());
                    if let Some(place) = place(&mut damaged, to) {
                        *place = part;
                    }
                }
                converted += usize::from(read(damaged.to_string().as_bytes(), &context).is_ok());
            }
        }
    }
    assert!(converted > 500, "{converted}");
}
