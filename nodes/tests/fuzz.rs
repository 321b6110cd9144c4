//! The fuzz targets' harness for files of strangers over some mutated seeds: what `make fuzz` does for longer and better.
//!
//! `REDRAFT_FUZZ_RUNS` says how many each target is given.
#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/files.rs"]
mod files;
#[path = "../../fuzz/random.rs"]
mod random;

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};
use random::{Random, mutate};

/// Some seconds of work for each target.
const RUNS: u64 = 1500;

fn hammer(seeds: &[Vec<u8>], target: fn(&[u8])) {
    let runs = std::env::var("REDRAFT_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    for (number, seed) in seeds.iter().enumerate() {
        target(seed);
        for run in 0..runs / seeds.len() as u64 {
            let mut random = Random(run * 1000 + number as u64);
            let mut bytes = seed.clone();
            (0..=random.below(6)).for_each(|_| mutate(&mut bytes, &[], &mut random));
            target(&bytes);
        }
    }
}

#[test]
fn pictures() {
    let colours: Vec<u8> = (0..12 * 8 * 4).map(|n: u32| (n * 37 % 251) as u8).collect();
    let picture = DynamicImage::from(image::RgbaImage::from_raw(12, 8, colours).unwrap());
    let formats = [
        (ImageFormat::Png, true),
        (ImageFormat::Jpeg, false),
        (ImageFormat::WebP, true),
        (ImageFormat::Gif, true),
        (ImageFormat::Bmp, false),
        (ImageFormat::Tiff, true),
        (ImageFormat::Tga, true),
    ];
    let mut seeds: Vec<_> = formats
        .into_iter()
        .map(|(format, alpha)| {
            let mut bytes = Cursor::new(Vec::new());
            let picture = if alpha { picture.clone() } else { picture.to_rgb8().into() };
            picture.write_to(&mut bytes, format).unwrap();
            bytes.into_inner()
        })
        .collect();
    seeds.extend([
        include_bytes!("../src/pictures/testdata/rgba-420-limited.avif").to_vec(),
        include_bytes!("../src/pictures/testdata/anim-clear.avif").to_vec(),
        include_bytes!("../src/pictures/testdata/rgb-12.jp2").to_vec(),
    ]);
    hammer(&seeds, files::picture);
}

#[test]
fn torch_archives() {
    let seeds = [
        include_bytes!("../src/files/testdata/strided.pt").to_vec(),
        include_bytes!("../src/files/testdata/legacy.pt").to_vec(),
        include_bytes!("../src/files/testdata/state.pt").to_vec(),
    ];
    hammer(&seeds, files::torch);
}

#[test]
fn safetensors() {
    let seeds = [
        include_bytes!("../../fuzz/seeds/safetensors/two.safetensors").to_vec(),
        include_bytes!("../../fuzz/seeds/safetensors/kinds.safetensors").to_vec(),
        include_bytes!("../../fuzz/seeds/safetensors/metadata.safetensors").to_vec(),
    ];
    hammer(&seeds, files::safetensors);
}
