//! JPEG, to the bit as libjpeg-turbo decodes it, because Pillow does.
//!
//! The `image` crate's decoder (zune-jpeg 0.5.15) was measured first: with 4:2:0 chroma a quarter of all samples
//! differ from Pillow's, mostly by one, at edges by up to 29 of 255. The differences lie in the inverse DCT and in
//! how chroma is enlarged, both after the entropy decoding, and no option changes them. Sources: ITU-T T.81 for the
//! format; for the arithmetic, Loeffler, Ligtenberg and Moschytz 1989 in 13-bit fixed point, and triangle
//! filters for chroma.
//!
//! Read: baseline, extended and progressive Huffman with 8-bit samples in 1, 3 or 4 components. Refused: lossless,
//! arithmetic coding, 12 bits; all are rare in pictures that people exchange.

mod huffman;
mod samples;
mod scan;

use anyhow::{Context, Result, bail, ensure};

use super::frame::{Budget, Frame};
use super::orientation::OrientationSources;
use huffman::Table;
use samples::Plane;

const TRUNCATED: &str = "is a truncated jpeg file: fetch or export it again";

/// A progressive file may send the same coefficients in many passes; honest ones use about ten.
const MAX_SCANS: usize = 200;

/// One colour component: its sampling factors and everything decoded of it so far.
struct Component {
    id: u8,
    horizontal: usize,
    vertical: usize,
    quantisation: usize,
    /// Blocks in the padded plane, a whole number of minimum coded units.
    block_columns: usize,
    block_rows: usize,
    /// Blocks that hold picture; a scan of this component alone has only these.
    real_columns: usize,
    real_rows: usize,
    plane: Plane,
    /// Whether any scan had this component.
    scanned: bool,
    /// Coefficients in zigzag order; only progressive files keep them until the end.
    coefficients: Vec<[i16; 64]>,
}

struct Picture {
    width: usize,
    height: usize,
    progressive: bool,
    largest_horizontal: usize,
    largest_vertical: usize,
    components: Vec<Component>,
}

/// What stands in the file before and between its scans.
#[derive(Default)]
struct Tables {
    quantisation: [Option<[u16; 64]>; 4],
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    restart_interval: usize,
    jfif: bool,
    adobe_transform: Option<u8>,
    metadata: OrientationSources,
}

/// The picture of a JPEG file (of an MPO file, the first).
///
/// # Errors
/// If the file is damaged or truncated, of a kind that is not read, or larger than `budget` allows.
pub(super) fn frame(bytes: &[u8], budget: &mut Budget) -> Result<(Frame, OrientationSources)> {
    let mut reader = Reader { bytes, at: 2 };
    let mut tables = Tables::default();
    let mut picture: Option<Picture> = None;
    let mut scans = 0;
    loop {
        let Some(marker) = reader.marker() else {
            // The end marker is missing, which is common and does no harm where every scan has come.
            ensure!(picture.as_ref().is_some_and(|picture| !picture.progressive), TRUNCATED);
            break;
        };
        match marker {
            0xD9 => break,
            0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let segment = reader.segment()?;
        match marker {
            0xC0..=0xC2 => {
                ensure!(picture.is_none(), "is a jpeg file with two headers: export it again");
                picture = Some(start_picture(segment, marker == 0xC2, bytes.len(), budget)?);
            }
            0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                bail!("is a lossless or arithmetic-coded jpeg file, which is not read: export it as png")
            }
            0xDA => {
                let picture = picture.as_mut().context("is a jpeg file without a header: export it again")?;
                scans += 1;
                ensure!(scans <= MAX_SCANS, "is a jpeg file of more than {MAX_SCANS} scans: export it again");
                reader.at += scan::decode(picture, &tables, segment, &bytes[reader.at..])?;
            }
            _ => tables.read(marker, segment)?,
        }
    }
    let picture = picture.context("is a jpeg file without a picture in it: export it again")?;
    ensure!(picture.components.iter().all(|component| component.scanned), TRUNCATED);
    let frame = samples::finish(picture, &tables)?;
    Ok((frame, tables.metadata))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next marker, whatever stands before it.
    fn marker(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            let next = *self.bytes.get(self.at + 1)?;
            self.at += 1;
            if byte == 0xFF && next != 0 && next != 0xFF {
                self.at += 1;
                return Some(next);
            }
        }
    }

    fn segment(&mut self) -> Result<&'a [u8]> {
        let length = self.bytes.get(self.at..self.at + 2).context(TRUNCATED)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        ensure!(length >= 2, "is a damaged jpeg file (a segment of length {length}): export it again");
        let segment = self.bytes.get(self.at + 2..self.at + length).context(TRUNCATED)?;
        self.at += length;
        Ok(segment)
    }
}

