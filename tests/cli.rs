//! What the command line promises: files, names, metadata, events, options, cancellation.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use common::graph::{Graph, ui_workflow};
use common::{Base, Redraft, shared};
use redraft_engine::event::Event;
use serde_json::{Map, Value as Json, json};

/// The models and the picture that the documentation's workflow names, and what is used here.
const SUBSTITUTES: [&str; 6] = [
    "--substitute",
    "v1-5*=tiny.safetensors",
    "--substitute",
    "vae-ft-mse*=tiny-vae.safetensors",
    "--substitute",
    "vivi*=draft.png",
];

/// The `tEXt` chunks of a PNG file.
fn texts(png: &Path) -> Vec<(String, String)> {
    let bytes = std::fs::read(png).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
    let (mut at, mut texts) = (8, Vec::new());
    while at < bytes.len() {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let (kind, data) = (&bytes[at + 4..at + 8], &bytes[at + 8..at + 8 + length]);
        if kind == b"tEXt" {
            let text = String::from_utf8(data.to_vec()).unwrap();
            let (key, value) = text.split_once('\0').unwrap();
            texts.push((key.to_owned(), value.to_owned()));
        }
        at += 12 + length;
    }
    assert_eq!(at, bytes.len(), "the file ends with its last chunk");
    texts
}

