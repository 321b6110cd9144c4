#![allow(clippy::unwrap_used)]
use super::*;
use std::path::PathBuf;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pictures/testdata").join(name)
}

fn fnv(bytes: &[u8]) -> String {
    let step = |value: u64, &byte: &u8| (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    format!("{:016x}", bytes.iter().fold(0xCBF2_9CE4_8422_2325, step))
}

/// 0 … 1 back to bytes, exactly: any value that is not a whole 255th fails.
fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    let floats: Vec<f32> = Vec::try_from(&tensor.contiguous().view(-1)).unwrap();
    let byte = |value: f32| {
        let byte = (value * 255.0).round() as u8;
        assert_eq!(f32::from(byte) / 255.0, value);
        byte
    };
    floats.into_iter().map(byte).collect()
}

/// The mask as alpha bytes. 1 - a is exact only to rounding, so no exact check here.
fn alpha_of(mask: &Tensor) -> Vec<u8> {
    let floats: Vec<f32> = Vec::try_from(&mask.contiguous().view(-1)).unwrap();
    floats.into_iter().map(|value| ((1.0 - value) * 255.0).round() as u8).collect()
}

/// Every file of testdata against what the reference's code and Pillow 13 read from it; see testdata/make.py.
#[test]
fn every_kind_of_file_reads_as_in_the_reference() {
    let table = std::fs::read_to_string(testdata("expected.txt")).unwrap();
    let mut count = 0;
    for row in table.lines() {
        let [name, frames, height, width, colours, mask, key] = row.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{row}");
        };
        let picture = read(&testdata(name)).unwrap();
        let [frames, height, width]: [i64; 3] = [frames, height, width].map(|n| n.parse().unwrap());
        assert_eq!(picture.image.size(), [frames, height, width, 3], "{name}");
        assert_eq!(fnv(&bytes_of(&picture.image)), colours, "{name}: colours");
        if mask == "-" {
            assert_eq!(picture.mask.size(), [frames, 64, 64], "{name}");
            assert_eq!(picture.mask.abs().max().double_value(&[]), 0.0, "{name}");
        } else {
            assert_eq!(picture.mask.size(), [frames, height, width], "{name}");
            assert_eq!(fnv(&alpha_of(&picture.mask)), mask, "{name}: mask");
        }
        let alpha = read_mask(&testdata(name), Channel::Alpha).unwrap().0;
        assert_eq!(alpha.size(), [1, height, width], "{name}");
        assert_eq!(fnv(&alpha_of(&alpha)), key, "{name}: LoadImageMask");
        count += 1;
    }
    assert_eq!(count, 147);
}

#[test]
fn values_are_the_references_floats() {
    let picture = read(&testdata("rgba.png")).unwrap();
    let red = read_mask(&testdata("rgba.png"), Channel::Red).unwrap().0;
    // numpy: float32(19) / 255 and 1 - float32(20) / 255.
    assert_eq!(picture.image.double_value(&[0, 0, 1, 0]) as f32, 0.074_509_81);
    assert_eq!(picture.mask.double_value(&[0, 0, 1]) as f32, 1.0 - 20.0f32 / 255.0);
    assert_eq!(red.double_value(&[0, 0, 1]) as f32, 0.074_509_81);
    let blue = read_mask(&testdata("rgba.png"), Channel::Blue).unwrap().0;
    assert_eq!(blue.double_value(&[0, 1, 2]) as f32, 29.0 / 255.0);
}

fn error_of(name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let Err(error) = read(&path) else { panic!("{name}: {} bytes were read", bytes.len()) };
    let error = format!("{error:#}");
    assert!(error.contains(name), "{error}");
    error
}

/// Headers that claim enormous pictures, in files of a few bytes: refused by their header alone.
#[test]
fn enormous_pictures_are_refused() {
    let with = |name: &str, at: usize, patch: &[u8]| {
        let mut bytes = std::fs::read(testdata(name)).unwrap();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        bytes
    };
    let mut png = with("rgb.png", 16, &[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    // IHDR's checksum for 60,000 × 60,000.
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let jpeg = std::fs::read(testdata("jpeg-444.jpg")).unwrap();
    let header = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    let bmp = [60_000u32.to_le_bytes(), 60_000u32.to_le_bytes()].concat();
    let cases: [(&str, Vec<u8>); 4] = [
        ("a.png", png),
        ("a.jpg", with("jpeg-444.jpg", header + 5, &[0xEA, 0x60, 0xEA, 0x60])),
        ("a.gif", with("still.gif", 6, &[0x60, 0xEA, 0x60, 0xEA])),
        ("a.bmp", with("rgb.bmp", 18, &bmp)),
    ];
    for (name, bytes) in cases {
        let error = error_of(name, &bytes);
        assert!(error.contains("60000 × 60000 pixels; a file may hold 178956970"), "{error}");
    }
    // Within the limit, but more than so short a file can hold.
    let error = error_of("b.jpg", &with("jpeg-444.jpg", header + 5, &[0x27, 0x10, 0x27, 0x10]));
    assert!(error.contains("claims 10000 × 10000 pixels but is only"), "{error}");
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 })
    })
}

