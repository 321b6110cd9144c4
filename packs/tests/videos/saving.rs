use redraft_nodes::pictures::read::read;
use serde_json::json;

use super::{base, greys, loaded, names, near, run, saved, tensor};
use crate::graphs;

#[test]
fn a_video_is_saved_with_its_first_frame_and_with_its_sound() {
    let base = base();
    let graph = saved("video/h264-mp4", &json!({ "audio": ["sound", 0], "crf": 10, "pix_fmt": "yuv420p" }));
    if run(&graph, base.path()).is_none() {
        assert_eq!(names(&base.path().join("output")), [""; 0], "nothing is left of a call that fails");
        return;
    }
    let files = ["clip_00001-audio.mp4", "clip_00001.mp4", "clip_00001.png"];
    assert_eq!(names(&base.path().join("output")), files);
    let first = read(&base.path().join("output/clip_00001.png")).unwrap();
    assert_eq!(first.image.size(), [1, 64, 96, 3]);
    // The prompt is in the video; the next one has the next number.
    let bytes = std::fs::read(base.path().join("output/clip_00001.mp4")).unwrap();
    assert!(bytes.windows(6).any(|bytes| bytes == b"prompt"));
    run(&saved("video/h264-mp4", &json!({ "save_metadata": false })), base.path()).unwrap();
    assert_eq!(names(&base.path().join("output")).len(), 5);
    let bytes = std::fs::read(base.path().join("output/clip_00002.mp4")).unwrap();
    assert!(!bytes.windows(6).any(|bytes| bytes == b"prompt"));
    let left = run(
        &loaded(
            "VHS_LoadVideo",
            json!({
                "video": "clip_00001-audio.mp4 [output]", "force_rate": 0, "custom_width": 0, "custom_height": 0,
                "frame_load_cap": 0, "skip_first_frames": 0, "select_every_nth": 1,
            }),
        ),
        base.path(),
    )
    .unwrap();
    near(&greys(tensor(&left, "load/0")), &[0, 0, 80, 80, 160, 160, 240, 240]);
    // Half a second of sound, and silence up to the end of the video.
    let samples = tensor(&left, "load/2/waveform").size();
    assert!(samples[1] == 2 && (44100..44100 + 3 * 1024).contains(&samples[2]), "{samples:?}");
}

#[test]
fn every_format_of_this_ffmpeg_is_written() {
    let base = base();
    // The sides are odd, and the frames go forth and back.
    let mut graph = saved("video/webm", &json!({ "pingpong": true, "images": ["odd", 0] }));
    graph["odd"] = super::node(
        "ImageScale",
        json!({
            "image": ["all", 0], "upscale_method": "nearest-exact", "width": 95, "height": 63, "crop": "disabled",
        }),
    );
    for (format, options, name) in [
        ("video/webm", json!({}), "clip_00001.webm"),
        ("video/ProRes", json!({ "profile": "4444" }), "clip_00002.mov"),
        ("video/ffv1-mkv", json!({ "pix_fmt": "bgra", "level": "3" }), "clip_00003.mkv"),
        ("video/ffmpeg-gif", json!({ "dither": "none", "loop_count": 1 }), "clip_00004.gif"),
    ] {
        graph["save"]["inputs"]["format"] = json!(format);
        options.as_object().unwrap().iter().for_each(|(name, value)| graph["save"]["inputs"][name] = value.clone());
        if run(&graph, base.path()).is_none() {
            return;
        }
        let left = run(
            &loaded(
                "VHS_LoadVideoFFmpeg",
                json!({
                    "video": format!("{name} [output]"), "force_rate": 0, "custom_width": 0, "custom_height": 0,
                    "frame_load_cap": 14, "start_time": 0,
                }),
            ),
            base.path(),
        )
        .unwrap();
        let images = tensor(&left, "load/0");
        assert_eq!(images.size(), [14, 64, 96, 3], "{format}");
        near(&greys(images), &[0, 0, 80, 80, 160, 160, 240, 240, 240, 160, 160, 80, 80, 0]);
    }
}

