use anyhow::{Context, Result};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::io::{Field, Misfit, Value, Widget};
use redraft_engine::node::{Fingerprint, Flaw, Offer, Run};
use redraft_engine::schema::Kind;

use super::super::held;
use crate::media::{look_for_audio, probe, sound};
use crate::values::Audio;

/// Reads the sound of a file in the input folder, which may be a video.
#[derive(Node)]
#[node(category = "audio", display = "Load Audio")]
struct LoadAudio {
    /// The file.
    #[input(files = "input", upload = Audio)]
    audio: String,
}

impl Run for LoadAudio {
    type Out = Audio;

    fn run(self, cx: &mut Cx) -> Result<Audio> {
        load(cx, &self.audio)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("audio", "input"), look_for_audio)
    }
}

/// Reads sound that the editor recorded and stored. Nothing is recorded here.
#[derive(Node)]
#[node(category = "audio", display = "Record Audio")]
struct RecordAudio {
    /// The file, `audio/1.webm [temp]`.
    audio: Recording,
}

/// The name of a file that the editor's recorder holds.
struct Recording(String);

impl Field for Recording {
    fn kind(_: Widget) -> Kind {
        Kind::Widget { ty: "AUDIO_RECORD".to_owned(), default: None }
    }

    fn from_value(value: &Value) -> Result<Recording, Misfit> {
        held::name(value, "names no recording; record one in the editor, or name a file").map(Recording)
    }
}

impl Run for RecordAudio {
    type Out = Audio;

    fn run(self, cx: &mut Cx) -> Result<Audio> {
        load(cx, &self.audio.0)
    }

    fn fingerprint(_: &Offer) -> Result<Fingerprint> {
        Ok(held::FINGERPRINT)
    }
}

fn load(cx: &Cx, name: &str) -> Result<Audio> {
    let gone = || format!("the file '{name}' is not there any more; put it back");
    let path = cx.folders.find("input", name).with_context(gone)?;
    let stream = probe(&path, Some(cx))?.audio;
    sound(&path, &stream.context("No audio stream found in the file.")?, cx)
}
