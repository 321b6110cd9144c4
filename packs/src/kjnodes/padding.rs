//! What stands around a picture that is smaller than its frame.

use anyhow::{Result, ensure};
use redraft_nodes::ops::resize::{Crop, Method, resize_pictures};
use tch::Tensor;

/// How many pixels stand on each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Margins {
    pub(super) left: i64,
    pub(super) right: i64,
    pub(super) top: i64,
    pub(super) bottom: i64,
}

impl Margins {
    pub(super) fn is_any(self) -> bool {
        [self.left, self.right, self.top, self.bottom].into_iter().any(|side| side > 0)
    }
}

/// What is put there.
#[derive(Clone, Debug)]
pub(super) enum Fill {
    /// A colour, 0 to 255 a channel.
    Colour(Vec<f64>),
    /// The mean colour of the edge beside it.
    Edge,
    /// The nearest pixel.
    Pixel,
    /// The picture itself, larger, blurred and darker.
    Blurred,
}

/// Pictures B×H×W×C within margins, and the mask B×H×W: the one that is given, carried on, or 1 in the margins and 0 in the picture.
pub(super) fn pad(images: &Tensor, mask: Option<&Tensor>, margins: Margins, fill: &Fill) -> Result<(Tensor, Tensor)> {
    let size = images.size();
    let [count, height, width, channels] = size[..] else {
        anyhow::bail!("pictures of shape {size:?} cannot be padded")
    };
    let Margins { left, right, top, bottom } = margins;
    let (wide, high) = (width + left + right, height + top + bottom);
    let inside = |of: &Tensor| of.narrow(1, top, height).narrow(2, left, width);
    let padded = match fill {
        Fill::Colour(colour) => {
            let colour: Vec<f32> = colour.iter().map(|channel| (channel / 255.0) as f32).collect();
            ensure!(
                colour.len() as i64 == channels,
                "a colour of {} channels cannot stand beside pictures of {channels}; set as many",
                colour.len()
            );
            Tensor::from_slice(&colour).to_kind(images.kind()).expand([count, high, wide, channels], true).contiguous()
        }
        Fill::Pixel => repeated(&images.permute([0, 3, 1, 2]), margins).permute([0, 2, 3, 1]).contiguous(),
        Fill::Blurred => blurred(images, wide, high)?,
        Fill::Edge => {
            let padded = Tensor::zeros([count, high, wide, channels], (images.kind(), images.device()));
            let mean = |edge: Tensor| edge.mean_dim([1].as_slice(), false, None).unsqueeze(1).unsqueeze(1);
            let strips = [
                (1, 0, top, mean(images.select(1, 0))),
                (1, top + height, bottom, mean(images.select(1, height - 1))),
                (2, 0, left, mean(images.select(2, 0))),
                (2, left + width, right, mean(images.select(2, width - 1))),
            ];
            for (side, at, length, colour) in strips {
                padded.narrow(side, at, length).copy_(&colour);
            }
            padded
        }
    };
    inside(&padded).copy_(images);
    let mask = match (mask, fill) {
        (Some(mask), Fill::Blurred) => {
            let all = Tensor::ones([count, high, wide], (images.kind(), images.device()));
            inside(&all).copy_(mask);
            all
        }
        (Some(mask), _) => repeated(&mask.unsqueeze(1), margins).squeeze_dim(1),
        (None, _) => {
            let all = Tensor::ones([count, high, wide], (images.kind(), images.device()));
            let _ = inside(&all).fill_(0.0);
            all
        }
    };
    Ok((padded, mask))
}

/// N×C×H×W with its outermost pixels repeated into the margins.
fn repeated(of: &Tensor, Margins { left, right, top, bottom }: Margins) -> Tensor {
    of.replication_pad2d([left, right, top, bottom])
}

/// The pictures scaled to cover a frame, blurred, a fifth of their colour and nearly two thirds of their light taken away.
fn blurred(images: &Tensor, wide: i64, high: i64) -> Result<Tensor> {
    const LIGHT: f64 = 0.35;
    const GREY: f64 = 0.20;
    let size = images.size();
    let (height, width, channels) = (size[1], size[2], size[3]);
    let scale = (wide as f64 / width as f64).max(high as f64 / height as f64);
    let side = |length: i64| ((length as f64 * scale).round_ties_even() as i64).max(1);
    let covering = resize_pictures(images, side(width), side(height), Method::Bilinear, Crop::Disabled)?;
    let cut = |of: Tensor, dim: i64, length: i64| {
        let have = of.size()[dim as usize];
        of.narrow(dim, ((have - length) / 2).max(0), length.min(have))
    };
    let covering = cut(cut(covering, 1, high), 2, wide).permute([0, 3, 1, 2]);
    let short = |have: i64, wanted: i64| ((wanted - have) / 2, wanted - have - (wanted - have) / 2);
    let ((left, right), (top, bottom)) = (short(covering.size()[3], wide), short(covering.size()[2], high));
    let covering = repeated(&covering, Margins { left, right, top, bottom });
    let sigma = (0.006 * high.min(wide) as f64).max(1.0);
    let soft = gaussian(&covering, sigma, channels);
    let toned = match channels >= 3 {
        true => {
            let channel = |at: i64| soft.narrow(1, at, 1);
            let luma = channel(0) * 0.2126 + channel(1) * 0.7152 + channel(2) * 0.0722;
            let colours = soft.narrow(1, 0, 3) * (1.0 - GREY) + luma.expand([-1, 3, -1, -1], true) * GREY;
            Tensor::cat(&[colours, soft.narrow(1, 3, channels - 3)], 1)
        }
        false => soft,
    };
    Ok((toned * LIGHT).clamp(0.0, 1.0).permute([0, 2, 3, 1]).contiguous())
}

/// N×C×H×W blurred in both directions; outside of the picture it is black.
fn gaussian(of: &Tensor, sigma: f64, channels: i64) -> Tensor {
    let radius = ((3.0 * sigma) as i64).max(1);
    let places = Tensor::arange_start(-radius, radius + 1, (of.kind(), of.device()));
    let kernel = (-(&places * &places) / (2.0 * sigma * sigma)).exp();
    let kernel = &kernel / kernel.sum(None);
    let line = |shape: [i64; 4]| kernel.view(shape).repeat([channels, 1, 1, 1]);
    let side = 2 * radius + 1;
    let across = of.conv2d(&line([1, 1, 1, side]), None::<Tensor>, [1, 1], [0, radius], [1, 1], channels);
    across.conv2d(&line([1, 1, side, 1]), None::<Tensor>, [1, 1], [radius, 0], [1, 1], channels)
}
