//! A UNet for inpainting: it is shown the mask and what the picture holds outside of it, in five more input channels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use redraft_nodes::files::tensor_file;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::vae::Vae;
use redraft_nodes::ops::inpaint::prepared;
use redraft_nodes::ops::numerics::Numerics;
use tch::{Device, Kind, Tensor};

use crate::checkpoint::{write, write_halves};
use crate::companion::{Companion, Training};
use crate::data::{Sample, sample};
use crate::denoiser::{Draw, Networks, Objective};
use crate::drawing::Split;
use crate::painter::{Extras, Painter, Part, Repaint, Settings};
use crate::parameters::Parameters;
use crate::pool::{Encode, mean_latents};
use crate::report::{Report, Row, sheet};

/// Trains a UNet for inpainting from a checkpoint's, and shows what it does.
#[derive(Debug, clap::Args)]
pub(crate) struct Inpainting {
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    settings: Settings,
}

const RATE: f64 = 3e-4;
const UNET: &str = "model.diffusion_model.";
const FIRST: &str = "model.diffusion_model.input_blocks.0.0.weight";
/// The mask, and a latent.
const MORE_CHANNELS: i64 = 5;
/// Seed of the pictures that are repainted; none that is trained with.
const SEED: u64 = 0x1297a;
const SHOWN: u64 = 24;

impl Inpainting {
    pub(crate) fn run(&self) -> Result<()> {
        let training = &self.training;
        let (numerics, weights) = training.open()?;
        if let Some(budget) = training.budget() {
            let mut unet = Unet::new(&weights, &numerics, self.file())?;
            training.train(&mut unet, (&numerics, &weights), RATE, budget)?;
        }
        self.show()
    }

    fn file(&self) -> PathBuf {
        self.training.out.join("tiny-inpainting.safetensors")
    }

    /// Pictures whose right half is painted anew under their own captions, by this UNet and by the checkpoint's.
    fn show(&self) -> Result<()> {
        let (size, file) = (self.training.size, self.file());
        let samples: Vec<Sample> = (0..SHOWN).map(|index| sample(SEED, index, size, Split::HeldOut)).collect();
        let captions: Vec<&str> = samples.iter().map(|sample| sample.caption.as_str()).collect();
        let drawn: Vec<Vec<u8>> = samples.iter().map(|sample| sample.pixels.clone()).collect();
        let side = i64::from(size);
        let mask = Tensor::zeros([1, side, side], (Kind::Float, Device::Cpu));
        let (left, width) = (side / 2 / 8 * 8, side - side / 2 / 8 * 8);
        let _ = mask.narrow(2, left, width).fill_(1.0);
        let pixels = Tensor::from_slice(&drawn.concat()).view([-1, side, side, 3]).to_kind(Kind::Float) / 255.0;
        let (greyed, mask) = prepared(&pixels, &mask, 8)?;
        let bytes = |pixels: &Tensor| -> Result<Vec<Vec<u8>>> {
            let pixels = (pixels * 255.0).round().to_kind(Kind::Uint8);
            (0..pixels.size()[0]).map(|i| Ok(Vec::<u8>::try_from(pixels.get(i).flatten(0, -1))?)).collect()
        };
        let greyed = bytes(&greyed)?;
        let mask = mask.repeat([SHOWN as i64, 1, 1, 1]);
        let mut report = Report::begin(
            "| right half painted by | difference from the drawing there (of 255) | step across the seam (of 255) |\n|---|---|---|",
        )?;
        let mut rows: Vec<Row> = vec![drawn.clone(), greyed.clone()];
        let columns = left as usize..side as usize;
        report.line(&format!(
            "| the drawing itself | 0.0 | {:.1} |",
            mean(&drawn, |_, pixels| step(pixels, left as usize, size))
        ))?;
        for (name, unet) in [("the checkpoint", None), ("the UNet for inpainting", Some(file.as_path()))] {
            let extras = Extras { unet, ..Extras::default() };
            let painter =
                Painter::with(&self.training.checkpoint, self.training.device.open(false)?, &self.settings, extras)?;
            let shown = if unet.is_some() { Some(painter.latents(&greyed, size)?) } else { None };
            let repaint = Repaint { mask: mask.shallow_clone(), shown };
            let latents = painter.latents(&drawn, size)?;
            let latents = painter.repaint(&captions, &latents, 7.0, Part::Denoise(1.0), Some(&repaint))?;
            let pictures = painter.pictures(&latents)?;
            let away = mean(&pictures, |i, pixels| differs(pixels, &drawn[i], size, columns.clone()));
            let seam = mean(&pictures, |_, pixels| step(pixels, left as usize, size));
            report.line(&format!("| {name} | {away:.1} | {seam:.1} |"))?;
            rows.push(pictures);
        }
        report.line(&format!("\n{SHOWN} held-out captions; {}, guidance 7", self.settings))?;
        report.write(&self.training.out, &captions)?;
        sheet(&rows, size, 8, &self.training.out.join("tiny-inpainting.png"))
    }
}

fn mean(pictures: &[Vec<u8>], of: impl Fn(usize, &[u8]) -> f64) -> f64 {
    pictures.iter().enumerate().map(|(i, pixels)| of(i, pixels)).sum::<f64>() / pictures.len() as f64
}

