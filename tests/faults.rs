//! What users hit and what strangers send: faults that were found, by their number in the list of them.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value as Json, json};

use crate::common::graph::Graph;
use crate::common::{Base, Done, PICTURE, Redraft, shared};

/// A picture of one colour, saved.
fn saved(prefix: &str) -> Json {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 1}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    })
}

fn ui_node(id: i64, class: &str, inputs: Json, outputs: Json, values: Json) -> Json {
    json!({"id": id, "type": class, "mode": 0, "inputs": inputs, "outputs": outputs, "widgets_values": values})
}

/// The same in the editor's form, with a node that carries a seed, which the prefix names.
fn editor(prefix: &str) -> Json {
    let link = json!([{"name": "images", "type": "IMAGE", "link": 1}]);
    json!({"version": 0.4, "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 3, 0, 4, 0, "NOISE"]], "nodes": [
        ui_node(1, "EmptyImage", json!([]), json!([{"type": "IMAGE", "links": [1]}]), json!([8, 8, 1, 1])),
        ui_node(2, "SaveImage", link, json!([]), json!([prefix])),
        ui_node(3, "RandomNoise", json!([]), json!([{"type": "NOISE", "links": []}]), json!([5, "fixed"])),
    ]})
}

/// The texts that a saved picture carries.
fn carried(picture: &Path) -> (Json, Json) {
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(picture).unwrap()));
    let reader = decoder.read_info().unwrap();
    let text = |keyword: &str| {
        let chunks = &reader.info().uncompressed_latin1_text;
        serde_json::from_str(&chunks.iter().find(|chunk| chunk.keyword == keyword).unwrap().text).unwrap()
    };
    (text("prompt"), text("workflow"))
}

