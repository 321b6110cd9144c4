//! What users hit and strangers send, by the numbers of the list of faults: each test names its number.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::graph::Graph;
use common::tensors::{Tensor, Tensors};
use common::{Base, CHECKPOINT, Done, PICTURE, Redraft, VAE};
use serde_json::{Map, Value as Json, json};

/// A prompt of nodes: id, class, inputs.
fn prompt(nodes: &[(&str, &str, Json)]) -> Json {
    let node =
        |(id, class, inputs): &(&str, &str, Json)| ((*id).to_owned(), json!({ "class_type": class, "inputs": inputs }));
    Json::Object(nodes.iter().map(node).collect::<Map<_, _>>())
}

/// It ended by itself with this code, in words for people.
#[track_caller]
fn assert_ended(what: &str, done: &Done, code: i32, words: &[&str]) {
    assert_eq!(done.code, Some(code), "{what}\nstdout: {}\nstderr: {}", done.stdout, done.stderr);
    for word in words {
        assert!(done.stderr.contains(word), "{what}: {word:?} is not in:\n{}", done.stderr);
    }
    for word in ["panicked", "RUST_BACKTRACE", "Exception raised", "Torch(", "capacity overflow", "divide by zero"] {
        assert!(!done.stderr.contains(word), "{what}: {word:?} is in:\n{}", done.stderr);
    }
    assert!(done.stderr.len() < 20_000, "{what}: {} bytes of errors", done.stderr.len());
}

#[track_caller]
fn run(base: &Base, what: &str, prompt: &Json, code: i32, words: &[&str]) -> Done {
    let done = base.run(&base.write_json("workflow.json", prompt)).finish();
    assert_ended(what, &done, code, words);
    done
}

const RED: i64 = 0xff_0000;
const BLUE: i64 = 0xff;

fn colour(width: i64, height: i64, color: i64) -> Json {
    json!({ "width": width, "height": height, "batch_size": 1, "color": color })
}

/// A red picture pasted on a blue one at a place that comes over a link.
fn pasted(x: i64, y: i64) -> Json {
    let inputs = json!({
        "destination": ["to", 0], "source": ["from", 0], "x": ["x", 0], "y": ["y", 0], "resize_source": false,
    });
    prompt(&[
        ("to", "EmptyImage", colour(40, 30, BLUE)),
        ("from", "EmptyImage", colour(20, 16, RED)),
        ("x", "PrimitiveInt", json!({ "value": x })),
        ("y", "PrimitiveInt", json!({ "value": y })),
        ("paste", "ImageCompositeMasked", inputs),
        ("save", "SaveImage", json!({ "images": ["paste", 0], "filename_prefix": "x" })),
    ])
}

