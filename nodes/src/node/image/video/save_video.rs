use std::path::PathBuf;

use anyhow::{Result, bail};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use super::super::save_image::metadata;
use super::save;
use crate::media::{Mp4, copy, write_mp4};
use crate::values::Video;
use crate::values::video::Components;

/// Saves a video in the output folder, with the workflow that made it. What already is as it shall be is copied, not encoded again.
#[derive(Node)]
#[node(category = "image/video", display = "Save Video", output, hidden("prompt", "extra_pnginfo"))]
struct SaveVideo {
    video: Video,
    /// The prefix of the file's name. It may contain subfolders.
    #[input(default = "video/ComfyUI")]
    filename_prefix: String,
    /// The container.
    #[input(default = "auto")]
    format: Format,
    /// How pictures are encoded.
    #[input(default = "auto")]
    codec: Codec,
}

#[derive(Combo, PartialEq)]
enum Format {
    Auto,
    Mp4,
}

#[derive(Combo, PartialEq)]
enum Codec {
    Auto,
    H264,
}

/// What is written: the streams of a file as they are, or frames.
enum Source {
    File(PathBuf),
    Frames(Components),
}

impl Run for SaveVideo {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        let (source, size) = self.source(cx)?;
        save(cx, &self.filename_prefix, "mp4", size, |cx, aside| match &source {
            Source::File(path) => copy(path, aside.path(), &metadata(cx), cx),
            Source::Frames(Components { images, audio, rate }) => {
                let mp4 = Mp4 { fps: *rate, audio: audio.as_ref() };
                write_mp4(aside.path(), images, &mp4, &metadata(cx), cx)
            }
        })
    }
}

impl SaveVideo {
    /// What is written, and its width and height.
    fn source(&self, cx: &Cx) -> Result<(Source, (i64, i64))> {
        if let Video::File(path) = &self.video {
            let (stream, probe) = self.video.stream(path, cx)?;
            let container = self.format == Format::Auto || probe.formats.iter().any(|format| format == "mp4");
            if container && (self.codec == Codec::Auto || stream.codec == "h264") {
                return Ok((Source::File(path.clone()), (stream.width, stream.height)));
            }
        }
        let components = self.video.components(cx)?;
        let [_, height, width, _] = components.images.0.size()[..] else {
            bail!("pictures of shape {:?} are no video: connect a batch of images", components.images.0.size());
        };
        Ok((Source::Frames(components), (width, height)))
    }
}
