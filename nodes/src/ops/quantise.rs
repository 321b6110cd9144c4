//! Reducing the number of colours as Pillow 13 does: a palette by median cut, then the nearest colour of the palette.

use std::collections::HashMap;

pub type Rgb = [u8; 3];

/// The most distinct colours that are counted. If there are more, last bits are dropped until there are fewer.
const MOST_COLOURS: usize = 65536;

/// A palette of at most `count` colours by median cut: `count` - 1 times, the box of colours with most pixels is split
/// at its median. The colour of a box is the mean of its pixels.
///
/// The choice among boxes with equally many pixels, and the order of the palette, are Pillow's, because both decide
/// which colours are chosen.
pub fn median_cut(pixels: &[Rgb], count: usize) -> Vec<Rgb> {
    let scale = scale(pixels);
    let mut counts: HashMap<Rgb, u32> = HashMap::new();
    for pixel in pixels {
        *counts.entry(pixel.map(|v| v >> scale)).or_default() += 1;
    }
    let mut colours: Vec<Colour> = counts.into_iter().map(|(value, count)| Colour { value, count }).collect();
    colours.sort_unstable_by_key(|colour| colour.value);
    let leaves = cut(colours, count);
    let place: HashMap<Rgb, usize> =
        leaves.iter().enumerate().flat_map(|(place, leaf)| leaf.iter().map(move |c| (c.value, place))).collect();
    let mut sums = vec![[0u32; 3]; leaves.len()];
    let mut counts = vec![0u32; leaves.len()];
    for pixel in pixels {
        if let Some(&at) = place.get(&pixel.map(|v| v >> scale)) {
            counts[at] += 1;
            for (sum, &value) in sums[at].iter_mut().zip(pixel) {
                // 32 bits, as in Pillow. Pictures of more than 16 million pixels overflow there, too.
                *sum = sum.wrapping_add(u32::from(value));
            }
        }
    }
    let mean = |sum: u32, count: u32| (0.5 + f64::from(sum) / f64::from(count)) as u8;
    sums.iter().zip(counts).map(|(sum, count)| sum.map(|sum| mean(sum, count))).collect()
}

/// The number of bits that must be dropped from each channel so that no more than [`MOST_COLOURS`] remain.
fn scale(pixels: &[Rgb]) -> u32 {
    let few = |scale: u32| {
        let mut seen = std::collections::HashSet::new();
        pixels.iter().all(|pixel| {
            seen.insert(pixel.map(|v| v >> scale));
            seen.len() <= MOST_COLOURS
        })
    };
    (0..8).find(|&scale| few(scale)).unwrap_or(8)
}

#[derive(Clone, Copy)]
struct Colour {
    value: Rgb,
    count: u32,
}

/// A box of colours: a leaf, or split in two.
struct Node {
    colours: Vec<Colour>,
    pixels: i64,
    halves: Option<(usize, usize)>,
}

/// The leaves from left to right after `count` - 1 splits.
fn cut(colours: Vec<Colour>, count: usize) -> Vec<Vec<Colour>> {
    let node = |colours: Vec<Colour>| {
        let pixels = colours.iter().map(|colour| i64::from(colour.count)).sum();
        Node { colours, pixels, halves: None }
    };
    let mut nodes = vec![node(colours)];
    let mut heap = Heap::default();
    heap.push(0, &nodes);
    for _ in 1..count {
        let next = std::iter::from_fn(|| heap.pop(&nodes)).find(|&at| nodes[at].colours.len() > 1);
        let Some(at) = next else { break };
        let (left, right) = split(std::mem::take(&mut nodes[at].colours));
        let first = nodes.len();
        nodes.extend([node(left), node(right)]);
        nodes[at].halves = Some((first, first + 1));
        heap.push(first, &nodes);
        heap.push(first + 1, &nodes);
    }
    let mut leaves = Vec::new();
    let mut stack = vec![0];
    while let Some(at) = stack.pop() {
        match nodes[at].halves {
            Some((left, right)) => stack.extend([right, left]),
            None => leaves.push(std::mem::take(&mut nodes[at].colours)),
        }
    }
    leaves.retain(|leaf| !leaf.is_empty());
    leaves
}

