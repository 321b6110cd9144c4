//! ComfyUI-VideoHelperSuite.

mod batch;
mod batch_manager;
mod batches;
mod encode;
mod exif;
mod formats;
mod load_audio;
mod load_formats;
mod load_images;
mod load_video;
mod load_video_ffmpeg;
mod merge;
mod outputs;
mod saving;
mod select;
mod selection;
mod unbatch;
mod vae_batched;
mod video_combine;
mod video_info;
mod widgets;
mod wires;

/// How many pictures of a size a VAE is given at once: as many as 16 of 1920 × 1080 pixels, and at least one.
fn at_once(width: i64, height: i64) -> i64 {
    (1920 * 1080 * 16 / width.saturating_mul(height).max(1)).max(1)
}
