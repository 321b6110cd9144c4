//! Pictures of whole numbers that tests and the scripts which recorded their figures make alike.

/// The bytes of a picture of `width` × `height` pixels.
///
/// # Panics
/// If there is no such kind.
pub(crate) fn picture(kind: &str, width: usize, height: usize, channels: usize) -> Vec<u8> {
    let value = |index: usize| {
        let (channel, x, y) = (index % channels, index / channels % width, index / channels / width);
        match kind {
            "noise" => noise(index as u32),
            "shapes" => shapes((x, y), channel, (width, height)),
            "lines" => lines(x, y),
            "few" => ((x / 11 + 2 * (y / 8)) % 5 * 60) as u8,
            "blocks" => ((x / 16 + y / 16) % 2 * 255) as u8 ^ 255,
            "grey" => 119,
            _ => panic!("{kind}"),
        }
    };
    (0..width * height * channels).map(value).collect()
}

fn noise(index: u32) -> u8 {
    let mixed = index.wrapping_add(1).wrapping_mul(0x9E37_79B1);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x85EB_CA77);
    ((mixed ^ (mixed >> 13)) >> 24) as u8
}

/// A disc before stripes and a slope.
fn shapes((x, y): (usize, usize), channel: usize, (width, height): (usize, usize)) -> u8 {
    let (across, down, radius) = (x.abs_diff(width / 3), y.abs_diff(height / 2), width.min(height) / 4);
    let value = if across * across + down * down < radius * radius {
        200 - 40 * channel
    } else if (x / 9 + y / 6).is_multiple_of(3) {
        90 + 50 * channel
    } else {
        20 * channel + x * 180 / width
    };
    value as u8
}

/// White lines of one pixel on black.
fn lines(x: usize, y: usize) -> u8 {
    if x % 13 == 4 || y % 17 == 9 || (x + y).is_multiple_of(29) { 255 } else { 0 }
}

/// The first 16 hexadecimal digits of BLAKE3.
pub(crate) fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}