/// Splits a box of at least two colours along the channel with the largest perceived range. Bright colours go left.
fn split(colours: Vec<Colour>) -> (Vec<Colour>, Vec<Colour>) {
    const WEIGHTS: [u32; 3] = [77, 150, 29];
    let spread = |channel: usize| {
        let values = || colours.iter().map(|colour| u32::from(colour.value[channel]));
        (values().max().unwrap_or(0) - values().min().unwrap_or(0)) * WEIGHTS[channel]
    };
    let spreads = [spread(0), spread(1), spread(2)];
    let axis = (1..3).fold(0, |best, channel| if spreads[channel] > spreads[best] { channel } else { best });
    let mut at_value = [0i64; 256];
    for colour in &colours {
        at_value[usize::from(colour.value[axis])] += i64::from(colour.count);
    }
    let total: i64 = at_value.iter().sum();
    let mut present = (0..256).rev().filter(|&value| at_value[value] > 0);
    // Takes values from the brightest down, until more than half of the pixels are on the left.
    let mut left = 0;
    let last_left = present.find(|&value| {
        left += at_value[value];
        left * 2 > total
    });
    // At least one value must remain for the right.
    let least = at_value.iter().position(|&count| count > 0).unwrap_or(0);
    let last_left = last_left.unwrap_or(least).max(least + 1);
    colours.into_iter().partition(|colour| usize::from(colour.value[axis]) >= last_left)
}

/// A binary heap of nodes, with most pixels first. Equal nodes come in the order of Pillow's heap, which that of the
/// standard library does not have.
#[derive(Default)]
struct Heap(Vec<usize>);

impl Heap {
    fn push(&mut self, node: usize, nodes: &[Node]) {
        let mut at = self.0.len();
        self.0.push(node);
        while at > 0 {
            let above = (at - 1) / 2;
            if nodes[node].pixels <= nodes[self.0[above]].pixels {
                break;
            }
            self.0[at] = self.0[above];
            at = above;
        }
        self.0[at] = node;
    }

    fn pop(&mut self, nodes: &[Node]) -> Option<usize> {
        let last = self.0.pop()?;
        let Some(&top) = self.0.first() else { return Some(last) };
        let pixels = |at: usize| nodes[self.0[at]].pixels;
        let mut path = Vec::new();
        let mut at = 0;
        while 2 * at + 1 < self.0.len() {
            let mut below = 2 * at + 1;
            if below + 1 < self.0.len() && pixels(below) < pixels(below + 1) {
                below += 1;
            }
            if nodes[last].pixels > pixels(below) {
                break;
            }
            path.push((at, self.0[below]));
            at = below;
        }
        for (place, node) in path {
            self.0[place] = node;
        }
        self.0[at] = last;
        Some(top)
    }
}

/// A palette with a search for the nearest colour.
pub struct Palette {
    colours: Vec<Rgb>,
    /// The nearest entry for each colour without its last two bits, as far as it is known.
    nearest: Vec<Option<u8>>,
}

impl Palette {
    /// A palette of 1 to 256 colours.
    pub fn new(colours: Vec<Rgb>) -> Palette {
        Palette { colours, nearest: vec![None; 1 << 18] }
    }

    pub fn len(&self) -> usize {
        self.colours.len()
    }

    pub fn is_empty(&self) -> bool {
        self.colours.is_empty()
    }

    /// The colour nearest to `pixel`, whose channels are taken without their last two bits. Among equally near ones it
    /// is the first.
    pub fn nearest(&mut self, pixel: Rgb) -> Rgb {
        let [r, g, b] = pixel.map(|v| usize::from(v >> 2));
        let colours = &self.colours;
        let slot = &mut self.nearest[r << 12 | g << 6 | b];
        let place = *slot.get_or_insert_with(|| {
            let coarse = pixel.map(|v| i32::from(v & !3));
            let distance = |colour: &Rgb| (0..3).map(|i| (coarse[i] - i32::from(colour[i])).pow(2)).sum::<i32>();
            (0..colours.len()).min_by_key(|&at| distance(&colours[at])).unwrap_or(0) as u8
        });
        colours.get(usize::from(place)).copied().unwrap_or(pixel)
    }

    /// The nearest colours of a picture.
    pub fn map(&mut self, pixels: &[Rgb]) -> Vec<Rgb> {
        pixels.iter().map(|&pixel| self.nearest(pixel)).collect()
    }