#[test]
fn truncated_and_foreign_files_are_refused() {
    for name in
        ["rgb.png", "jpeg-420.jpg", "jpeg-progressive.jpg", "lossy.webp", "anim-keep-clear.gif", "rgb.bmp", "rgb.tif"]
    {
        let bytes = std::fs::read(testdata(name)).unwrap();
        // Of these, what is left is read.
        let read_in_part = name.ends_with(".jpg") || name.ends_with(".png");
        let lengths = [0, 1, 12, 30, bytes.len() / 2, bytes.len() * 4 / 5];
        for &length in if read_in_part { &lengths[..4] } else { &lengths[..] } {
            let error = error_of(name, &bytes[..length]);
            let advice = ["export it", "export it again", "export it as png", "choose another file"];
            assert!(advice.iter().any(|a| error.contains(a)), "{name} cut to {length}: {error}");
        }
    }
    assert!(
        error_of("a.txt", b"no picture")
            .ends_with("is not a png, jpeg, webp, gif, bmp, tiff, jpeg 2000, tga or avif file: export it as png")
    );
    let folder = tempfile::tempdir().unwrap();
    assert!(format!("{:#}", read(folder.path()).unwrap_err()).contains("is a directory, not a file"));
    assert!(read(&folder.path().join("none.png")).is_err());
}

/// A JPEG without its end marker holds the whole picture.
#[test]
fn a_missing_end_marker_is_forgiven() {
    let bytes = std::fs::read(testdata("jpeg-420.jpg")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    std::fs::write(&path, &bytes[..bytes.len() - 2]).unwrap();
    assert_eq!(read(&path).unwrap().image, read(&testdata("jpeg-420.jpg")).unwrap().image);
}

const JPEGS: [&str; 4] = ["jpeg-420.jpg", "jpeg-progressive.jpg", "jpeg-restart.jpg", "jpeg-cmyk.jpg"];

/// libjpeg's errors and warnings cross C code as unwinding, from wherever they come.
#[test]
fn damaged_jpegs_are_read_or_refused() {
    let mut random = crate::python::random_state::RandomState::seeded(1);
    let mut refused = 0;
    for name in JPEGS {
        let bytes = std::fs::read(testdata(name)).unwrap();
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            for _ in 0..=random.up_to(2) {
                let at = 3 + random.up_to(bytes.len() as u32 - 4) as usize;
                damaged[at] = random.up_to(255) as u8;
            }
            if let Err(error) = decode(&damaged) {
                let error = error.to_string();
                assert!(error.contains("jpeg file") || error.contains("pixels"), "{error}");
                refused += 1;
            }
        }
    }
    assert!((200..1400).contains(&refused), "{refused} of 1600");
}

/// Each scan of a progressive file is another pass over the whole picture.
#[test]
fn jpegs_of_endless_scans_are_refused() {
    let bytes = std::fs::read(testdata("jpeg-progressive.jpg")).unwrap();
    let marker = |from: usize, kinds: &[u8]| {
        from + bytes[from..].windows(2).position(|w| w[0] == 0xFF && kinds.contains(&w[1])).unwrap()
    };
    // The first scan has the upper bits of each block's mean, and may come any number of times.
    let first = marker(0, &[0xDA]);
    let second = marker(first + 2, &[0xC4, 0xDA]);
    let repeated = |times: usize| [&bytes[..first], &bytes[first..second].repeat(times), &bytes[second..]].concat();
    assert!(decode(&repeated(3)).is_ok());
    assert!(error_of("a.jpg", &repeated(300)).ends_with("is a jpeg file of too many scans: export it again"));
}

/// Where a box of a kind begins, behind its name.
fn place_of(bytes: &[u8], kind: &[u8; 4]) -> usize {
    bytes.windows(4).position(|window| window == kind).unwrap() + 4
}

#[test]
fn cut_and_damaged_avif_files_are_refused() {
    for name in ["rgba-420-full.avif", "anim-clear.avif", "grid.avif"] {
        let bytes = std::fs::read(testdata(name)).unwrap();
        for length in [16, 40, bytes.len() / 2, bytes.len() * 9 / 10, bytes.len() - 1] {
            let error = error_of("cut.avif", &bytes[..length]);
            let advice = ["fetch it again", "export it as png"];
            assert!(advice.iter().any(|advice| error.contains(advice)), "{name} cut to {length}: {error}");
        }
    }
    let mut other = std::fs::read(testdata("rgb-444-full.avif")).unwrap();
    let kind = place_of(&other, b"infe") + 8;
    other[kind..kind + 4].copy_from_slice(b"hvc1");
    let error = error_of("other.avif", &other);
    assert!(error.contains("of the kind hvc1, which is not read"), "{error}");
}

#[test]
fn what_an_avif_file_claims_is_held_against_the_limit_and_against_its_picture() {
    let mut bytes = std::fs::read(testdata("rgb-444-full.avif")).unwrap();
    let size = place_of(&bytes, b"ispe") + 4;
    bytes[size..size + 8].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let error = error_of("large.avif", &bytes);
    assert!(error.contains("60000 × 60000 pixels; a file may hold 178956970"), "{error}");
    // A picture that is larger than the file says is not decoded, a smaller one not stretched.
    for (width, error) in [(12, "is a damaged avif file"), (14, "stretches its picture")] {
        bytes[size..size + 8].copy_from_slice(&[0, 0, 0, width, 0, 0, 0, 9]);
        let said = error_of("other.avif", &bytes);
        assert!(said.contains(error), "{said}");
    }
}

/// The decoder is no code of ours: whatever it is given, it must come back.
#[test]
fn damaged_avif_pictures_are_read_or_refused() {
    let mut random = crate::python::random_state::RandomState::seeded(2);
    let mut refused = 0;
    for name in ["rgba-420-full.avif", "anim-clear.avif", "rgb-444-12-709.avif", "grid.avif"] {
        let bytes = std::fs::read(testdata(name)).unwrap();
        let data = place_of(&bytes, b"mdat");
        for _ in 0..100 {
            let mut damaged = bytes.clone();
            for _ in 0..=random.up_to(2) {
                let at = data + random.up_to((bytes.len() - data - 1) as u32) as usize;
                damaged[at] = random.up_to(255) as u8;
            }
            refused += u32::from(decode(&damaged).is_err());
        }
    }
    assert!((20..400).contains(&refused), "{refused} of 400");
}
