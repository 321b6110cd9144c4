use serde_json::{Value as Json, json};

use super::{base, greys, loaded, near, plain, run, saved, tensor};
use crate::graphs;

fn inputs(changed: Json) -> Json {
    let mut inputs = json!({
        "video": "output/clip_00001.mkv", "force_rate": 0, "custom_width": 0, "custom_height": 0, "frame_load_cap": 0,
        "skip_first_frames": 0, "select_every_nth": 1, "format": "None",
    });
    changed.as_object().unwrap().iter().for_each(|(name, value)| inputs[name] = value.clone());
    inputs
}

#[test]
fn frames_are_selected_and_resized() {
    let base = base();
    if run(&saved("video/ffv1-mkv", &json!({ "pix_fmt": "bgra" })), base.path()).is_none() {
        return;
    }
    let load = |changed: Json| run(&loaded("VHS_LoadVideoPath", inputs(changed)), base.path()).unwrap();
    let info = |left: &graphs::Left| (0..10).map(|slot| plain(left, &format!("info/{slot}"))).collect::<Vec<_>>();
    let left = load(json!({}));
    near(&greys(tensor(&left, "load/0")), &[0, 0, 80, 80, 160, 160, 240, 240]);
    assert_eq!(json!(info(&left)), json!([8.0, 8, 1.0, 96, 64, 8.0, 8, 1.0, 96, 64]));
    let left = load(json!({ "skip_first_frames": 1, "select_every_nth": 2, "frame_load_cap": 3, "custom_width": 48 }));
    near(&greys(tensor(&left, "load/0")), &[0, 80, 160]);
    assert_eq!(tensor(&left, "load/0").size(), [3, 32, 48, 3]);
    assert_eq!(json!(info(&left)[5..]), json!([4.0, 3, 0.75, 48, 32]));
    let left = load(json!({ "force_rate": 4 }));
    near(&greys(tensor(&left, "load/0")), &[0, 80, 160, 240]);
    let left = load(json!({ "force_rate": 16, "frame_load_cap": 5 }));
    near(&greys(tensor(&left, "load/0")), &[0, 0, 0, 80, 80]);
    // Wan takes 5 of 8 frames, LTX-Video sides in multiples of 32.
    let left = load(json!({ "format": "Wan" }));
    assert_eq!(greys(tensor(&left, "load/0")).len(), 5);
    let left = load(json!({ "format": "LTXV", "custom_width": 40 }));
    assert_eq!(tensor(&left, "load/0").size(), [1, 32, 32, 3]);
    let error = graphs::run(&loaded("VHS_LoadVideoPath", inputs(json!({ "skip_first_frames": 8 }))), base.path());
    assert!(error.err().unwrap().contains("is left: set a lower skip_first_frames"));
}

#[test]
fn ffmpeg_cuts_to_the_size_and_starts_at_a_time() {
    let base = base();
    if run(&saved("video/ffv1-mkv", &json!({ "pix_fmt": "bgra" })), base.path()).is_none() {
        return;
    }
    let inputs = json!({
        "video": "output/clip_00001.mkv", "force_rate": 0, "custom_width": 32, "custom_height": 64, "frame_load_cap": 2,
        "start_time": 0.5, "format": "None",
    });
    let left = run(&loaded("VHS_LoadVideoFFmpegPath", inputs), base.path()).unwrap();
    assert_eq!(tensor(&left, "load/0").size(), [2, 64, 32, 3]);
    near(&greys(tensor(&left, "load/0")), &[160, 160]);
    // The file has alpha, and nothing is transparent.
    let mask = tensor(&left, "load/1");
    assert_eq!(mask.size(), [2, 64, 32]);
    // ffmpeg's scaler rounds.
    assert!(mask.abs().max().double_value(&[]) < 1e-3);
}