    /// The nearest colours of a picture of `width` pixels a row, with error diffusion after Floyd and Steinberg (1976),
    /// in integer sixteenths as in Pillow.
    pub fn dither(&mut self, pixels: &[Rgb], width: usize) -> Vec<Rgb> {
        let mut out = Vec::with_capacity(pixels.len());
        let mut below = vec![[0i32; 3]; width + 1];
        for row in pixels.chunks(width) {
            // The errors for the next pixel, and for the two pixels below that still get others.
            let (mut right, mut left_below, mut straight_below) = ([0i32; 3], [0i32; 3], [0i32; 3]);
            let mut last = [0i32; 3];
            for (x, pixel) in row.iter().enumerate() {
                let wanted: Rgb = std::array::from_fn(|c| {
                    (i32::from(pixel[c]) + (right[c] + below[x + 1][c]) / 16).clamp(0, 255) as u8
                });
                let found = self.nearest(wanted);
                out.push(found);
                for c in 0..3 {
                    let error = i32::from(wanted[c]) - i32::from(found[c]);
                    below[x][c] = 3 * error + left_below[c];
                    left_below[c] = 5 * error + straight_below[c];
                    straight_below[c] = error;
                    right[c] = 7 * error;
                    last[c] = error;
                }
            }
            // A slip in Pillow: the errors at the right edge are those of the blue channel for all channels.
            below[width] = [left_below[2], straight_below[2], last[2]];
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Irregular pixels: each channel is (7919 · index + 13) mod 251.
    fn pixels() -> Vec<Rgb> {
        let value = |at: usize| ((7919 * at + 13) % 251) as u8;
        (0..48).map(|at| [value(3 * at), value(3 * at + 1), value(3 * at + 2)]).collect()
    }

    /// Figures from Pillow 13.0: `image.quantize(colors=n).getpalette()`.
    #[test]
    fn palettes_are_pillows() {
        assert_eq!(median_cut(&pixels(), 1), [[126, 128, 124]]);
        assert_eq!(median_cut(&pixels(), 2), [[79, 187, 74], [176, 63, 179]]);
        assert_eq!(median_cut(&pixels(), 4), [[124, 204, 91], [30, 168, 55], [204, 91, 187], [146, 33, 171]]);
        assert_eq!(
            median_cut(&pixels(), 7),
            [
                [95, 233, 120],
                [158, 170, 57],
                [44, 182, 69],
                [10, 148, 35],
                [219, 106, 172],
                [183, 70, 208],
                [146, 33, 171]
            ]
        );
    }

    /// Figures from Pillow 13.0, 8 pixels a row: `image.quantize(palette=p, dither=...)`, as indices into the palette.
    #[test]
    fn colours_are_assigned_as_pillow_assigns_them() {
        let pixels = pixels();
        let colours = median_cut(&pixels, 4);
        let places = |chosen: Vec<Rgb>| -> Vec<usize> {
            chosen.iter().map(|c| colours.iter().position(|colour| colour == c).unwrap()).collect()
        };
        let mut palette = Palette::new(colours.clone());
        assert_eq!(
            places(palette.map(&pixels)),
            [
                1, 2, 0, 1, 3, 0, 0, 3, 1, 2, 3, 1, 2, 3, 1, 2, 0, 1, 2, 0, 1, 3, 0, 0, 3, 0, 0, 3, 1, 2, 3, 1, 2, 3,
                1, 2, 0, 1, 2, 0, 1, 3, 0, 0, 3, 0, 0, 3
            ]
        );
        assert_eq!(
            places(palette.dither(&pixels, 8)),
            [
                1, 3, 0, 1, 3, 0, 0, 3, 1, 2, 3, 1, 2, 3, 1, 2, 0, 1, 2, 0, 1, 3, 0, 0, 2, 0, 0, 3, 0, 2, 3, 1, 2, 3,
                1, 2, 0, 1, 2, 0, 1, 3, 0, 0, 3, 0, 0, 3
            ]
        );
    }

    #[test]
    fn more_colours_than_are_told_apart_lose_their_last_bits() {
        let few: Vec<Rgb> = (0..60_000u32).map(|v| [(v >> 8) as u8, v as u8, 7]).collect();
        let many: Vec<Rgb> = (0..70_000u32).map(|v| [(v >> 9) as u8, (v >> 1) as u8, v as u8]).collect();
        assert_eq!((scale(&few), scale(&many)), (0, 1));
    }
}
