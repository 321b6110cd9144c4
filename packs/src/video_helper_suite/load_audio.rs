use std::path::Path;

use anyhow::{Context, Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Fingerprint, Flaw, Offer, Run};
use redraft_engine::{Node, Outputs};
use redraft_nodes::media::{look_for_audio, probe, sound_part};
use redraft_nodes::values::Audio;

use crate::paths;

/// Reads the sound of a file, which may be a video. The path is `input/a.wav`, or one into the output or temp folder.
#[derive(Node)]
#[node(
    class = "VHS_LoadAudio",
    category = "Video Helper Suite 🎥🅥🅗🅢/audio",
    display = "Load Audio (Path)🎥🅥🅗🅢",
    reads("input")
)]
struct LoadAudio {
    #[input(default = "input/")]
    audio_file: String,
    /// Where it begins, in seconds.
    #[input(default = 0.0, min = 0.0)]
    seek_seconds: Option<f64>,
    /// In seconds; 0 is to the end.
    #[input(default = 0.0, min = 0.0, max = 10_000_000.0, step = 0.01)]
    duration: Option<f64>,
}

/// Reads the sound of a file in the input folder, which may be a video.
#[derive(Node)]
#[node(
    class = "VHS_LoadAudioUpload",
    category = "Video Helper Suite 🎥🅥🅗🅢/audio",
    display = "Load Audio (Upload)🎥🅥🅗🅢"
)]
struct LoadAudioUpload {
    #[input(files = "input", upload = Audio)]
    audio: String,
    /// Where it begins, in seconds.
    #[input(default = 0.0, min = 0.0, max = 10_000_000.0, step = 0.01)]
    start_time: Option<f64>,
    /// In seconds; 0 is to the end.
    #[input(default = 0.0, min = 0.0, max = 10_000_000.0, step = 0.01)]
    duration: Option<f64>,
}

#[derive(Outputs)]
struct Loaded {
    #[output(name = "audio")]
    audio: Audio,
    #[output(name = "duration")]
    duration: f64,
}

impl Run for LoadAudio {
    type Out = Loaded;

    fn validate(offer: &Offer) -> Result<(), String> {
        paths::fit(offer, "audio_file")
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        paths::flaws(offer, "audio_file", |path| paths::file(folders, path), look_for_audio)
    }

    fn fingerprint(offer: &Offer) -> Result<Fingerprint> {
        Ok(paths::fingerprint(offer, "audio_file"))
    }

    fn run(self, cx: &mut Cx) -> Result<Loaded> {
        let path = paths::file(cx.folders, &self.audio_file).context("input 'audio_file'")?;
        load(&path, (self.seek_seconds, self.duration), cx)
    }
}

impl Run for LoadAudioUpload {
    type Out = Loaded;

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("audio", "input"), look_for_audio)
    }

    fn run(self, cx: &mut Cx) -> Result<Loaded> {
        let gone = || format!("the file '{}' is not there any more; put it back", self.audio);
        let path = cx.folders.find("input", &self.audio).with_context(gone)?;
        load(&path, (self.start_time, self.duration), cx)
    }
}

fn load(path: &Path, (start, length): (Option<f64>, Option<f64>), cx: &Cx) -> Result<Loaded> {
    let stream = probe(path, Some(cx))?.audio.context("the file holds no sound; name another")?;
    let audio = sound_part(path, &stream, (start.unwrap_or(0.0), length.unwrap_or(0.0)), cx)?;
    let [_, _, samples] = audio.size()?;
    ensure!(samples > 0, "no sound of the file is left: let it begin earlier");
    let duration = samples as f64 / audio.sample_rate as f64;
    Ok(Loaded { audio, duration })
}