#[test]
fn number_1_a_linked_value_is_held_to_the_declared_range() {
    let base = Base::new();
    for (x, y, input, value) in [(-30, 0, "x", "-30"), (-5, 0, "x", "-5"), (0, -1, "y", "-1"), (16385, 0, "x", "16385")]
    {
        let words =
            ["node paste (ImageCompositeMasked)", &format!("input '{input}' is {value}, outside of 0 to 16384")];
        run(&base, "a picture beyond the edge", &pasted(x, y), 1, &words);
    }
    run(&base, "a picture at the edge", &pasted(39, 29), 0, &[]);
    let linked = |class: &str, input: &str, inputs: Json, value: Json| {
        let number = if value.is_f64() { "PrimitiveFloat" } else { "PrimitiveInt" };
        let mut inputs = inputs;
        inputs[input] = json!(["number", 0]);
        prompt(&[
            ("number", number, json!({ "value": value })),
            ("picture", "EmptyImage", colour(64, 64, RED)),
            ("mask", "SolidMask", json!({ "value": 0.5, "width": 8, "height": 8 })),
            ("latent", "EmptyLatentImage", json!({ "width": 64, "height": 64, "batch_size": 2 })),
            ("node", class, inputs),
            ("show", "PreviewAny", json!({ "source": ["node", 0] })),
        ])
    };
    let picture = || json!({ "image": ["picture", 0] });
    let with = |mut inputs: Json, more: Json| {
        inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        inputs
    };
    let pad = || with(picture(), json!({ "left": 0, "top": 0, "right": 0, "bottom": 0, "feathering": 0 }));
    let crop = || with(picture(), json!({ "x": 0, "y": 0, "width": 8, "height": 8 }));
    let cases = [
        ("EmptyLatentImage", "width", json!({ "height": 64, "batch_size": 1 }), json!(-5)),
        ("EmptyLatentImage", "width", json!({ "height": 64, "batch_size": 1 }), json!(1_i64 << 40)),
        ("ImagePadForOutpaint", "left", pad(), json!(-5)),
        ("Morphology", "kernel_size", with(picture(), json!({ "operation": "erode" })), json!(-5)),
        ("Morphology", "kernel_size", with(picture(), json!({ "operation": "erode" })), json!(0)),
        ("ImageQuantize", "colors", with(picture(), json!({ "dither": "none" })), json!(0)),
        ("ImageCrop", "x", crop(), json!(-5)),
        ("ImageCrop", "width", crop(), json!(0)),
        ("ImageFromBatch", "batch_index", with(picture(), json!({ "length": 1 })), json!(-5)),
        ("LatentFromBatch", "length", json!({ "samples": ["latent", 0], "batch_index": 0 }), json!(-5)),
        (
            "MaskComposite",
            "x",
            json!({ "destination": ["mask", 0], "source": ["mask", 0], "y": 0, "operation": "add" }),
            json!(-5),
        ),
        (
            "LatentComposite",
            "feather",
            json!({ "samples_to": ["latent", 0], "samples_from": ["latent", 0], "x": 0, "y": 0 }),
            json!(1_i64 << 40),
        ),
        ("ImageScaleBy", "scale_by", with(picture(), json!({ "upscale_method": "area" })), json!(-0.5)),
        (
            "RegexExtract",
            "group_index",
            json!({ "string": "a", "regex_pattern": "a", "mode": "First Match", "case_insensitive": true, "multiline": false, "dotall": false }),
            json!(-1),
        ),
    ];
    for (class, input, inputs, value) in cases {
        let words = [&format!("node node ({class})"), &format!("input '{input}' is {value}, outside of ")];
        run(&base, class, &linked(class, input, inputs, value.clone()), 1, &words.map(String::as_str));
    }
    // What ComfyUI's arithmetic defines beyond the range is computed as there.
    let blend = json!({ "image1": ["picture", 0], "image2": ["picture", 0], "blend_mode": "normal" });
    run(&base, "a blend beyond 1", &linked("ImageBlend", "blend_factor", blend, json!(1.5)), 0, &[]);
    let feather = json!({ "mask": ["mask", 0], "top": 0, "right": 0, "bottom": 0 });
    run(&base, "no feather", &linked("FeatherMask", "left", feather, json!(-5)), 0, &[]);
    let replace = json!({ "string": "aa", "regex_pattern": "a", "replace": "b" });
    let done = run(&base, "no replacements", &linked("RegexReplace", "count", replace, json!(-1)), 0, &[]);
    assert!(done.stderr.contains("aa"), "{}", done.stderr);
    // A latent wholly beside another changes nothing of it; one partly beside it is an error.
    let composite = json!({ "destination": ["latent", 0], "source": ["latent", 0], "y": 0, "resize_source": false });
    run(&base, "a latent beside", &linked("LatentCompositeMasked", "x", composite.clone(), json!(-64)), 0, &[]);
    let words = ["input 'x' is -8, outside of 0 to 16384"];
    run(&base, "a latent half beside", &linked("LatentCompositeMasked", "x", composite, json!(-8)), 1, &words);
}

