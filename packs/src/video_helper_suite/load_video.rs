use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Fingerprint, Flaw, Offer, Run};
use redraft_engine::{Inputs, Node, Outputs, memory};
use redraft_nodes::media::{AudioStream, VideoStream, add_input, ffmpeg, look_for_video, probe, read, sound_part};
use redraft_nodes::networks::Networks;
use redraft_nodes::ops::bytes::unit_floats;
use redraft_nodes::ops::resize::{Crop, Method, resize_pictures};
use redraft_nodes::recipes::VaeRecipe;
use redraft_nodes::values::{Audio, Image, Latent};
use tch::{Device, Kind, Tensor};

use super::at_once;
use super::load_formats::{ANY_SIZE, LoadFormat, target_size};
use super::selection::Selection;
use super::wires::{BatchManager, Facts, ImageOrLatent, Linkable, NUMBER, VideoInfo, fit};
use crate::paths;

/// The largest number that a widget takes.
pub(super) const MOST: i64 = (1 << 53) - 1;

/// Which frames there are, and how large.
#[derive(Inputs)]
pub(super) struct Framing {
    /// Frames per second; 0 is the video's own rate. Frames are left out or repeated.
    #[input(default = 0.0, min = 0.0, max = 60.0, step = 1.0)]
    pub(super) force_rate: f64,
    /// In pixels; 0 leaves it open.
    #[input(default = 0, min = 0, max = 8192)]
    pub(super) custom_width: i64,
    /// In pixels; 0 leaves it open.
    #[input(default = 0, min = 0, max = 8192)]
    pub(super) custom_height: i64,
    /// The most frames; 0 for all.
    #[input(default = 0, min = 0, max = MOST, step = 1)]
    pub(super) frame_load_cap: i64,
}

/// Which of the frames are taken.
#[derive(Inputs)]
struct Selected {
    #[input(default = 0, min = 0, max = MOST, step = 1)]
    skip_first_frames: i64,
    #[input(default = 1, min = 1, max = MOST, step = 1)]
    select_every_nth: i64,
}

/// What becomes of the frames.
#[derive(Inputs)]
#[allow(dead_code, reason = "a batch manager is refused before anything runs")]
pub(super) struct Becoming {
    meta_batch: Option<BatchManager>,
    /// Makes latents of the frames.
    vae: Option<VaeRecipe>,
    /// The model that the frames are for: it takes certain sizes and numbers of frames.
    #[input(default = "AnimateDiff")]
    format: Option<LoadFormat>,
}

/// Reads the frames of a video in the input folder, and its sound, if it has any.
#[derive(Node)]
#[node(
    class = "VHS_LoadVideo",
    category = "Video Helper Suite 🎥🅥🅗🅢",
    display = "Load Video (Upload) 🎥🅥🅗🅢",
    hidden("unique_id"),
    validates_types
)]
struct LoadVideo {
    #[input(files = "input", upload = Video)]
    video: String,
    #[input(flatten)]
    framing: Framing,
    #[input(flatten)]
    selected: Selected,
    #[input(flatten)]
    becoming: Becoming,
}

/// Reads the frames of a video, and its sound, if it has any. The path is `input/a.mp4`, or one into the output or temp folder.
#[derive(Node)]
#[node(
    class = "VHS_LoadVideoPath",
    category = "Video Helper Suite 🎥🅥🅗🅢",
    display = "Load Video (Path) 🎥🅥🅗🅢",
    hidden("unique_id"),
    reads("input"),
    validates_types
)]
struct LoadVideoPath {
    video: String,
    #[input(flatten)]
    framing: Framing,
    #[input(flatten)]
    selected: Selected,
    #[input(flatten)]
    becoming: Becoming,
}

#[derive(Outputs)]
struct Loaded {
    #[output(name = "IMAGE")]
    images: ImageOrLatent,
    #[output(name = "frame_count")]
    frame_count: i64,
    #[output(name = "audio")]
    audio: Option<Audio>,
    #[output(name = "video_info")]
    video_info: VideoInfo,
}

