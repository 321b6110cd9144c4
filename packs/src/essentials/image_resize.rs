use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs, memory};
use redraft_nodes::ops::resize::{Crop, Method, picture_size, resize_pictures};
use redraft_nodes::values::Image;
use tch::Tensor;

/// Resizes pictures: stretched, with their aspect ratio, cut to fill a frame, or within a black one. A width or height of 0 leaves that side
/// open.
#[derive(Node)]
#[node(class = "ImageResize+", category = "essentials/image manipulation", display = "🔧 Image Resize")]
struct ImageResize {
    image: Image,
    #[input(default = 512, min = 0, max = 16384, step = 1)]
    width: i64,
    #[input(default = 512, min = 0, max = 16384, step = 1)]
    height: i64,
    interpolation: Interpolation,
    method: Manner,
    /// Of which pictures; others stay.
    condition: Condition,
    /// Width and height are cut to a multiple of it.
    #[input(default = 0, min = 0, max = 512, step = 1)]
    multiple_of: i64,
}

#[derive(Combo, Clone, Copy)]
enum Interpolation {
    Nearest,
    Bilinear,
    Bicubic,
    Area,
    #[combo(name = "nearest-exact")]
    NearestExact,
    Lanczos,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Manner {
    Stretch,
    #[combo(name = "keep proportion")]
    Keep,
    #[combo(name = "fill / crop")]
    Fill,
    Pad,
}

#[derive(Combo, Clone, Copy)]
enum Condition {
    Always,
    #[combo(name = "downscale if bigger")]
    Bigger,
    #[combo(name = "upscale if smaller")]
    Smaller,
    #[combo(name = "if bigger area")]
    BiggerArea,
    #[combo(name = "if smaller area")]
    SmallerArea,
}

#[derive(Outputs)]
struct Resized {
    #[output(name = "IMAGE")]
    image: Image,
    #[output(name = "width")]
    width: i64,
    #[output(name = "height")]
    height: i64,
}

/// What is made of a picture: its new size, and what stands around it or is cut off then.
struct Plan {
    width: i64,
    height: i64,
    /// Left, right, top, bottom.
    margins: [i64; 4],
    /// Left edge, top edge, width, height.
    cut: Option<[i64; 4]>,
}

impl Run for ImageResize {
    type Out = Resized;

    fn run(self, _: &mut Cx) -> Result<Resized> {
        let Image(images) = &self.image;
        let (columns, rows) = picture_size(images)?;
        let plan = self.plan(columns, rows);
        let mut resized = images.shallow_clone();
        if self.applies((columns, rows), (plan.width, plan.height)) {
            ensure!(
                plan.width > 0 && plan.height > 0,
                "the pictures would become {} × {} pixels; set a larger size",
                plan.width,
                plan.height
            );
            resized = self.interpolated(images, plan.width, plan.height)?;
            if plan.margins.iter().any(|side| *side > 0) {
                let bytes = images.size()[0] * self.width.max(plan.width) * self.height.max(plan.height) * 16;
                memory::ask(usize::try_from(bytes).unwrap_or(usize::MAX), "the padded pictures")?;
                let [left, right, top, bottom] = plan.margins;
                resized = resized.constant_pad_nd([0, 0, left, right, top, bottom]);
            }
            if let Some([x, y, width, height]) = plan.cut {
                let (columns, rows) = picture_size(&resized)?;
                let (x, y) = (x.clamp(0, columns), y.clamp(0, rows));
                resized = resized.narrow(2, x, width.min(columns - x)).narrow(1, y, height.min(rows - y));
            }
        }
        let image = self.to_multiple(resized)?.clamp(0.0, 1.0);
        let (width, height) = picture_size(&image)?;
        Ok(Resized { image: Image(image), width, height })
    }
}

impl ImageResize {
    fn plan(&self, columns: i64, rows: i64) -> Plan {
        let cut = |side: i64| if self.multiple_of > 1 { side - side % self.multiple_of } else { side };
        let (mut width, mut height) = (cut(self.width), cut(self.height));
        let scaled = |ratio: f64| {
            let side = |side: i64| (side as f64 * ratio).round_ties_even() as i64;
            (side(columns), side(rows))
        };
        match self.method {
            Manner::Stretch => {
                let (width, height) = (if width > 0 { width } else { columns }, if height > 0 { height } else { rows });
                Plan { width, height, margins: [0; 4], cut: None }
            }
            Manner::Keep | Manner::Pad => {
                const OPEN: i64 = 16384;
                if width == 0 {
                    width = if rows < height { OPEN } else { columns };
                }
                if height == 0 {
                    height = if columns < width { OPEN } else { rows };
                }
                let (wide, high) = scaled((width as f64 / columns as f64).min(height as f64 / rows as f64));
                let (across, down) = (width - wide, height - high);
                let margins = match self.method {
                    Manner::Pad => [across / 2, across - across / 2, down / 2, down - down / 2],
                    _ => [0; 4],
                };
                Plan { width: wide, height: high, margins, cut: None }
            }
            Manner::Fill => {
                let (width, height) = (if width > 0 { width } else { columns }, if height > 0 { height } else { rows });
                let (wide, high) = scaled((width as f64 / columns as f64).max(height as f64 / rows as f64));
                let edge = |large: i64, small: i64| ((large - small).div_euclid(2)).min(large - small).max(0);
                let cut = Some([edge(wide, width), edge(high, height), width, height]);
                Plan { width: wide, height: high, margins: [0; 4], cut }
            }
        }
    }

