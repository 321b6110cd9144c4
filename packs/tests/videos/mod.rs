//! Videos of VideoHelperSuite, with the ffmpeg of this machine; and what is said where there is none.

mod conversion;
mod loading;
mod pictures;
mod saving;

use std::path::Path;
use std::process::Command;

use redraft_nodes::values::Part;
use serde_json::{Value as Json, json};
use tch::Tensor;

use crate::graphs::{self, Left};

/// A base directory with ComfyUI's folders.
pub(crate) fn base() -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    ["input", "output", "temp"].iter().for_each(|folder| std::fs::create_dir(base.path().join(folder)).unwrap());
    base
}

pub(crate) fn node(class: &str, inputs: Json) -> Json {
    json!({ "class_type": class, "inputs": inputs })
}

/// Runs a graph that ends well where ffmpeg is at hand. Returns nothing where it is not, after a look at the error.
pub(crate) fn run(graph: &Json, base: &Path) -> Option<Left> {
    let there = |program| Command::new(program).arg("-version").output().is_ok();
    match graphs::run(graph, base) {
        Ok(left) => Some(left),
        Err(error) if !there("ffmpeg") || !there("ffprobe") => {
            assert!(error.contains("is needed for video and sound and is not there"), "{error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

pub(crate) fn tensor<'l>(left: &'l Left, key: &str) -> &'l Tensor {
    match left.0.get(key) {
        Some(Part::Tensor(tensor)) => tensor,
        other => panic!("{key} is {other:?}"),
    }
}

pub(crate) fn plain(left: &Left, key: &str) -> Json {
    match left.0.get(key) {
        Some(Part::Plain(plain)) => plain.clone(),
        other => panic!("{key} is {other:?}"),
    }
}

/// Four grey levels, each for two frames of 96 × 64 pixels: 0, 80, 160 and 240.
pub(crate) fn levels() -> Vec<(&'static str, Json)> {
    let level = |level: i64| {
        node("EmptyImage", json!({ "width": 96, "height": 64, "batch_size": 2, "color": level * 0x1_0101 }))
    };
    let joined = |a: &str, b: &str| node("ImageBatch", json!({ "image1": [a, 0], "image2": [b, 0] }));
    vec![
        ("a", level(0)),
        ("b", level(80)),
        ("c", level(160)),
        ("d", level(240)),
        ("ab", joined("a", "b")),
        ("cd", joined("c", "d")),
        ("all", joined("ab", "cd")),
    ]
}

/// The levels, saved as a video of 8 frames a second with further inputs.
pub(crate) fn saved(format: &str, inputs: &Json) -> Json {
    let mut save = json!({
        "images": ["all", 0], "frame_rate": 8, "loop_count": 0, "filename_prefix": "clip", "format": format,
        "pingpong": false, "save_output": true,
    });
    inputs.as_object().unwrap().iter().for_each(|(name, value)| save[name] = value.clone());
    let mut graph: serde_json::Map<String, Json> =
        levels().into_iter().map(|(id, node)| (id.to_owned(), node)).collect();
    graph.insert(
        "sound".to_owned(),
        node("EmptyAudio", json!({ "duration": 0.5, "sample_rate": 44100, "channels": 2 })),
    );
    graph.insert("save".to_owned(), node("VHS_VideoCombine", save));
    graph.into()
}

/// What a loader gives for a file, under the ids `load`, `info` and `look`.
pub(crate) fn loaded(class: &str, inputs: Json) -> Json {
    json!({
        "load": node(class, inputs),
        "info": node("VHS_VideoInfo", json!({ "video_info": ["load", 3] })),
        "look": node("PreviewImage", json!({ "images": ["load", 0] })),
    })
}

/// The grey level of each frame, in eight bits.
pub(crate) fn greys(images: &Tensor) -> Vec<i64> {
    let means = images.mean_dim([1i64, 2, 3].as_slice(), false, tch::Kind::Float) * 255.0;
    Vec::<f32>::try_from(means).unwrap().into_iter().map(|mean| mean.round() as i64).collect()
}

/// Whether grey levels are near to others: what a codec does to them.
#[track_caller]
pub(crate) fn near(found: &[i64], wanted: &[i64]) {
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() <= 3), "{found:?} {wanted:?}");
}
