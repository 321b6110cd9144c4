//! Writing frames as a video with ffmpeg, and sound beside it.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::aside::temporary_folder;
use redraft_engine::cx::Cx;
use redraft_nodes::media::{add_metadata, add_samples, as_file, feed, ffmpeg, read, run};
use redraft_nodes::ops::bytes::{rounded_eight_bits, rounded_sixteen_bits};
use redraft_nodes::values::Audio;
use serde_json::Value as Json;
use tch::{Kind, Tensor};

use super::formats::{Colours, Format};
use super::widgets::Settings;

/// Sides of a video are multiples of it.
const ALIGNMENT: i64 = 2;

/// Frames that are to be written.
pub(super) struct Clip<'a> {
    /// N×H×W×C, C = 3 or 4, values 0 to 1.
    pub(super) images: &'a Tensor,
    /// Frames per second.
    pub(super) rate: f64,
    /// How often it is played again.
    pub(super) loops: i64,
    /// Whether the frames follow once more, backwards.
    pub(super) pingpong: bool,
}

impl Clip<'_> {
    /// The frames by number, in the order in which they are shown.
    pub(super) fn order(&self) -> Vec<i64> {
        order(self.images.size().first().copied().unwrap_or(0), self.pingpong)
    }

    /// Width, height and channels.
    fn size(&self) -> Result<(i64, i64, i64)> {
        match self.images.size()[..] {
            [_, height, width, channels @ (3 | 4)] if width > 0 && height > 0 => Ok((width, height, channels)),
            _ => bail!("pictures of shape {:?} are no video: make them RGB or RGBA", self.images.size()),
        }
    }
}

/// The numbers of frames in the order in which they are shown.
fn order(count: i64, pingpong: bool) -> Vec<i64> {
    let back = if pingpong { (1..count - 1).rev() } else { (0..0).rev() };
    (0..count).chain(back).collect()
}

