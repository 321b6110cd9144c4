use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;

use super::{ImageList, resized, single};
use crate::ops::bytes::eight_bits;
use crate::values::Image;

/// The side of the thumbnails that are compared.
const SIDE: i64 = 8;

/// Drops pictures that look like an earlier one of the list.
#[derive(Node)]
#[node(category = "dataset/image", display = "Image Deduplication", experimental)]
struct ImageDeduplication {
    images: List<Image>,
    /// How similar two pictures must be to count as the same: the share of the 64 bits of their average hashes that are
    /// equal.
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

/// The average hash of a picture: one bit for each pixel of its 8×8 thumbnail, set if the pixel is lighter than the
/// mean.
fn light_places(image: &Image) -> Result<u64> {
    let small = resized(single(image)?, SIDE, SIDE)?;
    let channels = small.size()[3] as usize;
    let greys: Vec<u32> = eight_bits(&small)?.chunks_exact(channels).map(grey).collect();
    let mean = f64::from(greys.iter().sum::<u32>()) / greys.len() as f64;
    Ok(greys.iter().fold(0, |bits, &grey| bits << 1 | u64::from(f64::from(grey) > mean)))
}

/// The grey value of a pixel as Pillow computes it: ITU-R 601-2 with 16 fractional bits, rounded. Alpha has no effect.
fn grey(pixel: &[u8]) -> u32 {
    match *pixel {
        [red, green, blue, ..] => {
            (19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue) + 0x8000) >> 16
        }
        [grey, ..] => grey.into(),
        [] => 0,
    }
}
