use std::path::Path;

use anyhow::{Context, Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Fingerprint, Flaw, Offer, Run};
use redraft_engine::{Node, Outputs, memory};
use redraft_nodes::media::{VideoStream, add_input, ffmpeg, look_for_video, read};
use redraft_nodes::values::{Audio, Mask};
use tch::{Device, Kind, Tensor};

use super::load_video::{Becoming, Framing, LINKABLE, MOST, Wanted, sound, streams};
use super::wires::{Facts, ImageOrLatent, VideoInfo, fit};
use crate::paths;

/// Reads the frames of a video in the input folder with ffmpeg, what is transparent in them as a mask, and its sound, if it has any.
#[derive(Node)]
#[node(
    class = "VHS_LoadVideoFFmpeg",
    category = "Video Helper Suite 🎥🅥🅗🅢",
    display = "Load Video FFmpeg (Upload) 🎥🅥🅗🅢",
    hidden("unique_id"),
    validates_types
)]
struct LoadVideoFFmpeg {
    #[input(files = "input", upload = Video)]
    video: String,
    #[input(flatten)]
    framing: Framing,
    /// In seconds.
    #[input(default = 0.0, min = 0.0, max = MOST, step = 0.001)]
    start_time: f64,
    #[input(flatten)]
    becoming: Becoming,
}

/// Reads the frames of a video with ffmpeg, what is transparent in them as a mask, and its sound, if it has any. The path is
/// `input/a.mp4`, or one into the output or temp folder.
#[derive(Node)]
#[node(
    class = "VHS_LoadVideoFFmpegPath",
    category = "Video Helper Suite 🎥🅥🅗🅢",
    display = "Load Video FFmpeg (Path) 🎥🅥🅗🅢",
    hidden("unique_id"),
    reads("input"),
    validates_types
)]
struct LoadVideoFFmpegPath {
    video: String,
    #[input(flatten)]
    framing: Framing,
    /// In seconds.
    #[input(default = 0.0, min = 0.0, max = MOST, step = 0.001)]
    start_time: f64,
    #[input(flatten)]
    becoming: Becoming,
}

#[derive(Outputs)]
struct Loaded {
    #[output(name = "IMAGE")]
    images: ImageOrLatent,
    #[output(name = "mask")]
    mask: Option<Mask>,
    #[output(name = "audio")]
    audio: Option<Audio>,
    #[output(name = "video_info")]
    video_info: VideoInfo,
}

impl Run for LoadVideoFFmpeg {
    type Out = Loaded;

    fn validate(offer: &Offer) -> Result<(), String> {
        fit(offer, LINKABLE)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("video", "input"), look_for_video)
    }

    fn run(self, cx: &mut Cx) -> Result<Loaded> {
        let gone = || format!("the video '{}' is not there any more; put it back", self.video);
        let path = cx.folders.find("input", &self.video).with_context(gone)?;
        let Framing { force_rate: rate, frame_load_cap: cap, .. } = self.framing;
        let wanted = Wanted::new(path, &self.framing, self.becoming);
        load(wanted, Part { rate, cap, start: self.start_time }, cx)
    }
}

impl Run for LoadVideoFFmpegPath {
    type Out = Loaded;

    fn validate(offer: &Offer) -> Result<(), String> {
        fit(offer, LINKABLE)?;
        paths::fit(offer, "video")
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        paths::flaws(offer, "video", |path| paths::file(folders, path), look_for_video)
    }

    fn fingerprint(offer: &Offer) -> Result<Fingerprint> {
        Ok(paths::fingerprint(offer, "video"))
    }

    fn run(self, cx: &mut Cx) -> Result<Loaded> {
        let path = paths::file(cx.folders, &self.video).context("input 'video'")?;
        let Framing { force_rate: rate, frame_load_cap: cap, .. } = self.framing;
        let wanted = Wanted::new(path, &self.framing, self.becoming);
        load(wanted, Part { rate, cap, start: self.start_time }, cx)
    }
}

/// Which part of a video is read.
struct Part {
    /// Frames per second; 0 is the video's own rate.
    rate: f64,
    /// The most frames; 0 for all.
    cap: i64,
    /// In seconds.
    start: f64,
}

