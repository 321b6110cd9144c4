use anyhow::{Result, bail, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs, memory};
use redraft_nodes::ops::resize::{Crop, Method, picture_size, resize, resize_pictures};
use redraft_nodes::values::{Image, Mask};
use tch::{Device, Kind, Tensor};

use super::colours::channels;
use super::padding::{Fill, Margins, pad};
use super::sizes::{cut, stretched, within};

/// Resizes pictures, and a mask with them: stretched, cropped, within a frame, or to a number of pixels. A width or height of 0 follows
/// from the other.
#[derive(Node)]
#[node(category = "KJNodes/image", display = "Resize Image v2", hidden("unique_id"))]
struct ImageResizeKJv2 {
    image: Image,
    #[input(default = 512, min = 0, max = 16384, step = 1)]
    width: i64,
    #[input(default = 512, min = 0, max = 16384, step = 1)]
    height: i64,
    upscale_method: Upscale,
    /// What happens to the aspect ratio.
    keep_proportion: Keep,
    /// The colour of the frame: `0, 0, 0` to `255, 255, 255`, `#rrggbb`, or a name.
    #[input(default = "0, 0, 0")]
    pad_color: String,
    #[input(default = "center")]
    crop_position: Place,
    /// Width and height are cut to a multiple of it.
    #[input(default = 2, min = 0, max = 512, step = 1)]
    divisible_by: i64,
    mask: Option<Mask>,
    /// Where it is computed; here always where the pictures are.
    device: Option<Where>,
}