/// A chain of nodes each of which joins the one before to itself.
fn doublings(class: &str, times: usize, first: (&str, Json), twice: impl Fn(Json) -> Json, last: Json) -> Json {
    let mut nodes = Map::new();
    nodes.insert("d0".to_owned(), json!({ "class_type": first.0, "inputs": first.1 }));
    for n in 1..=times {
        let inputs = twice(json!([format!("d{}", n - 1), 0]));
        nodes.insert(format!("d{n}"), json!({ "class_type": class, "inputs": inputs }));
    }
    nodes.insert("last".to_owned(), last);
    Json::Object(nodes)
}

#[test]
fn number_21_memory_has_a_ceiling() {
    let base = Base::new();
    let small = |prompt: &Json| {
        let file = base.write_json("workflow.json", prompt);
        base.run(&file).args(["--max-memory", "800MB"]).finish()
    };
    let shown = |n: usize| json!({ "class_type": "PreviewAny", "inputs": { "source": [format!("d{n}"), 0] } });
    let text = |value: &str| ("PrimitiveString", json!({ "value": value }));
    let joined = |from: Json| json!({ "string_a": from, "string_b": from, "delimiter": "" });
    let replaced = |from: Json| json!({ "string": from, "find": "a", "replace": "aa" });
    let all = |from: Json| json!({ "texts": from, "find": "a", "replace": "aa" });
    let matched = |from: Json| json!({ "string": from, "regex_pattern": "a", "replace": "aa" });
    let long = "a".repeat(1 << 12);
    let cases = [
        ("StringConcatenate", doublings("StringConcatenate", 40, text(&long), joined, shown(40))),
        ("StringReplace", doublings("StringReplace", 40, text(&long), replaced, shown(40))),
        ("ReplaceText", doublings("ReplaceText", 40, text(&long), all, shown(40))),
        ("RegexReplace", doublings("RegexReplace", 10, text(&long), matched, shown(10))),
    ];
    for (what, prompt) in cases {
        let done = small(&prompt);
        // Regular expressions may run out of time before they run out of memory.
        let code = if what == "RegexReplace" { done.code.unwrap_or(-1) } else { 4 };
        assert_ended(what, &done, code, &[]);
        assert!([0, 1, 4].contains(&code), "{what}: {code}");
    }
    let combined = |from: Json| json!({ "conditioning_1": from, "conditioning_2": from });
    let mut graph = Graph::image2image();
    graph.0.retain(|id, _| id == "4" || id == "6");
    let chain = doublings(
        "ConditioningCombine",
        40,
        ("CLIPTextEncode", json!({ "text": "a", "clip": ["4", 1] })),
        combined,
        shown(40),
    );
    graph.0.extend(chain.as_object().unwrap().clone());
    assert_ended("ConditioningCombine", &small(&graph.json()), 4, &["(ConditioningCombine)"]);
    // What was finished stands: the first picture is saved before the second takes too much.
    let large = json!({ "width": 16384, "height": 16384, "batch_size": 1, "color": 0 });
    for saver in ["SaveImage", "SaveAnimatedWEBP"] {
        let inputs = |from: &str| match saver {
            "SaveImage" => json!({ "images": [from, 0], "filename_prefix": saver }),
            _ => {
                json!({ "images": [from, 0], "filename_prefix": saver, "fps": 6.0, "lossless": true, "quality": 80, "method": "default" })
            }
        };
        let prompt = prompt(&[
            ("little", "EmptyImage", colour(8, 8, RED)),
            ("first", saver, inputs("little")),
            ("large", "EmptyImage", large.clone()),
            ("second", saver, inputs("large")),
        ]);
        assert_ended(saver, &small(&prompt), 4, &["out of memory"]);
        assert_eq!(base.outputs().iter().filter(|name| name.starts_with(saver)).count(), 1, "{:?}", base.outputs());
    }
    let latents = prompt(&[
        ("latent", "EmptyLatentImage", json!({ "width": 16384, "height": 16384, "batch_size": 64 })),
        ("save", "SaveLatent", json!({ "samples": ["latent", 0], "filename_prefix": "l" })),
    ]);
    assert_ended("SaveLatent", &small(&latents), 4, &["out of memory"]);
    let steps = prompt(&[
        ("steps", "PrimitiveInt", json!({ "value": 1_i64 << 31 })),
        (
            "levels",
            "KarrasScheduler",
            json!({ "steps": ["steps", 0], "sigma_max": 14.6, "sigma_min": 0.03, "rho": 7.0 }),
        ),
        ("show", "PreviewAny", json!({ "source": ["levels", 0] })),
    ]);
    assert_ended("steps", &small(&steps), 1, &["input 'steps' is 2147483648, outside of 1 to 10000"]);
    let wrong = base.command("run", &[Path::new("x.json")]).args(["--max-memory", "much"]).finish();
    assert!(wrong.stderr.contains("8GB, 500MB or 75%"), "{}", wrong.stderr);
}

