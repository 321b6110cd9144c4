//! Pictures beside one another, and one behind the other.

use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::io::Rest;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs, memory};
use redraft_nodes::ops::resize::{Crop, Method, picture_size, resize_pictures};
use redraft_nodes::values::{Image, ImageOrMask, Mask};
use tch::{Kind, Tensor};

/// Puts a picture or mask beside another. The second is made one of the kind of the first.
#[derive(Node)]
#[node(category = "KJNodes/image", display = "Image Concatenate")]
struct ImageConcanate {
    image1: ImageOrMask,
    image2: ImageOrMask,
    /// Where the second one stands.
    #[input(default = "right")]
    direction: Direction,
    /// Whether the second one is resized to the side that both share. If not, the smaller one stands in the middle of black.
    #[input(default = true)]
    match_image_size: bool,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Direction {
    Right,
    Down,
    Left,
    Up,
}

#[derive(Outputs)]
struct Joined {
    #[output(name = "output")]
    output: ImageOrMask,
}

impl Run for ImageConcanate {
    type Out = Joined;

    fn run(self, cx: &mut Cx) -> Result<Joined> {
        let output = joined(cx, self.image1, [self.image2], self.direction, self.match_image_size)?;
        Ok(Joined { output })
    }
}

/// Puts several pictures or masks beside one another. One that is not connected is black.
#[derive(Node)]
#[node(category = "KJNodes/image", display = "Image Concatenate Multi")]
struct ImageConcatMulti {
    /// How many there are.
    #[input(default = 2, min = 2, max = 1000, step = 1)]
    inputcount: i64,
    image_1: ImageOrMask,
    /// Where each next one stands.
    #[input(default = "right")]
    direction: Direction,
    match_image_size: bool,
    image_2: Option<ImageOrMask>,
    #[input(rest)]
    more: Rest<ImageOrMask>,
}

impl Run for ImageConcatMulti {
    type Out = Joined;

    fn run(self, cx: &mut Cx) -> Result<Joined> {
        let black = match &self.image_1 {
            ImageOrMask::Image(image) => ImageOrMask::Image(Image(image.0.zeros_like())),
            ImageOrMask::Mask(mask) => ImageOrMask::Mask(Mask(mask.0.zeros_like())),
        };
        let mut second = self.image_2;
        let mut more = self.more.0;
        let others = (2..=self.inputcount).map(|number| {
            let given = if number == 2 { second.take() } else { more.shift_remove(&format!("image_{number}")) };
            given.unwrap_or_else(|| black.clone())
        });
        let output = joined(cx, self.image_1, others, self.direction, self.match_image_size)?;
        Ok(Joined { output })
    }
}

/// The first with each of the others behind it. What is resized fits the first one's side.
fn joined(
    cx: &Cx,
    first: ImageOrMask,
    others: impl IntoIterator<Item = ImageOrMask>,
    direction: Direction,
    resized: bool,
) -> Result<ImageOrMask> {
    let is_mask = matches!(first, ImageOrMask::Mask(_));
    let (mut all, channels) = match first {
        ImageOrMask::Image(Image(image)) => {
            picture_size(&image)?;
            let channels = image.size()[3];
            (image, channels)
        }
        ImageOrMask::Mask(Mask(mask)) => (plane(&mask)?, 1),
    };
    let (columns, rows) = picture_size(&all)?;
    for other in others {
        cx.check()?;
        let other = match (other, is_mask) {
            (ImageOrMask::Image(Image(image)), false) => image,
            (ImageOrMask::Image(Image(image)), true) => {
                picture_size(&image)?;
                image.narrow(-1, 0, image.size()[3].min(3)).mean_dim([-1].as_slice(), true, None)
            }
            (ImageOrMask::Mask(Mask(mask)), true) => plane(&mask)?,
            (ImageOrMask::Mask(Mask(mask)), false) => plane(&mask)?.expand([-1, -1, -1, channels], true),
        };
        all = beside(&all, &other, direction, resized.then_some((columns, rows)))?;
    }
    Ok(if is_mask { ImageOrMask::Mask(Mask(all.squeeze_dim(-1))) } else { ImageOrMask::Image(Image(all)) })
}

/// A mask as pictures of one channel.
fn plane(mask: &Tensor) -> Result<Tensor> {
    let size = mask.size();
    ensure!(size.len() == 3, "a mask of shape {size:?} cannot stand beside pictures; connect one of pictures");
    Ok(mask.unsqueeze(-1))
}

/// Two batches of pictures in one frame. `side` is what the second one is to fit: a width or a height, by the direction.
fn beside(one: &Tensor, two: &Tensor, direction: Direction, side: Option<(i64, i64)>) -> Result<Tensor> {
    let ((w1, h1), (w2, h2)) = (picture_size(one)?, picture_size(two)?);
    let (c1, c2) = (one.size()[3], two.size()[3]);
    let flat = matches!(direction, Direction::Left | Direction::Right);
    let aspect = w2 as f64 / h2 as f64;
    let (two, w2, h2) = match side {
        None => (two.shallow_clone(), w2, h2),
        Some((columns, rows)) => {
            let (width, height) =
                if flat { ((rows as f64 * aspect) as i64, rows) } else { (columns, (columns as f64 / aspect) as i64) };
            ensure!(
                width > 0 && height > 0,
                "a picture of {w2} × {h2} pixels would vanish beside the first; connect one of another shape"
            );
            let resized = two.permute([0, 3, 1, 2]).internal_upsample_bicubic2d_aa([height, width], false, None, None);
            (resized.permute([0, 2, 3, 1]), width, height)
        }
    };
    let (width, height) = if flat { (w1 + w2, h1.max(h2)) } else { (w1.max(w2), h1 + h2) };
    let count = one.size()[0].max(two.size()[0]);
    let channels = c1.max(c2);
    let values = count.saturating_mul(height).saturating_mul(width).saturating_mul(channels);
    memory::ask(usize::try_from(values).unwrap_or(usize::MAX).saturating_mul(4), "the joined pictures")?;
    let frame = Tensor::zeros([count, height, width, channels], (Kind::Float, one.device()));
    let ((y1, x1), (y2, x2)) = match direction {
        Direction::Right => (((height - h1) / 2, 0), ((height - h2) / 2, w1)),
        Direction::Left => (((height - h1) / 2, w2), ((height - h2) / 2, 0)),
        Direction::Down => ((0, (width - w1) / 2), (h1, (width - w2) / 2)),
        Direction::Up => ((h2, (width - w1) / 2), (0, (width - w2) / 2)),
    };
    put(&frame.narrow(1, y1, h1).narrow(2, x1, w1), one);
    put(&frame.narrow(1, y2, h2).narrow(2, x2, w2), &two);
    Ok(frame)
}

/// Copies pictures to a place. The last is repeated if there are too few; channels that they lack are 1.
fn put(place: &Tensor, images: &Tensor) {
    let (count, have, channels) = (place.size()[0], images.size()[0], images.size()[3]);
    let mut place_of = place.narrow(-1, 0, channels);
    place_of.narrow(0, 0, have).copy_(images);
    if have < count {
        place_of.narrow(0, have, count - have).copy_(&images.narrow(0, have - 1, 1));
    }
    let left = place.size()[3] - channels;
    if left > 0 {
        place_of = place.narrow(-1, channels, left);
        let _ = place_of.fill_(1.0);
    }
}

/// Joins pictures to one batch. Those of another size are cropped and resized to that of the first; one that is not connected is black.
#[derive(Node)]
#[node(category = "KJNodes/image", display = "Image Batch Multi")]
struct ImageBatchMulti {
    /// How many there are.
    #[input(default = 2, min = 2, max = 1000, step = 1)]
    inputcount: i64,
    image_1: Image,
    image_2: Option<Image>,
    #[input(rest)]
    more: Rest<Image>,
}

#[derive(Outputs)]
struct Batch {
    #[output(name = "images")]
    images: Image,
}

impl Run for ImageBatchMulti {
    type Out = Batch;

