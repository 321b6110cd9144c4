//! Writing video and sound.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::aside::temporary_folder;
use redraft_engine::cx::Cx;
use serde_json::Value as Json;
use tch::{Kind, Tensor};

use super::metadata::ffmetadata;
use super::program::{add_input, as_file, feed, ffmpeg, run};
use crate::ops::bytes::eight_bits;
use crate::values::{Audio, Image};

/// How ComfyUI's pictures become the encoder's: with ffmpeg's bilinear scaler.
const CONVERTED: &str = "scale=flags=bilinear,format=yuv420p";

/// A WebM file without sound.
pub struct Webm {
    /// Whether it is AV1, in place of VP9.
    pub av1: bool,
    /// Frames per second.
    pub fps: f64,
    /// The constant rate factor, 0 to 63: the higher, the smaller and the worse.
    pub crf: f64,
}

/// An MP4 file in H.264, with or without sound in AAC.
pub struct Mp4<'a> {
    /// Frames per second.
    pub fps: f64,
    pub audio: Option<&'a Audio>,
}

/// What a file of sound is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCodec {
    /// 16 bits.
    Flac,
    /// The best variable bit rate, or one in bits a second.
    Mp3(Option<u32>),
    /// Bits a second.
    Opus(u32),
}

impl AudioCodec {
    pub fn extension(self) -> &'static str {
        match self {
            AudioCodec::Flac => "flac",
            AudioCodec::Mp3(_) => "mp3",
            AudioCodec::Opus(_) => "opus",
        }
    }

    fn arguments(self) -> Vec<String> {
        let (codec, format, quality) = match self {
            AudioCodec::Flac => ("flac", "s16", None),
            AudioCodec::Mp3(None) => ("libmp3lame", "s32p", Some(("-q:a", "0".to_owned()))),
            AudioCodec::Mp3(Some(rate)) => ("libmp3lame", "s32p", Some(("-b:a", rate.to_string()))),
            AudioCodec::Opus(rate) => ("libopus", "s16", Some(("-b:a", rate.to_string()))),
        };
        let fixed = ["-c:a", codec, "-sample_fmt", format].map(str::to_owned);
        let quality = quality.into_iter().flat_map(|(option, value)| [option.to_owned(), value]);
        fixed.into_iter().chain(quality).collect()
    }
}

/// Writes the frames N×H×W×C (C at least 3) to a new file at `path`.
///
/// # Errors
/// If ffmpeg or the encoder is not there, or the file cannot be written.
pub fn write_webm(path: &Path, images: &Image, webm: &Webm, metadata: &[(String, Json)], cx: &Cx) -> Result<()> {
    let Webm { av1, fps, crf } = webm;
    let codec: &[&str] = if *av1 {
        &["-c:v", "libsvtav1", "-preset", "6", "-vf", "scale=flags=bilinear,format=yuv420p10le"]
    } else {
        &["-c:v", "libvpx-vp9", "-vf", CONVERTED]
    };
    let crf = crf.to_string();
    let options: Vec<&str> = codec.iter().copied().chain(["-b:v", "0", "-crf", &crf, "-f", "webm"]).collect();
    write_video(path, images, *fps, None, &options, metadata, cx)
}

/// Writes the frames N×H×W×C (C at least 3) to a new file at `path`. Sound that lasts longer is cut.
///
/// # Errors
/// If ffmpeg or the encoder is not there, a side is odd, or the file cannot be written.
pub fn write_mp4(path: &Path, images: &Image, mp4: &Mp4, metadata: &[(String, Json)], cx: &Cx) -> Result<()> {
    let size = images.0.size();
    if let [_, height, width, _] = size[..] {
        ensure!(
            height % 2 == 0 && width % 2 == 0,
            "a video in H.264 needs even sides, and these are {width} × {height}: crop or scale the pictures"
        );
    }
    let options = ["-c:v", "libx264", "-vf", CONVERTED, "-c:a", "aac", "-movflags", "use_metadata_tags", "-f", "mp4"];
    write_video(path, images, mp4.fps, mp4.audio, &options, metadata, cx)
}

/// Writes one picture as the only frame of a new MP4 file at `path`, in H.264 with a constant rate factor. `image` is 1×H×W×C.
///
/// # Errors
/// As [`write_mp4`].
pub fn write_frame(path: &Path, image: &Image, crf: i64, cx: &Cx) -> Result<()> {
    let crf = crf.to_string();
    let options = ["-c:v", "libx264", "-preset", "veryfast", "-crf", &crf, "-vf", CONVERTED, "-f", "mp4"];
    write_video(path, image, 1.0, None, &options, &[], cx)
}

