mod save_animated_png;
mod save_animated_webp;

use redraft_engine::cx::Cx;

use super::save_image::{announce, location};
use crate::pictures::write::write_numbered;
use crate::values::Image;

/// The duration of a frame in whole milliseconds, truncated as ComfyUI does.
fn milliseconds(fps: f64) -> u64 {
    (1000.0 / fps) as u64
}

/// Saves one file for a batch in the output folder, and announces it.
fn save(cx: &mut Cx, images: &Image, prefix: &str, extension: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = cx.folders.output.clone();
    let location = location(images, prefix, &folder)?;
    let mut counter = location.counter;
    let name = |counter| location.batch_file_name(counter, extension);
    let saved = write_numbered(&location, &mut counter, name, bytes)?;
    announce(cx, "images", &location, saved, "output")?;
    // A batch of one picture does not move.
    if images.0.size().first().is_some_and(|count| *count > 1) {
        cx.ui("animated", true);
    }
    Ok(())
}