/// The documentation's image2image workflow, as its editor saves it: the site's own file where it is at hand.
fn documentation_workflow(base: &Base) -> PathBuf {
    let name = "basic-workflows__sd15-image2image__SD1.5_image2image_KSampler.workflow.json";
    if cfg!(shared) {
        shared(&format!("conversions/documentation/{name}"))
    } else {
        base.write_json("documentation.json", &ui_workflow())
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn the_documentation_s_workflow_runs() {
    let base = Base::new();
    let file = documentation_workflow(&base);
    let run = || base.run(&file).args(SUBSTITUTES).args(["--set", "16.steps=2"]).finish().expect_code(0);
    let output = |name: &str| base.path("output").join(name).display().to_string();

    let done = run();
    assert_eq!(lines(&done.stdout), [output("ComfyUI_00001_.png")], "stdout holds the saved files' paths and no more");
    let mut notes = lines(&done.stderr);
    notes.sort_unstable();
    assert_eq!(
        notes,
        [
            "node 10 (VAELoader): using tiny-vae.safetensors in place of vae-ft-mse-840000-ema-pruned.safetensors, which is missing",
            "node 13 (LoadImage): using draft.png in place of vivi (1).png, which is missing",
            "node 4 (CheckpointLoaderSimple): using tiny.safetensors in place of v1-5-pruned-emaonly-fp16.safetensors, which is missing",
        ]
    );
    let first = std::fs::read(output("ComfyUI_00001_.png")).unwrap();

    // The same again: the next number, the same bytes.
    assert_eq!(lines(&run().stdout), [output("ComfyUI_00002_.png")]);
    assert_eq!(std::fs::read(output("ComfyUI_00002_.png")).unwrap(), first);
    assert_eq!(base.outputs(), ["ComfyUI_00001_.png", "ComfyUI_00002_.png"]);
}

/// A table of stand-ins in the base directory or named says the same as options; options come first.
#[test]
fn tables_of_substitutes_are_read() {
    let base = Base::new();
    let file = base.write_json("ui.json", &ui_workflow());
    let models = "[checkpoints]\n\"v1-5*\" = \"tiny.safetensors\"\n[vae]\n\"*\" = \"tiny-vae.safetensors\"\n";
    base.write("substitutes.toml", models);
    let pictures = base.write("pictures.toml", "[input]\n\"*\" = \"draft.png\"\n[vae]\n\"*\" = \"gone.safetensors\"\n");
    let check = |options: &[&str]| {
        let done = base.command("check", &[&file]).args(options).arg("--json").finish();
        let checked: Json = serde_json::from_str(&done.stdout).unwrap();
        let texts = checked["remarks"].as_array().unwrap().iter().map(|remark| remark["text"].as_str().unwrap());
        let mut notes: Vec<String> =
            texts.filter(|text| text.contains(" place ") || text.contains("stand in")).map(str::to_owned).collect();
        notes.sort_unstable();
        (done.code, notes)
    };
    let checkpoint = "node 4 (CheckpointLoaderSimple): using tiny.safetensors in place of v1-5-pruned-emaonly-fp16.safetensors, which is missing";
    let vae = "node 10 (VAELoader): using tiny-vae.safetensors in place of vae-ft-mse-840000-ema-pruned.safetensors, which is missing";
    let picture = "node 13 (LoadImage): using draft.png in place of vivi (1).png, which is missing";
    assert_eq!(check(&[]), (Some(3), vec![vae.to_owned(), checkpoint.to_owned()]));
    let gone = "warning: node 10 (VAELoader): gone.safetensors, which is to stand in for vae-ft-mse-840000-ema-pruned.safetensors, is missing as well";
    let all = [vae, picture, checkpoint, gone].map(str::to_owned).to_vec();
    assert_eq!(check(&["--substitutes", pictures.to_str().unwrap()]), (Some(0), all));
    // An option comes first: no need to look further.
    let all = [vae, picture, checkpoint].map(str::to_owned).to_vec();
    let options = ["--substitute", "vae*=tiny-vae.safetensors", "--substitutes", pictures.to_str().unwrap()];
    assert_eq!(check(&options), (Some(0), all));
}

#[test]
fn pictures_carry_their_workflow() {
    let base = Base::new();
    let file = base.write_json("ui.json", &ui_workflow());
    base.run(&file).args(SUBSTITUTES).finish().expect_code(0);
    let picture = base.path("output/ComfyUI_00001_.png");
    let texts_here = texts(&picture);
    let keys: Vec<_> = texts_here.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["prompt", "workflow"]);
    let prompt: Json = serde_json::from_str(&texts_here[0].1).unwrap();
    assert_eq!(prompt["16"]["inputs"]["denoise"], 0.7);
    assert_eq!(prompt["4"]["inputs"]["ckpt_name"], "tiny.safetensors", "what ran, after the substitution");
    assert_eq!(serde_json::from_str::<Json>(&texts_here[1].1).unwrap(), ui_workflow(), "the editor's form as it was");

    // The picture is a workflow: it converts to its prompt and runs to its pixels.
    let converted = base.command("convert", &[&picture]).finish().expect_code(0);
    let converted: Json = serde_json::from_str(&converted.stdout).unwrap();
    let inputs = |prompt: &Json, id: &str| prompt[id]["inputs"].clone();
    for id in ["4", "6", "7", "8", "9", "10", "12", "13", "16"] {
        assert_eq!(inputs(&converted, id), inputs(&prompt, id), "{id}");
    }
    base.run(&picture).finish().expect_code(0);
    let again = base.path("output/ComfyUI_00002_.png");
    assert_eq!(std::fs::read(again).unwrap(), std::fs::read(&picture).unwrap());

    base.run(&picture).arg("--disable-metadata").finish().expect_code(0);
    assert_eq!(texts(&base.path("output/ComfyUI_00003_.png")), []);
}

/// An API form has no editor's form to keep.
#[test]
fn an_api_form_leaves_the_prompt_alone() {
    let base = Base::new();
    let graph = Graph::saved(1);
    base.run(&base.write_json("api.json", &graph.json())).finish().expect_code(0);
    let texts = texts(&base.path("output/ComfyUI_00001_.png"));
    assert_eq!(texts.len(), 1);
    let prompt: Json = serde_json::from_str(&texts[0].1).unwrap();
    assert_eq!((texts[0].0.as_str(), prompt), ("prompt", graph.json()));
}

#[test]
fn prefixes_name_folders_and_hold_variables() {
    let base = Base::new();
    let graph = || {
        let mut graph = Graph::image2image();
        graph.node("9", "SaveImage", json!({ "images": ["13", 0], "filename_prefix": "x" }));
        graph
    };
    for (prefix, saved) in [
        ("some/folder/x", "some/folder/x_00001_.png"),
        ("%width%x%height%", "96x64_00001_.png"),
        ("a/./b/../y", "a/y_00001_.png"),
        ("n%batch_num%", "n0_00001_.png"),
        ("ä ö", "ä ö_00001_.png"),
    ] {
        let file = base.write_json("api.json", &graph().with("9", "filename_prefix", json!(prefix)).json());
        let done = base.run(&file).finish().expect_code(0);
        assert_eq!(lines(&done.stdout), [base.path("output").join(saved).display().to_string()], "{prefix}");
        assert!(base.path("output").join(saved).is_file(), "{saved}");
    }
    // A widget of another node, by the node's title, and the date: the editor's own replacement.
    let mut workflow = ui_workflow();
    workflow["nodes"][3]["widgets_values"] = json!(["%draw over it.steps%_%date:yyyy%"]);
    let done = base.run(&base.write_json("ui.json", &workflow)).args(SUBSTITUTES).finish().expect_code(0);
    let name = Path::new(done.stdout.trim()).file_name().unwrap().to_str().unwrap().to_owned();
    let year = name.strip_prefix("2_").and_then(|rest| rest.strip_suffix("_00001_.png")).expect(&name);
    assert!(year.len() == 4 && year.parse::<u32>().unwrap() >= 2026, "{name}");
}

/// What two workflows have in common is computed once.
#[test]
fn the_second_workflow_recomputes_what_differs() {
    let base = Base::new();
    let file = |name: &str, graph: Graph| base.write_json(name, &graph.json());
    let a = file("a.json", Graph::saved(2));
    let b = file("b.json", Graph::saved(2).with("9", "filename_prefix", json!("other")));
    let c = file("c.json", Graph::saved(3));
    let done = base.command("run", &[&a, &b, &c, &c]).args(["--device", "cpu", "--json"]).finish().expect_code(0);
    assert_eq!(base.outputs(), ["ComfyUI_00001_.png", "ComfyUI_00002_.png", "other_00001_.png"]);

    let sorted = |values: &[Json]| {
        let mut ids: Vec<_> = values.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let cached: Vec<_> =
        done.events_of("execution_cached").iter().map(|e| sorted(e["nodes"].as_array().unwrap())).collect();
    let everything = ["10", "12", "13", "16", "4", "6", "7", "8", "9"];
    assert!(cached[0].is_empty());
    assert_eq!(cached[1], ["10", "12", "13", "16", "4", "6", "7", "8"], "only the prefix differs");
    assert_eq!(cached[2], ["10", "12", "13", "4", "6", "7"], "the sampler differs, and what follows it");
    assert_eq!(cached[3], everything);

    let mut executed: Vec<Vec<Json>> = Vec::new();
    for event in done.events() {
        match event["type"].as_str().unwrap() {
            "execution_start" => executed.push(Vec::new()),
            "executing" => executed.last_mut().unwrap().push(event["data"]["node"].clone()),
            _ => {}
        }
    }
    let executed: Vec<_> = executed.iter().map(|ids| sorted(ids)).collect();
    assert_eq!(executed[0], everything);
    assert_eq!(executed[1], ["9"]);
    assert_eq!(executed[2], ["16", "8", "9"]);
    assert!(executed[3].is_empty(), "{:?}", executed[3]);
}

#[test]
fn events_are_one_json_object_a_line() {
    let base = Base::new();
    let file = base.write_json("ui.json", &ui_workflow());
    let done = base.run(&file).args(SUBSTITUTES).arg("--json").finish().expect_code(0);
    assert_eq!(done.stderr, "");
    let events = done.events();
    assert!(events.iter().all(|event| event["type"].is_string() && event["data"].is_object()));
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "note").count(), 3, "the substitutions: {kinds:?}");
    assert_eq!(&kinds[3..5], ["execution_start", "execution_cached"]);
    assert_eq!(kinds.last(), Some(&"execution_success"));
    for line in events.iter().filter(|event| event["type"] != "note") {
        let event: Event = serde_json::from_value(line.clone()).unwrap();
        assert_eq!(json!(event), *line, "reads back as it was written");
    }
    let progress: Vec<_> = done.events_of("progress").into_iter().filter(|e| e["node"] == "16").collect();
    assert_eq!(
        progress,
        [json!({ "node": "16", "value": 1, "max": 2 }), json!({ "node": "16", "value": 2, "max": 2 })]
    );
    let executed = done.events_of("executed");
    let image = json!({ "filename": "ComfyUI_00001_.png", "subfolder": "", "type": "output" });
    assert_eq!(executed[0]["output"], json!({ "images": [image] }));
    assert_eq!(executed[0]["paths"], json!([base.path("output/ComfyUI_00001_.png")]));

    let file = base.write_json("api.json", &Graph::saved(1).with("13", "image", json!("bad.png")).json());
    base.write("input/bad.png", "no picture");
    let done = base.run(&file).arg("--json").finish().expect_code(1);
    let error = &done.events_of("execution_error")[0];
    assert_eq!((&error["node_id"], &error["node_type"]), (&json!("13"), &json!("LoadImage")));
    assert!(error["exception_message"].as_str().unwrap().contains("is not a png"), "{error}");
}