/// Five levels of ten group nodes each, in two kilobytes.
#[test]
fn number_21_group_nodes_do_not_multiply_beyond_memory() {
    let base = Base::new();
    let mut groups = Map::new();
    for level in 0..5 {
        let class = if level == 0 { "KSampler".to_owned() } else { format!("workflow>g{}", level - 1) };
        let nodes: Vec<_> = (0..10).map(|index| json!({ "type": class, "index": index })).collect();
        groups.insert(format!("g{level}"), json!({ "nodes": nodes, "links": [], "external": [] }));
    }
    let file = json!({
        "nodes": [{ "id": 1, "type": "workflow>g4", "pos": [0, 0], "mode": 0 }],
        "links": [], "version": 0.4, "extra": { "groupNodes": groups },
    });
    let done = base.command("check", &[&base.write_json("bomb.json", &file)]).finish();
    assert_ended("a bomb of group nodes", &done, 2, &["when it is expanded"]);
}

/// A text that inflates to 300 MB may say where up is, and is not looked at.
#[test]
fn number_21_texts_in_pictures_inflate_to_so_much_and_no_more() {
    let base = Base::new();
    let picture = |megabytes: usize| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.add_ztxt_chunk("XML:com.adobe.xmp".to_owned(), "a".repeat(megabytes << 20)).unwrap();
        encoder.write_header().unwrap().write_image_data(&[1, 2, 3]).unwrap();
        bytes
    };
    base.write("input/bomb.png", picture(300));
    let prompt = prompt(&[
        ("load", "LoadImage", json!({ "image": "bomb.png" })),
        ("save", "SaveImage", json!({ "images": ["load", 0], "filename_prefix": "x" })),
    ]);
    let file = base.write_json("workflow.json", &prompt);
    let done = base.run(&file).args(["--max-memory", "400MB"]).finish();
    assert_ended("a picture with a long text", &done, 0, &[]);
}

#[test]
fn number_22_time_is_bounded() {
    let base = Base::new();
    let text = "y".repeat(150_000);
    let regex = prompt(&[
        (
            "match",
            "RegexMatch",
            json!({ "string": text, "regex_pattern": "(?:(?=y)y*)*(?=y)x", "case_insensitive": false, "multiline": false, "dotall": false }),
        ),
        ("show", "PreviewAny", json!({ "source": ["match", 0] })),
    ]);
    run(&base, "a pattern", &regex, 1, &["node match (RegexMatch)", "the pattern takes too long on this text"]);
    let class = "K".repeat(1 << 20);
    let done =
        base.command("check", &[&base.write_json("workflow.json", &prompt(&[("1", &class, json!({}))]))]).finish();
    assert_ended("a class name of a megabyte", &done, 3, &["there is no node class KKK"]);
    let mut switches = vec![("0".to_owned(), "PrimitiveInt", json!({ "value": 7 }))];
    for n in 1..=20_000 {
        let from = json!([(n - 1).to_string(), 0]);
        switches.push((
            n.to_string(),
            "ComfySwitchNode",
            json!({ "switch": n % 2 == 0, "on_false": from, "on_true": from }),
        ));
    }
    switches.push(("show".to_owned(), "PreviewAny", json!({ "source": ["20000", 0] })));
    let switches: Vec<_> = switches.iter().map(|(id, class, inputs)| (id.as_str(), *class, inputs.clone())).collect();
    let done = run(&base, "a chain of 20,000 switches", &prompt(&switches), 0, &[]);
    assert!(done.stderr.contains("node show: 7\n"), "{}", done.stderr);
}