/// What may be linked to the nodes that load a video.
pub(super) const LINKABLE: &[Linkable] = &[
    ("video", &["COMBO", "STRING"]),
    ("force_rate", NUMBER),
    ("custom_width", &["INT"]),
    ("custom_height", &["INT"]),
    ("frame_load_cap", &["INT"]),
    ("skip_first_frames", &["INT"]),
    ("select_every_nth", &["INT"]),
    ("start_time", NUMBER),
    ("meta_batch", &["VHS_BatchManager"]),
    ("vae", &["VAE"]),
    ("format", &["COMBO", "STRING"]),
];

impl Run for LoadVideo {
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
        load(Wanted::new(path, &self.framing, self.becoming), &self.framing, &self.selected, cx)
    }
}

impl Run for LoadVideoPath {
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
        load(Wanted::new(path, &self.framing, self.becoming), &self.framing, &self.selected, cx)
    }
}

/// A file, and what is to become of its frames.
pub(super) struct Wanted {
    pub(super) path: PathBuf,
    /// Width and height; 0 leaves a side open.
    pub(super) size: (i64, i64),
    pub(super) vae: Option<VaeRecipe>,
    pub(super) format: Option<LoadFormat>,
}

impl Wanted {
    pub(super) fn new(path: PathBuf, framing: &Framing, becoming: Becoming) -> Self {
        let size = (framing.custom_width, framing.custom_height);
        Self { path, size, vae: becoming.vae, format: becoming.format }
    }

    pub(super) fn format(&self) -> LoadFormat {
        self.format.unwrap_or(ANY_SIZE)
    }

    /// What sides are multiples of.
    pub(super) fn multiple(&self, cx: &Cx) -> Result<i64> {
        match &self.vae {
            Some(vae) => Ok(vae.network(&*cx.service::<Networks>()?)?.factor()),
            None => Ok(self.format().multiple),
        }
    }

    /// The size that frames get.
    pub(super) fn target(&self, size: (i64, i64), cx: &Cx) -> Result<(i64, i64)> {
        let multiple = self.multiple(cx)?;
        let (width, height) = target_size(size, self.size, multiple);
        ensure!(
            width > 0 && height > 0,
            "the frames would be {width} × {height} pixels, in multiples of {multiple}: set a larger custom_width and custom_height"
        );
        Ok((width, height))
    }

    /// As many of the frames as the model takes, as latents if there is a VAE.
    pub(super) fn finished(&self, images: Tensor, cx: &Cx) -> Result<(ImageOrLatent, i64)> {
        let count = self.format().taken(images.size()[0]);
        let images = images.narrow(0, 0, count);
        let Some(vae) = &self.vae else { return Ok((ImageOrLatent::Image(Image(images)), count)) };
        let network = vae.network(&*cx.service::<Networks>()?)?;
        if network.frames().is_some() {
            return Ok((ImageOrLatent::Latent(Latent::new(network.encode(&images)?)), count));
        }
        let at_once = at_once(images.size()[2], images.size()[1]);
        let mut all = Vec::new();
        for start in (0..count).step_by(usize::try_from(at_once)?) {
            cx.check()?;
            all.push(network.encode(&images.narrow(0, start, at_once.min(count - start)))?);
        }
        Ok((ImageOrLatent::Latent(Latent::new(Tensor::cat(&all, 0))), count))
    }
}

/// A file's streams: of its first video, and of its sound if it has any.
///
/// # Errors
/// If it holds no video, or cannot be read.
pub(super) fn streams(path: &Path, cx: &Cx) -> Result<(VideoStream, Option<AudioStream>)> {
    let found = probe(path, Some(cx))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok((found.video.with_context(|| format!("'{name}' holds no video; name another file"))?, found.audio))
}

/// The part of a file's sound from a time on, in seconds; all that follows if the length is 0.
///
/// # Errors
/// If it cannot be decoded, or there is no memory.
pub(super) fn sound(path: &Path, stream: Option<&AudioStream>, part: (f64, f64), cx: &Cx) -> Result<Option<Audio>> {
    let audio = stream.map(|stream| sound_part(path, stream, part, cx)).transpose()?;
    Ok(audio.filter(|audio| audio.waveform.numel() > 0))
}

