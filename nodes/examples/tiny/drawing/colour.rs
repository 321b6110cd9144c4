//! The named colours of shapes and the tones of backgrounds, and how far apart two of them look.

use rand::{Rng, RngExt};

/// Red, green and blue of sRGB, each from 0 to 255.
pub(crate) type Rgb = [f32; 3];

/// A colour that a caption gives a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Colour {
    Red,
    Orange,
    Yellow,
    Green,
    Blue,
    Purple,
    Pink,
    Brown,
    Black,
    White,
}

impl Colour {
    pub(crate) const ALL: [Colour; 10] = [
        Self::Red,
        Self::Orange,
        Self::Yellow,
        Self::Green,
        Self::Blue,
        Self::Purple,
        Self::Pink,
        Self::Brown,
        Self::Black,
        Self::White,
    ];

    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    /// What most of a shape of this colour is filled with, before jitter.
    pub(crate) fn rgb(self) -> Rgb {
        self.row().1
    }

    /// What the stripes, dots and checks of a shape of this colour are filled with: the same colour by name.
    pub(crate) fn accent(self) -> Rgb {
        self.row().2
    }

    fn row(self) -> (&'static str, Rgb, Rgb) {
        match self {
            Self::Red => ("red", [215., 40., 40.], [150., 18., 25.]),
            Self::Orange => ("orange", [245., 135., 25.], [255., 185., 100.]),
            Self::Yellow => ("yellow", [250., 220., 45.], [255., 241., 150.]),
            Self::Green => ("green", [45., 155., 65.], [125., 205., 125.]),
            Self::Blue => ("blue", [45., 90., 210.], [120., 160., 242.]),
            Self::Purple => ("purple", [125., 50., 165.], [180., 120., 212.]),
            Self::Pink => ("pink", [245., 135., 185.], [255., 195., 220.]),
            Self::Brown => ("brown", [125., 75., 38.], [172., 122., 82.]),
            Self::Black => ("black", [24., 24., 28.], [85., 85., 92.]),
            Self::White => ("white", [248., 248., 245.], [198., 198., 204.]),
        }
    }
}

/// A tone of a background by its name in captions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tone {
    pub(crate) name: &'static str,
    pub(crate) rgb: Rgb,
    /// How often it is chosen, beside the others.
    pub(crate) weight: u32,
}

const fn tone(name: &'static str, rgb: Rgb, weight: u32) -> Tone {
    Tone { name, rgb, weight }
}

/// The tones of backgrounds: the named colours, greys, and light and dark variants.
pub(crate) const TONES: [Tone; 23] = [
    tone("white", [246., 246., 244.], 6),
    tone("black", [26., 26., 30.], 4),
    tone("red", [205., 45., 45.], 2),
    tone("orange", [240., 140., 40.], 2),
    tone("yellow", [245., 218., 70.], 2),
    tone("green", [55., 150., 75.], 2),
    tone("blue", [50., 95., 205.], 2),
    tone("purple", [125., 60., 165.], 2),
    tone("pink", [240., 145., 188.], 2),
    tone("brown", [125., 78., 42.], 2),
    tone("light grey", [212., 212., 212.], 3),
    tone("grey", [135., 135., 135.], 3),
    tone("dark grey", [68., 68., 70.], 2),
    tone("light blue", [172., 208., 245.], 3),
    tone("light green", [180., 226., 176.], 3),
    tone("light yellow", [252., 243., 188.], 2),
    tone("light pink", [251., 212., 226.], 2),
    tone("light purple", [211., 187., 236.], 2),
    tone("beige", [232., 216., 186.], 2),
    tone("dark blue", [22., 38., 105.], 3),
    tone("dark green", [18., 70., 38.], 2),
    tone("dark red", [108., 16., 22.], 2),
    tone("dark purple", [62., 22., 90.], 2),
];

/// The same colour with a little chance in it: up to `by` units of CIELAB along each axis.
pub(crate) fn jitter(of: Rgb, by: f32, rng: &mut impl Rng) -> Rgb {
    from_lab(lab(of).map(|axis| axis + rng.random_range(-by..=by)))
}

/// The CIE 1976 difference of two colours: some 2 is just visible, black and white are 100 apart.
pub(crate) fn difference(one: Rgb, other: Rgb) -> f32 {
    distance(lab(one), lab(other))
}

/// Euclidean distance of two points.
pub(crate) fn distance(one: [f32; 3], other: [f32; 3]) -> f32 {
    one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}

/// The point `t` of the way from one colour to another, in sRGB.
pub(crate) fn mix(from: Rgb, to: Rgb, t: f32) -> Rgb {
    std::array::from_fn(|i| from[i] + (to[i] - from[i]) * t)
}

const D65: [f32; 3] = [0.95047, 1.0, 1.08883];
const TO_XYZ: [[f32; 3]; 3] =
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]];
const FROM_XYZ: [[f32; 3]; 3] =
    [[3.2404542, -1.5371385, -0.4985314], [-0.969266, 1.8760108, 0.041556], [0.0556434, -0.2040259, 1.0572252]];

/// CIELAB (D65) of a colour of sRGB (IEC 61966-2-1).
pub(crate) fn lab(rgb: Rgb) -> [f32; 3] {
    let linear = rgb.map(|v| {
        let v = v / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    let xyz = times(TO_XYZ, linear);
    let [x, y, z]: [f32; 3] = std::array::from_fn(|i| {
        let t = xyz[i] / D65[i];
        if t > 216.0 / 24389.0 { t.cbrt() } else { (24389.0 / 27.0 * t + 16.0) / 116.0 }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The colour of sRGB of a point of CIELAB, clamped to what sRGB can show.
pub(crate) fn from_lab([l, a, b]: [f32; 3]) -> Rgb {
    let y = (l + 16.0) / 116.0;
    let f = [y + a / 500.0, y, y - b / 200.0];
    let xyz: [f32; 3] = std::array::from_fn(|i| {
        let cube = f[i].powi(3);
        D65[i] * if cube > 216.0 / 24389.0 { cube } else { (116.0 * f[i] - 16.0) * 27.0 / 24389.0 }
    });
    times(FROM_XYZ, xyz).map(|v| {
        let v = v.clamp(0.0, 1.0);
        255.0 * if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
    })
}

fn times(matrix: [[f32; 3]; 3], v: [f32; 3]) -> [f32; 3] {
    matrix.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}
