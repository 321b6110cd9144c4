//! Data sets for training: lists of pictures and of texts.

mod adjust_images;
mod crop_images;
mod image_deduplication;
mod image_grid;
mod load_from_folder;
mod make_training_dataset;
mod merge_lists;
mod resize_images;
mod resolution_bucket;
mod save_to_folder;
mod shuffle;
mod texts;
mod training_dataset;
mod training_shard;

use anyhow::{Result, ensure};
use redraft_engine::Outputs;
use redraft_engine::io::List;
use tch::Tensor;

use crate::ops::bytes::{eight_bits, unit_floats};
use crate::ops::resize::{Crop, Method, resize_pictures};
use crate::values::Image;

#[derive(Outputs)]
struct OneImage {
    #[output(name = "images")]
    images: Image,
}

#[derive(Outputs)]
struct ImageList {
    #[output(name = "images")]
    images: List<Image>,
}

/// The tensor of a value that holds exactly one picture, 1×H×W×C.
///
/// # Errors
/// If it is a batch of several, has no pixels, or neither two (grey), three nor four channels.
fn single(image: &Image) -> Result<&Tensor> {
    let size = image.0.size();
    let &[count, height, width, channels] = size.as_slice() else {
        anyhow::bail!("a value of shape {size:?} is no picture: connect an image");
    };
    ensure!(count == 1, "a data set holds pictures one by one, but here is a batch of {count}: connect a list of them");
    ensure!(height > 0 && width > 0, "a picture of {width} × {height} pixels is empty: connect a larger one");
    ensure!((2..=4).contains(&channels), "a picture of {channels} channels cannot be taken: make it RGB or RGBA");
    Ok(&image.0)
}

/// A picture reduced to eight bits a channel, as ComfyUI's round trip through Pillow does.
fn through_eight_bits(image: &Tensor) -> Result<Tensor> {
    Ok(unit_floats(&eight_bits(image)?, &image.size()))
}

/// Pillow's Lanczos.
fn resized(image: &Tensor, width: i64, height: i64) -> Result<Tensor> {
    resize_pictures(image, width, height, Method::Lanczos, Crop::Disabled)
}