fn load(wanted: Wanted, framing: &Framing, selected: &Selected, cx: &mut Cx) -> Result<Loaded> {
    let (stream, audio) = streams(&wanted.path, cx)?;
    let size = stream.upright();
    let target = wanted.target(size, cx)?;
    let fps = stream.played_rate;
    let total = stream.frames.unwrap_or_else(|| (stream.duration.unwrap_or(0.0) * fps + 0.5).floor() as i64);
    let (skip, every_nth, cap) = (selected.skip_first_frames, selected.select_every_nth, framing.frame_load_cap);
    let selection = Selection::new(fps, framing.force_rate, (skip, every_nth, cap));
    let each = selection.target();
    let images = decoded(&wanted.path, (&stream, total), selection, target, cx)?;
    let (images, frame_count) = wanted.finished(images, cx)?;
    let step = each * every_nth as f64;
    let audio = sound(&wanted.path, audio.as_ref(), (skip as f64 * each, cap as f64 * step), cx)?;
    let source = Facts { fps, frame_count: total, duration: total as f64 / fps, width: size.0, height: size.1 };
    let loaded =
        Facts { fps: 1.0 / step, frame_count, duration: frame_count as f64 * step, width: target.0, height: target.1 };
    Ok(Loaded { images, frame_count, audio, video_info: VideoInfo { source, loaded } })
}

/// The selected frames in a size: N×H×W×3.
fn decoded(
    path: &Path,
    (stream, total): (&VideoStream, i64),
    mut selection: Selection,
    target: (i64, i64),
    cx: &Cx,
) -> Result<Tensor> {
    const MOST_FOR_EACH: f64 = 10_000.0;
    let ((width, height), (wide, high)) = (stream.upright(), target);
    ensure!(
        selection.most_for_each() <= MOST_FOR_EACH,
        "the video has {} frames a second, of which each would be repeated more than {MOST_FOR_EACH} times: set a lower force_rate",
        stream.played_rate
    );
    // What there will be, as far as the file says it; if it does not, each frame asks below.
    let mut ahead = selection.clone();
    for _ in 0..total.min(1_000_000) {
        ahead.next();
    }
    memory::ask(memory::product(&[ahead.loaded, high, wide, 3], 4), "the frames of a video")?;
    let bytes = usize::try_from(memory::product(&[height, width], 3))?;
    let mut command = ffmpeg();
    add_input(&mut command, path);
    command.args(["-map", "0:v:0", "-fps_mode", "passthrough"]);
    if let Some(needed) = selection.needed() {
        command.args(["-frames:v", &needed.to_string()]);
    }
    command.args(["-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]);
    let mut frames: Vec<Rc<[u8]>> = Vec::new();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    read(&mut command, Some(cx), bytes, |frame| {
        ensure!(frame.len() == bytes, "the last frame is not whole");
        let times = selection.next();
        if times > 0 {
            memory::ask(bytes, "a frame of a video")?;
            memory::ask(memory::product(&[selection.loaded, high, wide, 3], 4), "the frames of a video")?;
            frames.extend(std::iter::repeat_n(Rc::from(frame), times));
        }
        Ok(())
    })
    .with_context(|| format!("cannot decode '{name}'; fetch it again, or name another file"))?;
    ensure!(!frames.is_empty(), "no frame of '{name}' is left: set a lower skip_first_frames");
    let count = i64::try_from(frames.len())?;
    memory::ask(memory::product(&[count, high, wide, 3], 4), "the frames of a video")?;
    let all = Tensor::empty([count, high, wide, 3], (Kind::Float, Device::Cpu));
    for (at, frame) in (0..).zip(frames) {
        cx.check()?;
        let frame = unit_floats(&frame, &[1, height, width, 3]);
        let frame = match (width, height) == (wide, high) {
            true => frame,
            false => resize_pictures(&frame, wide, high, Method::Lanczos, Crop::Center)?,
        };
        all.narrow(0, at, 1).copy_(&frame);
    }
    Ok(all)
}
