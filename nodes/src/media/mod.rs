//! Moving pictures and sound in files, read and written by the programs ffmpeg and ffprobe, which the user has.

mod decode;
mod encode;
mod metadata;
mod probe;
mod program;

pub use decode::{frames, sound, sound_part};
pub use encode::{
    AudioCodec, Mp4, Webm, add_metadata, add_samples, copy, write_audio, write_frame, write_mp4, write_webm,
};
pub use probe::{AudioStream, Probe, VideoStream, look_for_audio, look_for_video, probe};
pub use program::{add_input, as_file, feed, ffmpeg, read, run};
