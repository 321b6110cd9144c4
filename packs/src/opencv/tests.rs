//! Held against OpenCV 5.0's own outputs: a digest of each, made with the wheel for x86-64 on a CPU with AVX-512.
#![allow(clippy::unwrap_used)]

use serde_json::Value as Json;

use super::*;

#[path = "../../tests/pictures/mod.rs"]
mod pictures;

use pictures::digest;

fn picture(kind: &str, size: &[usize]) -> Raster<u8> {
    let &[width, height, channels] = size else { panic!("{size:?}") };
    Raster { width, height, channels, values: pictures::picture(kind, width, height, channels) }
}

fn going() -> anyhow::Result<()> {
    Ok(())
}

/// Bytes of float32, for a digest.
fn bytes(floats: &Raster<f32>) -> Vec<u8> {
    floats.values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn floats(picture: &Raster<u8>) -> Raster<f32> {
    picture
        .pixels(picture.channels, &going, |pixel, into| {
            into.iter_mut().zip(pixel).for_each(|(into, value)| *into = f32::from(*value));
        })
        .unwrap()
}

fn made(figure: &Json) -> Vec<u8> {
    let numbers = |name: &str| figure[name].as_array().unwrap().iter().map(|number| number.as_f64().unwrap());
    let sizes = |name: &str| numbers(name).map(|number| number as usize).collect::<Vec<_>>();
    let picture = picture(figure["picture"].as_str().unwrap(), &sizes("size"));
    let with: Vec<f64> = numbers("with").collect();
    let resized = |method| resize(&picture, (with[0] as usize, with[1] as usize), method, &going).unwrap().values;
    match figure["op"].as_str().unwrap() {
        "nearest" => resized(Method::Nearest),
        "area" => resized(Method::Area),
        "cubic" => resized(Method::Cubic),
        "lanczos4" => resized(Method::Lanczos4),
        "linear" => {
            bytes(&resize_floats::linear(&floats(&picture), (with[0] as usize, with[1] as usize), &going).unwrap())
        }
        "cubic of doubles" => {
            let doubles = picture.pixels(picture.channels, &going, |pixel, into| {
                into.iter_mut().zip(pixel).for_each(|(into, value)| *into = f64::from(*value));
            });
            let made = resize_doubles::cubic(&doubles.unwrap(), (with[0] as usize, with[1] as usize), &going).unwrap();
            made.values.iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        "remap" => {
            let (width, height) = (picture.width as f32, picture.height as f32);
            let place = |pixel: &[u8]| [f32::from(pixel[0]) * (width / 300.0), f32::from(pixel[1]) * (height / 270.0)];
            let places = picture.pixels(1, &going, |pixel, into| into[0] = place(pixel)).unwrap();
            remap::linear(&picture, &places, &going).unwrap().values
        }
        "canny" => canny::canny(&picture, with[0] as i32, with[1] as i32, &going).unwrap().values,
        "blur" => bytes(&gaussian::blur(&floats(&picture), with[0], &going).unwrap()),
        "blur of bytes" => gaussian_bytes::blur(&picture, with[0] as usize, with[1], &going).unwrap().values,
        "pyramid" => pyramid::up(&picture, &going).unwrap().values,
        "grey" => colour::grey(&picture, &going).unwrap().values,
        "lightness" => colour::lightness(&picture, &going).unwrap().values,
        "value" => colour::value(&picture, &going).unwrap().values,
        "otsu" => vec![threshold::otsu(&picture)],
        "erode" => morphology::erode(&picture, &morphology::SQUARE, &going).unwrap().values,
        "dilate" => morphology::dilate(&picture, &morphology::SQUARE, &going).unwrap().values,
        other => panic!("{other}"),
    }
}

#[test]
fn every_byte_is_that_of_opencv() {
    let figures = include_str!("figures.jsonl");
    assert!(figures.lines().count() > 100);
    let differ = figures.lines().filter(|line| {
        let figure: Json = serde_json::from_str(line).unwrap();
        digest(&made(&figure)) != figure["digest"].as_str().unwrap()
    });
    let differ: Vec<&str> = differ.collect();
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}

#[test]
fn work_ends_when_it_shall() {
    let picture = picture("noise", &[90, 70, 3]);
    let ended = || anyhow::bail!("ended");
    for method in [Method::Nearest, Method::Area, Method::Cubic, Method::Lanczos4] {
        for size in [(64, 50), (90, 70), (200, 160)] {
            assert!(resize(&picture, size, method, &ended).is_err(), "{method:?} {size:?}");
        }
    }
    assert!(canny::canny(&picture, 100, 200, &ended).is_err());
    assert!(gaussian::blur(&floats(&picture), 2.0, &ended).is_err());
    assert!(gaussian_bytes::blur(&picture, 5, 2.0, &ended).is_err());
    assert!(pyramid::up(&picture, &ended).is_err());
}

#[test]
fn sides_of_nothing_are_refused() {
    let picture = picture("noise", &[9, 7, 3]);
    assert!(resize(&picture, (0, 5), Method::Cubic, &going).is_err());
    assert!(gaussian::blur(&floats(&picture), 0.0, &going).is_err());
}
