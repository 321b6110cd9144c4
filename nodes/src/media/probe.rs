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
    /// Frames per second as players take them: the lowest rate at which all frames have a place, or the average where that is far
    /// below.
    pub played_rate: f64,
    /// How many frames there are, where the file says it.
    pub frames: Option<i64>,
    /// How long it is in seconds, where the file says it.
    pub duration: Option<f64>,
    /// Whether its pixels may be transparent.
    pub has_alpha: bool,
    /// Whether it is to be turned by a quarter, so that width and height change places.
    pub is_turned: bool,
}

impl VideoStream {
    /// Width and height as it is shown.
    pub fn upright(&self) -> (i64, i64) {
        if self.is_turned { (self.height, self.width) } else { (self.width, self.height) }
    }
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
    #[serde(default)]
    duration: String,
}

#[derive(Deserialize, Default)]
struct Tags {
    /// `1` in WebM, where the alpha lies beside the picture.
    #[serde(default, alias = "ALPHA_MODE")]
    alpha_mode: String,
}

/// What belongs to a stream beside its packets.
#[derive(Deserialize)]
struct SideData {
    /// In degrees.
    #[serde(default)]
    rotation: f64,
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
    r_frame_rate: String,
    #[serde(default)]
    nb_frames: String,
    #[serde(default)]
    duration: String,
    #[serde(default)]
    pix_fmt: String,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    side_data_list: Vec<SideData>,
    #[serde(default)]
    sample_rate: String,
    #[serde(default)]
    channels: i64,
}

impl Stream {
    fn has_alpha(&self) -> bool {
        let of_pixels = ["yuva", "rgba", "bgra", "argb", "abgr", "gbra", "ya8", "ya16"];
        self.tags.alpha_mode == "1" || of_pixels.iter().any(|name| self.pix_fmt.starts_with(name))
    }
}

/// Looks into a file.
///
/// # Errors
/// If ffprobe is not there or cannot read the file.
pub fn probe(path: &Path, cx: Option<&Cx>) -> Result<Probe> {
    let mut command = ffprobe();
    command.args(["-show_entries", "stream=codec_type,codec_name,width,height,avg_frame_rate,sample_rate,channels"]);
    command.args([
        "-show_entries",
        "stream=r_frame_rate,nb_frames,duration,pix_fmt:stream_side_data=rotation:stream_tags=alpha_mode",
    ]);
    command.args(["-show_entries", "format=format_name,duration", "-of", "json"]);
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
        played_rate: played_rate(rate(&stream.avg_frame_rate), rate(&stream.r_frame_rate)),
        frames: stream.nb_frames.parse().ok().filter(|count| *count > 0),
        duration: seconds(&format.duration).or_else(|| seconds(&stream.duration)),
        has_alpha: stream.has_alpha(),
        is_turned: stream.side_data_list.iter().any(|data| (data.rotation / 90.0).round() as i64 % 2 != 0),
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

/// The rate of a video from its average and from the lowest rate at which all frames have a place.
fn played_rate(average: Option<f64>, lowest: Option<f64>) -> f64 {
    match (average, lowest) {
        (Some(average), Some(lowest)) if average < 70.0 && lowest > 210.0 => average,
        (average, lowest) => lowest.or(average).unwrap_or(1.0),
    }
}

fn seconds(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds > 0.0)
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
        assert_eq!(played_rate(Some(24.0), Some(1000.0)), 24.0);
        assert_eq!([played_rate(Some(24.0), Some(48.0)), played_rate(None, None)], [48.0, 1.0]);
    }
}
