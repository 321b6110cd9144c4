//! A ControlNet (Zhang et al. 2023, arXiv:2302.05543) that is shown edges.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use redraft_nodes::diffusion::control::{ControlInputs, ControlNetwork};
use redraft_nodes::diffusion::extra_conds::ExtraConds;
use redraft_nodes::files::tensor_file;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::control::unet::UNetControl;
use redraft_nodes::models::unet::Heads;
use redraft_nodes::models::vae::Vae;
use redraft_nodes::ops::canny::canny;
use redraft_nodes::ops::numerics::Numerics;
use tch::{Device, Kind, Tensor};

use crate::checkpoint::{write, write_halves};
use crate::companion::{Companion, Training};
use crate::data::{Sample, sample};
use crate::denoiser::{Draw, Networks, Objective};
use crate::drawing::Split;
use crate::painter::{Extras, Painter, Part, Settings, Steering};
use crate::parameters::Parameters;
use crate::pool::{Encode, mean_latents};
use crate::report::{Report, Row, sheet};

/// Trains a ControlNet that is shown edges, and shows what it does.
#[derive(Debug, clap::Args)]
pub(crate) struct Control {
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    settings: Settings,
}

const RATE: f64 = 5e-4;
const UNET: &str = "model.diffusion_model.";
const CONTROL: &str = "control_model";
/// The parts of the UNet that the ControlNet begins as.
const COPIED: [&str; 3] = ["time_embed.", "input_blocks.", "middle_block."];
/// Channels of what the picture goes through before it is added to the states, those of the picture first.
const HINT: [i64; 8] = [3, 16, 16, 32, 32, 64, 64, 64];
/// The node Canny's thresholds.
const THRESHOLDS: (f64, f64) = (0.1, 0.2);
/// Points of the picture for one of the latent, along a side.
const RATIO: i64 = 8;
/// Strengths that are compared.
const STRENGTHS: [f64; 3] = [0.0, 0.5, 1.0];
/// Seed of the drawings whose edges are shown; none that is trained with.
const SEED: u64 = 0xed9e5;
const SHOWN: u64 = 24;
/// How far from its place an edge may be found again, in pixels.
const NEAR: i64 = 2;

impl Control {
    pub(crate) fn run(&self) -> Result<()> {
        let training = &self.training;
        let (numerics, weights) = training.open()?;
        if let Some(budget) = training.budget() {
            let mut net = Net::new(&weights, &numerics, self.file())?;
            training.train(&mut net, (&numerics, &weights), RATE, budget)?;
        }
        self.show()
    }

    fn file(&self) -> PathBuf {
        self.training.out.join("tiny-edges.safetensors")
    }

    /// Pictures of held-out captions by the edges of their drawings, at several strengths, and how many of the edges they have.
    fn show(&self) -> Result<()> {
        let (size, file) = (self.training.size, self.file());
        let samples: Vec<Sample> = (0..SHOWN).map(|index| sample(SEED, index, size, Split::HeldOut)).collect();
        let captions: Vec<&str> = samples.iter().map(|sample| sample.caption.as_str()).collect();
        let drawn: Vec<Vec<u8>> = samples.iter().map(|sample| sample.pixels.clone()).collect();
        let hint = edges(&planes(&drawn, size));
        let edge_pictures = bytes(&(hint.repeat([1, 3, 1, 1]) * 255.0))?;
        let mut report = Report::begin("| pictures | edges found again |\n|---|---|")?;
        let mut rows: Vec<Row> = vec![drawn, edge_pictures];
        for strength in STRENGTHS {
            let control = Some(Steering { file: &file, hint: &hint.repeat([1, 3, 1, 1]), strength });
            let extras = Extras { control, ..Extras::default() };
            let device = self.training.device.open(false)?;
            let painter = Painter::with(&self.training.checkpoint, device, &self.settings, extras)?;
            let latents = painter.sample(&captions, &painter.empty(captions.len(), size), 7.0, Part::Denoise(1.0))?;
            let pictures = painter.pictures(&latents)?;
            let found = found_again(&hint, &edges(&planes(&pictures, size)));
            report.line(&format!("| the ControlNet at {strength} | {:.1} % |", 100.0 * found))?;
            rows.push(pictures);
        }
        let through = Painter::open(&self.training.checkpoint, self.training.device.open(false)?, &self.settings)?;
        let through = through.pictures(&through.latents(&rows[0], size)?)?;
        let found = found_again(&hint, &edges(&planes(&through, size)));
        report.line(&format!("| the drawings through the VAE | {:.1} % |", 100.0 * found))?;
        report.line(&format!("\n{SHOWN} held-out captions; {}, guidance 7", self.settings))?;
        report.write(&self.training.out, &captions)?;
        sheet(&rows, size, 8, &self.training.out.join("tiny-edges.png"))
    }
}

