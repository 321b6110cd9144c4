//! A LoRA (Hu et al. 2021, arXiv:2106.09685) of a drawing style: stained glass.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Result;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::lora::diffusers;
use redraft_nodes::ops::numerics::{Numerics, Placement};
use tch::{Kind, Tensor};

use crate::checkpoint::write_halves;
use crate::companion::{Companion, Training};
use crate::data::{Sample, rng, tokens};
use crate::denoiser::{Draw, Networks, Objective, load_unet};
use crate::drawing::{Outline, Scene, Split};
use crate::painter::{Extras, Painter, Part, Settings};
use crate::parameters::Parameters;
use crate::report::{Report, Row, sheet};

/// Trains a LoRA of a drawing style, stained glass, and shows what it does.
#[derive(Debug, clap::Args)]
pub(crate) struct Lora {
    #[command(flatten)]
    training: Training,
    /// Columns of each pair of matrices.
    #[arg(long, default_value_t = 4)]
    rank: i64,
    #[command(flatten)]
    settings: Settings,
}

const UNET: &str = "model.diffusion_model.";
const RATE: f64 = 2e-3;
/// Strengths that are compared.
const STRENGTHS: [f64; 3] = [0.0, 0.5, 1.0];
/// Pictures of which the sheet shows a row of eight.
const SHOWN: usize = 24;
/// Seed of the captions that are shown; none that is trained with.
const SEED: u64 = 0x91a55;
/// A pixel whose red, green and blue are all below this is lead.
const LEAD: u8 = 80;

impl Lora {
    pub(crate) fn run(&self) -> Result<()> {
        let training = &self.training;
        let (numerics, weights) = training.open()?;
        if let Some(budget) = training.budget() {
            let mut matrices = Matrices::new(&weights, &numerics, self.rank, self.file())?;
            training.train(&mut matrices, (&numerics, &weights), RATE, budget)?;
        }
        self.show()
    }

    fn file(&self) -> PathBuf {
        self.training.out.join("stained-glass.safetensors")
    }

    /// Pictures of the same captions and noise at several strengths, and how much of them is lead.
    fn show(&self) -> Result<()> {
        let (size, file) = (self.training.size, self.file());
        // Dark shapes and backgrounds would count as lead, and where none is asked for the model may choose a dark one.
        let light = |caption: &str| {
            caption.contains("background")
                && !["black", "dark", "grey", "purple"].iter().any(|dark| caption.contains(dark))
        };
        let [plain, glass] = [Scene::draw, Scene::draw_in_glass].map(|draw| {
            let all = (0..).map(|index| drawn(SEED, index, size, draw));
            all.filter(|sample| light(&sample.caption)).take(SHOWN).collect::<Vec<Sample>>()
        });
        let captions: Vec<&str> = plain.iter().map(|sample| sample.caption.as_str()).collect();
        let mut report = Report::begin("| pictures | share of lead |\n|---|---|")?;
        let mut rows: Vec<Row> = Vec::new();
        let mut row = |name: String, pictures: Vec<Vec<u8>>| -> Result<()> {
            let part = pictures.iter().map(|pixels| lead(pixels)).sum::<f64>() / pictures.len() as f64;
            report.line(&format!("| {name} | {:.1} % |", part * 100.0))?;
            rows.push(pictures);
            Ok(())
        };
        for strength in STRENGTHS {
            let extras = Extras { lora: Some((&file, strength)), ..Extras::default() };
            let painter =
                Painter::with(&self.training.checkpoint, self.training.device.open(false)?, &self.settings, extras)?;
            let latents = painter.sample(&captions, &painter.empty(captions.len(), size), 7.0, Part::Denoise(1.0))?;
            row(format!("the model, LoRA at {strength}"), painter.pictures(&latents)?)?;
        }
        for (name, samples) in [("plain drawings", &plain), ("drawings in the style", &glass)] {
            row(name.to_owned(), samples.iter().map(|sample| sample.pixels.clone()).collect())?;
        }
        report.line(&format!("\n{SHOWN} captions; {}, guidance 7", self.settings))?;
        report.write(&self.training.out, &captions)?;
        sheet(&rows, size, 8, &self.training.out.join("stained-glass.png"))
    }
}

/// A scene in a style, under a caption that says nothing of it.
fn drawn(seed: u64, index: u64, size: u32, draw: fn(&Scene, u32) -> Vec<u8>) -> Sample {
    let mut rng = rng(seed, index);
    let mut scene = Scene::random(&mut rng, Split::Train);
    // Outlines are the style's.
    scene.shapes.iter_mut().for_each(|shape| shape.outline = Outline::None);
    let caption = scene.caption(&mut rng);
    Sample { pixels: draw(&scene, size), tokens: tokens(&caption), caption }
}

