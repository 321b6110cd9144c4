use std::path::Path;

use anyhow::Result;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Choices, Combo, Node, Outputs};

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
        save_output(cx, &self.audio, &self.filename_prefix, AudioCodec::Mp3(self.quality.bits_a_second()))
    }
}

impl Mp3Quality {
    /// The constant bit rate; nothing for the variable one.
    fn bits_a_second(&self) -> Option<u32> {
        match self {
            Self::Variable => None,
            Self::Low => Some(128_000),
            Self::High => Some(320_000),
        }
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
        let codec = AudioCodec::Opus(self.quality.bits_a_second());
        save_output(cx, &at_a_rate_of_opus(self.audio)?, &self.filename_prefix, codec)
    }
}

impl OpusQuality {
    fn bits_a_second(&self) -> u32 {
        match self {
            Self::Rate64 => 64_000,
            Self::Rate96 => 96_000,
            Self::Rate128 => 128_000,
            Self::Rate192 => 192_000,
            Self::Rate320 => 320_000,
        }
    }
}

/// Saves recordings in the output folder in one of three formats, each with the workflow that made it, and passes them on.
#[derive(Node)]
#[node(category = "audio", display = "Save Audio (Advanced)", output, hidden("prompt", "extra_pnginfo"))]
struct SaveAudioAdvanced {
    /// The recordings.
    audio: Audio,
    /// The prefix of the files' names. It may contain subfolders.
    #[input(default = "audio/ComfyUI")]
    filename_prefix: String,
    /// The format of the files.
    format: Format,
}

#[derive(Choices)]
enum Format {
    Flac,
    Mp3 {
        /// The bit rate; V0 is the best variable one.
        #[input(default = "V0")]
        quality: Mp3Quality,
    },
    Opus {
        /// The bit rate.
        #[input(default = "128k")]
        quality: OpusQuality,
    },
}

#[derive(Outputs)]
struct PassedOn {
    #[output(name = "audio")]
    audio: Audio,
}

impl Run for SaveAudioAdvanced {
    type Out = PassedOn;

    fn run(self, cx: &mut Cx) -> Result<PassedOn> {
        let audio = self.audio;
        match self.format {
            Format::Flac => save_output(cx, &audio, &self.filename_prefix, AudioCodec::Flac)?,
            Format::Mp3 { quality } => {
                save_output(cx, &audio, &self.filename_prefix, AudioCodec::Mp3(quality.bits_a_second()))?;
            }
            Format::Opus { quality } => {
                let codec = AudioCodec::Opus(quality.bits_a_second());
                save_output(cx, &at_a_rate_of_opus(audio.clone())?, &self.filename_prefix, codec)?;
            }
        }
        Ok(PassedOn { audio })
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
