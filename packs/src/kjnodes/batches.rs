use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, memory};
use redraft_nodes::ops::resize::{Crop, Method, picture_size, resize_pictures};
use redraft_nodes::values::{Image, Mask};
use tch::Tensor;

/// Turns the order of pictures around.
#[derive(Node)]
#[node(category = "KJNodes/image")]
struct ReverseImageBatch {
    images: Image,
}

impl Run for ReverseImageBatch {
    type Out = Image;

    fn run(self, _: &mut Cx) -> Result<Image> {
        Ok(Image(self.images.0.flip([0])))
    }
}

/// Repeats each picture: 0, 0, 1, 1, … Without a mask the first of each has a white one, its repetitions a black one.
#[derive(Node)]
#[node(category = "KJNodes/image")]
struct ImageBatchRepeatInterleaving {
    images: Image,
    #[input(default = 1, min = 1, max = 4096)]
    repeats: i64,
    mask: Option<Mask>,
}

impl Run for ImageBatchRepeatInterleaving {
    type Out = (Image, Mask);

    fn run(self, _: &mut Cx) -> Result<(Image, Mask)> {
        let Image(images) = self.images;
        let (columns, rows) = picture_size(&images)?;
        let count = images.size()[0];
        let repeats = usize::try_from(self.repeats)?;
        memory::ask(
            images.numel().saturating_mul(4).saturating_mul(repeats.saturating_add(1)),
            "the repeated pictures",
        )?;
        let repeated = |tensor: &Tensor| tensor.repeat_interleave_self_int(self.repeats, 0, None);
        let mask = match self.mask {
            Some(Mask(mask)) => repeated(&mask),
            None => {
                let mask = Tensor::zeros([count * self.repeats, rows, columns], (images.kind(), images.device()));
                let first = mask.view([count, self.repeats, rows, columns]).select(1, 0).fill_(1.0);
                drop(first);
                mask
            }
        };
        Ok((Image(repeated(&images)), Mask(mask)))
    }
}

/// Puts the pictures of a batch into a grid, row by row. Sides that come out beyond the limit are made smaller, all to multiples of 8.
#[derive(Node)]
#[node(category = "KJNodes/image", display = "Image Concatenate From Batch")]
struct ImageConcatFromBatch {
    images: Image,
    #[input(default = 3, min = 1, max = 255, step = 1)]
    num_columns: i64,
    match_image_size: bool,
    /// The longest side of the grid, in pixels.
    #[input(default = 4096)]
    max_resolution: i64,
}

impl Run for ImageConcatFromBatch {
    type Out = Image;

    fn run(self, _: &mut Cx) -> Result<Image> {
        let Image(images) = self.images;
        let (columns, rows) = picture_size(&images)?;
        let (count, channels) = (images.size()[0], images.size()[3]);
        ensure!(count > 0, "there are no pictures in the batch; connect some");
        ensure!(self.max_resolution > 0, "input 'max_resolution' is {}; set it from 1 on", self.max_resolution);
        let images = match self.match_image_size {
            true => {
                let aspect = columns as f64 / rows as f64;
                let (width, height) = match aspect > 1.0 {
                    true => ((rows as f64 * aspect) as i64, rows),
                    false => (columns, (columns as f64 / aspect) as i64),
                };
                resize_pictures(&images, width, height, Method::Lanczos, Crop::Disabled)?
            }
            false => images,
        };
        let down = (count + self.num_columns - 1) / self.num_columns;
        let limit = self.max_resolution as f64;
        let scale = (limit / (down * rows) as f64).min(limit / (self.num_columns * columns) as f64).min(1.0);
        let (height, width) = (to_eights(rows as f64 * scale), to_eights(columns as f64 * scale));
        let values = (down * height).saturating_mul(self.num_columns * width).saturating_mul(channels);
        memory::ask(usize::try_from(values).unwrap_or(usize::MAX).saturating_mul(4), "the grid")?;
        let grid = Tensor::zeros([down * height, self.num_columns * width, channels], (images.kind(), images.device()));
        for at in 0..count {
            let image = images.narrow(0, at, 1).permute([0, 3, 1, 2]);
            let image = image.upsample_bilinear2d([height, width], false, None, None).squeeze_dim(0).permute([1, 2, 0]);
            let (row, column) = (at / self.num_columns, at % self.num_columns);
            grid.narrow(0, row * height, height).narrow(1, column * width, width).copy_(&image);
        }
        Ok(Image(grid.unsqueeze(0)))
    }
}

/// The multiple of 8 next to a length, at least 1 pixel.
fn to_eights(length: f64) -> i64 {
    let next = |length: f64| (((length / 8.0).round_ties_even() * 8.0) as i64).max(1);
    let found = next(length);
    if (length - found as f64).abs() > 4.0 { next(length + 4.0) } else { found }
}
