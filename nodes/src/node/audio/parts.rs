use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::values::Audio;

/// Keeps a part of a recording.
#[derive(Node)]
#[node(category = "audio", display = "Trim Audio Duration")]
struct TrimAudioDuration {
    audio: Audio,
    /// Where the part begins, in seconds; below 0, from the end.
    #[input(default = 0.0, min = -18446744073709551615.0, max = 18446744073709551615.0, step = 0.01)]
    start_index: f64,
    /// How long it is, in seconds.
    #[input(default = 60.0, min = 0.0, step = 0.01)]
    duration: f64,
}

impl Run for TrimAudioDuration {
    type Out = Audio;

    fn run(self, _: &mut Cx) -> Result<Audio> {
        let [_, _, length] = self.audio.size()?;
        // As integers without a limit: conversion stops at the ends of the range.
        let samples = |seconds: f64| i128::from((seconds * self.audio.sample_rate as f64).round_ties_even() as i64);
        let length = i128::from(length);
        let from_end = if self.start_index < 0.0 { length } else { 0 };
        let start = (from_end + samples(self.start_index)).clamp(0, (length - 1).max(0));
        let end = (start + samples(self.duration)).clamp(0, length);
        ensure!(
            start < end,
            "AudioTrim: Start time must be less than end time and be within the audio length. \
             The part from {} s, {} s long, is empty: set another",
            self.start_index,
            self.duration
        );
        let (start, end) = (i64::try_from(start)?, i64::try_from(end)?);
        Ok(Audio { waveform: self.audio.waveform.narrow(-1, start, end - start), ..self.audio })
    }
}

/// Separates the channels of stereo sound.
#[derive(Node)]
#[node(category = "audio", display = "Split Audio Channels")]
struct SplitAudioChannels {
    audio: Audio,
}

#[derive(Outputs)]
struct Channels {
    #[output(name = "left")]
    left: Audio,
    #[output(name = "right")]
    right: Audio,
}

impl Run for SplitAudioChannels {
    type Out = Channels;

    fn run(self, _: &mut Cx) -> Result<Channels> {
        let [_, channels, _] = self.audio.size()?;
        ensure!(channels == 2, "AudioSplit: the sound has {channels} channels and not two; connect stereo sound");
        let channel =
            |number| Audio { waveform: self.audio.waveform.narrow(1, number, 1), sample_rate: self.audio.sample_rate };
        Ok(Channels { left: channel(0), right: channel(1) })
    }
}
