//! Video and sound through the binary, with the ffmpeg of this machine; and what is said where there is none.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;

use common::tensors::Tensors;
use common::{Base, Done};
use serde_json::{Value as Json, json};

/// Whether ffmpeg is at hand. Where it is not, each test asks for the error that says so.
fn ffmpeg() -> bool {
    ["ffmpeg", "ffprobe"].iter().all(|program| Command::new(program).arg("-version").output().is_ok())
}

const MISSING: &str =
    "is needed for video and sound and is not there: install ffmpeg, or name its folder in REDRAFT_FFMPEG";

fn prompt(nodes: &[(&str, &str, Json)]) -> Json {
    nodes
        .iter()
        .map(|(id, class, inputs)| ((*id).to_owned(), json!({ "class_type": class, "inputs": inputs })))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Runs a prompt, which ends well where ffmpeg is at hand. Returns nothing where it is not.
fn run(base: &Base, prompt: &Json, options: &[&str]) -> Option<Done> {
    let done = base.run(&base.write_json("media.json", prompt)).arg("--no-cache").args(options).finish();
    if ffmpeg() {
        return Some(done.expect_code(0));
    }
    assert!(done.stderr.contains(MISSING), "{}", done.stderr);
    done.expect_code(1);
    None
}

/// Four red pictures and four green ones, 96 × 64: encoders of AV1 take none below 64.
fn colours() -> Vec<(&'static str, &'static str, Json)> {
    let colour = |color: i64| json!({ "width": 96, "height": 64, "batch_size": 4, "color": color });
    vec![
        ("red", "EmptyImage", colour(0xff_0000)),
        ("green", "EmptyImage", colour(0x00_ff00)),
        ("both", "ImageBatch", json!({ "image1": ["red", 0], "image2": ["green", 0] })),
    ]
}

fn saved_video(base: &Base, sound: bool) -> Option<Done> {
    let mut nodes = colours();
    let mut video = json!({ "images": ["both", 0], "fps": 8.0 });
    if sound {
        nodes.push(("sound", "EmptyAudio", json!({ "duration": 5.0, "sample_rate": 44100, "channels": 2 })));
        video["audio"] = json!(["sound", 0]);
    }
    nodes.push(("video", "CreateVideo", video));
    let save = json!({ "video": ["video", 0], "filename_prefix": "clip", "format": "auto", "codec": "auto" });
    nodes.push(("save", "SaveVideo", save));
    run(base, &prompt(&nodes), &["--json"])
}

fn loaded(base: &Base, name: &str) -> Tensors {
    let nodes = prompt(&[
        ("load", "LoadVideo", json!({ "file": format!("{name} [output]") })),
        ("parts", "GetVideoComponents", json!({ "video": ["load", 0] })),
        ("shown", "PreviewAny", json!({ "source": ["parts", 2] })),
        ("silent", "PreviewAny", json!({ "source": ["parts", 1] })),
        ("look", "PreviewImage", json!({ "images": ["parts", 0] })),
    ]);
    let dump = base.path("dump.safetensors");
    run(base, &nodes, &["--dump", dump.to_str().unwrap()]).unwrap();
    Tensors::read(&dump)
}

#[test]
fn a_video_is_read_as_it_was_written() {
    let base = Base::new();
    let Some(done) = saved_video(&base, true) else { return };
    let shown = &done.events_of("executed")[0]["output"];
    let file = json!({ "filename": "clip_00001_.mp4", "subfolder": "", "type": "output" });
    assert_eq!(shown, &json!({ "images": [file], "animated": [true] }));
    let dump = loaded(&base, "clip_00001_.mp4");
    assert_eq!(dump.shape("parts/0"), [8, 64, 96, 3]);
    let pixel = |frame: usize| {
        let at = (frame * 64 * 96 + 32 * 96 + 48) * 3;
        dump.floats("parts/0")[at..at + 3].iter().map(|value| (value * 10.0).round() / 10.0).collect::<Vec<_>>()
    };
    assert_eq!((pixel(0), pixel(7)), (vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0]));
    // As long as the pictures, in whole frames of AAC.
    let [_, channels, samples] = dump.shape("parts/1/waveform")[..] else { panic!("no sound") };
    assert!(channels == 2 && (44100..44100 + 2 * 1024).contains(&samples), "{samples}");
    // The workflow is in the file.
    let bytes = std::fs::read(base.path("output/clip_00001_.mp4")).unwrap();
    assert!(bytes.windows(13).any(|bytes| bytes == b"\"CreateVideo\""));
}

#[test]
fn a_video_without_sound_has_none() {
    let base = Base::new();
    if saved_video(&base, false).is_none() {
        return;
    }
    let dump = loaded(&base, "clip_00001_.mp4");
    assert!(dump.0.keys().all(|name| !name.contains("waveform")), "{:?}", dump.0.keys());
    let save = prompt(&[
        ("load", "LoadVideo", json!({ "file": "clip_00001_.mp4 [output]" })),
        ("parts", "GetVideoComponents", json!({ "video": ["load", 0] })),
        ("save", "SaveAudio", json!({ "audio": ["parts", 1], "filename_prefix": "a" })),
    ]);
    let done = base.run(&base.write_json("save.json", &save)).finish().expect_code(1);
    assert!(done.stderr.contains("input 'audio' wants AUDIO but was given NONE"), "{}", done.stderr);
}