/// `redraft ARGS` with a file's content on stdin.
fn piped(base: &Base, args: &[&str], input: &Json) -> Done {
    let mut command = Redraft::new().args(args).arg("--base-directory").arg(base.root()).into_command();
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn fault_03_file_names_tell_the_seed_that_was_set() {
    let base = Base::new();
    let file = base.write_json("w.json", &editor("%RandomNoise.noise_seed%"));
    base.run(&file).args(["--set", "3.noise_seed=77"]).finish().expect_code(0);
    assert_eq!(base.outputs(), ["77_00001_.png"]);
    base.run(&file).args(["--set", "2.filename_prefix=%RandomNoise.noise_seed%-x"]).finish().expect_code(0);
    assert_eq!(base.outputs(), ["5-x_00001_.png", "77_00001_.png"]);
    let refused = base.run(&file).args(["--set", "3.noise_seed=1.9"]).finish().expect_code(2);
    assert!(refused.stderr.contains("1.9 is no whole number, which noise_seed wants"), "{}", refused.stderr);
}

#[test]
fn fault_04_the_workflow_in_a_picture_has_what_was_set() {
    let base = Base::new();
    let file = base.write_json("w.json", &editor("p"));
    base.run(&file).args(["--set", "1.width=16", "--set", "2.filename_prefix=q"]).finish().expect_code(0);
    let (prompt, workflow) = carried(&base.path("output/q_00001_.png"));
    assert_eq!(prompt["1"]["inputs"]["width"], 16);
    assert_eq!(workflow["nodes"][0]["widgets_values"], json!([16, 8, 1, 1]));
    assert_eq!(workflow["nodes"][1]["widgets_values"], json!(["q"]));
    // The picture's own two forms are set alike, and so is what stands in for a missing file.
    let picture = base.path("output/q_00001_.png");
    base.run(&picture).args(["--set", "1.height=24", "--set", "2.filename_prefix=r"]).finish().expect_code(0);
    let (prompt, workflow) = carried(&base.path("output/r_00001_.png"));
    assert_eq!(prompt["1"]["inputs"]["height"], 24);
    assert_eq!(workflow["nodes"][0]["widgets_values"], json!([16, 24, 1, 1]));
    let mut loads = editor("s");
    loads["nodes"][0] =
        ui_node(1, "LoadImage", json!([]), json!([{"type": "IMAGE", "links": [1]}]), json!(["gone.png", "image"]));
    let file = base.write_json("loads.json", &loads);
    base.run(&file).args(["--substitute", &format!("gone*={PICTURE}")]).finish().expect_code(0);
    let (_, workflow) = carried(&base.path("output/s_00001_.png"));
    assert_eq!(workflow["nodes"][0]["widgets_values"], json!([PICTURE, "image"]));
}

#[cfg(target_os = "linux")]
#[test]
fn fault_05_what_cannot_be_written_is_an_error_of_every_command() {
    let base = Base::new();
    let file = base.write_json("w.json", &saved("full"));
    let file = file.to_str().unwrap();
    let root = base.root().to_str().unwrap();
    let with_base = |args: &[&str]| {
        [args, &["--base-directory", root]].concat().iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>()
    };
    let commands = [
        with_base(&["convert", file]),
        with_base(&["inputs", file]),
        with_base(&["graph", file]),
        with_base(&["check", file]),
        with_base(&["check", file, "--json"]),
        with_base(&["object-info"]),
        with_base(&["run", file, "--device", "cpu"]),
        with_base(&["run", file, "--device", "cpu", "--json"]),
        with_base(&["run", file, "--device", "cpu", "--print0"]),
        vec!["nodes".to_owned()],
        vec!["nodes".to_owned(), "KSampler".to_owned()],
        vec!["--help".to_owned()],
        vec!["--version".to_owned()],
    ];
    for args in commands {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Redraft::new().args(&args).into_command();
        let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // What was saved stands.
    assert!(base.outputs().contains(&"full_00001_.png".to_owned()));
}

#[test]
fn fault_09_a_class_that_nothing_needs_stops_nothing() {
    let base = Base::new();
    let mut graph = saved("kept");
    graph["9"] = json!({"class_type": "SomePackNode", "inputs": {"image": ["1", 0]}});
    let file = base.write_json("w.json", &graph);
    let done = base.run(&file).finish().expect_code(0);
    assert!(
        done.stderr.contains("warning: ")
            && done.stderr.contains("node 9 (SomePackNode): there is no node class SomePackNode here"),
        "{}",
        done.stderr
    );
    let checked = base.command("check", &[&file]).finish().expect_code(0);
    assert!(checked.stderr.contains("nothing that is asked for needs it"), "{}", checked.stderr);
    // Where an output needs it, only the others run.
    graph["10"] = json!({"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "lost"}});
    let file = base.write_json("w.json", &graph);
    let refused = base.run(&file).finish().expect_code(3);
    assert!(refused.stderr.contains("--allow-partial"), "{}", refused.stderr);
    base.run(&file).arg("--allow-partial").finish().expect_code(0);
    base.run(&file).args(["--only", "2"]).finish().expect_code(0);
    assert_eq!(base.outputs(), ["kept_00001_.png", "kept_00002_.png", "kept_00003_.png"]);
    // Nothing else might be the output.
    let file = base.write_json("w.json", &json!({"9": {"class_type": "SomePackNode", "inputs": {}}}));
    base.run(&file).finish().expect_code(3);
}

#[test]
fn fault_10_a_picture_s_workflow_is_taken_where_its_prompt_no_longer_fits() {
    let base = Base::new();
    let picture = |prompt: &Json, workflow: &Json| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.add_text_chunk("prompt".into(), prompt.to_string()).unwrap();
        encoder.add_text_chunk("workflow".into(), workflow.to_string()).unwrap();
        encoder.write_header().unwrap().write_image_data(&[0]).unwrap();
        base.write("old.png", bytes)
    };
    // A declared default is filled in.
    let mut old = saved("prompt");
    old["1"]["inputs"].as_object_mut().unwrap().remove("color");
    let file = picture(&old, &editor("workflow"));
    let done = base.run(&file).finish().expect_code(0);
    assert!(
        done.stderr.contains("`EmptyImage` has the input `color`, which the prompt lacks: its default 0 is taken"),
        "{}",
        done.stderr
    );
    // A value that is no longer allowed cannot be.
    old["1"]["inputs"]["width"] = json!(0);
    let file = picture(&old, &editor("workflow"));
    let done = base.run(&file).args(["--set", "2.filename_prefix=set"]).finish().expect_code(0);
    assert!(done.stderr.contains("does not fit today's nodes"), "{}", done.stderr);
    assert_eq!(base.outputs(), ["prompt_00001_.png", "set_00001_.png"]);
    // Nor is a workflow taken that fits no better.
    let mut bad = editor("workflow");
    bad["nodes"][0]["widgets_values"] = json!([0, 8, 1, 1]);
    base.run(&picture(&old, &bad)).finish().expect_code(2);
}

#[test]
fn fault_11_pictures_beside_a_workflow_are_found() {
    let base = Base::new();
    let bytes = std::fs::read(base.path("input").join(PICTURE)).unwrap();
    let text = base64(&bytes);
    let mut graph = saved("body");
    graph["1"] = json!({"class_type": "LoadImage", "inputs": {"image": "theirs/in.png"}});
    let body = json!({"input": {"workflow": graph, "images": [{"name": "theirs/in.png", "image": text}]}});
    let file = base.write_json("w.json", &body);
    base.command("check", &[&file]).finish().expect_code(0);
    base.run(&file).finish().expect_code(0);
    assert_eq!(base.outputs(), ["body_00001_.png"]);
    assert!(!base.path("input/theirs").exists());
    let mut out = body.clone();
    out["input"]["images"][0]["name"] = json!("../in.png");
    let refused = base.run(&base.write_json("w.json", &out)).finish().expect_code(2);
    assert!(refused.stderr.contains("leaves the input folder"), "{}", refused.stderr);
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let chunk = |part: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(part.get(at).copied().unwrap_or(0)));
        let letter = move |at: usize| {
            if at <= part.len() { char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize]) } else { '=' }
        };
        (0..4).map(letter).collect::<String>()
    };
    bytes.chunks(3).map(chunk).collect()
}

