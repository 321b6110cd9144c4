//! `redraft sweep`, by the command.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::graph::Graph;
use common::{Base, Redraft};
use serde_json::{Value as Json, json};

/// A base directory, a workflow in it, and where the sweep goes.
struct Place {
    base: Base,
    file: PathBuf,
}

impl Place {
    fn new(workflow: &Json) -> Self {
        let base = Base::new();
        let file = base.write_json("workflow.json", workflow);
        Self { base, file }
    }

    /// Noise over a plain picture: quick, and with a seed.
    fn noise() -> Self {
        Self::new(&json!({
            "1": { "class_type": "EmptyImage", "inputs": { "width": 24, "height": 16, "batch_size": 1, "color": 255 } },
            "2": { "class_type": "ImageAddNoise", "inputs": { "image": ["1", 0], "seed": 5, "strength": 0.5 } },
            "3": { "class_type": "SaveImage", "inputs": { "images": ["2", 0], "filename_prefix": "a/x" } },
        }))
    }

    fn sweep(&self, args: &[&str]) -> Redraft {
        self.base.command("sweep", &[&self.file]).arg("--out").arg(self.out()).args(args)
    }

    fn out(&self) -> PathBuf {
        self.base.path("sweep")
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.out().join("sweep.csv")).unwrap();
        text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
    }

    fn cells(&self) -> Vec<String> {
        names(&self.out().join("cells"))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The value of an input in a picture's `prompt`.
fn in_prompt(picture: &Path, node: &str, input: &str) -> Json {
    let reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(picture).unwrap())).read_info().unwrap();
    let texts = &reader.info().uncompressed_latin1_text;
    let prompt = texts.iter().find(|text| text.keyword == "prompt").unwrap();
    serde_json::from_str::<Json>(&prompt.text).unwrap()[node]["inputs"][input].clone()
}

#[test]
fn a_grid_shares_what_its_cells_have_in_common() {
    let place = Place::new(&Graph::saved(1).json());
    let axes = ["--axis", "16.cfg=5..6:0.5", "--axis", "6.text=a,b\\, c", "--device", "cpu"];
    let done = place.sweep(&axes).finish().expect_code(0);
    // All nine nodes once, three of them five times more, and the other text once.
    assert!(done.stderr.contains("25 node calls, where each cell alone takes 54 in all"), "{}", done.stderr);
    let cells = ["1_cfg=5_text=a.png", "2_cfg=5_text=b-c.png", "3_cfg=5.5_text=a.png", "4_cfg=5.5_text=b-c.png"];
    assert_eq!(place.cells()[..4], cells);
    let picture = |name: &str| place.out().join("cells").join(name);
    assert_eq!(in_prompt(&picture(cells[3]), "16", "cfg"), json!(5.5));
    assert_eq!(in_prompt(&picture(cells[3]), "6", "text"), json!("b, c"));
    // It is the picture that a run makes.
    let sets = ["--set", "16.cfg=5.5", "--set", "6.text=b, c"];
    place.base.run(&place.file).args(sets).finish().expect_code(0);
    let pixels = |path: &Path| image::open(path).unwrap().into_rgb8().into_raw();
    assert_eq!(pixels(&picture(cells[3])), pixels(&place.base.path("output/ComfyUI_00001_.png")));
    let lines: Vec<_> = done.stdout.lines().collect();
    assert_eq!((lines.len(), lines[6].ends_with("sheet.png")), (7, true), "{lines:?}");
    let (width, height) = image::image_dimensions(place.out().join("sheet.png")).unwrap();
    assert!((200..400).contains(&width) && (200..400).contains(&height), "{width} x {height}");
    assert_eq!(names(&place.out()), ["cells", "sheet.png", "sweep.csv", "sweep.json"]);
}