fn start_picture(segment: &[u8], progressive: bool, file_length: usize, budget: &mut Budget) -> Result<Picture> {
    let [precision, h1, h0, w1, w0, count, rest @ ..] = segment else { bail!(TRUNCATED) };
    let (width, height) = (u16::from_be_bytes([*w1, *w0]), u16::from_be_bytes([*h1, *h0]));
    ensure!(*precision == 8, "is a jpeg file of {precision} bits a sample, which is not read: export it as png");
    ensure!(matches!(count, 1 | 3 | 4), "is a jpeg file of {count} components, which is not read: export it as png");
    ensure!(rest.len() >= usize::from(*count) * 3, TRUNCATED);
    budget.take(width, height)?;
    let (width, height) = (usize::from(width), usize::from(height));
    let sampling: Vec<(usize, usize)> =
        rest.chunks_exact(3).take((*count).into()).map(|c| ((c[1] >> 4).into(), (c[1] & 15).into())).collect();
    let in_range = |factor: usize| (1..=4).contains(&factor);
    ensure!(
        sampling.iter().all(|&(h, v)| in_range(h) && in_range(v)),
        "is a damaged jpeg file (its sampling factors are out of range): export it again"
    );
    let largest_horizontal = sampling.iter().map(|s| s.0).max().unwrap_or(1);
    let largest_vertical = sampling.iter().map(|s| s.1).max().unwrap_or(1);
    let unit_columns = width.div_ceil(8 * largest_horizontal);
    let unit_rows = height.div_ceil(8 * largest_vertical);
    // Every block costs at least one bit, so a short file cannot hold a large picture; refused before memory is taken.
    let blocks: usize = sampling.iter().map(|&(h, v)| unit_columns * unit_rows * h * v).sum();
    ensure!(
        blocks / 8 <= file_length,
        "claims {width} × {height} pixels but is only {file_length} bytes: {}",
        "export it again"
    );
    let components = rest.chunks_exact(3).zip(&sampling).map(|(c, &(horizontal, vertical))| {
        let (block_columns, block_rows) = (unit_columns * horizontal, unit_rows * vertical);
        let columns = (width * horizontal).div_ceil(largest_horizontal);
        let rows = (height * vertical).div_ceil(largest_vertical);
        Component {
            id: c[0],
            horizontal,
            vertical,
            quantisation: usize::from(c[2] & 3),
            block_columns,
            block_rows,
            real_columns: columns.div_ceil(8),
            real_rows: rows.div_ceil(8),
            plane: Plane::new(block_columns * 8, block_rows * 8, columns, rows),
            scanned: false,
            coefficients: vec![[0; 64]; if progressive { block_columns * block_rows } else { 0 }],
        }
    });
    Ok(Picture { width, height, progressive, largest_horizontal, largest_vertical, components: components.collect() })
}

impl Tables {
    fn read(&mut self, marker: u8, segment: &[u8]) -> Result<()> {
        match marker {
            0xDB => self.read_quantisation(segment)?,
            0xC4 => self.read_huffman(segment)?,
            0xDD => {
                let [high, low, ..] = segment else { bail!(TRUNCATED) };
                self.restart_interval = usize::from(u16::from_be_bytes([*high, *low]));
            }
            0xE0 if segment.starts_with(b"JFIF\0") => self.jfif = true,
            0xE1 if segment.starts_with(b"Exif\0\0") => match &mut self.metadata.exif {
                Some(exif) => exif.extend_from_slice(&segment[6..]),
                None => self.metadata.exif = Some(segment.to_vec()),
            },
            0xE1 if segment.starts_with(b"http://ns.adobe.com/xap/1.0/\0") => {
                self.metadata.xmp = Some(segment.to_vec());
            }
            0xEE if segment.starts_with(b"Adobe") => self.adobe_transform = segment.get(11).copied(),
            _ => {}
        }
        Ok(())
    }

    fn read_quantisation(&mut self, mut segment: &[u8]) -> Result<()> {
        while let [head, rest @ ..] = segment {
            let size = if head >> 4 == 0 { 1 } else { 2 };
            ensure!(rest.len() >= 64 * size, TRUNCATED);
            let mut table = [0; 64];
            for (value, bytes) in table.iter_mut().zip(rest.chunks_exact(size)) {
                *value = bytes.iter().fold(0, |sum, &b| sum << 8 | u16::from(b));
            }
            self.quantisation[usize::from(head & 3)] = Some(table);
            segment = &rest[64 * size..];
        }
        Ok(())
    }

    fn read_huffman(&mut self, mut segment: &[u8]) -> Result<()> {
        while let [head, rest @ ..] = segment {
            ensure!(rest.len() >= 16, TRUNCATED);
            let (counts, rest) = rest.split_at(16);
            let total: usize = counts.iter().map(|&c| usize::from(c)).sum();
            ensure!(total <= 256 && rest.len() >= total, "is a damaged jpeg file (a huffman table): export it again");
            let table = Table::new(counts, &rest[..total])?;
            let class = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            class[usize::from(head & 3)] = Some(table);
            segment = &rest[total..];
        }
        Ok(())
    }
}