#[test]
fn fault_13_a_workflow_may_load_what_another_saves() {
    let base = Base::new();
    let first = base.write_json("first.json", &saved("made"));
    let mut graph = saved("again");
    graph["1"] = json!({"class_type": "LoadImage", "inputs": {"image": "made_00001_.png [output]"}});
    let second = base.write_json("second.json", &graph);
    let done = base.command("run", &[&first, &second]).args(["--device", "cpu"]).finish().expect_code(0);
    assert_eq!(base.outputs(), ["again_00001_.png", "made_00001_.png"]);
    let warned = done.stderr.find("will fail unless a workflow before it saves what it lacks");
    assert!(warned.is_some() && warned < done.stderr.find("workflow 1 of 2"), "{}", done.stderr);
    // Nothing runs before the first.
    let base = Base::new();
    base.command("run", &[&second, &first]).args(["--device", "cpu"]).finish().expect_code(3);
    assert!(base.outputs().is_empty());
}

#[test]
fn fault_13_files_that_cannot_be_read_stop_no_other() {
    let base = Base::new();
    let good = base.write_json("good.json", &saved("good"));
    let other = base.write_json("other.json", &saved("other"));
    let (gone, broken) = (base.path("gone.json"), base.write("broken.json", "{\"1\": "));
    let files: [&Path; 4] = [&gone, &good, &broken, &other];
    let done = base.command("run", &files).args(["--device", "cpu", "--keep-going"]).finish().expect_code(2);
    assert_eq!(base.outputs().len(), 2, "{}", done.stderr);
    for words in ["gone.json: cannot be read: ", "broken.json: line 1, column 6", "2 of 4 workflows failed"] {
        assert!(done.stderr.contains(words), "{words}\n{}", done.stderr);
    }
}

