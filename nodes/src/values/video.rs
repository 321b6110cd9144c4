//! VIDEO: a file, or pictures with their rate and sound.

use std::path::PathBuf;

use anyhow::{Context, Result};
use redraft_engine::cx::Cx;

use super::{Audio, Image};
use crate::media::{Probe, VideoStream, frames, probe, sound};

/// A video. Nothing of a file is read before it is needed.
#[derive(Debug, Clone)]
pub enum Video {
    File(PathBuf),
    Components(Components),
}

/// What a video consists of.
#[derive(Debug, Clone)]
pub struct Components {
    /// N×H×W×3.
    pub images: Image,
    pub audio: Option<Audio>,
    /// Frames per second.
    pub rate: f64,
}

impl Video {
    /// Its pictures and its sound, decoded.
    ///
    /// # Errors
    /// If the file holds no video, or cannot be decoded.
    pub fn components(&self, cx: &Cx) -> Result<Components> {
        let path = match self {
            Video::File(path) => path,
            Video::Components(components) => return Ok(components.clone()),
        };
        let (stream, Probe { audio, .. }) = self.stream(path, cx)?;
        let images = frames(path, &stream, cx)?;
        let audio = audio.map(|audio| sound(path, &audio, cx)).transpose()?;
        Ok(Components { images, audio, rate: stream.rate })
    }

    /// The first video of a file, and what else it holds.
    ///
    /// # Errors
    /// If the file holds none, or cannot be read.
    pub fn stream(&self, path: &std::path::Path, cx: &Cx) -> Result<(VideoStream, Probe)> {
        let probe = probe(path, Some(cx))?;
        let stream = probe.video.clone().with_context(|| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            format!("No video stream found in file '{name}'; name another")
        })?;
        Ok((stream, probe))
    }
}