fn load(wanted: Wanted, part: Part, cx: &mut Cx) -> Result<Loaded> {
    let (stream, audio) = streams(&wanted.path, cx)?;
    let size = stream.upright();
    let target = if wanted.size == (0, 0) { size } else { wanted.target(size, cx)? };
    // As ffmpeg writes them in its log, where the pack reads them.
    let fps = Some(hundredths(stream.rate)).filter(|fps| *fps > 0.0).unwrap_or(1.0);
    let duration = hundredths(stream.duration.unwrap_or(0.0));
    let decoded = decoded(&wanted.path, &stream, (size, target), &part, cx)?;
    let alpha = stream.has_alpha.then(|| decoded.select(-1, 3));
    let (images, frame_count) = wanted.finished(decoded.narrow(-1, 0, 3).contiguous(), cx)?;
    let mask = match (&images, alpha) {
        (ImageOrLatent::Latent(_), _) => None,
        (_, Some(alpha)) => Some(Mask(1.0 - alpha.narrow(0, 0, frame_count))),
        (_, None) => Some(Mask(Tensor::zeros([frame_count, 64, 64], (Kind::Float, Device::Cpu)))),
    };
    let each = 1.0 / if part.rate == 0.0 { fps } else { part.rate };
    let audio = sound(&wanted.path, audio.as_ref(), (part.start, part.cap as f64 * each), cx)?;
    let total = (fps * duration).round() as i64;
    let source = Facts { fps, frame_count: total, duration, width: size.0, height: size.1 };
    let loaded =
        Facts { fps: 1.0 / each, frame_count, duration: frame_count as f64 * each, width: target.0, height: target.1 };
    Ok(Loaded { images, mask, audio, video_info: VideoInfo { source, loaded } })
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The frames in a size, read in 16 bits: N×H×W×3, or 4 with alpha.
fn decoded(
    path: &Path,
    stream: &VideoStream,
    (size, target): ((i64, i64), (i64, i64)),
    part: &Part,
    cx: &Cx,
) -> Result<Tensor> {
    let (width, height) = target;
    let channels = if stream.has_alpha { 4 } else { 3 };
    let bytes = usize::try_from(memory::product(&[height, width], 8))?;
    let mut command = ffmpeg();
    if part.start > SEEK {
        command.args(["-ss", &format!("{:.6}", part.start - SEEK)]);
    }
    if stream.codec == "vp9" && stream.has_alpha {
        // ffmpeg's own decoder leaves alpha out.
        command.args(["-c:v", "libvpx-vp9"]);
    }
    add_input(&mut command, path);
    command.args(["-map", "0:v:0", "-pix_fmt", "rgba64le"]);
    if part.start > 0.0 {
        command.args(["-ss", &format!("{:.6}", part.start.min(SEEK))]);
    }
    let filters = filters(size, target, part.rate);
    if !filters.is_empty() {
        command.args(["-vf", &filters]);
    }
    if part.cap > 0 {
        command.args(["-frames:v", &part.cap.to_string()]);
    }
    command.args(["-f", "rawvideo", "pipe:1"]);
    let mut frames: Vec<Tensor> = Vec::new();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    read(&mut command, Some(cx), bytes, |frame| {
        ensure!(frame.len() == bytes, "the last frame is not whole");
        // Floats, and once more when they become one tensor.
        memory::ask(memory::product(&[height, width, channels], 8), "a frame of a video")?;
        let pixels = frame.chunks_exact(8).flat_map(|pixel| pixel.chunks_exact(2).take(channels as usize));
        let values: Vec<f32> = pixels.map(|value| unit(u16::from_le_bytes([value[0], value[1]]))).collect();
        frames.push(Tensor::from_slice(&values).view([height, width, channels]));
        Ok(())
    })
    .with_context(|| format!("cannot decode '{name}'; fetch it again, or name another file"))?;
    ensure!(!frames.is_empty(), "no frame of '{name}' is left: set a lower start_time");
    Ok(Tensor::stack(&frames, 0))
}

/// So many seconds before the start ffmpeg jumps to in the file; it decodes from there on.
const SEEK: f64 = 4.0;

fn unit(value: u16) -> f32 {
    (f64::from(value) / 65535.0) as f32
}

/// The rate, and the size: cut to the new aspect ratio first.
fn filters((width, height): (i64, i64), (wide, high): (i64, i64), rate: f64) -> String {
    let mut filters = Vec::new();
    if rate != 0.0 {
        filters.push(format!("fps=fps={rate}"));
    }
    if (width, height) != (wide, high) {
        let aspect = wide as f64 / high as f64;
        if (width as f64 * aspect - height as f64).abs() >= 1.0 {
            filters
                .push(format!("crop=if(gt({aspect}\\,a)\\,iw\\,ih*{aspect}):if(gt({aspect}\\,a)\\,iw/{aspect}\\,ih)"));
        }
        filters.push(format!("scale={wide}:{high}"));
    }
    filters.join(",")
}