#[test]
fn fault_14_a_muted_branch_is_no_error() {
    let base = Base::new();
    let invert = |id: i64, mode: i64| {
        let mut node = ui_node(
            id,
            "ImageInvert",
            json!([{"name": "image", "type": "IMAGE", "link": id * 10}]),
            json!([{"type": "IMAGE", "links": [id * 10 + 1]}]),
            json!([]),
        );
        node["mode"] = json!(mode);
        node
    };
    let save = |id: i64, link: i64, prefix: &str| {
        ui_node(id, "SaveImage", json!([{"name": "images", "type": "IMAGE", "link": link}]), json!([]), json!([prefix]))
    };
    let file = json!({"version": 0.4,
        "links": [[20, 1, 0, 2, 0, "IMAGE"], [21, 2, 0, 3, 0, "IMAGE"], [40, 1, 0, 4, 0, "IMAGE"], [41, 4, 0, 5, 0, "IMAGE"]],
        "nodes": [ui_node(1, "EmptyImage", json!([]), json!([{"type": "IMAGE", "links": [20, 40]}]), json!([8, 8, 1, 1])),
            invert(2, 0), save(3, 21, "on"), invert(4, 2), save(5, 41, "off")]});
    let file = base.write_json("w.json", &file);
    let done = base.run(&file).finish().expect_code(0);
    assert_eq!(base.outputs(), ["on_00001_.png"]);
    assert!(done.stderr.contains("`SaveImage` is left out: it needs node `4`, which is muted"), "{}", done.stderr);
    let drawn = base.command("graph", &[&file]).finish().expect_code(0).stdout;
    assert!(drawn.contains("ImageInvert") && drawn.matches("SaveImage").count() == 1, "{drawn}");
    let settable = base.command("inputs", &[&file]).finish().expect_code(0).stdout;
    assert!(settable.contains("3.filename_prefix") && !settable.contains("5.filename_prefix"), "{settable}");
}

#[test]
fn fault_15_workflows_come_from_stdin_and_texts_from_files() {
    let base = Base::new();
    let done = piped(&base, &["run", "-", "--device", "cpu"], &saved("piped")).expect_code(0);
    assert!(done.stdout.trim().ends_with("piped_00001_.png"), "{}", done.stdout);
    let converted = piped(&base, &["convert", "-"], &editor("x")).expect_code(0);
    assert!(serde_json::from_str::<Json>(&converted.stdout).unwrap()["2"].is_object());
    let prefix = base.write("prefix.txt", "of a file\n");
    let file = base.write_json("w.json", &editor("%RandomNoise.noise_seed%"));
    let set = format!("2.filename_prefix=@{}", prefix.display());
    base.run(&file).args(["--set", &set]).finish().expect_code(0);
    assert_eq!(base.outputs(), ["of a file_00001_.png", "piped_00001_.png"]);
    // A seed by chance is told, and saved.
    let done = base.run(&file).args(["--set", "3.noise_seed=random"]).finish().expect_code(0);
    let seed = done.stderr.lines().find_map(|line| line.split("3.noise_seed is ").nth(1)).unwrap().to_owned();
    let (_, workflow) = carried(&base.path(&format!("output/{seed}_00001_.png")));
    assert_eq!(workflow["nodes"][2]["widgets_values"][0].to_string(), seed);
    // A letter before a colon is a name here.
    #[cfg(unix)]
    base.run(&base.write_json("w.json", &saved("a: b"))).finish().expect_code(0);
    #[cfg(unix)]
    assert!(base.path("output/a: b_00001_.png").is_file());
}

