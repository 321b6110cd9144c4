//! AV1 pictures through rav1d, as planes of samples.

use anyhow::{Context, Result, anyhow, bail, ensure};
use re_rav1d::{Error, Picture, PixelLayout, PlanarImageComponent, Settings};

use super::boxes::DAMAGED;
use super::colour::Meaning;
use super::sequence;

/// How the planes of colour lie over that of brightness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// There are none: grey.
    Grey,
    /// One sample for 2 × 2 pixels.
    Quarter,
    /// One sample for two pixels side by side.
    Half,
    Full,
}

impl Layout {
    /// Width and height of the planes of colour.
    pub(super) fn chroma(self, width: usize, height: usize) -> (usize, usize) {
        match self {
            Layout::Grey => (0, 0),
            Layout::Quarter => (width.div_ceil(2), height.div_ceil(2)),
            Layout::Half => (width.div_ceil(2), height),
            Layout::Full => (width, height),
        }
    }
}

/// A decoded picture: brightness and two planes of colour.
pub(super) struct Planes {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Bits of a sample: 8, 10 or 12.
    pub(super) depth: u32,
    pub(super) layout: Layout,
    /// What the picture itself says of its samples.
    pub(super) meaning: Meaning,
    pub(super) samples: [Vec<u16>; 3],
}

impl Planes {
    /// One of another size and of the same kind, all zeros.
    pub(super) fn empty(&self, width: usize, height: usize) -> Planes {
        let (wide, high) = self.layout.chroma(width, height);
        let samples = [vec![0; width * height], vec![0; wide * high], vec![0; wide * high]];
        Planes { width, height, samples, ..*self }
    }

    /// Copies a part to where it belongs; what lies beyond the edges is left out.
    ///
    /// # Errors
    /// If it is of another kind, or lies between two samples of colour.
    pub(super) fn put(&mut self, part: &Planes, left: u32, top: u32) -> Result<()> {
        let (left, top) = (left as usize, top as usize);
        ensure!((part.depth, part.layout) == (self.depth, self.layout), DAMAGED);
        let halves = |halved: bool, at: usize| if halved && at % 2 == 1 { None } else { Some(at >> u32::from(halved)) };
        let narrow = matches!(self.layout, Layout::Quarter | Layout::Half);
        let (Some(across), Some(down)) = (halves(narrow, left), halves(self.layout == Layout::Quarter, top)) else {
            bail!(DAMAGED)
        };
        let (whole, of_part) =
            (self.layout.chroma(self.width, self.height), self.layout.chroma(part.width, part.height));
        let sizes =
            [(self.width, self.height), whole, whole].into_iter().zip([(part.width, part.height), of_part, of_part]);
        let places = [(left, top), (across, down), (across, down)];
        let planes = self.samples.iter_mut().zip(&part.samples);
        for (((to, from), (size, part_size)), (left, top)) in planes.zip(sizes).zip(places) {
            let width = part_size.0.min(size.0.saturating_sub(left));
            if width == 0 {
                continue;
            }
            for (to, from) in to.chunks_exact_mut(size.0).skip(top).zip(from.chunks_exact(part_size.0)) {
                to[left..left + width].copy_from_slice(&from[..width]);
            }
        }
        Ok(())
    }
}

/// A decoder of pictures that may build on one another.
pub(super) struct Decoder {
    decoder: re_rav1d::Decoder,
    /// What the stream has said of its colours. The crate's own words for it end the program where a stream names none that it knows.
    meaning: Option<Meaning>,
}

impl Decoder {
    /// For pictures of at most this size: larger ones are refused before memory is taken.
    pub(super) fn new((width, height): (u32, u32)) -> Result<Decoder> {
        let mut settings = Settings::new();
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        settings.set_all_layers(false);
        settings.set_frame_size_limit(width.saturating_mul(height).max(1));
        Ok(Decoder { decoder: re_rav1d::Decoder::with_settings(&settings).map_err(damaged)?, meaning: None })
    }

    /// The picture in the next piece of the stream: the first, if there are several.
    pub(super) fn next(&mut self, sample: Vec<u8>) -> Result<Planes> {
        let mut first: Option<Picture> = None;
        self.meaning = self.meaning.or_else(|| sequence::meaning(&sample));
        // Each turn takes in a part of the piece, which is at least a byte long.
        let most = sample.len();
        let mut sent = self.decoder.send_data(sample, None, None, None);
        for _ in 0..=most {
            if let Err(error) = &sent
                && !error.is_again()
            {
                return Err(damaged(*error));
            }
            loop {
                match self.decoder.get_picture() {
                    Ok(picture) => first = first.or(Some(picture)),
                    Err(Error::Again) => break,
                    Err(error) => return Err(damaged(error)),
                }
            }
            if sent.is_ok() {
                break;
            }
            sent = self.decoder.send_pending_data();
        }
        planes(&first.context(DAMAGED)?, self.meaning.context(DAMAGED)?)
    }
}

fn damaged(error: Error) -> anyhow::Error {
    anyhow!("{error}").context(DAMAGED)
}

fn planes(picture: &Picture, meaning: Meaning) -> Result<Planes> {
    let layout = match picture.pixel_layout() {
        PixelLayout::I400 => Layout::Grey,
        PixelLayout::I420 => Layout::Quarter,
        PixelLayout::I422 => Layout::Half,
        PixelLayout::I444 => Layout::Full,
    };
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let depth = picture.bits_per_component().map_or(0, |bits| bits.0 as u32);
    ensure!(matches!(depth, 8 | 10 | 12), DAMAGED);
    let chroma = layout.chroma(width, height);
    let samples = [
        plane(picture, PlanarImageComponent::Y, (width, height)),
        plane(picture, PlanarImageComponent::U, chroma),
        plane(picture, PlanarImageComponent::V, chroma),
    ];
    Ok(Planes { width, height, depth, layout, meaning, samples })
}

/// A plane's samples without what lies between its rows. Of a plane that there is not, none.
fn plane(picture: &Picture, component: PlanarImageComponent, (width, height): (usize, usize)) -> Vec<u16> {
    if width == 0 || height == 0 {
        return Vec::new();
    }
    let (plane, stride) = (picture.plane(component), picture.stride(component) as usize);
    let rows = plane.chunks(stride).take(height);
    if picture.bit_depth() == 8 {
        rows.flat_map(|row| &row[..width]).map(|sample| u16::from(*sample)).collect()
    } else {
        rows.flat_map(|row| row[..2 * width].chunks_exact(2)).map(|s| u16::from_ne_bytes([s[0], s[1]])).collect()
    }
}