/// Writes a video without sound to `path`; of a format with a file for each frame, `path` holds `%03d`.
///
/// # Errors
/// If ffmpeg or the encoder is not there, the pictures are no RGB or RGBA, or nothing can be written.
pub(super) fn write_video(
    path: &Path,
    clip: &Clip<'_>,
    (format, settings): (&Format, &Settings),
    metadata: &[(String, Json)],
    cx: &Cx,
) -> Result<()> {
    let (width, height, channels) = clip.size()?;
    look_for_encoder(format, cx)?;
    let order = clip.order();
    let beside = temporary_folder("redraft-video-")?;
    let mut command = ffmpeg();
    command.arg("-y");
    let with_texts = settings.flag("save_metadata");
    if with_texts {
        add_metadata(&mut command, beside.path(), metadata)?;
    }
    let is_deep = format.is_deep(settings);
    let pixels = match (channels == 4, is_deep) {
        (false, false) => "rgb24",
        (true, false) => "rgba",
        (false, true) => "rgb48le",
        (true, true) => "rgba64le",
    };
    let curve = if format.colours == Colours::Unsaid { "iec61966-2-1" } else { "bt709" };
    command.args(["-f", "rawvideo", "-pix_fmt", pixels, "-color_range", "pc", "-colorspace", "rgb"]);
    command.args(["-color_primaries", "bt709", "-color_trc", curve]);
    let (wide, high) = (aligned(width), aligned(height));
    command.args(["-s", &format!("{wide}x{high}"), "-r", &clip.rate.to_string(), "-i", "pipe:0"]);
    command.args(filters(format, settings, clip.loops, order.len()));
    command.args((format.options)(settings, channels == 4));
    if format.colours == Colours::Bt709Tv {
        command.args(["-color_range", "tv"]);
    }
    if format.colours != Colours::Unsaid {
        command.args(["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]);
    }
    if with_texts {
        command.args(["-metadata", "creation_time=now"]);
        if format.muxer == "mp4" {
            command.args(["-movflags", "use_metadata_tags"]);
        }
    }
    command.envs(format.variable).args(["-f", format.muxer]).arg(as_file(path));
    let frames = order.into_iter().map(|at| {
        let frame = padded(&clip.images.get(at), (wide - width, high - height));
        if is_deep { rounded_sixteen_bits(&frame) } else { rounded_eight_bits(&frame) }
    });
    feed(&mut command, cx, frames).with_context(|| match format.encoder {
        Some(encoder) if encoder.ends_with("_nvenc") => {
            format!("cannot write {}, which an NVIDIA GPU encodes; choose video/h264-mp4", format.name)
        }
        _ => format!("cannot write {}", format.name),
    })
}

/// Frames are read once and shown several times, and their colours told to the encoder.
fn filters(format: &Format, settings: &Settings, loops: i64, count: usize) -> Vec<String> {
    let looped = (loops > 0).then(|| format!("loop=loop={loops}:size={count}"));
    if format.muxer == "gif" {
        let looped = looped.map(|looped| format!("{looped},")).unwrap_or_default();
        let dither = settings.text("dither");
        let filter = format!(
            "[0:v] {looped}split [a][b]; [a] palettegen=reserve_transparent=on:transparency_color=ffffff [p]; \
             [b][p] paletteuse=dither={dither}"
        );
        return vec!["-filter_complex".to_owned(), filter];
    }
    let matrix = (format.colours != Colours::Unsaid).then(|| "scale=out_color_matrix=bt709".to_owned());
    let all: Vec<_> = looped.into_iter().chain(matrix).collect();
    if all.is_empty() { Vec::new() } else { vec!["-vf".to_owned(), all.join(",")] }
}

/// Writes the video in `from` with sound to `path`. Silence follows for a second longer than the video, or the video is cut where the sound
/// ends, if `trim` says so.
///
/// # Errors
/// If ffmpeg or the encoder is not there, the sound is neither mono nor stereo, or nothing can be written.
pub(super) fn add_sound(
    path: &Path,
    from: &Path,
    (format, sound): (&Format, &[&str]),
    audio: &Audio,
    trim: bool,
    seconds: f64,
    cx: &Cx,
) -> Result<()> {
    let [recordings, ..] = audio.size()?;
    ensure!(recordings == 1, "{recordings} recordings at once cannot be heard in one video: connect a single one");
    let beside = temporary_folder("redraft-video-")?;
    let mut command = ffmpeg();
    command.args(["-y", "-f", format.muxer, "-i"]).arg(as_file(from));
    add_samples(&mut command, beside.path(), audio, None, cx)?;
    command.args(["-c:v", "copy"]).args(sound);
    if !trim {
        command.args(["-af", &format!("apad=whole_dur={}", seconds + 1.0)]);
    }
    command.args(["-shortest", "-f", format.muxer]).arg(as_file(path));
    run(&mut command, Some(cx)).context("cannot add the sound to the video")
}

/// Fails if ffmpeg lacks the encoder that a format needs.
fn look_for_encoder(format: &Format, cx: &Cx) -> Result<()> {
    const MOST: usize = 1 << 20;
    let Some(encoder) = format.encoder else { return Ok(()) };
    let mut said = Vec::new();
    let mut command = ffmpeg();
    command.args(["-hide_banner", "-encoders"]);
    read(&mut command, Some(cx), 1 << 16, |part| {
        ensure!(said.len() + part.len() <= MOST, "ffmpeg lists more than {MOST} bytes of encoders");
        said.extend(part);
        Ok(())
    })?;
    let said = String::from_utf8_lossy(&said);
    let is_there = said.lines().any(|line| line.split_whitespace().nth(1) == Some(encoder));
    ensure!(
        is_there,
        "input 'format' is '{}', and this ffmpeg lacks its encoder {encoder}: choose another format, or install an ffmpeg that has it",
        format.name
    );
    Ok(())
}

fn aligned(side: i64) -> i64 {
    (side + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
}

/// A frame H×W×C with so many more columns and rows, which repeat those at the edges.
fn padded(frame: &Tensor, (columns, rows): (i64, i64)) -> Tensor {
    if columns == 0 && rows == 0 {
        return frame.shallow_clone();
    }
    let planes = frame.permute([2, 0, 1]).unsqueeze(0).to_kind(Kind::Float);
    let (left, top) = (columns / 2, rows / 2);
    planes.replication_pad2d([left, columns - left, top, rows - top]).squeeze_dim(0).permute([1, 2, 0])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_go_forth_and_back() {
        assert_eq!(order(4, true), [0, 1, 2, 3, 2, 1]);
        assert_eq!([order(2, true), order(1, true), order(2, false)], [vec![0, 1], vec![0], vec![0, 1]]);
    }

    #[test]
    fn odd_sides_repeat_their_edge() {
        let frame = Tensor::from_slice(&[1.0f32, 2.0, 3.0]).view([3, 1, 1]);
        let padded = padded(&frame, (1, 1));
        assert_eq!(padded.size(), [4, 2, 1]);
        assert_eq!(
            Vec::<f32>::try_from(padded.contiguous().view(-1)).unwrap(),
            [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0]
        );
        assert_eq!([aligned(5), aligned(6)], [6, 6]);
    }

    #[test]
    fn loops_come_before_the_colours() {
        let format = |name: &str| super::super::formats::FORMATS.iter().find(|format| format.name == name).unwrap();
        let of = |name: &str, loops| {
            let format = format(name);
            filters(format, &Settings::read(format.widgets, |_| None).unwrap(), loops, 8)
        };
        assert_eq!(of("video/h264-mp4", 2), ["-vf", "loop=loop=2:size=8,scale=out_color_matrix=bt709"]);
        assert!(of("video/8bit-png", 0).is_empty());
        assert!(of("video/ffmpeg-gif", 1)[1].starts_with("[0:v] loop=loop=1:size=8,split"));
    }
}
