use redraft_engine::Combo;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::super::channels::with_equal_channels;
use crate::ops::resize::{Crop, Method, picture_size, resize_pictures};
use crate::values::Image;

/// Joins two pictures at an edge.
#[derive(Node)]
#[node(category = "image/transform", display = "Image Stitch")]
struct ImageStitch {
    image1: Image,
    /// The side of the first picture at which the second is added.
    #[input(default = "right")]
    direction: Direction,
    /// Whether the second picture is resized to fit the common edge. If not, the smaller picture gets margins.
    #[input(default = true)]
    match_image_size: bool,
    /// The width of the gap between the pictures in pixels, rounded to an even number.
    #[input(default = 0, min = 0, max = 1024, step = 2, beyond = Both)]
    spacing_width: i64,
    /// The colour of the gap. If it is white, margins are white, too; otherwise they are black.
    #[input(default = "white")]
    spacing_color: Colour,
    /// Without a second picture the first is returned as it is.
    image2: Option<Image>,
}

#[derive(Combo, Clone, Copy)]
enum Direction {
    Right,
    Down,
    Left,
    Up,
}

#[derive(Combo, Clone, Copy)]
enum Colour {
    White,
    Black,
    Red,
    Green,
    Blue,
}

impl Colour {
    fn rgb(self) -> [f32; 3] {
        match self {
            Colour::White => [1.0, 1.0, 1.0],
            Colour::Black => [0.0, 0.0, 0.0],
            Colour::Red => [1.0, 0.0, 0.0],
            Colour::Green => [0.0, 1.0, 0.0],
            Colour::Blue => [0.0, 0.0, 1.0],
        }
    }
}

impl Run for ImageStitch {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let Some(Image(second)) = self.image2 else { return Ok(self.image1) };
        let Image(first) = self.image1;
        let count = first.size()[0].max(second.size()[0]);
        let (first, second) = (last_repeated(&first, count), last_repeated(&second, count));
        let (first, second) = match self.match_image_size {
            true => (first.shallow_clone(), matched_to(&first, &second, self.direction)?),
            false => with_margins(&first, &second, self.direction, self.spacing_color),
        };
        let mut pictures = with_equal_channels(vec![first, second]);
        if matches!(self.direction, Direction::Left | Direction::Up) {
            pictures.reverse();
        }
        if self.spacing_width > 0 {
            let width = self.spacing_width.saturating_add(self.spacing_width % 2);
            pictures.insert(1, gap(&pictures[0], width, self.direction, self.spacing_color));
        }
        Ok(Image(Tensor::cat(&pictures, self.direction.dim())))
    }
}

impl Direction {
    /// The dimension of B×H×W×C along which the pictures are joined.
    fn dim(self) -> i64 {
        match self {
            Direction::Right | Direction::Left => 2,
            Direction::Down | Direction::Up => 1,
        }
    }
}

/// A batch extended to `count` pictures by repeating the last one.
fn last_repeated(batch: &Tensor, count: i64) -> Tensor {
    let have = batch.size()[0];
    if have == count {
        return batch.shallow_clone();
    }
    let last = batch.narrow(0, have - 1, 1).repeat([count - have, 1, 1, 1]);
    Tensor::cat(&[batch, &last], 0)
}

/// `second` resized to the length of the edge at which it meets `first`. Its aspect ratio stays.
fn matched_to(first: &Tensor, second: &Tensor, direction: Direction) -> anyhow::Result<Tensor> {
    let ((width, height), (columns, rows)) = (picture_size(first)?, picture_size(second)?);
    let shape = columns as f64 / rows as f64;
    let (width, height) = match direction.dim() {
        2 => ((height as f64 * shape) as i64, height),
        _ => (width, (width as f64 / shape) as i64),
    };
    resize_pictures(second, width, height, Method::Lanczos, Crop::Disabled)
}

/// Both pictures with margins, so that their common edges have the same length. Each is centred.
fn with_margins(first: &Tensor, second: &Tensor, direction: Direction, colour: Colour) -> (Tensor, Tensor) {
    let across = if direction.dim() == 2 { 1 } else { 2 };
    let side = |picture: &Tensor| picture.size()[across];
    let largest = side(first).max(side(second));
    let filling = if matches!(colour, Colour::White) { 1.0 } else { 0.0 };
    let padded = |picture: &Tensor| {
        let missing = largest - side(picture);
        let (before, after) = (missing / 2, missing - missing / 2);
        match (missing, across) {
            (0, _) => picture.shallow_clone(),
            (_, 1) => picture.pad([0, 0, 0, 0, before, after], "constant", filling),
            _ => picture.pad([0, 0, before, after], "constant", filling),
        }
    };
    (padded(first), padded(second))
}

/// A strip of one colour as long as the edges of `picture`; opaque.
fn gap(picture: &Tensor, width: i64, direction: Direction, colour: Colour) -> Tensor {
    let mut size = picture.size();
    size[direction.dim() as usize] = width;
    let channels = size[3] as usize;
    let pixel: Vec<f32> = colour.rgb().into_iter().chain([1.0]).chain(std::iter::repeat(0.0)).take(channels).collect();
    Tensor::from_slice(&pixel).expand(size, false)
}
