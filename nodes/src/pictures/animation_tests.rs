#![allow(clippy::unwrap_used)]
use serde_json::json;
use tch::{Device, Kind};

use super::*;
use crate::ops::noise::randn;
use crate::pictures::read::read;

fn pictures(count: i64, channels: i64) -> Tensor {
    (randn(3, &[count, 7, 10, channels]) * 0.3 + 0.5).clamp(0.0, 1.0)
}

fn metadata() -> Vec<(String, Value)> {
    vec![("prompt".to_owned(), json!({"3": {"x": "é"}})), ("workflow".to_owned(), json!([1]))]
}

/// What a file reads back as, colours and mask.
fn read_back(bytes: &[u8]) -> (Tensor, Tensor) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, bytes).unwrap();
    let picture = read(&path).unwrap();
    (picture.image, picture.mask)
}

fn cut(images: &Tensor) -> Tensor {
    (images * 255.0).floor() / 255.0
}

fn near(a: &Tensor, b: &Tensor) -> bool {
    a.size() == b.size() && (a - b).abs().max().double_value(&[]) < 1e-6
}

const LOSSLESS: WebpSettings = WebpSettings { lossless: true, quality: 80, method: 4 };

#[test]
fn moving_pictures_read_back_as_they_were() {
    let images = pictures(3, 3);
    assert!(near(&read_back(&png(&images, 166, 4, &metadata()).unwrap()).0, &cut(&images)));
    assert!(near(&read_back(&webp(&images, 166, LOSSLESS, &metadata()).unwrap()).0, &cut(&images)));
    let still = images.narrow(0, 0, 1);
    assert!(near(&read_back(&webp(&still, 166, LOSSLESS, &metadata()).unwrap()).0, &cut(&still)));
    assert!(near(&read_back(&png(&still, 166, 4, &[]).unwrap()).0, &cut(&still)));
}

#[test]
fn alpha_is_kept() {
    for count in [1, 2] {
        let images = pictures(count, 4);
        let mask = 1.0 - cut(&images).select(3, 3);
        for bytes in [png(&images, 166, 4, &[]).unwrap(), webp(&images, 166, LOSSLESS, &metadata()).unwrap()] {
            assert!(near(&read_back(&bytes).1, &mask));
        }
    }
}

#[test]
fn lossy_pictures_are_near() {
    let images = Tensor::full([2, 32, 32, 3], 0.25, (Kind::Float, Device::Cpu));
    let other = Tensor::cat(&[images.narrow(0, 0, 1), images.narrow(0, 1, 1) + 0.5], 0);
    let settings = WebpSettings { lossless: false, ..LOSSLESS };
    let (back, _) = read_back(&webp(&other, 100, settings, &[]).unwrap());
    assert!((back - other).abs().max().double_value(&[]) < 0.02);
}

/// The reference's places: PNG chunks behind the pixels, EXIF's model and make.
#[test]
fn texts_are_where_the_reference_has_them() {
    let images = pictures(2, 3);
    let at = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|window| window == text).unwrap();
    let file = png(&images, 166, 9, &metadata()).unwrap();
    assert!(at(&file, b"fdAT") < at(&file, b"comfprompt\0{\"3\": {\"x\": \"\\u00e9\"}}"));
    assert!(at(&file, b"comfworkflow\0[1]") < at(&file, b"IEND"));
    let file = webp(&images, 166, LOSSLESS, &metadata()).unwrap();
    let exif = &file[at(&file, b"EXIF") + 8..];
    assert!(exif.starts_with(b"II*\0\x08\0\0\0\x02\0\x0F\x01\x02\0"));
    assert!(at(exif, b"workflow:[1]\0") < at(exif, b"prompt:{\"3\": {\"x\": \"\\u00e9\"}}\0"));
}

#[test]
fn equal_pictures_are_one_frame() {
    let images = pictures(1, 3).repeat([4, 1, 1, 1]);
    let (back, _) = read_back(&png(&images, 166, 4, &[]).unwrap());
    assert_eq!(back.size(), [1, 7, 10, 3]);
}

#[test]
fn delays_are_fractions_of_a_second() {
    assert_eq!(delay(166).unwrap(), (83, 500));
    assert_eq!(delay(0).unwrap(), (0, 1));
    assert_eq!(delay(100_000).unwrap(), (100, 1));
    let error = delay(70_000_000).unwrap_err().to_string();
    assert_eq!(error, "a frame cannot be shown for 70000000 ms: set a higher fps");
}

#[test]
fn what_does_not_fit_is_named() {
    let long = Tensor::zeros([1, 1, 16384, 3], (Kind::Float, Device::Cpu));
    let error = webp(&long, 1, LOSSLESS, &[]).unwrap_err().to_string();
    assert!(error.starts_with("pictures of 16384 × 1 pixels do not fit into a webp file"), "{error}");
    let error = png(&long.narrow(3, 0, 2), 1, 4, &[]).unwrap_err().to_string();
    assert_eq!(error, "pictures of shape [1, 1, 16384, 2] cannot be saved: make them RGB or RGBA");
}