/// Pictures of bytes as N×3×H×W, 0 to 1.
fn planes(pictures: &[Vec<u8>], size: u32) -> Tensor {
    let side = i64::from(size);
    let pixels = Tensor::from_slice(&pictures.concat()).view([-1, side, side, 3]).to_kind(Kind::Float) / 255.0;
    pixels.movedim_int(-1, 1)
}

/// N×3×H×W, 0 to 255, as pictures of bytes.
fn bytes(planes: &Tensor) -> Result<Vec<Vec<u8>>> {
    let pixels = planes.movedim_int(1, -1).to_kind(Kind::Uint8);
    (0..pixels.size()[0]).map(|i| Ok(Vec::<u8>::try_from(pixels.get(i).flatten(0, -1))?)).collect()
}

/// The edges of pictures N×3×H×W of 0 to 1, as the node Canny finds them: N×1×H×W.
fn edges(pictures: &Tensor) -> Tensor {
    canny(pictures, THRESHOLDS.0, THRESHOLDS.1)
}

/// The share of edges near which there is one of the others.
fn found_again(edges: &Tensor, others: &Tensor) -> f64 {
    let near = others.max_pool2d([2 * NEAR + 1; 2], [1, 1], [NEAR, NEAR], [1, 1], false);
    ((edges * near).sum(Kind::Float) / edges.sum(Kind::Float)).double_value(&[])
}

/// The ControlNet.
pub(crate) struct Net {
    pub(crate) parameters: Parameters,
    net: UNetControl,
    networks: Networks,
    objective: Objective,
    file: PathBuf,
}

impl Net {
    /// One that begins as half of a checkpoint's UNet and adds nothing yet.
    pub(crate) fn new(weights: &Weights, numerics: &Numerics, file: PathBuf) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let begin = folder.path().join("begin.safetensors");
        write(
            &begin,
            &tensor_file::to_bytes(begin_as(weights)?.iter().map(|(n, t)| (n.as_str(), t)), HashMap::new())?,
        )?;
        let own = Weights::open(&begin)?;
        let parameters = Parameters::of(&own, &[&format!("{CONTROL}.")], numerics.device)?;
        let trained = own.trained(parameters.by_name()).at(CONTROL);
        Ok(Self {
            net: UNetControl::load(&trained, &trained, numerics, Heads::Count(8))?,
            parameters,
            networks: Networks::load(weights, numerics)?,
            objective: Objective::new(numerics.device),
            file,
        })
    }
}

