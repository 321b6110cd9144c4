//! Turning a picture upright by its EXIF (or XMP) orientation, as Pillow's `ImageOps.exif_transpose` does.

use super::frame::Frame;

/// The metadata of a file that may contain its orientation.
#[derive(Default)]
pub(super) struct OrientationSources {
    /// A TIFF structure, with or without the `Exif\0\0` prefix.
    pub(super) exif: Option<Vec<u8>>,
    pub(super) xmp: Option<Vec<u8>>,
}

impl OrientationSources {
    /// The orientation, 1 (upright) unless the file says otherwise. EXIF has precedence over XMP. Unreadable metadata
    /// counts as missing.
    pub(super) fn orientation(&self) -> u32 {
        self.exif.as_deref().and_then(from_exif).or_else(|| self.xmp.as_deref().and_then(from_xmp)).unwrap_or(1)
    }
}

/// The orientation that EXIF data name.
pub(super) fn from_exif(mut bytes: &[u8]) -> Option<u32> {
    for _ in 0..2 {
        bytes = bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
    }
    let exif = exif::Reader::new().read_raw(bytes.to_vec()).ok()?;
    exif.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?.value.get_uint(0)
}

/// The orientation that XMP data name.
pub(super) fn from_xmp(bytes: &[u8]) -> Option<u32> {
    let key = b"tiff:Orientation";
    bytes.windows(key.len()).enumerate().filter(|(_, window)| window == key).find_map(|(at, _)| {
        let rest = &bytes[at + key.len()..];
        let digit = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?.first()?;
        digit.is_ascii_digit().then(|| u32::from(digit - b'0'))
    })
}

/// The picture turned by an EXIF orientation (1 to 8); any other number leaves it as it is.
pub(super) fn upright(frame: Frame, orientation: u32) -> Frame {
    if !(2..=8).contains(&orientation) {
        return frame;
    }
    let (width, height) = (frame.width, frame.height);
    let (new_width, new_height) = if orientation >= 5 { (height, width) } else { (width, height) };
    // The old position of each new pixel.
    let source = |x: usize, y: usize| match orientation {
        2 => (width - 1 - x, y),
        3 => (width - 1 - x, height - 1 - y),
        4 => (x, height - 1 - y),
        5 => (y, x),
        6 => (y, height - 1 - x),
        7 => (width - 1 - y, height - 1 - x),
        _ => (width - 1 - y, x),
    };
    let mut rgb = Vec::with_capacity(frame.rgb.len());
    let mut alpha = frame.alpha.as_ref().map(|old| Vec::with_capacity(old.len()));
    for y in 0..new_height {
        for x in 0..new_width {
            let (old_x, old_y) = source(x, y);
            let at = old_y * width + old_x;
            rgb.extend_from_slice(&frame.rgb[at * 3..at * 3 + 3]);
            if let (Some(new), Some(old)) = (&mut alpha, &frame.alpha) {
                new.push(old[at]);
            }
        }
    }
    Frame { width: new_width, height: new_height, rgb, alpha, ..frame }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// 1 2 3 over 4 5 6, turned each way: what Pillow's `exif_transpose` gives.
    #[test]
    fn turns_as_pillow_does() {
        let expected: [(u32, usize, [u8; 6]); 10] = [
            (0, 3, [1, 2, 3, 4, 5, 6]),
            (1, 3, [1, 2, 3, 4, 5, 6]),
            (2, 3, [3, 2, 1, 6, 5, 4]),
            (3, 3, [6, 5, 4, 3, 2, 1]),
            (4, 3, [4, 5, 6, 1, 2, 3]),
            (5, 2, [1, 4, 2, 5, 3, 6]),
            (6, 2, [4, 1, 5, 2, 6, 3]),
            (7, 2, [6, 3, 5, 2, 4, 1]),
            (8, 2, [3, 6, 2, 5, 1, 4]),
            (9, 3, [1, 2, 3, 4, 5, 6]),
        ];
        for (orientation, width, pixels) in expected {
            let mut frame = Frame::grey(3, 2, &[1, 2, 3, 4, 5, 6]);
            frame.alpha = Some(vec![1, 2, 3, 4, 5, 6]);
            let turned = upright(frame, orientation);
            assert_eq!((turned.width, turned.height), (width, 6 / width), "{orientation}");
            assert_eq!(turned.alpha.unwrap(), pixels, "{orientation}");
            assert_eq!(turned.rgb, Frame::grey(width, 6 / width, &pixels).rgb, "{orientation}");
        }
    }

    #[test]
    fn exif_goes_before_xmp() {
        let exif = |value: u8| {
            let mut tiff = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
            tiff.extend([value, 0, 0, 0, 0, 0, 0]);
            tiff
        };
        let xmp = b"<a tiff:Orientation=\"6\"/>".to_vec();
        let of = |exif, xmp| OrientationSources { exif, xmp }.orientation();
        assert_eq!(of(Some(exif(8)), Some(xmp.clone())), 8);
        assert_eq!(of(None, Some(xmp.clone())), 6);
        assert_eq!(of(Some(b"nonsense".to_vec()), Some(xmp)), 6);
        assert_eq!(of(None, Some(b"<tiff:Orientation>3</tiff:Orientation>".to_vec())), 3);
        assert_eq!(of(None, None), 1);
    }
}
