use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;

use super::{ImageList, resized, single};
use crate::ops::bytes::eight_bits;
use crate::values::Image;

/// The side of the small picture that stands for a picture where they are compared.
const SIDE: i64 = 8;

/// Drops pictures that look like an earlier one of the list.
#[derive(Node)]
#[node(category = "dataset/image", display = "Image Deduplication", experimental)]
struct ImageDeduplication {
    images: List<Image>,
    /// The share of 64 places, light or dark, in which two pictures must agree to count as the same.
    #[input(default = 0.95, min = 0.0, max = 1.0)]
    similarity_threshold: f64,
}

impl Run for ImageDeduplication {
    type Out = ImageList;

    fn run(self, _: &mut Cx) -> anyhow::Result<ImageList> {
        let mut kept: Vec<(u64, Image)> = Vec::new();
        for image in self.images.0 {
            let hash = light_places(&image)?;
            let alike = |other: u64| 1.0 - f64::from((hash ^ other).count_ones()) / 64.0 >= self.similarity_threshold;
            if !kept.iter().any(|(other, _)| alike(*other)) {
                kept.push((hash, image));
            }
        }
        Ok(ImageList { images: List(kept.into_iter().map(|(_, image)| image).collect()) })
    }
}

/// Which of 8×8 places are lighter than their mean: one bit each.
fn light_places(image: &Image) -> Result<u64> {
    let small = resized(single(image)?, SIDE, SIDE)?;
    let channels = small.size()[3] as usize;
    let greys: Vec<u32> = eight_bits(&small)?.chunks_exact(channels).map(grey).collect();
    let mean = f64::from(greys.iter().sum::<u32>()) / greys.len() as f64;
    Ok(greys.iter().fold(0, |bits, &grey| bits << 1 | u64::from(f64::from(grey) > mean)))
}

/// Pillow's grey of a pixel: ITU-R 601-2 in sixteenth bits, rounded; alpha does not count.
fn grey(pixel: &[u8]) -> u32 {
    match *pixel {
        [red, green, blue, ..] => {
            (19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue) + 0x8000) >> 16
        }
        [grey, ..] => grey.into(),
        [] => 0,
    }
}