#[derive(Combo, Clone, Copy)]
enum Upscale {
    #[combo(name = "nearest-exact")]
    NearestExact,
    Bilinear,
    Area,
    Bicubic,
    Lanczos,
    NvidiaRtxVsr,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Keep {
    Stretch,
    Resize,
    Pad,
    PadEdge,
    PadEdgePixel,
    Crop,
    PillarboxBlur,
    TotalPixels,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Place {
    Center,
    Top,
    Bottom,
    Left,
    Right,
}

#[derive(Combo)]
enum Where {
    Cpu,
    Gpu,
}

#[derive(Outputs)]
struct Resized {
    #[output(name = "IMAGE")]
    image: Image,
    #[output(name = "width")]
    width: i64,
    #[output(name = "height")]
    height: i64,
    #[output(name = "mask")]
    mask: Mask,
}

impl Run for ImageResizeKJv2 {
    type Out = Resized;

    fn run(self, cx: &mut Cx) -> Result<Resized> {
        let method = match self.upscale_method {
            Upscale::NearestExact => Method::NearestExact,
            Upscale::Bilinear => Method::Bilinear,
            Upscale::Area => Method::Area,
            Upscale::Bicubic => Method::Bicubic,
            Upscale::Lanczos => Method::Lanczos,
            Upscale::NvidiaRtxVsr => {
                bail!("'nvidia_rtx_vsr' needs a library of NVIDIA's; choose another upscale_method")
            }
        };
        if let (Some(Where::Gpu), Upscale::Lanczos) = (&self.device, self.upscale_method) {
            bail!("lanczos is not for the GPU; set device to cpu, or choose another upscale_method");
        }
        let Image(images) = &self.image;
        let (columns, rows) = picture_size(images)?;
        let mask = self.mask.as_ref().map(|mask| &mask.0).filter(|mask| !is_placeholder(mask, columns, rows));
        let mask = mask.map(|mask| fitted(mask, columns, rows)).transpose()?;
        let Frame { width, height, mut margins } = self.frame(columns, rows);
        ensure!(
            width > 0 && height > 0,
            "pictures of {columns} × {rows} pixels would become {width} × {height}; set a larger size or a smaller divisible_by"
        );
        let (images, mask) = self.cropped(images, mask, (columns, rows), (width, height));
        cx.check()?;
        let images = resize_pictures(&images, width, height, method, Crop::Disabled)?;
        let mask = mask.map(|mask| resized_mask(&mask, width, height, method)).transpose()?;
        let (images, mask) = match self.fill() {
            Some(fill) if margins.is_any() => {
                self.widen(&mut margins, width, height);
                ensure!(
                    [margins.left, margins.right, margins.top, margins.bottom].iter().all(|side| *side >= 0),
                    "the frame is smaller than the picture in it; set a divisible_by that divides width and height"
                );
                let pixels =
                    (width + margins.left + margins.right).saturating_mul(height + margins.top + margins.bottom);
                let bytes = pixels.saturating_mul(images.size()[0]).saturating_mul(32);
                memory::ask(usize::try_from(bytes).unwrap_or(usize::MAX), "the padded pictures")?;
                let (images, mask) = pad(&images, mask.as_ref(), margins, &fill)?;
                (images, Some(mask))
            }
            _ => (images, mask),
        };
        let (width, height) = picture_size(&images)?;
        let mask = mask.unwrap_or_else(|| Tensor::zeros([1, 64, 64], (Kind::Float, Device::Cpu)));
        Ok(Resized { image: Image(images), width, height, mask: Mask(mask) })
    }
}

/// The size of the picture, and what stands around it.
struct Frame {
    width: i64,
    height: i64,
    margins: Margins,
}

impl ImageResizeKJv2 {
    fn frame(&self, columns: i64, rows: i64) -> Frame {
        let (width, height) = match (self.keep_proportion, self.width, self.height) {
            (Keep::Stretch | Keep::Crop, width, height) => stretched((columns, rows), width, height),
            (Keep::TotalPixels, width, height) => {
                let (pixels, aspect) = ((width * height) as f64, columns as f64 / rows as f64);
                ((pixels * aspect).sqrt() as i64, (pixels / aspect).sqrt() as i64)
            }
            (_, 0, 0) => (columns, rows),
            (_, width, height) => within((columns, rows), width, height),
        };
        let margins = if self.fill().is_some() { self.margins(width, height) } else { Margins::default() };
        let (width, height) = cut((width, height), self.divisible_by);
        Frame { width, height, margins }
    }

    /// What is left of the frame around a picture of that size.
    fn margins(&self, width: i64, height: i64) -> Margins {
        let (across, down) = (self.width - width, self.height - height);
        let (left, top) = (across.div_euclid(2), down.div_euclid(2));
        let (left, top) = match self.crop_position {
            Place::Center => (left, top),
            Place::Top => (left, 0),
            Place::Bottom => (left, down),
            Place::Left => (0, top),
            Place::Right => (across, top),
        };
        Margins { left, right: across - left, top, bottom: down - top }
    }

    /// Makes the margins at the right and below so wide that the frame's sides are multiples, too.
    fn widen(&self, margins: &mut Margins, width: i64, height: i64) {
        if self.divisible_by > 1 {
            let short = |side: i64| (self.divisible_by - side.rem_euclid(self.divisible_by)) % self.divisible_by;
            margins.right += short(width + margins.left + margins.right);
            margins.bottom += short(height + margins.top + margins.bottom);
        }
    }

    fn fill(&self) -> Option<Fill> {
        match self.keep_proportion {
            Keep::Pad => {
                let colour = channels(&self.pad_color);
                Some(Fill::Colour(if let [grey] = colour[..] { vec![grey; 3] } else { colour }))
            }
            Keep::PadEdge => Some(Fill::Edge),
            Keep::PadEdgePixel => Some(Fill::Pixel),
            Keep::PillarboxBlur => Some(Fill::Blurred),
            Keep::Stretch | Keep::Resize | Keep::Crop | Keep::TotalPixels => None,
        }
    }

    /// The part that has the new aspect ratio, where it is to be cropped.
    fn cropped(
        &self,
        images: &Tensor,
        mask: Option<Tensor>,
        (columns, rows): (i64, i64),
        (width, height): (i64, i64),
    ) -> (Tensor, Option<Tensor>) {
        if self.keep_proportion != Keep::Crop {
            return (images.shallow_clone(), mask);
        }
        let aspect = width as f64 / height as f64;
        let (wide, high) = match columns as f64 / rows as f64 > aspect {
            true => ((rows as f64 * aspect).round_ties_even() as i64, rows),
            false => (columns, (columns as f64 / aspect).round_ties_even() as i64),
        };
        let (wide, high) = (wide.clamp(1, columns), high.clamp(1, rows));
        let (middle_x, middle_y) = ((columns - wide) / 2, (rows - high) / 2);
        let (x, y) = match self.crop_position {
            Place::Center => (middle_x, middle_y),
            Place::Top => (middle_x, 0),
            Place::Bottom => (middle_x, rows - high),
            Place::Left => (0, middle_y),
            Place::Right => (columns - wide, middle_y),
        };
        let mask = mask.map(|mask| mask.narrow(-1, x, wide).narrow(-2, y, high));
        (images.narrow(-2, x, wide).narrow(-3, y, high), mask)
    }
}

/// ComfyUI's empty mask of 64 × 64 pixels, beside pictures of another size.
fn is_placeholder(mask: &Tensor, columns: i64, rows: i64) -> bool {
    matches!(mask.size()[..], [.., 64, 64]) && (columns, rows) != (64, 64)
}

/// A mask N×H×W at the size of the pictures.
fn fitted(mask: &Tensor, columns: i64, rows: i64) -> Result<Tensor> {
    let size = mask.size();
    ensure!(size.len() == 3, "the mask has the shape {size:?}; connect one of pictures");
    match (size[2], size[1]) == (columns, rows) {
        true => Ok(mask.shallow_clone()),
        false => Ok(resize(&mask.unsqueeze(1), columns, rows, Method::Bilinear, Crop::Disabled)?.squeeze_dim(1)),
    }
}

fn resized_mask(mask: &Tensor, width: i64, height: i64, method: Method) -> Result<Tensor> {
    match method {
        // As pictures of three channels, of which one is kept.
        Method::Lanczos => {
            let grey = mask.unsqueeze(1).repeat([1, 3, 1, 1]);
            Ok(resize(&grey, width, height, method, Crop::Disabled)?.select(1, 0))
        }
        _ => Ok(resize(&mask.unsqueeze(1), width, height, method, Crop::Disabled)?.squeeze_dim(1)),
    }
}