#[test]
fn inputs_are_set_by_id_and_by_title() {
    let base = Base::new();
    let file = base.write_json("ui.json", &ui_workflow());
    let run = |sets: &[&str]| {
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        base.run(&file).args(SUBSTITUTES).args(sets).arg("--json").finish().expect_code(0)
    };
    let prompt = |n: u32| -> Json {
        serde_json::from_str(&texts(&base.path(&format!("output/ComfyUI_{n:05}_.png")))[0].1).unwrap()
    };
    let done = run(&["16.steps=3", "16.sampler_name=ddim", "6.text=a = b, 5"]);
    assert_eq!(done.events_of("progress").iter().filter(|e| e["node"] == "16").count(), 3);
    assert_eq!(prompt(1)["16"]["inputs"]["sampler_name"], "ddim");
    assert_eq!(prompt(1)["6"]["inputs"]["text"], "a = b, 5", "the first = ends the address, and text stays text");
    run(&["draw over it.denoise=0.25", "draw over it.seed=18446744073709551615", "6.text=5"]);
    assert_eq!(prompt(2)["16"]["inputs"]["denoise"], 0.25);
    assert_eq!(prompt(2)["16"]["inputs"]["seed"], u64::MAX);
    assert_eq!(prompt(2)["6"]["inputs"]["text"], "5");

    let mut twins = ui_workflow();
    for node in [4, 5] {
        twins["nodes"][node]["title"] = json!("prompt v1.5");
    }
    let twins = base.write_json("twins.json", &twins);
    let done = base.run(&twins).args(SUBSTITUTES).args(["--set", "prompt v1.5.text=x"]).finish().expect_code(2);
    assert!(done.stderr.contains("the nodes 6, 7 have the title 'prompt v1.5'; name one by its id"), "{}", done.stderr);
}