/// What is MP4 already is copied, with its texts and the new ones.
#[test]
fn a_copied_video_is_not_encoded_again() {
    let base = Base::new();
    if saved_video(&base, true).is_none() {
        return;
    }
    let copy = prompt(&[
        ("load", "LoadVideo", json!({ "file": "clip_00001_.mp4 [output]" })),
        (
            "save",
            "SaveVideo",
            json!({ "video": ["load", 0], "filename_prefix": "copy", "format": "mp4", "codec": "h264" }),
        ),
    ]);
    run(&base, &copy, &[]).unwrap();
    let (one, two) = (loaded(&base, "clip_00001_.mp4"), loaded(&base, "copy_00001_.mp4"));
    assert_eq!(one.floats("parts/0"), two.floats("parts/0"));
    assert_eq!(one.floats("parts/1/waveform"), two.floats("parts/1/waveform"));
    let bytes = std::fs::read(base.path("output/copy_00001_.mp4")).unwrap();
    assert!(bytes.windows(11).any(|bytes| bytes == b"\"LoadVideo\""));
    assert!(!bytes.windows(13).any(|bytes| bytes == b"\"CreateVideo\""), "the prompt is the new one");
}

#[test]
fn webm_files_and_sounds_are_written() {
    let base = Base::new();
    let mut nodes = colours();
    for (id, codec) in [("vp9", "vp9"), ("av1", "av1")] {
        let save = json!({ "images": ["both", 0], "filename_prefix": id, "codec": codec, "fps": 7.5, "crf": 32.0 });
        nodes.push((id, "SaveWEBM", save));
    }
    nodes.push(("sound", "EmptyAudio", json!({ "duration": 0.5, "sample_rate": 22050, "channels": 1 })));
    nodes.push(("flac", "SaveAudio", json!({ "audio": ["sound", 0], "filename_prefix": "a/s" })));
    nodes.push(("mp3", "SaveAudioMP3", json!({ "audio": ["sound", 0], "filename_prefix": "a/m", "quality": "V0" })));
    nodes.push(("opus", "SaveAudioOpus", json!({ "audio": ["sound", 0], "filename_prefix": "a/o", "quality": "96k" })));
    nodes.push(("hear", "PreviewAudio", json!({ "audio": ["sound", 0] })));
    let Some(done) = run(&base, &prompt(&nodes), &["--json"]) else { return };
    let sounds = done.events_of("executed").into_iter().filter(|event| event["output"]["audio"].is_array());
    assert_eq!(sounds.count(), 4);
    for name in ["vp9_00001_.webm", "av1_00001_.webm"] {
        assert_eq!(loaded(&base, name).shape("parts/0"), [8, 64, 96, 3]);
    }
    for (file, length) in [("a/s_00001_.flac", 11025), ("a/o_00001_.opus", 24000)] {
        let nodes = prompt(&[
            ("load", "LoadAudio", json!({ "audio": format!("{file} [output]") })),
            ("show", "PreviewAudio", json!({ "audio": ["load", 0] })),
        ]);
        let dump = base.path("sound.safetensors");
        run(&base, &nodes, &["--dump", dump.to_str().unwrap()]).unwrap();
        let shape = Tensors::read(&dump).shape("load/0/waveform");
        assert_eq!(shape[..2], [1, 1]);
        assert!((length..length + 960).contains(&shape[2]), "{file}: {shape:?}");
    }
}

/// Playlists lead to other files: they are no videos, whatever they are called. Nor are texts.
#[test]
fn what_is_no_video_is_refused() {
    let base = Base::new();
    base.write("secret.txt", "secret");
    let list = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        base.path("secret.txt").display()
    );
    base.write("input/list.mp4", list);
    base.write("input/concat.mp4", format!("ffconcat version 1.0\nfile '{}'\n", base.path("secret.txt").display()));
    base.write("input/text.mp4", "no video");
    for name in ["list.mp4", "concat.mp4", "text.mp4"] {
        let nodes = prompt(&[
            ("load", "LoadVideo", json!({ "file": name })),
            ("parts", "GetVideoComponents", json!({ "video": ["load", 0] })),
            ("look", "PreviewImage", json!({ "images": ["parts", 0] })),
        ]);
        let file = base.write_json("bad.json", &nodes);
        let done = base.run(&file).finish().expect_code(1);
        let wanted = if ffmpeg() {
            format!("cannot read '{name}' as video or sound; fetch it again")
        } else {
            MISSING.to_owned()
        };
        assert!(done.stderr.contains(&wanted), "{}", done.stderr);
        let done = base.command("check", &[&file]).finish();
        assert!(done.stdout.contains(&wanted) || done.stderr.contains(&wanted), "{} {}", done.stdout, done.stderr);
    }
    // H.264 needs even sides.
    let odd = prompt(&[
        ("image", "EmptyImage", json!({ "width": 33, "height": 16, "batch_size": 2, "color": 0 })),
        ("video", "CreateVideo", json!({ "images": ["image", 0], "fps": 8.0 })),
        (
            "save",
            "SaveVideo",
            json!({ "video": ["video", 0], "filename_prefix": "odd", "format": "auto", "codec": "auto" }),
        ),
    ]);
    let done = base.run(&base.write_json("odd.json", &odd)).finish().expect_code(1);
    assert!(done.stderr.contains("needs even sides, and these are 33 × 16"), "{}", done.stderr);
    assert_eq!(base.outputs(), [""; 0]);
}

#[test]
fn a_missing_program_is_named() {
    let base = Base::new();
    let nodes = prompt(&[
        ("sound", "EmptyAudio", json!({ "duration": 0.5, "sample_rate": 22050, "channels": 1 })),
        ("flac", "SaveAudio", json!({ "audio": ["sound", 0], "filename_prefix": "s" })),
    ]);
    let file = base.write_json("sound.json", &nodes);
    let mut command = base.run(&file).into_command();
    let output = command.env("REDRAFT_FFMPEG", Path::new("/nowhere")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains(MISSING), "{said}");
    assert_eq!(base.outputs(), [""; 0]);
}