#[test]
fn each_frame_may_be_a_picture() {
    let base = base();
    if run(&saved("video/8bit-png", &json!({ "save_output": false, "filename_prefix": "sub/f" })), base.path())
        .is_none()
    {
        return;
    }
    assert_eq!(names(&base.path().join("output")), [""; 0]);
    let files = names(&base.path().join("temp/sub"));
    assert_eq!((files.len(), files[0].as_str(), files[8].as_str()), (9, "f_00001.001.png", "f_00001.png"));
    near(&greys(&read(&base.path().join("temp/sub/f_00001.004.png")).unwrap().image), &[80]);
    run(&saved("video/16bit-png", &json!({ "save_output": false, "filename_prefix": "sub/f" })), base.path()).unwrap();
    near(&greys(&read(&base.path().join("temp/sub/f_00002.008.png")).unwrap().image), &[240]);
}

#[test]
fn animated_pictures_need_no_ffmpeg() {
    let base = base();
    for (format, name) in [("image/gif", "clip_00001.gif"), ("image/webp", "clip_00002.webp")] {
        graphs::run(&saved(format, &json!({ "pingpong": true })), base.path()).unwrap();
        let images = read(&base.path().join("output").join(name)).unwrap().image;
        // Frames that are equal are one that is shown for longer.
        assert_eq!(greys(&images), [0, 80, 160, 240, 160, 80, 0], "{format}");
    }
    assert_eq!(names(&base.path().join("output")).len(), 4);
}

#[test]
fn what_is_no_choice_of_a_format_is_refused_before_anything_runs() {
    let base = base();
    for (inputs, why) in [
        (json!({ "pix_fmt": "yuv420p,-vf,x" }), "input 'pix_fmt' is 'yuv420p,-vf,x', none of its choices; use one of"),
        (json!({ "crf": -1 }), "input 'crf' is '-1', outside of 0 to 100"),
        (json!({ "save_metadata": "-y" }), "neither true nor false"),
        (json!({ "format": "video/gifski" }), "format"),
        (json!({ "audio": ["all", 0] }), "'audio' is linked to an output of type IMAGE; connect one of type AUDIO"),
    ] {
        let error = graphs::run(&saved("video/h264-mp4", &inputs), base.path()).err().unwrap();
        assert!(error.contains(why), "{error}");
    }
    let mut graph = saved("video/h264-mp4", &json!({ "crf": ["number", 0] }));
    graph["number"] = super::node("PrimitiveInt", json!({ "value": 200 }));
    let error = graphs::run(&graph, base.path()).err().unwrap();
    assert!(error.contains("input 'crf' is '200', outside of 0 to 100"), "{error}");
    assert_eq!(names(&base.path().join("output")), [""; 0]);
    let mut graph = saved("image/gif", &json!({ "meta_batch": ["batch", 0] }));
    graph["batch"] = super::node("VHS_BatchManager", json!({ "frames_per_batch": 16 }));
    let error = graphs::run(&graph, base.path()).err().unwrap();
    assert!(error.contains("there is no queue here: take the node out"), "{error}");
}

#[test]
fn a_whole_number_may_be_a_rate_and_latents_need_a_vae() {
    let base = base();
    let mut graph = saved("image/gif", &json!({ "frame_rate": ["rate", 0] }));
    graph["rate"] = super::node("PrimitiveInt", json!({ "value": 4 }));
    graphs::run(&graph, base.path()).unwrap();
    let mut graph = saved("image/gif", &json!({ "images": ["latent", 0] }));
    graph["latent"] = super::node("EmptyLatentImage", json!({ "width": 64, "height": 64, "batch_size": 1 }));
    let error = graphs::run(&graph, base.path()).err().unwrap();
    assert!(error.contains("input 'images' is linked to latents, which need a VAE"), "{error}");
}

#[test]
fn files_that_another_replaces_are_deleted() {
    let base = base();
    let mut graph = saved("video/h264-mp4", &json!({ "audio": ["sound", 0], "trim_to_audio": true }));
    graph["last"] = super::node("VHS_SelectFilename", json!({ "filenames": ["save", 0], "index": -1 }));
    graph["shown"] = super::node("PreviewAny", json!({ "source": ["last", 0] }));
    let pruned = json!({ "filenames": ["save", 0], "options": "Intermediate and Utility" });
    graph["prune"] = super::node("VHS_PruneOutputs", pruned);
    let Some(left) = run(&graph, base.path()) else { return };
    assert_eq!(names(&base.path().join("output")), ["clip_00001-audio.mp4"]);
    assert!(super::plain(&left, "last/0").as_str().unwrap().ends_with("output/clip_00001-audio.mp4"));
}