#[test]
fn nodes_are_listed_and_documented() {
    let done = Redraft::new().arg("nodes").finish().expect_code(0);
    let names: Vec<_> = lines(&done.stdout).iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(names.is_sorted() && names.len() >= 16, "one line a node: {}", done.stdout);
    for class in CLASSES {
        assert!(names.contains(&class), "{class}");
    }
    let done = Redraft::new().args(["nodes", "KSampler"]).finish().expect_code(0);
    for words in
        ["KSampler (KSampler), in sampling", "seed: INT (default 0, min 0, max 18446744073709551615", "LATENT: LATENT"]
    {
        assert!(done.stdout.contains(words), "{words:?} is not in:\n{}", done.stdout);
    }
}

/// The nodes that this command has had from the beginning.
const CLASSES: [&str; 16] = [
    "CheckpointLoaderSimple",
    "CLIPSetLastLayer",
    "CLIPTextEncode",
    "EmptyLatentImage",
    "KSampler",
    "KSamplerAdvanced",
    "LatentFromBatch",
    "LoadImage",
    "PreviewImage",
    "RepeatLatentBatch",
    "SaveImage",
    "VAEDecode",
    "VAEDecodeTiled",
    "VAEEncode",
    "VAEEncodeTiled",
    "VAELoader",
];

/// Inputs whose list of choices is ours on purpose: files that lie here, and no VAE without weights.
const OWN_CHOICES: [(&str, &str); 3] =
    [("CheckpointLoaderSimple", "ckpt_name"), ("LoadImage", "image"), ("VAELoader", "vae_name")];

fn object_info(base: &Base) -> Map<String, Json> {
    serde_json::from_str(&base.command("object-info", &[]).finish().expect_code(0).stdout).unwrap()
}