/// The share of dark pixels.
fn lead(pixels: &[u8]) -> f64 {
    let dark = pixels.chunks(3).filter(|pixel| pixel.iter().all(|&v| v < LEAD)).count();
    dark as f64 / (pixels.len() / 3) as f64
}

/// A layer of the UNet that is changed.
struct Layer {
    /// The full name of its weight.
    weight: String,
    /// What the names of its matrices start with in kohya's files.
    key: String,
}

/// Pairs of matrices over the UNet's layers.
pub(crate) struct Matrices {
    weights: Weights,
    numerics: Numerics,
    /// All of the UNet's tensors, by full name.
    frozen: HashMap<String, Tensor>,
    layers: Vec<Layer>,
    parameters: Parameters,
    networks: Networks,
    objective: Objective,
    rank: i64,
    file: PathBuf,
}

impl Matrices {
    pub(crate) fn new(weights: &Weights, numerics: &Numerics, rank: i64, file: PathBuf) -> Result<Self> {
        let unet = weights.at(UNET.trim_end_matches('.')).placed(Placement { kind: Kind::Float, ..numerics.unet() });
        let mut frozen = HashMap::new();
        for name in unet.names() {
            frozen.insert(unet.full_name(&name), unet.tensor(&name, &unet.shape(&name)?)?);
        }
        let diffusers = diffusers::names(&unet);
        let mut layers = Vec::new();
        let mut begin = Vec::new();
        for name in unet.names() {
            let (shape, Some(theirs)) = (unet.shape(&name)?, diffusers.get(&name).and_then(|names| names.first()))
            else {
                continue;
            };
            // Matrices and kernels inside of blocks, but for those that are shown the noise level.
            if shape.len() < 2 || !theirs.contains("block") || theirs.contains("time_emb") {
                continue;
            }
            let key = format!("lora_unet_{}", theirs.replace('.', "_"));
            let (mut down, mut up) = (shape.clone(), vec![1; shape.len()]);
            (down[0], up[0], up[1]) = (rank, shape[0], rank);
            // As torch.nn.Linear begins: uniform, up to 1/√inputs.
            let most = (shape[1..].iter().product::<i64>() as f64).sqrt().recip();
            let options = (Kind::Float, numerics.device);
            begin.push((format!("{key}.lora_down.weight"), (Tensor::rand(down, options) * 2.0 - 1.0) * most));
            begin.push((format!("{key}.lora_up.weight"), Tensor::zeros(up, options)));
            layers.push(Layer { weight: unet.full_name(&name), key });
        }
        Ok(Self {
            weights: weights.clone(),
            numerics: *numerics,
            frozen,
            layers,
            parameters: Parameters::begin(begin, numerics.device),
            networks: Networks::load(weights, numerics)?,
            objective: Objective::new(numerics.device),
            rank,
            file,
        })
    }

    /// The UNet's tensors, those of changed layers being W + B·A.
    fn changed(&self) -> HashMap<String, Tensor> {
        let matrices = self.parameters.by_name();
        let mut tensors: HashMap<String, Tensor> =
            self.frozen.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        for Layer { weight, key } in &self.layers {
            let [up, down] = ["up", "down"].map(|of| matrices[&format!("{key}.lora_{of}.weight")].flatten(1, -1));
            let frozen = &self.frozen[weight];
            tensors.insert(weight.clone(), frozen + up.matmul(&down).view_as(frozen));
        }
        tensors
    }
}

impl Companion for Matrices {
    const NAME: &'static str = "lora";
    const SAMPLE: fn(u64, u64, u32) -> Sample = |seed, index, size| drawn(seed, index, size, Scene::draw_in_glass);

    fn parameters(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn loss(&mut self, held: &Tensor, tokens: &Tensor, draw: &Draw) -> Result<[Tensor; 2]> {
        // Making a UNet over other tensors is free.
        self.networks.unet = load_unet(&self.weights.trained(Rc::new(self.changed())), &self.numerics)?;
        let context = tch::no_grad(|| self.networks.encode(&self.objective.captions(tokens, draw)))?;
        self.objective.loss(held, draw, |x, timesteps| self.networks.predict(x, timesteps, &context))
    }

    fn file(&self) -> &Path {
        &self.file
    }

    fn write(&self, mut tensors: HashMap<String, Tensor>, steps: u64) -> Result<()> {
        // With alpha as large as the rank, matrices count as they are.
        for Layer { key, .. } in &self.layers {
            tensors.insert(format!("{key}.alpha"), Tensor::from(self.rank as f64));
        }
        let rank = self.rank.to_string();
        let about = format!("stained glass, for redraft's tiny model: {steps} steps");
        let about = [
            ("ss_network_module", "networks.lora"),
            ("ss_network_dim", rank.as_str()),
            ("ss_network_alpha", rank.as_str()),
            ("about", about.as_str()),
        ];
        write_halves(&self.file, &tensors, &about)
    }
}
