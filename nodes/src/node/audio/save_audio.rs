use std::path::Path;

use anyhow::Result;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use super::super::image::{announce, letters, metadata};
use crate::media::{AudioCodec, write_audio};
use crate::ops::resample::resample;
use crate::pictures::names::save_location;
use crate::pictures::write::write_numbered_by;
use crate::values::Audio;

/// Saves recordings as FLAC files in the output folder, 16 bits a sample, each with the workflow that made it.
#[derive(Node)]
#[node(category = "audio", display = "Save Audio (FLAC)", output, hidden("prompt", "extra_pnginfo"))]
struct SaveAudio {
    audio: Audio,
    /// The prefix of the files' names. It may contain subfolders.
    #[input(default = "audio/ComfyUI")]
    filename_prefix: String,
}

impl Run for SaveAudio {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        save_output(cx, &self.audio, &self.filename_prefix, AudioCodec::Flac)
    }
}

/// Saves recordings as MP3 files in the output folder, each with the workflow that made it.
#[derive(Node)]
#[node(category = "audio", display = "Save Audio (MP3)", output, hidden("prompt", "extra_pnginfo"))]
struct SaveAudioMP3 {
    audio: Audio,
    /// The prefix of the files' names. It may contain subfolders.
    #[input(default = "audio/ComfyUI")]
    filename_prefix: String,
    /// The bit rate; V0 is the best variable one.
    #[input(default = "V0")]
    quality: Mp3Quality,
}

#[derive(Combo)]
enum Mp3Quality {
    #[combo(name = "V0")]
    Variable,
    #[combo(name = "128k")]
    Low,
    #[combo(name = "320k")]
    High,
}

impl Run for SaveAudioMP3 {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        let rate = match self.quality {
            Mp3Quality::Variable => None,
            Mp3Quality::Low => Some(128_000),
            Mp3Quality::High => Some(320_000),
        };
        save_output(cx, &self.audio, &self.filename_prefix, AudioCodec::Mp3(rate))
    }
}

/// Saves recordings as Opus files in the output folder, each with the workflow that made it.
#[derive(Node)]
#[node(category = "audio", display = "Save Audio (Opus)", output, hidden("prompt", "extra_pnginfo"))]
struct SaveAudioOpus {
    audio: Audio,
    /// The prefix of the files' names. It may contain subfolders.
    #[input(default = "audio/ComfyUI")]
    filename_prefix: String,
    /// The bit rate.
    #[input(default = "128k")]
    quality: OpusQuality,
}

#[derive(Combo)]
enum OpusQuality {
    #[combo(name = "64k")]
    Rate64,
    #[combo(name = "96k")]
    Rate96,
    #[combo(name = "128k")]
    Rate128,
    #[combo(name = "192k")]
    Rate192,
    #[combo(name = "320k")]
    Rate320,
}

impl Run for SaveAudioOpus {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        let rate = match self.quality {
            OpusQuality::Rate64 => 64_000,
            OpusQuality::Rate96 => 96_000,
            OpusQuality::Rate128 => 128_000,
            OpusQuality::Rate192 => 192_000,
            OpusQuality::Rate320 => 320_000,
        };
        save_output(cx, &at_a_rate_of_opus(self.audio)?, &self.filename_prefix, AudioCodec::Opus(rate))
    }
}

/// Sound at the next higher of the sample rates that Opus knows.
fn at_a_rate_of_opus(audio: Audio) -> Result<Audio> {
    const RATES: [i64; 5] = [8000, 12000, 16000, 24000, 48000];
    let rate = RATES.into_iter().find(|rate| *rate >= audio.sample_rate).unwrap_or(48000);
    Ok(Audio { waveform: resample(&audio.waveform, audio.sample_rate, rate)?, sample_rate: rate })
}

/// Saves recordings as FLAC files in the temp folder, to be listened to.
#[derive(Node)]
#[node(category = "audio", display = "Preview Audio", output, hidden("prompt", "extra_pnginfo"))]
struct PreviewAudio {
    audio: Audio,
}

impl Run for PreviewAudio {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        let folder = cx.folders.temp.clone();
        let letters = cx.kept(|| letters(cx.node.as_str()));
        save(cx, &self.audio, &format!("ComfyUI_temp_{letters}"), &folder, "temp", AudioCodec::Flac)
    }
}

fn save_output(cx: &mut Cx, audio: &Audio, prefix: &str, codec: AudioCodec) -> Result<()> {
    let folder = cx.folders.output.clone();
    save(cx, audio, prefix, &folder, "output", codec)
}

/// Saves each recording in or below `folder`, and announces its file.
fn save(cx: &mut Cx, audio: &Audio, prefix: &str, folder: &Path, kind: &str, codec: AudioCodec) -> Result<()> {
    let [batch, ..] = audio.size()?;
    let location = save_location(prefix, folder, 0, 0, chrono::Local::now().naive_local())?;
    let mut counter = location.counter;
    for number in 0..batch {
        let one = Audio { waveform: audio.waveform.narrow(0, number, 1), sample_rate: audio.sample_rate };
        let name = |counter| {
            let name = location.name.replace("%batch_num%", &number.to_string());
            format!("{name}_{counter:05}_.{}", codec.extension())
        };
        let texts = metadata(cx);
        let saved = write_numbered_by(&location, &mut counter, name, |aside, _| {
            write_audio(aside.path(), &one, codec, &texts, cx)
        })?;
        announce(cx, "audio", &location, saved, kind)?;
    }
    Ok(())
}