#[test]
fn object_info_lists_the_models_that_are_there() {
    let ours = object_info(&Base::new());
    assert_eq!(ours["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0], json!(["tiny.safetensors"]));
}

/// Our declarations equal ComfyUI 0.8.0's in all that a client or a converter goes by: inputs, their order, types,
/// defaults, limits and choices; outputs; category and display name. Deliberately other: texts (`description` and
/// tooltips are our own words), `python_module`, which the recorded file lacks, and lists of files.
#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn object_info_is_comfyui_s() {
    let ours = object_info(&Base::new());
    let file = shared("reference/object_info-0.8.0.json");
    let reference: Map<String, Json> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    for class in CLASSES {
        assert!(ours.contains_key(class), "{class}");
    }
    // Every other class is held against the same declarations in nodes/tests/declarations.rs, without the JSON around them.
    for (class, ours) in CLASSES.iter().map(|class| (*class, &ours[*class])) {
        let reference = &reference[class];
        for field in [
            "input_order",
            "output",
            "output_is_list",
            "output_name",
            "name",
            "display_name",
            "category",
            "output_node",
        ] {
            assert_eq!(ours[field], reference[field], "{class}, {field}");
        }
        let groups = |info: &Json| info["input"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(groups(ours), groups(reference), "{class}");
        for group in groups(reference) {
            let (ours, reference) = (&ours["input"][&group], &reference["input"][&group]);
            let names = |inputs: &Json| inputs.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(ours), names(reference), "{class}");
            for name in names(reference).iter().filter(|_| group != "hidden") {
                let own = OWN_CHOICES.contains(&(class, name.as_str()));
                assert_eq!(essence(&ours[name], own), essence(&reference[name], own), "{class}, input {name}");
            }
            if group == "hidden" {
                assert_eq!(ours, reference, "{class}");
            }
        }
    }
}

/// An input's type and options, without its tooltip, and without its choices where they are files.
fn essence(input: &Json, own_choices: bool) -> Json {
    let mut options = input.get(1).and_then(Json::as_object).cloned().unwrap_or_default();
    options.shift_remove("tooltip");
    let ty = if own_choices { json!("COMBO") } else { input[0].clone() };
    json!([ty, options])
}

#[test]
fn a_seed_makes_a_checkpoint_and_a_size_a_draft() {
    let base = Base::new();
    let checkpoint = |seed: &str, threads: &str, name: &str| {
        let path = base.path(name);
        let command = Redraft::new().args(["random-checkpoint", "--size", "tiny", "--seed", seed]).arg(&path);
        // Neither the number of threads nor the time has a part in it.
        let mut command = command.into_command();
        assert!(command.env("OMP_NUM_THREADS", threads).status().unwrap().success());
        std::fs::read(path).unwrap()
    };
    let ours = checkpoint("1", "2", "a");
    assert!(checkpoint("1", "1", "b") == ours, "the same seed gives the same bytes");
    assert!(checkpoint("2", "1", "c") != ours, "another seed gives others");
    let draft = base.path("draft.png");
    Redraft::new().args(["draft-picture", "--width", "96", "--height", "64"]).arg(&draft).finish().expect_code(0);
    assert_eq!(std::fs::read(draft).unwrap(), std::fs::read(base.path("input/draft.png")).unwrap());
}

#[test]
fn it_works_from_any_directory() {
    let base = Base::new();
    base.write_json("api.json", &Graph::saved(1).json());
    // In the base directory nothing need be said, and elsewhere paths are relative to where one is.
    let done =
        Redraft::new().args(["run", "api.json", "--device", "cpu"]).current_dir(base.root()).finish().expect_code(0);
    let saved = PathBuf::from(done.stdout.trim());
    assert!(saved.is_absolute() && saved.is_file(), "{}", saved.display());
    let elsewhere = tempfile::tempdir_in(base.root()).unwrap();
    let arguments =
        ["run", "../api.json", "--base-directory", "..", "--device", "cpu", "--output-directory", "pictures"];
    let done = Redraft::new().args(arguments).current_dir(elsewhere.path()).finish().expect_code(0);
    assert!(elsewhere.path().join("pictures/ComfyUI_00001_.png").is_file(), "{}", done.stdout);
    assert_eq!(base.outputs(), ["ComfyUI_00001_.png"]);
    let done = Redraft::new().args(arguments).current_dir(Path::new("/")).finish().expect_code(2);
    assert!(done.stderr.contains("../api.json"), "{}", done.stderr);
}

#[test]
fn check_says_that_nothing_is_wrong() {
    let base = Base::new();
    let file = base.write_json("api.json", &Graph::saved(1).json());
    let done = base.command("check", &[&file]).finish().expect_code(0);
    assert_eq!((lines(&done.stdout).len(), done.stderr.as_str()), (1, ""));
    assert!(done.stdout.contains("nothing is wrong or missing"), "{}", done.stdout);
    let done = base.command("check", &[&file]).arg("--json").finish().expect_code(0);
    let report = &done.events()[0];
    assert_eq!((&report["ok"], &report["problems"], &report["remarks"]), (&json!(true), &json!([]), &json!([])));
    assert_eq!(report["good_outputs"].as_array().map(Vec::len), Some(1));
}

/// More steps than there is time for.
const ENDLESS: usize = 10_000;

/// Ctrl-c in the middle of a run: it ends, and says how far it was. (`tests/samplers.rs` asserts that it ends within the step.)
#[test]
#[cfg(unix)]
fn ctrl_c_ends_a_run() {
    let base = Base::new();
    let file = base.write_json("api.json", &Graph::saved(ENDLESS).with("16", "denoise", json!(1.0)).json());
    let mut child = base.run(&file).arg("--json").into_command().spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let sampling = |line: &String| line.contains(r#""type":"progress""#) && line.contains(r#""node":"16""#);
    assert!(lines.any(|line| sampling(&line)), "it samples");
    interrupt(child.id());
    let rest: Vec<String> = lines.collect();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let last: Json = serde_json::from_str(rest.last().unwrap()).unwrap();
    let data = &last["data"];
    assert_eq!(
        (&last["type"], &data["node_id"], &data["node_type"]),
        (&json!("execution_interrupted"), &json!("16"), &json!("KSampler"))
    );
    assert!(data["executed"].as_array().unwrap().contains(&json!("12")), "what was done is told: {data}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("error: cancelled"));
    assert_eq!(base.outputs(), [""; 0], "not even a part of a file");
}

/// The same without events, as soon as the process listens to the signal.
#[test]
#[cfg(target_os = "linux")]
fn ctrl_c_is_said() {
    let base = Base::new();
    let file = base.write_json("api.json", &Graph::saved(ENDLESS).with("16", "denoise", json!(1.0)).json());
    let running = base.run(&file).start();
    let id = running.child.id();
    while !listens_to_interrupts(id) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    interrupt(id);
    let done = running.finish().expect_code(130);
    assert_eq!(
        lines(&done.stderr),
        ["stopping at the next step; press ctrl-c again to stop at once", "error: cancelled"]
    );
    assert_eq!((done.stdout.as_str(), base.outputs()), ("", vec![]));
}

/// Whether a process has a handler for SIGINT, signal 2: bit 1 of the mask in its status.
#[cfg(target_os = "linux")]
fn listens_to_interrupts(id: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("the process runs");
    u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0
}

#[cfg(unix)]
fn interrupt(id: u32) {
    assert!(std::process::Command::new("kill").args(["-INT", &id.to_string()]).status().unwrap().success());
}

/// `redraft ... | head -1`: the reader is gone before the last line is written.
#[test]
#[cfg(unix)]
fn a_reader_that_leaves_is_no_error() {
    let base = Base::new();
    let file = base.write_json("api.json", &Graph::saved(2).json());
    let commands = [
        base.command("nodes", &[]),
        base.command("object-info", &[]),
        base.command("convert", &[&file]),
        base.run(&file).arg("--json"),
    ];
    for (n, command) in commands.into_iter().enumerate() {
        // `nodes` takes no places.
        let mut command = if n == 0 { Redraft::new().arg("nodes") } else { command }.into_command();
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked") && !stderr.contains("Broken pipe"), "{stderr}");
        assert_eq!(output.status.code(), Some(0), "{stderr}");
    }
}
