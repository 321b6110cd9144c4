use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs, memory};
use tch::Tensor;

use crate::ops::resample::resample;
use crate::values::Audio;

/// Plays one recording after another.
#[derive(Node)]
#[node(category = "audio", display = "Audio Concat")]
struct AudioConcat {
    audio1: Audio,
    audio2: Audio,
    /// Where the second one goes.
    #[input(default = "after")]
    direction: Place,
}

#[derive(Combo)]
enum Place {
    After,
    Before,
}

impl Run for AudioConcat {
    type Out = Audio;

    fn run(self, _: &mut Cx) -> Result<Audio> {
        let (one, two) = (stereo(self.audio1)?, stereo(self.audio2)?);
        let (one, two, sample_rate) = at_one_rate(one, two)?;
        let ([batch, channels, _], [other_batch, other_channels, _]) = (size(&one), size(&two));
        ensure!(
            (batch, channels) == (other_batch, other_channels),
            "{batch} recordings of {channels} channels cannot be joined to {other_batch} of {other_channels}: connect as many"
        );
        let parts = match self.direction {
            Place::After => [one, two],
            Place::Before => [two, one],
        };
        memory::ask(parts.iter().map(Tensor::numel).sum::<usize>() * 4, "the joined sound")?;
        Ok(Audio { waveform: Tensor::cat(&parts, 2), sample_rate })
    }
}

/// Makes stereo of two recordings of one channel. The lower sample rate is raised to the higher one, the longer recording cut.
#[derive(Node)]
#[node(category = "audio", display = "Join Audio Channels")]
struct JoinAudioChannels {
    audio_left: Audio,
    audio_right: Audio,
}

#[derive(Outputs)]
struct Joined {
    #[output(name = "audio")]
    audio: Audio,
}

impl Run for JoinAudioChannels {
    type Out = Joined;

    fn run(self, _: &mut Cx) -> Result<Joined> {
        let (left, right, sample_rate) = at_one_rate(self.audio_left, self.audio_right)?;
        let ([batch, channels, length], [other_batch, other_channels, other]) = (size(&left), size(&right));
        ensure!(
            channels == 1 && other_channels == 1,
            "a recording of {channels} channels cannot be joined to one of {other_channels}: connect recordings of one channel"
        );
        ensure!(batch == other_batch, "{batch} recordings cannot be joined to {other_batch}: connect as many");
        memory::ask((left.numel() + right.numel()).saturating_mul(4), "the joined sound")?;
        let length = length.min(other);
        let waveform = Tensor::cat(&[left.narrow(-1, 0, length), right.narrow(-1, 0, length)], 1);
        Ok(Joined { audio: Audio { waveform, sample_rate } })
    }
}

/// Plays two recordings at once. The result is as long as the first, and made quieter where it would exceed the range.
#[derive(Node)]
#[node(category = "audio", display = "Audio Merge")]
struct AudioMerge {
    audio1: Audio,
    audio2: Audio,
    /// How samples become one.
    merge_method: Method,
}

#[derive(Combo)]
enum Method {
    Add,
    Mean,
    Subtract,
    Multiply,
}

impl Run for AudioMerge {
    type Out = Audio;

    fn run(self, _: &mut Cx) -> Result<Audio> {
        let (one, two, sample_rate) = at_one_rate(self.audio1, self.audio2)?;
        let ([batch, channels, length], [other_batch, other_channels, other]) = (size(&one), size(&two));
        let fits = |a: i64, b: i64| a == b || a == 1 || b == 1;
        ensure!(
            fits(batch, other_batch) && fits(channels, other_channels),
            "{batch} recordings of {channels} channels cannot be merged with {other_batch} of {other_channels}: connect as many"
        );
        memory::ask(one.numel().saturating_mul(12), "the merged sound")?;
        let two = if other > length { two.narrow(-1, 0, length) } else { two.constant_pad_nd([0, length - other]) };
        let merged = match self.merge_method {
            Method::Add => one + two,
            Method::Subtract => one - two,
            Method::Multiply => one * two,
            Method::Mean => (one + two) / 2.0,
        };
        if merged.numel() == 0 {
            return Ok(Audio { waveform: merged, sample_rate });
        }
        let loudest = merged.abs().max();
        let waveform = if loudest.double_value(&[]) > 1.0 { merged / loudest } else { merged };
        Ok(Audio { waveform, sample_rate })
    }
}

/// Makes sound louder or quieter.
#[derive(Node)]
#[node(category = "audio", display = "Audio Adjust Volume")]
struct AudioAdjustVolume {
    audio: Audio,
    /// In decibels: 6 is about twice the amplitude, -6 half, and 0 changes nothing.
    #[input(default = 1, min = -100, max = 100)]
    volume: i64,
}

impl Run for AudioAdjustVolume {
    type Out = Audio;

    fn run(self, _: &mut Cx) -> Result<Audio> {
        if self.volume == 0 {
            return Ok(self.audio);
        }
        memory::ask(self.audio.waveform.numel().saturating_mul(4), "the sound")?;
        let gain = 10f64.powf(self.volume as f64 / 20.0);
        Ok(Audio { waveform: self.audio.waveform * gain, ..self.audio })
    }
}

/// Mono sound on both channels; other sound as it is.
fn stereo(audio: Audio) -> Result<Audio> {
    match audio.size()? {
        [_, 1, _] => Ok(Audio { waveform: audio.waveform.repeat([1, 2, 1]), ..audio }),
        _ => Ok(audio),
    }
}

/// Both at the higher rate.
fn at_one_rate(one: Audio, two: Audio) -> Result<(Tensor, Tensor, i64)> {
    one.size()?;
    two.size()?;
    let rate = one.sample_rate.max(two.sample_rate);
    let moved = |audio: Audio| resample(&audio.waveform, audio.sample_rate, rate);
    Ok((moved(one)?, moved(two)?, rate))
}

/// The size of a waveform that was looked at before.
fn size(waveform: &Tensor) -> [i64; 3] {
    waveform.size().try_into().unwrap_or_default()
}