/// A TIFF of a million pages of no size, each of which points to the next.
#[test]
fn number_22_pages_without_number_are_refused() {
    let base = Base::new();
    let mut tiff = b"II*\0\x08\0\0\0".to_vec();
    for page in 1..=1_000_000_u32 {
        let next = if page == 1_000_000 { 0 } else { 8 + page * 6 };
        tiff.extend([0, 0]);
        tiff.extend(next.to_le_bytes());
    }
    base.write("input/pages.tiff", tiff);
    let load = prompt(&[
        ("load", "LoadImage", json!({ "image": "pages.tiff" })),
        ("show", "PreviewImage", json!({ "images": ["load", 0] })),
    ]);
    run(&base, "a million pages", &load, 1, &["node load (LoadImage)", "pages.tiff"]);
}

#[cfg(unix)]
#[test]
fn number_6_outputs_are_regular_files_and_never_written_through_links() {
    use std::os::unix::fs::symlink;
    let base = Base::new();
    let file = base.write_json("workflow.json", &pasted(0, 0));
    let outside = base.write("outside.safetensors", "mine");
    symlink(&outside, base.path("link.safetensors")).unwrap();
    for (path, why) in [
        (base.path("link.safetensors"), "is a symbolic link"),
        (Path::new("/dev/null").to_owned(), "is a pipe, a device or a socket"),
        (base.path("input"), "is a directory"),
        (base.path("nowhere/x.safetensors"), "there is no folder"),
    ] {
        let done = base.run(&file).arg("--dump").arg(&path).finish();
        assert_ended("--dump", &done, 2, &["--dump", why]);
        for command in [&["random-checkpoint", "--force"][..], &["draft-picture", "--force"], &["draft-picture"]] {
            let done = Redraft::new().args(command).arg(&path).finish();
            assert_eq!(done.code, Some(2), "{command:?} {}: {}", path.display(), done.stderr);
        }
    }
    assert_eq!(std::fs::read(&outside).unwrap(), b"mine");
    assert!(!Path::new("/dev/null").symlink_metadata().unwrap().file_type().is_file());
    let dump = base.path("dump.safetensors");
    base.run(&file).arg("--dump").arg(&dump).finish().expect_code(0);
    assert!(Tensors::read(&dump).0.contains_key("paste/0"));
}

#[cfg(unix)]
fn fifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[cfg(unix)]
#[test]
fn number_23_pipes_and_devices_are_refused_at_once() {
    let base = Base::new();
    let good = base.write_json("workflow.json", &pasted(0, 0));
    fifo(&base.path("pipe"));
    let pipe = base.path("pipe");
    let refused = "is a pipe, a device or a socket, not a file";
    for file in [&pipe, Path::new("/dev/zero")] {
        for command in ["run", "check", "convert"] {
            assert_ended(command, &base.command(command, &[file]).finish(), 2, &[refused]);
        }
        let done = base.run(&good).arg("--inputs").arg(file).finish();
        assert_ended("--inputs", &done, 2, &["--inputs", refused]);
        let done = base.run(&good).arg("--extra-model-paths-config").arg(file).finish();
        assert_ended("YAML", &done, 2, &[refused]);
    }
    fifo(&base.path("models/loras/pipe.safetensors"));
    fifo(&base.path("input/pipe.png"));
    let load = |image: &str| {
        prompt(&[
            ("load", "LoadImage", json!({ "image": image })),
            ("show", "PreviewImage", json!({ "images": ["load", 0] })),
        ])
    };
    // What is no regular file is not there.
    run(&base, "a picture", &load("pipe.png"), 3, &["node load (LoadImage), input 'image'"]);
    std::fs::copy(base.path("input").join(PICTURE), base.path("secret.png")).unwrap();
    std::os::unix::fs::symlink(base.path("secret.png"), base.path("input/out.png")).unwrap();
    run(&base, "a link out of input", &load("out.png"), 3, &["leads out of"]);
    // The folder itself may be a link: that is how people lay out their base directory.
    std::fs::rename(base.path("input"), base.path("pictures")).unwrap();
    std::os::unix::fs::symlink(base.path("pictures"), base.path("input")).unwrap();
    run(&base, "input as a link", &load(PICTURE), 0, &[]);
}

