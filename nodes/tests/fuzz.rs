//! The fuzz targets' harness for files of strangers over some mutated seeds: what `make fuzz` does for longer and better.
//!
//! `REDRAFT_FUZZ_RUNS` says how many each target is given.
#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/files.rs"]
mod files;

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};

/// Some seconds of work for each target.
const RUNS: u64 = 1500;

/// A seed's own random numbers: a failure is found again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX constants; only the high bits are any good.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    let end = (at + random.below(24)).min(bytes.len());
    match random.below(5) {
        0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
        1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        2 => drop(bytes.drain(at..end)),
        3 => bytes.truncate(end),
        _ => {
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
    }
}

fn hammer(seeds: &[Vec<u8>], target: fn(&[u8])) {
    let runs = std::env::var("REDRAFT_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    for (number, seed) in seeds.iter().enumerate() {
        target(seed);
        for run in 0..runs / seeds.len() as u64 {
            let mut random = Random(run * 1000 + number as u64);
            let mut bytes = seed.clone();
            (0..=random.below(6)).for_each(|_| mutate(&mut bytes, &mut random));
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
    let seeds: Vec<_> = formats
        .into_iter()
        .map(|(format, alpha)| {
            let mut bytes = Cursor::new(Vec::new());
            let picture = if alpha { picture.clone() } else { picture.to_rgb8().into() };
            picture.write_to(&mut bytes, format).unwrap();
            bytes.into_inner()
        })
        .collect();
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
    let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BOOL","shape":[1,4],"data_offsets":[8,12]}}"#;
    let seed = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[1; 12]].concat();
    hammer(&[seed], files::safetensors);
}