/// The tensors of a new ControlNet, in the layout of the original's files.
fn begin_as(weights: &Weights) -> Result<Vec<(String, Tensor)>> {
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    // Channels of each input block and of the middle, which are those of the last bias in each.
    let mut widths: Vec<(String, i64)> = Vec::new();
    for (name, tensor) in tensor_file::load(weights.path())? {
        let Some(name) = name.strip_prefix(UNET).filter(|name| COPIED.iter().any(|part| name.starts_with(part))) else {
            continue;
        };
        if let Some(out) = handed_over(name, &tensor) {
            widths.push(out);
        }
        tensors.push((format!("{CONTROL}.{name}"), tensor.to_kind(Kind::Float)));
    }
    let options = (Kind::Float, Device::Cpu);
    let mut layer = |name: String, weight: Tensor| {
        let outputs = weight.size()[0];
        tensors.push((format!("{CONTROL}.{name}.weight"), weight));
        tensors.push((format!("{CONTROL}.{name}.bias"), Tensor::zeros([outputs], options)));
    };
    let Some(model_channels) = widths.iter().find(|(name, _)| name == "zero_convs.0.0").map(|(_, width)| *width) else {
        bail!("{} has no {UNET}input_blocks.0.0.weight; use a checkpoint of a tiny model", weights.path().display())
    };
    for (name, width) in widths {
        layer(name, Tensor::zeros([width, width, 1, 1], options));
    }
    let outputs = HINT.iter().skip(1).chain([&model_channels]);
    for (i, (&inputs, &outputs)) in HINT.iter().zip(outputs).enumerate() {
        // As torch.nn.Conv2d begins: uniform, up to 1/√inputs. The last adds nothing at first.
        let most = if i + 1 == HINT.len() { 0.0 } else { ((9 * inputs) as f64).sqrt().recip() };
        let weight = (Tensor::rand([outputs, inputs, 3, 3], options) * 2.0 - 1.0) * most;
        layer(format!("input_hint_block.{}", 2 * i), weight);
    }
    Ok(tensors)
}

/// The name of the convolution that hands over what a block gives, and the channels of that; for the one tensor of the block that tells.
fn handed_over(name: &str, tensor: &Tensor) -> Option<(String, i64)> {
    let parts: Vec<&str> = name.split('.').collect();
    let width = tensor.size()[0];
    match parts[..] {
        ["input_blocks", block, "0", "weight"]
        | ["input_blocks", block, "0", "op", "weight"]
        | ["input_blocks", block, "0", "out_layers", "3", "weight"] => Some((format!("zero_convs.{block}.0"), width)),
        ["middle_block", "0", "out_layers", "3", "weight"] => Some(("middle_block_out.0".to_owned(), width)),
        _ => None,
    }
}

impl Companion for Net {
    const NAME: &'static str = "control";
    const ENCODE: Encode = beside_edges;
    const SAMPLE: fn(u64, u64, u32) -> Sample = |seed, index, size| sample(seed, index, size, Split::Train);

    fn parameters(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn loss(&mut self, held: &Tensor, tokens: &Tensor, draw: &Draw) -> Result<[Tensor; 2]> {
        let (latents, packed) = (held.narrow(1, 0, 4), held.narrow(1, 4, RATIO * RATIO));
        let hint = &packed.pixel_shuffle(RATIO).repeat([1, 3, 1, 1]);
        let context = &tch::no_grad(|| self.networks.encode(&self.objective.captions(tokens, draw)))?;
        let extra = &ExtraConds::default();
        self.objective.loss(&latents, draw, |x, timestep| {
            let residuals = self.net.residuals(&ControlInputs { x, timestep, context, extra, hint, types: &[] })?;
            self.networks.steered(x, timestep, context, Some(&residuals))
        })
    }

    fn file(&self) -> &Path {
        &self.file
    }

    fn write(&self, tensors: HashMap<String, Tensor>, steps: u64) -> Result<()> {
        let about = format!("a ControlNet by edges for redraft's tiny model: {steps} steps");
        write_halves(&self.file, &tensors, &[("format", "pt"), ("about", &about)])
    }
}

/// Latents of pictures and their edges, 8×8 of them for a point of the latent: B×68×h×w.
fn beside_edges(vae: &Vae, pictures: &Tensor) -> Tensor {
    let edges = edges(&(pictures / 2.0 + 0.5)).pixel_unshuffle(RATIO);
    Tensor::cat(&[mean_latents(vae, pictures), edges], 1)
}