#[test]
fn fault_17_a_conversion_explains_all_that_it_changes() {
    let base = Base::new();
    let mut file = editor("p");
    file["nodes"][0]["mode"] = json!(4);
    let text = ui_node(
        5,
        "CLIPTextEncode",
        json!([{"name": "clip", "type": "CLIP", "link": null}]),
        json!([]),
        json!([r#"{"a": 1} https://b.c"#]),
    );
    file["nodes"].as_array_mut().unwrap().push(text);
    let path = base.write_json("w.json", &file);
    let done = base.command("convert", &[&path]).arg("--explain").finish().expect_code(0);
    for words in
        ["node `1`: `EmptyImage` is bypassed: it is left out", "node `5`: `text`: what stands behind `//`", "braces"]
    {
        assert!(done.stderr.contains(words), "{words}\n{}", done.stderr);
    }
    assert_eq!(base.command("convert", &[&path]).finish().expect_code(0).stderr, "");
}

#[test]
fn fault_18_progress_is_told_in_lines_where_there_is_no_terminal() {
    let base = Base::new();
    let file = base.write_json("w.json", &Graph::saved(2).json());
    let done = base.command("run", &[&file, &file]).args(["--device", "cpu"]).finish().expect_code(0);
    for words in [
        "workflow 1 of 2: ",
        "workflow 2 of 2: ",
        "node 1 of 9: ",
        "node 9 of 9: ",
        ": step 2 of 2",
        "2 workflows done in ",
    ] {
        assert!(done.stderr.contains(words), "{words}\n{}", done.stderr);
    }
    let pace = done.stderr.lines().find(|line| line.contains(": step 2 of 2, ")).unwrap();
    assert!(pace.ends_with(" left") && (pace.contains(" it/s") || pace.contains(" s/it")), "{pace}");
    for options in [&["--progress", "none"][..], &["--quiet"], &["--json"]] {
        assert_eq!(base.run(&file).args(options).finish().expect_code(0).stderr, "", "{options:?}");
    }
}

#[test]
fn fault_19_messages_say_what_is_meant() {
    let base = Base::new();
    let said = |done: Done, words: &[&str]| {
        words.iter().for_each(|words| assert!(done.stderr.contains(words), "{words}\n{}", done.stderr))
    };
    let mut graph = saved("x");
    graph["3"] = json!({"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}});
    graph["4"] = json!({"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}});
    let file = base.write_json("w.json", &graph);
    let done = base.command("check", &[&file]).finish().expect_code(2);
    assert!(!done.stderr.contains("choose one below 0"), "{}", done.stderr);
    let lines: Vec<_> = done.stderr.lines().collect();
    assert!(
        lines[0].starts_with("error: node 3 (PreviewImage)")
            && lines[0].contains("(PreviewAny), which has 0 in ComfyUI 0.8.0"),
        "{lines:?}"
    );
    assert!(
        lines.last().unwrap().ends_with("w.json: 1 problem: 1 of links; 2 of 3 outputs can run (--allow-partial)"),
        "{lines:?}"
    );

    let file = base.write_json("w.json", &Graph::saved(1).json());
    let set = |address: &str| base.run(&file).args(["--set", address]).finish().expect_code(2);
    said(set("16.sead=1"), &["has no input 'sead'; did you mean 'seed'?"]);
    said(set("KSamplr.seed=1"), &["no node has the id or title 'KSamplr'; did you mean 'KSampler'?"]);
    said(base.run(&file).args(["--only", "SaveImge"]).finish().expect_code(2), &["did you mean 'SaveImage'?"]);
    let missing = Graph::saved(1).with("4", "ckpt_name", json!("gone.safetensors")).json();
    let missing = base.write_json("missing.json", &missing);
    let substitute = |file: &Path, with: &str| base.run(file).args(["--substitute", with]).finish();
    said(substitute(&missing, "gone*=no.safetensors").expect_code(2), &["there is no file no.safetensors in "]);
    said(substitute(&file, "nothing*=x").expect_code(0), &["no model or picture of the workflow matches nothing*"]);

    let elsewhere = |base: &Path| Redraft::new().arg("check").arg(&file).arg("--base-directory").arg(base).finish();
    said(elsewhere(Path::new("/no/such/base")).expect_code(2), &["there is no folder /no/such/base"]);
    let deep = base.path("models/checkpoints/..");
    said(elsewhere(&deep), &["did you mean "]);
    let known = Redraft::new().args(["nodes", "CLIPTextEncodeControlnet"]).finish().expect_code(0);
    assert!(known.stdout.contains("redraft cannot run yet"), "{}", known.stdout);
}

#[cfg(unix)]
#[test]
fn fault_20_nothing_of_a_workflow_reaches_the_terminal_raw() {
    use std::os::unix::ffi::OsStrExt;

    let base = Base::new();
    let evil = "\u{1b}]0;t\u{7}\u{9b}x\u{202e}";
    let mut graph = saved("line\nbreak\u{1b}[2J");
    graph["1"]["_meta"] = json!({ "title": evil });
    graph[evil] = json!({"class_type": evil, "inputs": {evil: evil}, "_meta": {"title": evil}});
    graph["8"] = json!({"class_type": "PreviewAny", "inputs": {"source": "a text\n/not/a/path\u{1b}"}});
    let file = base.write_json("w.json", &graph);
    let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    let commands = [
        base.run(&file),
        base.run(&file).args(["--only", evil]),
        base.run(&file).args(["--set", "1.widht=1"]),
        base.run(&file).arg("--json"),
        base.command("check", &[&file]),
        base.command("check", &[&file]).arg("--json"),
        base.command("convert", &[&file]),
        base.command("inputs", &[&file]),
        base.command("graph", &[&file]),
        base.command("graph", &[&file]).args(["--format", "mermaid"]),
    ];
    for command in commands {
        let done = command.finish();
        assert!(!done.stdout.contains(acts) && !done.stderr.contains(acts), "{done:?}");
    }
    let done = base.run(&file).finish().expect_code(0);
    let lines: Vec<_> = done.stdout.lines().collect();
    assert!(lines.len() == 1 && lines[0].contains("line\\nbreak\\u{1b}[2J"), "{lines:?}");
    assert!(done.stderr.contains("a text"), "{}", done.stderr);
    // As they are, with a NUL behind each.
    let mut command = base.run(&file).arg("--print0").into_command();
    let output = command.stderr(Stdio::null()).output().unwrap();
    let path = output.stdout.strip_suffix(&[0]).unwrap();
    assert!(Path::new(std::ffi::OsStr::from_bytes(path)).is_file() && path.contains(&b'\n'), "{path:?}");
}

/// The small inputs that stand for their kinds, as far as they are about reading workflows.
#[cfg_attr(not(shared), ignore = "needs ../shared")]
#[test]
fn faults_2_3_9_10_11_12_14_17_of_the_shared_inputs() {
    let base = Base::new();
    let of = |below: &str| shared("faults").join(below);
    let converted = |below: &str| -> Json {
        let done = base.command("convert", &[&of(below)]).finish().expect_code(0);
        serde_json::from_str(&done.stdout).unwrap()
    };
    let named = converted("named-values-ignored/named.workflow.json");
    assert_eq!(
        (&named["2"]["inputs"]["height"], &named["2"]["inputs"]["upscale_method"]),
        (&json!(60), &json!("bicubic"))
    );
    assert_eq!((&named["3"]["inputs"]["amount"], &named["3"]["inputs"]["tint"]), (&json!(0.25), &json!("blue")));
    let noise = converted("seed-control-slot-missing/noise.workflow.json");
    assert_eq!((&noise["2"]["inputs"]["seed"], &noise["2"]["inputs"]["strength"]), (&json!(7), &json!(0.9)));
    let custom = converted("seed-control-slot-missing/sc.workflow.json");
    let sampler = custom.as_object().unwrap().values().find(|node| node["class_type"] == "SamplerCustom").unwrap();
    assert_eq!((&sampler["inputs"]["noise_seed"], &sampler["inputs"]["cfg"]), (&json!(5), &json!(3.5)));

    let run = |below: &str, code: i32| base.run(&of(below)).finish().expect_code(code);
    assert!(run("unconnected-pack-node/a13.workflow.json", 0).stdout.trim().ends_with("a13_00001_.png"));
    run("request-bodies/worker.json", 0);
    run("request-bodies/workflow-key.json", 0);
    assert!(run("old-picture-new-input/prompt.json", 0).stderr.contains("resolution_steps"));
    run("old-picture-new-input/oldpic.png", 0);
    assert!(run("muted-branch/mutebranch.workflow.json", 0).stderr.contains("which is muted"));
    std::fs::copy(of("avif-input/p.avif"), base.path("input/p.avif")).unwrap();
    run("avif-input/prompt.json", 0);
    for (file, words) in [("bypassed-lora", "`LoraLoader` is bypassed"), ("prompt-text", "what stands behind `//`")] {
        let file = of(&format!("incomplete-explain/{file}.workflow.json"));
        let done = base.command("convert", &[&file]).arg("--explain").finish().expect_code(0);
        assert!(done.stderr.contains(words), "{words}\n{}", done.stderr);
    }
}