    fn applies(&self, (columns, rows): (i64, i64), (width, height): (i64, i64)) -> bool {
        match self.condition {
            Condition::Always => true,
            Condition::Bigger => rows > height || columns > width,
            Condition::Smaller => rows < height || columns < width,
            Condition::BiggerArea => rows * columns > height * width,
            Condition::SmallerArea => rows * columns < height * width,
        }
    }

    fn interpolated(&self, images: &Tensor, width: i64, height: i64) -> Result<Tensor> {
        let method = match self.interpolation {
            Interpolation::Nearest => {
                let near = images.permute([0, 3, 1, 2]).upsample_nearest2d([height, width], None, None);
                return Ok(near.permute([0, 2, 3, 1]));
            }
            Interpolation::Bilinear => Method::Bilinear,
            Interpolation::Bicubic => Method::Bicubic,
            Interpolation::Area => Method::Area,
            Interpolation::NearestExact => Method::NearestExact,
            Interpolation::Lanczos => Method::Lanczos,
        };
        resize_pictures(images, width, height, method, Crop::Disabled)
    }

    /// The middle whose sides are multiples.
    fn to_multiple(&self, images: Tensor) -> Result<Tensor> {
        let (columns, rows) = picture_size(&images)?;
        if self.multiple_of <= 1 {
            return Ok(images);
        }
        let (across, down) = (columns % self.multiple_of, rows % self.multiple_of);
        ensure!(
            across < columns && down < rows,
            "pictures of {columns} × {rows} pixels hold no multiple of {}; set a smaller multiple_of",
            self.multiple_of
        );
        Ok(images.narrow(2, across / 2, columns - across).narrow(1, down / 2, rows - down))
    }
}

/// Gives the size and the number of pictures.
#[derive(Node)]
#[node(class = "GetImageSize+", category = "essentials/image utils", display = "🔧 Get Image Size")]
struct GetImageSize {
    image: Image,
}

#[derive(Outputs)]
struct Sized {
    #[output(name = "width")]
    width: i64,
    #[output(name = "height")]
    height: i64,
    #[output(name = "count")]
    count: i64,
}

impl Run for GetImageSize {
    type Out = Sized;

    fn run(self, _: &mut Cx) -> Result<Sized> {
        let (width, height) = picture_size(&self.image.0)?;
        Ok(Sized { width, height, count: self.image.0.size()[0] })
    }
}