#[test]
fn files_are_looked_for_before_anything_runs() {
    let base = base();
    for (class, video, why) in [
        ("VHS_LoadVideo", "none.mp4", "none.mp4"),
        ("VHS_LoadVideoPath", "/etc/passwd", "and no others are read: put the file into the input folder"),
        ("VHS_LoadVideoPath", "input/../../a.mp4", "and name it input/NAME"),
        ("VHS_LoadVideoPath", "https://host/a.mp4", "nothing is fetched from the network"),
        ("VHS_LoadVideoFFmpegPath", "input/none.mp4", "there is no file 'none.mp4' in the input folder"),
    ] {
        let mut inputs = inputs(json!({ "video": video }));
        if class.contains("FFmpeg") {
            inputs["start_time"] = json!(0);
        }
        let error = graphs::run(&loaded(class, inputs), base.path()).err().unwrap();
        assert!(error.contains(why), "{class}: {error}");
    }
}

#[test]
fn sound_is_read_in_parts() {
    let base = base();
    if run(&saved("video/h264-mp4", &json!({ "audio": ["sound", 0] })), base.path()).is_none() {
        return;
    }
    let path = "output/clip_00001-audio.mp4";
    let graph = json!({
        "all": super::node("VHS_LoadAudio", json!({ "audio_file": path })),
        "part": super::node("VHS_LoadAudio", json!({ "audio_file": path, "seek_seconds": 0.25, "duration": 0.5 })),
        "a": super::node("PreviewAny", json!({ "source": ["all", 1] })),
        "b": super::node("PreviewAny", json!({ "source": ["part", 1] })),
    });
    let left = run(&graph, base.path()).unwrap();
    assert!((plain(&left, "all/1").as_f64().unwrap() - 1.0).abs() < 0.1);
    assert_eq!(plain(&left, "part/1"), json!(0.5));
    assert_eq!(tensor(&left, "part/0/waveform").size(), [1, 2, 22050]);
}

/// Figures from OpenCV 5.0, with which the pack reads: the mean of each frame, and three pixels of it. The video is of ffmpeg's `testsrc2`, in
/// H.264 and BT.709.
#[test]
fn frames_are_those_that_opencv_reads() {
    /// Builds of ffmpeg round colours otherwise.
    const TOLERANCE: f64 = 2.0;
    const PLACES: [(i64, i64); 3] = [(10, 10), (24, 40), (40, 55)];
    const FIGURES: [(f64, [[f64; 3]; 3]); 4] = [
        (64.033, [[252.0, 133.0, 2.0], [0.0, 0.0, 61.0], [1.0, 255.0, 252.0]]),
        (63.749, [[253.0, 133.0, 8.0], [0.0, 0.0, 61.0], [1.0, 255.0, 252.0]]),
        (63.697, [[252.0, 132.0, 14.0], [0.0, 0.0, 61.0], [1.0, 255.0, 252.0]]),
        (63.652, [[248.0, 133.0, 19.0], [0.0, 0.0, 61.0], [1.0, 255.0, 252.0]]),
    ];
    let base = base();
    std::fs::write(base.path().join("input/a.mp4"), include_bytes!("data/testsrc2.mp4")).unwrap();
    let inputs = inputs(json!({ "video": "a.mp4" }));
    let Some(left) = run(&loaded("VHS_LoadVideo", inputs), base.path()) else { return };
    let frames = tensor(&left, "load/0") * 255.0;
    assert_eq!(frames.size(), [4, 48, 64, 3]);
    for (at, (mean, pixels)) in (0..).zip(FIGURES) {
        let frame = frames.get(at);
        assert!((frame.mean(tch::Kind::Double).double_value(&[]) - mean).abs() < TOLERANCE, "frame {at}");
        for ((y, x), pixel) in PLACES.into_iter().zip(pixels) {
            let found = [0, 1, 2].map(|channel| frame.double_value(&[y, x, channel]));
            let near = found.iter().zip(pixel).all(|(a, b)| (a - b).abs() <= TOLERANCE);
            assert!(near, "frame {at}, pixel {x}, {y}: {found:?} {pixel:?}");
        }
    }
}