#[test]
fn a_sweep_goes_on_where_it_ended() {
    let place = Place::noise();
    let axes = ["--axis", "2.seed=1..6"];
    place.sweep(&axes).finish().expect_code(0);
    let first = &place.cells()[0];
    assert_eq!(first, "1_seed=1.png");
    // A cell whose picture is gone, one that is not in the table, and half a line.
    fs::remove_file(place.out().join("cells").join(first)).unwrap();
    let table = place.out().join("sweep.csv");
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.split_inclusive('\n').take(6).collect::<String>() + "6,6,cells/6").unwrap();
    let done = place.sweep(&axes).finish().expect_code(0);
    assert!(done.stderr.contains("4 of 6 cells are done already"), "{}", done.stderr);
    assert!(done.stderr.contains("2 cells done in"), "{}", done.stderr);
    assert_eq!((place.cells().len(), place.rows().len()), (6, 6));

    let other = place.sweep(&["--axis", "2.seed=1..2"]).finish().expect_code(2);
    assert!(other.stderr.contains("holds another sweep; name another folder, or begin anew with --force"));
    place.sweep(&["--axis", "2.seed=1..2", "--force"]).finish().expect_code(0);
    assert_eq!((place.cells().len(), place.rows().len()), (2, 2));
}

#[test]
fn killed_at_any_moment_nothing_is_half_or_lost() {
    let place = Place::noise();
    let axes = ["--axis", "2.seed=1..400"];
    let mut finished = 0;
    for n in 0..8 {
        let mut child = place.sweep(&axes).into_command().spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 + 60 * n));
        child.kill().unwrap();
        child.wait().unwrap();
        if place.out().join("cells").is_dir() {
            let cells = place.cells();
            cells.iter().for_each(|name| drop(image::open(place.out().join("cells").join(name)).unwrap()));
            assert!(cells.len() >= finished);
            finished = cells.len();
        }
    }
    place.sweep(&axes).finish().expect_code(0);
    assert_eq!((place.cells().len(), place.rows().len()), (400, 400));
    assert_eq!(names(&place.out()), ["cells", "sheet.png", "sweep.csv", "sweep.json"]);
    let again = place.sweep(&axes).finish().expect_code(0);
    assert!(again.stderr.contains("400 of 400 cells are done already"), "{}", again.stderr);
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_whole_files() {
    let place = Place::new(&json!({
        "1": { "class_type": "SolidMask", "inputs": { "value": 0.5, "width": 4096, "height": 4096 } },
        "2": { "class_type": "GrowMask", "inputs": { "mask": ["1", 0], "expand": 1, "tapered_corners": true } },
        "3": { "class_type": "MaskToImage", "inputs": { "mask": ["2", 0] } },
        "4": { "class_type": "ImageScale", "inputs": { "image": ["3", 0], "upscale_method": "nearest-exact", "width": 8, "height": 8, "crop": "disabled" } },
        "5": { "class_type": "SaveImage", "inputs": { "images": ["4", 0], "filename_prefix": "x" } },
    }));
    let axes = ["--axis", "2.expand=0,8000"];
    let child = place.sweep(&axes).start();
    let start = Instant::now();
    while !place.out().join("cells/1_expand=0.png").is_file() {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    std::process::Command::new("kill").args(["-INT", &child.child.id().to_string()]).status().unwrap();
    let told = Instant::now();
    let done = child.finish().expect_code(130);
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
    assert!(done.stderr.contains("the same command goes on where this one ended"), "{}", done.stderr);
    assert_eq!(names(&place.out()), ["cells", "sweep.csv", "sweep.json"]);
    assert_eq!((place.cells(), place.rows().len()), (vec!["1_expand=0.png".to_owned()], 1));
}

#[test]
fn a_failed_cell_is_said_and_the_others_run() {
    let place = Place::noise();
    let mut workflow: Json = serde_json::from_slice(&fs::read(&place.file).unwrap()).unwrap();
    workflow["4"] = json!({ "class_type": "StringConcatenate",
        "inputs": { "string_a": "9", "string_b": "", "delimiter": "" } });
    workflow["5"] =
        json!({ "class_type": "RegexReplace", "inputs": { "string": ["4", 0], "regex_pattern": "9", "replace": "" } });
    workflow["6"] = json!({ "class_type": "PreviewAny", "inputs": { "source": ["5", 0] } });
    fs::write(&place.file, workflow.to_string()).unwrap();
    let axes = ["--axis", "5.regex_pattern=a,(,c"];
    let done = place.sweep(&axes).finish().expect_code(1);
    assert!(done.stderr.contains("1 of 3 cells failed"), "{}", done.stderr);
    assert!(done.stderr.contains("error: cell 2 (regex_pattern=(): "), "{}", done.stderr);
    let rows = place.rows();
    assert_eq!(rows.iter().map(|row| row[4].as_str()).collect::<Vec<_>>(), ["0", "1", "0"], "{rows:?}");
    // Only that one is tried again.
    let again = place.sweep(&axes).finish().expect_code(1);
    assert!(again.stderr.contains("2 of 3 cells are done already"), "{}", again.stderr);
}

#[test]
fn repetitions_count_seeds_on_and_lines_are_cells() {
    let place = Place::noise();
    let axes = ["--axis", "2.strength=0.2,0.4", "--repeat", "3"];
    let dry = place.sweep(&axes).arg("--dry-run").finish().expect_code(0);
    assert_eq!(dry.stdout.lines().nth(1), Some("cell 2: strength=0.2, repeat=1"), "{}", dry.stdout);
    assert!(!place.out().exists());
    place.sweep(&axes).finish().expect_code(0);
    let seeds = place.cells().into_iter().map(|name| in_prompt(&place.out().join("cells").join(name), "2", "seed"));
    assert_eq!(seeds.collect::<Vec<_>>(), [5, 6, 7, 5, 6, 7].map(|seed| json!(seed)));

    let place = Place::noise();
    let lines = "{\"2.seed\": 18446744073709551615}\n\n{\"2.strength\": 0.25, \"1.width\": 32}\n";
    let file = place.base.write("cells.jsonl", lines);
    place.sweep(&["--jsonl", file.to_str().unwrap()]).finish().expect_code(0);
    let header = fs::read_to_string(place.out().join("sweep.csv")).unwrap();
    assert!(header.starts_with("cell,2.seed,2.strength,1.width,files,seconds,exit,error\n"), "{header}");
    assert_eq!(place.rows()[1][1..4], ["", "0.25", "32"]);
    assert_eq!(place.cells(), ["1_seed=18446744073709551615.png", "2_strength=0.25_width=32.png"]);
}

#[test]
fn more_axes_have_more_sheets() {
    let place = Place::noise();
    let axes = ["--axis", "1.width=16,24", "--axis", "2.seed=1..3", "--axis", "2.strength=0.1,0.2"];
    place.sweep(&axes).finish().expect_code(0);
    let sheets = ["sheet-0002.png", "sheet.png"];
    assert_eq!(names(&place.out()).into_iter().filter(|name| name.starts_with("sheet")).collect::<Vec<_>>(), sheets);
    assert_eq!(place.cells().len(), 12);
}

#[test]
fn what_cannot_run_is_said_before_anything_does() {
    let place = Place::noise();
    let wrong = |args: &[&str], words: &str| {
        let done = place.sweep(args).finish().expect_code(2);
        assert!(done.stderr.contains(words), "{}", done.stderr);
        assert!(!place.out().exists());
    };
    wrong(&[], "there is nothing to sweep over; give --axis, --jsonl or --repeat");
    wrong(&["--axis", "2.nothing=1..3"], "has no input 'nothing'");
    wrong(&["--axis", "2.strength=0.5,7000"], "cell 2 (strength=7000): ");
    wrong(&["--axis", "2.seed=1..2000", "--axis", "2.strength=0..1:0.001"], "and 1000000 are the most");
    wrong(&["--axis", "2.seed=1,2", "--axis", "2.seed=3,4"], "2.seed is given twice");
    wrong(&["--axis", "2.seed=1,2", "--set", "2.strength=random"], "another number in each cell");
    wrong(&["--axis", "2.seed=5..1"], "counts away from its end");
    wrong(&["--axis", "2.seed=@/no/such/file"], "/no/such/file");
    wrong(&["--axis", "2.seed=18446744073709551615,1", "--repeat", "2"], "are beyond");
    let bad = place.base.write("bad.jsonl", "{\"2.seed\": 1}\n[]\n");
    wrong(&["--jsonl", bad.to_str().unwrap()], "line 2 is no object");
}

#[test]
fn a_sweep_whose_files_were_changed_is_another_one() {
    let place = Place::new(&json!({
        "1": { "class_type": "LoadImage", "inputs": { "image": "draft.png" } },
        "2": { "class_type": "ImageAddNoise", "inputs": { "image": ["1", 0], "seed": 5, "strength": 0.5 } },
        "3": { "class_type": "SaveImage", "inputs": { "images": ["2", 0], "filename_prefix": "x" } },
    }));
    let prefix = place.base.write("prefix.txt", "one");
    let set = format!("3.filename_prefix=@{}", prefix.display());
    let args = ["--axis", "2.seed=1,2", "--device", "cpu", "--set", &set];
    place.sweep(&args).finish().expect_code(0);
    let done = place.sweep(&args).finish().expect_code(0);
    assert!(done.stderr.contains("2 of 2 cells are done already"), "{}", done.stderr);
    let refused = |more: &[&str], what: &str| {
        let done = place.sweep(&args).args(more).finish().expect_code(2);
        let words = "holds another sweep; name another folder, or begin anew with --force; what is not as it was: ";
        assert!(done.stderr.contains(&format!("{words}{what}\n")), "{what}: {}", done.stderr);
    };
    refused(&["--force-fp32"], "the device and its numerics");
    refused(&["--only", "3"], "--only");
    fs::write(&prefix, "two").unwrap();
    refused(&[], &prefix.display().to_string());
    fs::write(&prefix, "one").unwrap();
    let table = "[checkpoints]\n\"*\" = \"tiny.safetensors\"\n";
    let substitutes = place.base.write("substitutes.toml", table);
    refused(&[], &substitutes.display().to_string());
    fs::remove_file(&substitutes).unwrap();
    let other = Base::new();
    let done = Redraft::new().arg("sweep").arg(&place.file).arg("--out").arg(place.out()).args(args);
    let done = done.arg("--base-directory").arg(other.root()).finish().expect_code(2);
    assert!(done.stderr.ends_with("what is not as it was: the base directory\n"), "{}", done.stderr);
    let size = ["draft-picture", "--width", "32", "--height", "32", "--force"];
    Redraft::new().args(size).arg(place.base.path("input/draft.png")).finish().expect_code(0);
    refused(&[], "input draft.png");
    place.sweep(&args).arg("--force").finish().expect_code(0);
}

#[test]
fn a_folder_of_another_s_is_left_alone() {
    let place = Place::noise();
    let mine = [place.base.write("sweep/staging/mine", "mine"), place.base.write("sweep/sweep.csv", "mine")];
    let axes = ["--axis", "2.seed=1,2"];
    let done = place.sweep(&axes).finish().expect_code(2);
    assert!(done.stderr.contains("is not empty, and no sweep's; name another folder"), "{}", done.stderr);
    let done = place.sweep(&axes).arg("--force").finish().expect_code(2);
    assert!(done.stderr.contains("sweep.csv is there, and no sweep made it"), "{}", done.stderr);
    fs::remove_file(&mine[1]).unwrap();
    place.sweep(&axes).arg("--force").finish().expect_code(0);
    place.sweep(&["--axis", "2.seed=3", "--force"]).finish().expect_code(0);
    assert_eq!(fs::read_to_string(&mine[0]).unwrap(), "mine");
    assert_eq!(names(&place.out()), ["cells", "sheet.png", "staging", "sweep.csv", "sweep.json"]);
}

#[test]
fn lines_name_each_address_once() {
    let place = Place::noise();
    let file = place.base.write("cells.jsonl", "\u{feff}{\"2.seed\": 1}\n{\"2.seed\": 2, \"2.seed\": 3}\n");
    let done = place.sweep(&["--jsonl", file.to_str().unwrap()]).finish().expect_code(2);
    assert!(done.stderr.contains("line 2 names '2.seed' twice"), "{}", done.stderr);
    fs::write(&file, "\u{feff}{\"2.seed\": 1}\n").unwrap();
    place.sweep(&["--jsonl", file.to_str().unwrap()]).finish().expect_code(0);
    assert_eq!(place.cells(), ["1_seed=1.png"]);
    let done = place.sweep(&["--axis", "ImageAddNoise.seed=1,2"]).finish().expect_code(2);
    let words = "'ImageAddNoise' is the class of the node 2; name one by its id or title, as in '2.seed'";
    assert!(done.stderr.contains(words), "{}", done.stderr);
}