fn write_video(
    path: &Path,
    images: &Image,
    fps: f64,
    audio: Option<&Audio>,
    options: &[&str],
    metadata: &[(String, Json)],
    cx: &Cx,
) -> Result<()> {
    let [count, height, width, channels] = images.0.size()[..] else {
        bail!("pictures of shape {:?} are no video: connect a batch of images", images.0.size());
    };
    ensure!(count > 0 && height > 0 && width > 0, "a video of no pictures cannot be saved: connect some");
    ensure!(channels >= 3, "pictures of {channels} channels cannot be saved as a video: make them RGB");
    let beside = temporary_folder("redraft-media-")?;
    let thousandths = (fps * 1000.0).round_ties_even();
    let mut command = ffmpeg();
    command.args(["-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", &format!("{width}x{height}")]);
    command.args(["-framerate", &format!("{thousandths}/1000"), "-i", "pipe:0"]);
    let mut inputs = 1;
    if let Some(audio) = audio {
        let duration = (audio.sample_rate as f64 * 1000.0 / thousandths * count as f64).ceil() as i64;
        add_samples(&mut command, beside.path(), audio, Some(duration), cx)?;
        inputs += 1;
    }
    add_metadata(&mut command, beside.path(), metadata)?;
    command.args(["-map", "0:v:0"]);
    if inputs > 1 {
        command.args(["-map", "1:a:0"]);
    }
    command.args(["-map_metadata", &inputs.to_string()]).args(options).arg(as_file(path));
    let frames = (0..count).map(|at| eight_bits(&images.0.get(at).narrow(-1, 0, 3)));
    feed(&mut command, cx, frames).context("cannot write the video")
}

/// Adds sound as an input: the recordings one after the other, each no longer than `longest` samples. It lies in `folder` meanwhile.
///
/// # Errors
/// If the sound is neither mono nor stereo, or the folder cannot be written to.
pub fn add_samples(command: &mut Command, folder: &Path, audio: &Audio, longest: Option<i64>, cx: &Cx) -> Result<()> {
    let [_, channels, length] = audio.waveform.size()[..] else {
        bail!("sound of shape {:?} cannot be saved: it must be batch × channels × samples", audio.waveform.size());
    };
    ensure!((1..=2).contains(&channels), "sound of {channels} channels cannot be saved: make it mono or stereo");
    let length = longest.map_or(length, |longest| length.min(longest));
    let samples = audio.waveform.narrow(-1, 0, length).transpose(1, 2).contiguous().view(-1).to_kind(Kind::Float);
    let path = folder.join("samples.f32le");
    write_samples(&path, &samples, cx)?;
    command.args(["-f", "f32le", "-ar", &audio.sample_rate.to_string(), "-ac", &channels.to_string(), "-i"]);
    command.arg(as_file(&path));
    Ok(())
}

fn write_samples(path: &Path, samples: &Tensor, cx: &Cx) -> Result<()> {
    use std::io::Write;
    const AT_ONCE: i64 = 1 << 20;
    let mut file = std::io::BufWriter::new(fs_err::File::create(path)?);
    let total = i64::try_from(samples.numel())?;
    for begin in (0..total).step_by(AT_ONCE as usize) {
        cx.check()?;
        let part = Vec::<f32>::try_from(&samples.narrow(0, begin, AT_ONCE.min(total - begin)))?;
        file.write_all(&part.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    Ok(file.into_inner()?.sync_data()?)
}

/// Adds an input of texts alone: values as Python's JSON. It lies in `folder` meanwhile.
///
/// # Errors
/// If the folder cannot be written to.
pub fn add_metadata(command: &mut Command, folder: &Path, metadata: &[(String, Json)]) -> Result<()> {
    let path = folder.join("metadata.txt");
    fs_err::write(&path, ffmetadata(metadata))?;
    command.args(["-f", "ffmetadata", "-i"]).arg(as_file(&path));
    Ok(())
}

/// Writes the streams of `from` to a new MP4 file at `path` without decoding them, with its own texts and further ones.
///
/// # Errors
/// If ffmpeg is not there, MP4 cannot hold the streams, or the file cannot be written.
pub fn copy(from: &Path, path: &Path, metadata: &[(String, Json)], cx: &Cx) -> Result<()> {
    let beside = temporary_folder("redraft-media-")?;
    let mut command = ffmpeg();
    command.arg("-y");
    add_input(&mut command, from);
    add_metadata(&mut command, beside.path(), metadata)?;
    command.args(["-map", "0:v", "-map", "0:a?", "-map", "0:s?", "-c", "copy", "-map_metadata", "1"]);
    command.args(["-movflags", "use_metadata_tags", "-f", "mp4"]).arg(as_file(path));
    run(&mut command, Some(cx)).context("cannot copy the video into an MP4 file")
}

/// Writes one recording, 1×C×T, to a new file at `path`.
///
/// # Errors
/// If ffmpeg or the encoder is not there, or the file cannot be written.
pub fn write_audio(path: &Path, audio: &Audio, codec: AudioCodec, metadata: &[(String, Json)], cx: &Cx) -> Result<()> {
    let beside = temporary_folder("redraft-media-")?;
    let mut command = ffmpeg();
    command.arg("-y");
    add_samples(&mut command, beside.path(), audio, None, cx)?;
    add_metadata(&mut command, beside.path(), metadata)?;
    command.args(["-map", "0:a:0", "-map_metadata", "1"]).args(codec.arguments());
    command.args(["-f", codec.extension()]).arg(as_file(path));
    run(&mut command, Some(cx)).context("cannot write the sound")
}
