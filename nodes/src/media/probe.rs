//! What a file holds, as ffprobe says.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::cx::Cx;
use serde::Deserialize;

use super::program::{add_input, ffprobe, read};

/// How much ffprobe may say of a file.
const MOST: usize = 1 << 24;

/// The first stream of each kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The names of the container's format, such as `mov`, `mp4`.
    pub formats: Vec<String>,
    pub video: Option<VideoStream>,
    pub audio: Option<AudioStream>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct VideoStream {
    /// Such as `h264`.
    pub codec: String,
    /// In pixels, at least 1.
    pub width: i64,
    pub height: i64,
    /// Frames per second on average; 1 where the file does not say it.
    pub rate: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AudioStream {
    /// Samples per second, at least 1.
    pub sample_rate: i64,
    /// At least 1.
    pub channels: i64,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
struct Format {
    #[serde(default)]
    format_name: String,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    codec_type: String,
    #[serde(default)]
    codec_name: String,
    #[serde(default)]
    width: i64,
    #[serde(default)]
    height: i64,
    #[serde(default)]
    avg_frame_rate: String,
    #[serde(default)]
    sample_rate: String,
    #[serde(default)]
    channels: i64,
}

/// Looks into a file.
///
/// # Errors
/// If ffprobe is not there or cannot read the file.
pub fn probe(path: &Path, cx: Option<&Cx>) -> Result<Probe> {
    let mut command = ffprobe();
    command.args(["-show_entries", "stream=codec_type,codec_name,width,height,avg_frame_rate,sample_rate,channels"]);
    command.args(["-show_entries", "format=format_name", "-of", "json"]);
    add_input(&mut command, path);
    let mut json = Vec::new();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unread = || format!("cannot read '{name}' as video or sound; fetch it again, or name another file");
    read(&mut command, cx, 1 << 16, |part| {
        ensure!(json.len() + part.len() <= MOST, "ffprobe says more than {MOST} bytes");
        json.extend(part);
        Ok(())
    })
    .with_context(unread)?;
    let Said { streams, format } = serde_json::from_slice(&json).with_context(unread)?;
    let first = |kind: &str| streams.iter().find(|stream| stream.codec_type == kind);
    let video = first("video").map(|stream| VideoStream {
        codec: stream.codec_name.clone(),
        width: stream.width,
        height: stream.height,
        rate: rate(&stream.avg_frame_rate).unwrap_or(1.0),
    });
    let audio = first("audio")
        .map(|stream| AudioStream { sample_rate: stream.sample_rate.parse().unwrap_or(0), channels: stream.channels });
    if video.as_ref().is_some_and(|stream| stream.width < 1 || stream.height < 1) {
        bail!("the video in '{name}' has no size; name another file");
    }
    // A stream of which not even that is known cannot be decoded.
    let audio = audio.filter(|stream| stream.sample_rate > 0 && stream.channels > 0);
    Ok(Probe { formats: format.format_name.split(',').map(str::to_owned).collect(), video, audio })
}

/// A fraction such as `30000/1001`, if it is more than 0.
fn rate(text: &str) -> Option<f64> {
    let (over, under) = text.split_once('/')?;
    let rate = over.parse::<f64>().ok()? / under.parse::<f64>().ok()?;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// Fails if a file holds no video.
///
/// # Errors
/// As [`probe`].
pub fn look_for_video(path: &Path) -> Result<()> {
    ensure!(probe(path, None)?.video.is_some(), "the file holds no video; name another");
    Ok(())
}

/// Fails if a file holds no sound.
///
/// # Errors
/// As [`probe`].
pub fn look_for_audio(path: &Path) -> Result<()> {
    ensure!(probe(path, None)?.audio.is_some(), "No audio stream found in the file.");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rates_are_fractions() {
        assert_eq!(rate("30000/1001"), Some(30000.0 / 1001.0));
        assert_eq!((rate("0/0"), rate("25"), rate("-1/2"), rate("x/1")), (None, None, None, None));
    }
}