    fn run(self, cx: &mut Cx) -> Result<Batch> {
        let first = self.image_1.0;
        let (columns, rows) = picture_size(&first)?;
        let mut second = self.image_2;
        let mut more = self.more.0;
        let mut all = vec![first.shallow_clone()];
        for number in 2..=self.inputcount {
            cx.check()?;
            let given = if number == 2 { second.take() } else { more.shift_remove(&format!("image_{number}")) };
            all.push(match given {
                None => first.zeros_like(),
                Some(Image(image)) if picture_size(&image)? == (columns, rows) => image,
                Some(Image(image)) => resize_pictures(&image, columns, rows, Method::Bilinear, Crop::Center)?,
            });
        }
        let channels = all.iter().map(|image| image.size()[3]).max().unwrap_or(3);
        let values: usize = all.iter().map(Tensor::numel).sum();
        memory::ask(values.saturating_mul(8), "the joined pictures")?;
        let all: Vec<_> = all.iter().map(|image| widened(image, channels)).collect();
        Ok(Batch { images: Image(Tensor::cat(&all, 0)) })
    }
}

/// Pictures with further channels of 1.
fn widened(images: &Tensor, channels: i64) -> Tensor {
    match channels - images.size()[3] {
        more if more > 0 => images.pad([0, more], "constant", 1.0),
        _ => images.shallow_clone(),
    }
}

/// Gives the size and the number of pictures, and passes them on.
#[derive(Node)]
#[node(category = "KJNodes/image", display = "Get Image Size & Count")]
struct GetImageSizeAndCount {
    image: Image,
}

#[derive(Outputs)]
struct Sized {
    #[output(name = "image")]
    image: Image,
    #[output(name = "width")]
    width: i64,
    #[output(name = "height")]
    height: i64,
    #[output(name = "count")]
    count: i64,
}

impl Run for GetImageSizeAndCount {
    type Out = Sized;

    fn run(self, cx: &mut Cx) -> Result<Sized> {
        let (width, height) = picture_size(&self.image.0)?;
        let count = self.image.0.size()[0];
        cx.ui("text", format!("{count}x{width}x{height}"));
        Ok(Sized { image: self.image, width, height, count })
    }
}
