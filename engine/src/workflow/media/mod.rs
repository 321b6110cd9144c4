//! Pictures, videos, sounds and models that carry a workflow: which bytes are which, and the texts in them.
//!
//! One file per container. All readers take time and memory in proportion to the file at most: texts under other
//! keywords than [`WANTED`] are never copied, and texts that a file packs are unpacked within [`MAX_JSON`] each.

mod bytes;
mod exif;
mod flac;
mod glb;
mod heif;
mod id3;
mod isobmff;
mod jpeg;
mod matroska;
mod mp4;
mod ogg;
mod png;
mod safetensors;
mod svg;
mod vorbis;
pub(super) mod webp;

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::ReadError;
use super::json::{self, MAX_JSON};

/// The keywords whose texts are kept, in lower case: those of ComfyUI, that of AUTOMATIC1111's web UI, and the one under
/// which VideoHelperSuite keeps an object with both of ComfyUI's.
const WANTED: [&str; 4] = ["prompt", "workflow", "parameters", "comment"];
/// How many problems are told of.
const MAX_PROBLEMS: usize = 8;

/// The texts found in a file.
#[derive(Debug, Default)]
pub(super) struct Texts {
    /// What the file is: `a PNG picture`.
    pub(super) what: &'static str,
    /// By keyword, in lower case; of several with one keyword the last counts.
    pub(super) by_keyword: HashMap<&'static str, String>,
    /// What could not be read, in words.
    pub(super) problems: Vec<String>,
}

/// A kind of file.
struct Container {
    what: &'static str,
    recognise: fn(&[u8]) -> bool,
    texts: fn(&[u8]) -> Texts,
}

const CONTAINERS: [Container; 12] = [
    Container { what: "a PNG picture", recognise: png::recognise, texts: png::texts },
    Container { what: "a WebP picture", recognise: webp::recognise, texts: webp::texts },
    Container { what: "a JPEG picture", recognise: jpeg::recognise, texts: jpeg::texts },
    Container { what: "an AVIF or HEIF picture", recognise: heif::recognise, texts: heif::texts },
    Container { what: "an MP4 or QuickTime video", recognise: mp4::recognise, texts: mp4::texts },
    Container { what: "a WebM or Matroska video", recognise: matroska::recognise, texts: matroska::texts },
    Container { what: "a FLAC sound", recognise: flac::recognise, texts: flac::texts },
    Container { what: "an Ogg sound", recognise: ogg::recognise, texts: ogg::texts },
    Container { what: "an MP3 sound", recognise: id3::recognise, texts: id3::texts },
    Container { what: "an SVG drawing", recognise: svg::recognise, texts: svg::texts },
    Container { what: "a GLB model", recognise: glb::recognise, texts: glb::texts },
    Container { what: "a safetensors file", recognise: safetensors::recognise, texts: safetensors::texts },
];

/// The texts of a media file; nothing if the bytes are no media file.
///
/// # Errors
/// When the bytes are a file of a kind that carries no texts of ComfyUI's.
pub(super) fn texts(bytes: &[u8]) -> Option<Result<Texts, ReadError>> {
    if let Some(container) = CONTAINERS.iter().find(|container| (container.recognise)(bytes)) {
        let mut found = Texts { what: container.what, ..(container.texts)(bytes) };
        found.unpack_comment();
        return Some(Ok(found));
    }
    let kind = match bytes {
        // Layer III of MPEG audio, or ADTS. (0xff 0xfe, a byte order mark, is neither.)
        [0xff, second, ..] if second & 0xe6 == 0xe2 || second & 0xf6 == 0xf0 => "an MP3 or AAC sound without tags",
        [b'G', b'I', b'F', b'8', ..] => "a GIF picture",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => "a WAV sound",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x1f, 0x8b, ..] => "a gzip archive",
        _ => return None,
    };
    let text = format!("this is {kind}, in which ComfyUI saves no workflow: give a JSON file, or a PNG that it saved");
    Some(Err(ReadError::NoWorkflow(text)))
}

/// How many bytes from a file's beginning hold all that [`super::read`] looks at, where that is less than the whole:
/// of a checkpoint the header. `start` is the file's first 16 bytes.
pub fn needed(start: &[u8]) -> Option<u64> {
    safetensors::header(start).map(|length| length + 8)
}

impl Texts {
    /// Keeps a text if its keyword is wanted.
    fn keep(&mut self, keyword: &str, text: &[u8]) {
        if let Some(keyword) = wanted(keyword) {
            self.by_keyword.insert(keyword, String::from_utf8_lossy(text).into_owned());
        }
    }

    /// Keeps what an object has under `prompt` and `workflow`: texts as they are, all else as JSON.
    fn keep_object(&mut self, object: &Map<String, Value>) {
        for (keyword, value) in object {
            match (wanted(keyword), value) {
                (None, _) | (_, Value::Null) => {}
                (Some(keyword), Value::String(text)) => {
                    self.by_keyword.insert(keyword, text.clone());
                }
                (Some(keyword), other) => {
                    self.by_keyword.insert(keyword, other.to_string());
                }
            }
        }
    }

    fn problem(&mut self, problem: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem.into());
        }
    }

    fn cut_off(&mut self) {
        self.problem("the file is cut off");
    }

    /// A comment may be an object with the texts in it.
    fn unpack_comment(&mut self) {
        let own = ["prompt", "workflow"].iter().any(|keyword| self.by_keyword.contains_key(keyword));
        let Some(comment) = self.by_keyword.remove("comment") else { return };
        if let (false, true, Ok((Value::Object(object), _))) =
            (own, comment.trim_start().starts_with('{'), json::parse(comment.as_bytes()))
        {
            self.keep_object(&object);
        }
    }
}

fn wanted(keyword: &str) -> Option<&'static str> {
    WANTED.into_iter().find(|wanted| wanted.eq_ignore_ascii_case(keyword))
}

#[cfg(test)]
mod tests;