/// The mean absolute difference of two pictures in some columns.
fn differs(one: &[u8], other: &[u8], size: u32, columns: std::ops::Range<usize>) -> f64 {
    let row = 3 * size as usize;
    let inside = |i: usize| columns.contains(&(i % row / 3));
    let values: Vec<f64> = one
        .iter()
        .zip(other)
        .enumerate()
        .filter(|(i, _)| inside(*i))
        .map(|(_, (a, b))| f64::from(a.abs_diff(*b)))
        .collect();
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The mean absolute difference between the columns four left and four right of the seam.
fn step(pixels: &[u8], seam: usize, size: u32) -> f64 {
    let size = size as usize;
    let at = |x: usize, y: usize| &pixels[3 * (y * size + x)..][..3];
    let rows = (0..size)
        .map(|y| at(seam - 4, y).iter().zip(at(seam + 3, y)).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>());
    rows.sum::<f64>() / (3 * size) as f64
}

/// The UNet.
pub(crate) struct Unet {
    pub(crate) parameters: Parameters,
    networks: Networks,
    objective: Objective,
    file: PathBuf,
}

impl Unet {
    /// The checkpoint's with input channels that do nothing yet.
    pub(crate) fn new(weights: &Weights, numerics: &Numerics, file: PathBuf) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let begin = folder.path().join("begin.safetensors");
        let mut tensors = tensor_file::load(weights.path())?;
        tensors.retain(|name, _| name.starts_with(UNET));
        let first = tensors.get_mut(FIRST).with_context(|| format!("{} has no {FIRST}", weights.path().display()))?;
        let [outputs, 4, height, width] = first.size()[..] else {
            bail!("{FIRST} in {} has shape {:?}, and not 4 inputs", weights.path().display(), first.size())
        };
        let more = Tensor::zeros([outputs, MORE_CHANNELS, height, width], (first.kind(), Device::Cpu));
        *first = Tensor::cat(&[first.shallow_clone(), more], 1);
        write(&begin, &tensor_file::to_bytes(tensors.iter().map(|(name, t)| (name.as_str(), t)), HashMap::new())?)?;
        let unet = Weights::open(&begin)?;
        let parameters = Parameters::of(&unet, &[UNET], numerics.device)?;
        Ok(Self {
            networks: Networks::with_unet(&unet.trained(parameters.by_name()), weights, numerics)?,
            parameters,
            objective: Objective::new(numerics.device),
            file,
        })
    }
}

impl Companion for Unet {
    const NAME: &'static str = "inpainting";
    const ENCODE: Encode = masked;
    const SAMPLE: fn(u64, u64, u32) -> Sample = |seed, index, size| sample(seed, index, size, Split::Train);

    fn parameters(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn loss(&mut self, held: &Tensor, tokens: &Tensor, draw: &Draw) -> Result<[Tensor; 2]> {
        let (latents, shown) = (held.narrow(1, 0, 4), held.narrow(1, 4, MORE_CHANNELS));
        let context = tch::no_grad(|| self.networks.encode(&self.objective.captions(tokens, draw)))?;
        self.objective.loss(&latents, draw, |x, timesteps| {
            self.networks.predict(&Tensor::cat(&[x, &shown], 1), timesteps, &context)
        })
    }

    fn file(&self) -> &Path {
        &self.file
    }

    fn write(&self, tensors: HashMap<String, Tensor>, steps: u64) -> Result<()> {
        let about = format!("the UNet of redraft's tiny model, for inpainting: {steps} steps more");
        write_halves(&self.file, &tensors, &[("format", "pt"), ("about", &about)])
    }
}

/// Latents of pictures, a random mask for each, and the latents of what it leaves: B×9×h×w, as the network takes them.
fn masked(vae: &Vae, pictures: &Tensor) -> Tensor {
    let latents = mean_latents(vae, pictures);
    let (height, width) = (latents.size()[2], latents.size()[3]);
    let mask = masks(pictures.size()[0], pictures.size()[2], pictures.device());
    // Grey is 0. Masks come to the latents' size as they do when the network is sampled.
    let shown = mean_latents(vae, &(pictures * (1.0 - &mask)));
    let mask = mask.upsample_bilinear2d([height, width], false, None, None).round();
    Tensor::cat(&[latents, mask, shown], 1)
}

/// Masks of one to three parts, each a rectangle or a stroke of a brush: B×1×S×S, 1 = paint anew.
fn masks(count: i64, size: i64, device: Device) -> Tensor {
    let options = (Kind::Float, device);
    let along = (Tensor::arange(size, options) + 0.5) / size as f64;
    let (x, y) = (along.view([1, 1, 1, size]), along.view([1, 1, size, 1]));
    let random = |low: f64, high: f64| Tensor::rand([count, 1, 1, 1], options) * (high - low) + low;
    let mut masks = Tensor::zeros([count, 1, size, size], (Kind::Bool, device));
    for part in 0..3 {
        let [ax, ay, bx, by] = [0; 4].map(|_| random(0.0, 1.0));
        let inside = |at: &Tensor, from: &Tensor, to: &Tensor| {
            at.ge_tensor(&from.minimum(to)).logical_and(&at.le_tensor(&from.maximum(to)))
        };
        let rectangle = inside(&x, &ax, &bx).logical_and(&inside(&y, &ay, &by));
        // The distance from the line from a to b.
        let (dx, dy) = (&bx - &ax, &by - &ay);
        let t = ((&x - &ax) * &dx + (&y - &ay) * &dy) / (dx.square() + dy.square() + 1e-6);
        let t = t.clamp(0.0, 1.0);
        let away = ((&x - &ax - &t * &dx).square() + (&y - &ay - &t * &dy).square()).sqrt();
        let stroke = away.lt_tensor(&random(0.06, 0.16));
        let part_mask = rectangle.where_self(&random(0.0, 1.0).lt(0.5), &stroke);
        let there = if part == 0 { 1.1 } else { 0.35 };
        masks = masks.logical_or(&part_mask.logical_and(&random(0.0, 1.0).lt(there)));
    }
    masks.to_kind(Kind::Float)
}
