use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};
use tch::Tensor;

use crate::ops::bytes::unit_floats;
use crate::ops::quantise::{Palette, Rgb, median_cut};
use crate::values::Image;

/// Reduces each picture to a palette of its own.
#[derive(Node)]
#[node(category = "image/postprocessing")]
struct ImageQuantize {
    image: Image,
    /// The most colours of a palette.
    #[input(default = 256, min = 1, max = 256, step = 1)]
    colors: i64,
    /// How the colours between those of the palette are approximated: `none`, by error diffusion (Floyd-Steinberg), or
    /// by an ordered pattern (Bayer).
    dither: Dither,
}

#[derive(Combo, Clone, Copy)]
enum Dither {
    None,
    #[combo(name = "floyd-steinberg")]
    FloydSteinberg,
    #[combo(name = "bayer-2")]
    Bayer2,
    #[combo(name = "bayer-4")]
    Bayer4,
    #[combo(name = "bayer-8")]
    Bayer8,
    #[combo(name = "bayer-16")]
    Bayer16,
}

impl Run for ImageQuantize {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let Image(image) = self.image;
        let size = image.size();
        anyhow::ensure!(
            size[3] == 3,
            "wants pictures of 3 channels but was given {}; split the alpha off first",
            size[3]
        );
        let (width, colours) = (usize::try_from(size[2])?, usize::try_from(self.colors)?);
        let mut reduced = Vec::new();
        for picture in image.unbind(0) {
            let bytes: Vec<u8> = Vec::try_from((picture * 255.0).to_kind(tch::Kind::Uint8).flatten(0, -1))?;
            let pixels: Vec<Rgb> = bytes.as_chunks().0.to_vec();
            let chosen = self.dither.reduce(&pixels, width, Palette::new(median_cut(&pixels, colours)));
            reduced.push(unit_floats(chosen.as_flattened(), &size[1..]));
        }
        Ok(Image(Tensor::stack(&reduced, 0)))
    }
}

impl Dither {
    fn reduce(self, pixels: &[Rgb], width: usize, mut palette: Palette) -> Vec<Rgb> {
        match self {
            Dither::None => palette.map(pixels),
            Dither::FloydSteinberg => palette.dither(pixels, width),
            Dither::Bayer2 => palette.map(&patterned(pixels, width, 1, palette.len())),
            Dither::Bayer4 => palette.map(&patterned(pixels, width, 2, palette.len())),
            Dither::Bayer8 => palette.map(&patterned(pixels, width, 3, palette.len())),
            Dither::Bayer16 => palette.map(&patterned(pixels, width, 4, palette.len())),
        }
    }
}

/// The pixels plus a Bayer matrix with sides of 2^`order`. The matrix is scaled to two steps of a scale of `colours`
/// evenly spaced values.
fn patterned(pixels: &[Rgb], width: usize, order: u32, colours: usize) -> Vec<Rgb> {
    let spread = (2.0 * 256.0 / colours as f64) as f32;
    let (matrix, side) = (bayer(order), 1usize << order);
    let shifted = |(at, pixel): (usize, &Rgb)| {
        let shift = spread * matrix[at / width % side * side + at % width % side] + 0.5;
        pixel.map(|value| (f32::from(value) + shift).clamp(0.0, 255.0) as u8)
    };
    pixels.iter().enumerate().map(shifted).collect()
}

/// The Bayer matrix with sides of 2^`order`, centred on 0, row by row. It is built from the one with half the sides.
fn bayer(order: u32) -> Vec<f32> {
    let Some(smaller) = order.checked_sub(1) else { return vec![0.0] };
    let (inner, half, scale) = (bayer(smaller), 1usize << smaller, 4f32.powi(order as i32));
    let side = 2 * half;
    let corner = |y: usize, x: usize| [[-1.5, 0.5], [1.5, -0.5]][y / half][x / half];
    let value = |at: usize| {
        let (y, x) = (at / side, at % side);
        (scale * inner[y % half * half + x % half] + corner(y, x)) / scale
    };
    (0..side * side).map(value).collect()
}
