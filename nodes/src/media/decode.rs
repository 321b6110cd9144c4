//! Frames and samples of a file.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::memory;
use tch::{Device, Kind, Tensor};

use super::probe::{AudioStream, VideoStream};
use super::program::{add_input, ffmpeg, read};
use crate::ops::bytes::unit_floats;
use crate::values::{Audio, Image};

/// Samples that are read at once.
const AT_ONCE: usize = 1 << 16;

/// All frames of a file's first video: N×H×W×3, as they are stored (not turned as the file asks), none left out and none repeated.
///
/// # Errors
/// If the file cannot be decoded, or there is no memory for the frames.
pub fn frames(path: &Path, stream: &VideoStream, cx: &Cx) -> Result<Image> {
    let (height, width) = (stream.height, stream.width);
    let bytes = usize::try_from(memory::product(&[height, width], 3))?;
    let mut command = ffmpeg();
    command.arg("-noautorotate");
    add_input(&mut command, path);
    command.args(["-map", "0:v:0", "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]);
    let mut frames: Vec<Vec<u8>> = Vec::new();
    decode(&mut command, path, cx, bytes, |frame| {
        ensure!(frame.len() == bytes, "the last frame is not whole");
        memory::ask(bytes, "a frame of a video")?;
        frames.push(frame);
        Ok(())
    })?;
    let count = i64::try_from(frames.len())?;
    memory::ask(memory::product(&[count, height, width, 3], 4), "the frames of a video")?;
    let all = Tensor::empty([count, height, width, 3], (Kind::Float, Device::Cpu));
    for (at, frame) in (0..).zip(frames) {
        cx.check()?;
        all.get(at).copy_(&unit_floats(&frame, &[height, width, 3]));
    }
    Ok(Image(all))
}

/// The sound of a file: 1×C×T.
///
/// # Errors
/// If the file cannot be decoded, or there is no memory for it.
pub fn sound(path: &Path, stream: &AudioStream, cx: &Cx) -> Result<Audio> {
    let audio = sound_part(path, stream, (0.0, 0.0), cx)?;
    ensure!(audio.waveform.numel() > 0, "No audio frames decoded.");
    Ok(audio)
}

/// Of the sound of a file the part from a time on, of some length, both in seconds: 1×C×T. A length of 0 is all that follows. A part behind
/// the end is empty.
///
/// # Errors
/// As [`sound`].
pub fn sound_part(path: &Path, stream: &AudioStream, (start, length): (f64, f64), cx: &Cx) -> Result<Audio> {
    let mut command = ffmpeg();
    add_input(&mut command, path);
    for (option, seconds) in [("-ss", start), ("-t", length)] {
        if seconds > 0.0 {
            command.args([option, &format!("{seconds:.6}")]);
        }
    }
    command.args(["-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "f32le"]);
    command.args(["-ar", &stream.sample_rate.to_string(), "-ac", &stream.channels.to_string(), "pipe:1"]);
    let mut samples: Vec<f32> = Vec::new();
    decode(&mut command, path, cx, AT_ONCE * 4, |part| {
        memory::ask(part.len().saturating_mul(4), "the sound of a file")?;
        let (numbers, rest) = part.as_chunks::<4>();
        ensure!(rest.is_empty(), "the last sample is not whole");
        samples.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        Ok(())
    })?;
    let length = i64::try_from(samples.len())? / stream.channels;
    let whole = usize::try_from(length * stream.channels)?;
    memory::ask(whole.saturating_mul(8), "the sound of a file")?;
    let waveform =
        Tensor::from_slice(&samples[..whole]).view([1, length, stream.channels]).transpose(1, 2).contiguous();
    Ok(Audio { waveform, sample_rate: stream.sample_rate })
}

fn decode(
    command: &mut Command,
    path: &Path,
    cx: &Cx,
    size: usize,
    take: impl FnMut(Vec<u8>) -> Result<()>,
) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    read(command, Some(cx), size, take).with_context(|| format!("cannot decode '{name}'; fetch it again"))
}