/// The weights are read from the file that was opened, whatever becomes of its name; a file cut while it is in use is an error.
#[cfg(unix)]
#[test]
fn number_23_a_file_replaced_or_cut_while_it_is_in_use() {
    use std::io::{BufRead, BufReader};
    let base = Base::new();
    let checkpoint = base.path("models/checkpoints").join(CHECKPOINT);
    let vae = base.path("models/vae").join(VAE);
    // Copies: the originals are shared between tests by hard links.
    for path in [&checkpoint, &vae] {
        let bytes = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let graph = Graph::saved(3).with("16", "denoise", json!(1.0));
    let file = base.write_json("workflow.json", &graph.json());
    // Another file takes the name: what was opened is used to the end.
    let replace = |path: &std::path::Path| {
        let other = path.with_extension("other");
        std::fs::write(&other, "no weights").unwrap();
        let kept = path.with_extension("kept");
        std::fs::rename(path, &kept).unwrap();
        std::fs::rename(&other, path).unwrap();
    };
    for cut in [false, true] {
        let mut child = base.run(&file).arg("--json").into_command().spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Both files are open once their loaders are done.
        for loader in ["10", "4"] {
            assert!(lines.any(|line| line.starts_with(&format!(r#"{{"type":"finished","data":{{"node":"{loader}","#))));
        }
        for path in [&checkpoint, &vae] {
            if cut {
                let length = std::fs::metadata(path).unwrap().len();
                std::fs::File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
            } else {
                replace(path);
            }
        }
        let told: Vec<String> = lines.collect();
        let code = child.wait().unwrap().code();
        match code {
            // Of a file that is cut, all that is needed may have been read before.
            Some(0) => {}
            Some(1) if cut => {
                let end = told.last().unwrap();
                let why = ["shortened", "changed while it was in use", "replaced", "truncated"];
                assert!(why.iter().any(|why| end.contains(why)), "{cut}: {end}");
            }
            code => panic!("{cut}: {code:?}"),
        }
        for path in [&checkpoint, &vae].into_iter().filter(|_| !cut) {
            std::fs::rename(path.with_extension("kept"), path).unwrap();
        }
    }
}

#[test]
fn number_23_a_cut_animation_is_an_error() {
    let base = Base::new();
    let frames = prompt(&[
        ("one", "EmptyImage", colour(32, 32, RED)),
        ("two", "EmptyImage", colour(32, 32, BLUE)),
        ("both", "ImageBatch", json!({ "image1": ["one", 0], "image2": ["two", 0] })),
        (
            "save",
            "SaveAnimatedWEBP",
            json!({ "images": ["both", 0], "filename_prefix": "x", "fps": 6.0, "lossless": true, "quality": 80, "method": "default" }),
        ),
    ]);
    run(&base, "an animation", &frames, 0, &[]);
    let name = base.outputs().remove(0);
    let bytes = std::fs::read(base.path("output").join(name)).unwrap();
    let load = prompt(&[
        ("load", "LoadImage", json!({ "image": "x.webp" })),
        ("show", "PreviewImage", json!({ "images": ["load", 0] })),
    ]);
    let size = |bytes: &[u8]| bytes.windows(4).filter(|window| window == b"ANMF").count();
    assert_eq!(size(&bytes), 2);
    base.write("input/x.webp", &bytes[..bytes.len() - 100]);
    run(&base, "a cut animation", &load, 1, &["damaged or truncated webp file"]);
}

#[test]
fn number_24_files_are_not_overwritten_without_being_asked() {
    let base = Base::new();
    let mine = base.write("mine.safetensors", "mine");
    let picture = base.write("mine.jpg", "mine");
    let run = |args: &[&str], path: &Path| Redraft::new().args(args).arg(path).finish();
    assert_ended("checkpoint", &run(&["random-checkpoint"], &mine), 2, &["exists already", "--force"]);
    assert_ended("draft", &run(&["draft-picture"], &picture), 2, &["exists already", "--force"]);
    assert_eq!((std::fs::read(&mine).unwrap(), std::fs::read(&picture).unwrap()), (b"mine".to_vec(), b"mine".to_vec()));
    run(&["draft-picture", "--force", "--width", "8", "--height", "8"], &picture).expect_code(0);
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\xff\xd8\xff"), "a JPEG by its name");
    run(&["random-checkpoint", "--force"], &mine).expect_code(0);
    assert!(std::fs::metadata(&mine).unwrap().len() > 1 << 20);
}

#[cfg(target_os = "linux")]
#[test]
fn number_24_an_output_folder_that_takes_no_files_is_found_before_the_work() {
    let base = Base::new();
    let file = base.write_json("workflow.json", &Graph::saved(10_000).json());
    let done = base.run(&file).args(["--output-directory", "/proc"]).finish();
    assert_ended("/proc", &done, 2, &["--output-directory", "cannot be written"]);
}

#[test]
fn number_24_panics_are_sentences() {
    let base = Base::new();
    let grid = prompt(&[
        ("zero", "PrimitiveInt", json!({ "value": 0 })),
        ("picture", "EmptyImage", colour(8, 8, RED)),
        (
            "grid",
            "ImageGrid",
            json!({ "images": ["picture", 0], "columns": ["zero", 0], "cell_width": 32, "cell_height": 32, "padding": 0 }),
        ),
        ("show", "PreviewImage", json!({ "images": ["grid", 0] })),
    ]);
    run(&base, "no columns", &grid, 1, &["node grid (ImageGrid)", "input 'columns' is 0, outside of 1 to 20"]);
    // Latents of 4 and 16 channels in libtorch's own words: "The size of tensor a (4) must match the size of tensor b (16)".
    let sum = prompt(&[
        ("four", "EmptyLatentImage", json!({ "width": 64, "height": 64, "batch_size": 1 })),
        ("sixteen", "EmptySD3LatentImage", json!({ "width": 64, "height": 64, "batch_size": 1 })),
        ("sum", "LatentAdd", json!({ "samples1": ["four", 0], "samples2": ["sixteen", 0] })),
        ("save", "SaveLatent", json!({ "samples": ["sum", 0], "filename_prefix": "x" })),
    ]);
    let done = run(&base, "sizes that differ", &sum, 1, &["node sum (LatentAdd)"]);
    assert!(!done.stderr.contains("size of tensor"), "{}", done.stderr);
}

/// A byte of a BOOL tensor that is neither 0 nor 1 is true, and no undefined behaviour.
#[test]
fn number_24_truth_values_of_strangers_are_normalised() {
    let base = Base::new();
    let tensor = Tensor { dtype: safetensors::Dtype::BOOL, shape: vec![1, 4, 1, 1], bytes: vec![0, 1, 2, 255] };
    Tensors([("latent_tensor".to_owned(), tensor)].into_iter().collect()).write(&base.path("input/x.latent"));
    let load = prompt(&[
        ("load", "LoadLatent", json!({ "latent": "x.latent" })),
        ("show", "PreviewAny", json!({ "source": ["load", 0] })),
    ]);
    let dump = base.path("dump.safetensors");
    base.run(&base.write_json("workflow.json", &load)).arg("--dump").arg(&dump).finish().expect_code(0);
    let values = Tensors::read(&dump).floats("load/0/samples");
    assert!(values[0] == 0.0 && values[1] > 0.0 && values[1] == values[2] && values[2] == values[3], "{values:?}");
}

#[test]
fn number_7_a_missing_embedding_is_a_missing_file() {
    let base = Base::new();
    base.write("models/embeddings/people/ann.safetensors", "");
    let graph = |text: &str| Graph::saved(1).with("6", "text", json!(text)).with("16", "denoise", json!(0.0)).json();
    let file = base.write_json("workflow.json", &graph("cat embedding:people/anm dog"));
    let done = base.command("check", &[&file]).finish();
    let words = ["node 6 (CLIPTextEncode), input 'text'", "\"people/anm\"", "there is 'people/ann.safetensors'"];
    assert_ended("check", &done, 3, &words);
    assert_ended("strict", &base.run(&file).arg("--strict-names").finish(), 3, &words);
    let done = base.run(&file).arg("--json").finish();
    assert_ended("run", &done, 0, &[]);
    let warnings = done.events_of("warning");
    let missing =
        |warning: &Json| warning["node"] == "6" && warning["message"].to_string().contains("embedding:people/anm");
    assert!(warnings.iter().any(missing), "{warnings:?}");
    // As Windows writes it.
    let vector = Tensor { dtype: safetensors::Dtype::F32, shape: vec![1, 32], bytes: vec![0x3f; 128] };
    Tensors([("clip_l".to_owned(), vector)].into_iter().collect())
        .write(&base.path("models/embeddings/people/ann.safetensors"));
    let file = base.write_json("workflow.json", &graph("embedding:people\\ann"));
    base.command("check", &[&file]).finish().expect_code(0);
    assert!(base.run(&file).arg("--json").finish().expect_code(0).events_of("warning").is_empty());
}

#[test]
fn number_8_check_looks_at_the_headers_of_files() {
    let base = Base::new();
    let file = base.write_json("workflow.json", &Graph::saved(1).json());
    base.command("check", &[&file]).finish().expect_code(0);
    let checkpoint = base.path("models/checkpoints").join(CHECKPOINT);
    let whole = std::fs::read(&checkpoint).unwrap();
    let picture = std::fs::read(base.path("input").join(PICTURE)).unwrap();
    let words = ["node 4 (CheckpointLoaderSimple), input 'ckpt_name'", "cannot be used"];
    for (what, bytes) in
        [("truncated", &whole[..whole.len() / 2]), ("garbage", &[0x55; 4096][..]), ("another", &picture)]
    {
        std::fs::remove_file(&checkpoint).unwrap();
        std::fs::write(&checkpoint, bytes).unwrap();
        assert_ended(what, &base.command("check", &[&file]).finish(), 3, &words);
    }
    std::fs::write(&checkpoint, whole).unwrap();
    base.write("input/draft.png", "no picture at all");
    let words = ["node 13 (LoadImage), input 'image'", "cannot be used", "is not a png"];
    assert_ended("a picture", &base.command("check", &[&file]).finish(), 3, &words);
    let avif = include_bytes!("../nodes/src/pictures/testdata/rgb-420-full.avif");
    std::fs::write(base.path("input/draft.png"), avif).unwrap();
    base.command("check", &[&file]).finish().expect_code(0);

    // Of a LoRA that torch wrote, all but its numbers.
    let mut graph = Graph::saved(1).json();
    for node in graph.as_object_mut().unwrap().values_mut().filter(|node| node["inputs"]["model"] == json!(["4", 0])) {
        node["inputs"]["model"] = json!(["90", 0]);
    }
    let inputs = json!({ "model": ["4", 0], "lora_name": "style.pt", "strength_model": 1.0 });
    graph["90"] = json!({ "class_type": "LoraLoaderModelOnly", "inputs": inputs });
    let file = base.write_json("lora.json", &graph);
    let style = base.path("models/loras/style.pt");
    std::fs::create_dir_all(style.parent().unwrap()).unwrap();
    let archive = include_bytes!("../nodes/src/files/testdata/strided.pt");
    std::fs::write(&style, archive).unwrap();
    base.command("check", &[&file]).finish().expect_code(0);
    std::fs::write(&style, &archive[..archive.len() / 2]).unwrap();
    let words = ["node 90 (LoraLoaderModelOnly), input 'lora_name'", "cannot be used", "older torch file"];
    assert_ended("a LoRA", &base.command("check", &[&file]).finish(), 3, &words);
}
