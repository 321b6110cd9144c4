mod components;
mod load_video;
mod ltxv_preprocess;
mod save_video;
mod save_webm;

use anyhow::Result;
use redraft_engine::aside::Aside;
use redraft_engine::cx::Cx;

use super::save_image::announce;
use crate::pictures::names::save_location;
use crate::pictures::write::write_numbered_by;

/// Saves one video in the output folder, and announces it: `write` writes the file.
fn save(
    cx: &mut Cx,
    prefix: &str,
    extension: &str,
    (width, height): (i64, i64),
    write: impl Fn(&Cx, &mut Aside) -> Result<()>,
) -> Result<()> {
    let (width, height) = (usize::try_from(width)?, usize::try_from(height)?);
    let location = save_location(prefix, &cx.folders.output, width, height, chrono::Local::now().naive_local())?;
    let mut counter = location.counter;
    let name = |counter| location.batch_file_name(counter, extension);
    let saved = write_numbered_by(&location, &mut counter, name, |aside, _| write(cx, aside))?;
    announce(cx, "images", &location, saved, "output")?;
    cx.ui("animated", true);
    Ok(())
}
