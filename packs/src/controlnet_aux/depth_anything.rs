use std::rc::Rc;

use anyhow::{Context, Result};
use redraft_engine::cx::Cx;
use redraft_engine::folder_kinds::{FOLDER_KIND_TABLES, FolderKind};
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Node, memory};
use redraft_nodes::files::weights::Weights;
use redraft_nodes::networks::Networks;
use redraft_nodes::values::Image;
use tch::{Device, Kind, Tensor};

use super::hints::{Framed, RESOLUTION, each};
use crate::networks::depth_anything::{DepthAnything, MEAN, PATCH, SPREAD};
use crate::opencv::{Going, Method, Raster, resize_doubles};

const FOLDER: &str = "depth_anything_v2";
const USUAL: &str = "depth_anything_v2_vitl.pth";
/// The shorter side that the network sees, in pixels, at least.
const SIDE: f64 = 518.0;

redraft_engine::add_rows!(FOLDER_KIND_TABLES: FolderKind = [
    // Where the pack fetches them to, behind the models' own folders.
    FolderKind {
        below_base: &[
            "custom_nodes/comfyui_controlnet_aux/ckpts/depth-anything/Depth-Anything-V2-Giant",
            "custom_nodes/comfyui_controlnet_aux/ckpts/depth-anything/Depth-Anything-V2-Large",
            "custom_nodes/comfyui_controlnet_aux/ckpts/depth-anything/Depth-Anything-V2-Base",
            "custom_nodes/comfyui_controlnet_aux/ckpts/depth-anything/Depth-Anything-V2-Small",
        ],
        ..FolderKind::new(FOLDER, &["depth_anything_v2", "depthanything"])
    },
]);

/// Draws how near things are, white the nearest (Depth Anything V2).
#[derive(Node)]
#[node(
    class = "DepthAnythingV2Preprocessor",
    category = "ControlNet Preprocessors/Normal and Depth Estimators",
    display = "Depth Anything V2 - Relative"
)]
pub(super) struct DepthAnythingV2 {
    pub(super) image: Image,
    /// The network's file: of four sizes, the larger ones are better and slower.
    #[input(files = "depth_anything_v2", default = "depth_anything_v2_vitl.pth")]
    pub(super) ckpt_name: Option<String>,
    /// The result's shorter side in pixels.
    #[input(default = 512, min = 64, max = 16384, step = 64)]
    pub(super) resolution: Option<i64>,
}

impl Run for DepthAnythingV2 {
    type Out = Image;

    fn run(self, cx: &mut Cx) -> Result<Image> {
        let name = self.ckpt_name.as_deref().unwrap_or(USUAL);
        let path = cx.folders.find(FOLDER, name);
        let path = path.with_context(|| format!("there is no file {name}; put it into models/{FOLDER}"))?;
        let weights = Weights::open_any(&path)?;
        let networks = cx.service::<Networks>()?;
        let network =
            networks.get(&weights, |weights, numerics| Ok(Rc::new(DepthAnything::load(weights, numerics)?)))?;
        let resolution = self.resolution.unwrap_or(RESOLUTION);
        each(&self.image, cx, |picture, going| {
            let near = nearness(&network, picture, going)?;
            let framed = Framed::of(&near, resolution, Method::Cubic, going)?;
            framed.cut(&framed.picture, going)
        })
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("ckpt_name", FOLDER), |path| {
            let Some(weights) = Weights::look_any(path)? else { return Ok(()) };
            DepthAnything::recognise(&weights)
        })
    }
}

/// Of the size of a picture, from 0, the farthest, to 255.
fn nearness(network: &DepthAnything, picture: &Raster<u8>, going: Going) -> Result<Raster<u8>> {
    let (width, height) = (picture.width, picture.height);
    let seen = picture.pixels(3, going, |pixel, into: &mut [f64]| {
        // Grey is each of the colours; alpha is left out.
        for (channel, into) in into.iter_mut().enumerate() {
            *into = f64::from(pixel[if pixel.len() < 3 { 0 } else { channel }]) / 255.0;
        }
    })?;
    let seen = resize_doubles::cubic(&seen, seen_size(width, height), going)?;
    let (rows, columns) = (seen.height as i64, seen.width as i64);
    memory::ask(seen.values.len().saturating_mul(8), "the picture as the network sees it")?;
    let value = |(at, value): (usize, &f64)| ((value - MEAN[at % 3]) / SPREAD[at % 3]) as f32;
    let values: Vec<f32> = seen.values.iter().enumerate().map(value).collect();
    let seen = Tensor::from_slice(&values).view([1, rows, columns, 3]).permute([0, 3, 1, 2]).contiguous();
    going()?;
    let near = network.nearness(&seen.to_device(network.device()))?;
    let near = near.unsqueeze(1).upsample_bilinear2d([height as i64, width as i64], true, None, None);
    let (least, most) = (near.min(), near.max());
    let near = (near - &least) / (most - &least) * 255.0;
    let near = near.to_device(Device::Cpu).to_kind(Kind::Float).flatten(0, -1);
    let near = Vec::<f32>::try_from(near).context("the network's answer cannot be read")?;
    // A picture in which all is equally near gives no numbers, which become 0.
    Ok(Raster { width, height, channels: 1, values: near.into_iter().map(|value| value as u8).collect() })
}

/// The size in which the network sees a picture: multiples of a patch, the shorter side about [`SIDE`] and no side less.
fn seen_size(width: usize, height: usize) -> (usize, usize) {
    let scale = (SIDE / width as f64).max(SIDE / height as f64);
    let patch = PATCH as f64;
    let side = |side: usize| {
        let wanted = side as f64 * scale;
        let near = (wanted / patch).round_ties_even() * patch;
        if near < SIDE { (wanted / patch).ceil() * patch } else { near }
    };
    (side(width) as usize, side(height) as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::networks::depth_anything::tests::{network, numbers};

    /// The original's bytes for a picture of 83 × 61 pixels and a small network of the same numbers; they are the same with kernels for
    /// other CPUs.
    #[test]
    fn a_picture_becomes_the_originals() {
        let pixels = numbers("pixels", &[61, 83, 3], 0.5) + 0.5;
        let values = Vec::<f32>::try_from(pixels.flatten(0, -1)).unwrap();
        let values = values.into_iter().map(|value| (value * 255.0) as u8).collect();
        let picture = Raster { width: 83, height: 61, channels: 3, values };
        let going: Going = &|| Ok(());
        let near = tch::no_grad(|| nearness(&network(false, |_| ()).unwrap(), &picture, going)).unwrap();
        let framed = Framed::of(&near, 96, Method::Cubic, going).unwrap();
        let made = framed.cut(&framed.picture, going).unwrap();
        assert_eq!((made.width, made.height, made.channels), (131, 96, 3));
        let row: Vec<u8> = made.row(10).iter().step_by(3 * 17).copied().collect();
        assert_eq!(row, [87, 244, 220, 158, 137, 96, 0, 0]);
        let mean = made.values.iter().map(|&value| f64::from(value)).sum::<f64>() / made.values.len() as f64;
        assert!((mean - 135.076_733).abs() < 1e-3, "{mean}");
    }

    /// As the original's transform tells them.
    #[test]
    fn sizes_are_the_originals() {
        let cases = [
            ((640, 480), (686, 518)),
            ((512, 512), (518, 518)),
            ((50, 400), (518, 4144)),
            ((333, 1000), (518, 1554)),
            ((777, 431), (938, 518)),
        ];
        for ((width, height), seen) in cases {
            assert_eq!(seen_size(width, height), seen, "{width} x {height}");
        }
    }
}
