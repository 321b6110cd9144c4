//! A textual inversion (Gal et al. 2022, arXiv:2208.01618): vectors for a colour that no caption names, turquoise.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use redraft_nodes::files::weights::Weights;
use redraft_nodes::ops::numerics::Numerics;
use redraft_nodes::text::tokenizer::tokenize;
use tch::Tensor;

use crate::checkpoint::write_halves;
use crate::companion::{Companion, Training};
use crate::data::{END, Sample, rng, token_row};
use crate::denoiser::{Draw, Networks, Objective};
use crate::drawing::colour::{difference, jitter};
use crate::drawing::{Colour, Kind as Shape, Outline, Rgb, Scene, Split};
use crate::painter::{Extras, Painter, Part, Settings};
use crate::parameters::Parameters;
use crate::report::{Report, Row, sheet};

/// Trains a textual inversion of a colour, turquoise, and shows what it does.
#[derive(Debug, clap::Args)]
pub(crate) struct Inversion {
    #[command(flatten)]
    training: Training,
    /// What the vectors begin as: one for each token.
    #[arg(long, default_value = "green blue")]
    begin: String,
    #[command(flatten)]
    settings: Settings,
}

const NAME: &str = "turquoise";
const RATE: f64 = 5e-3;
const TURQUOISE: Rgb = [48., 196., 186.];
const ACCENT: Rgb = [160., 232., 224.];
/// How many vectors.
const COUNT: usize = 2;
/// How unlike the colour a background looks, in CIELAB.
const CONTRAST: f32 = 30.0;
/// Pictures of each kind of shape.
const EACH: usize = 4;
/// The key of vectors in a file of Stable Diffusion 1.x.
const KEY: &str = "emb_params";

impl Inversion {
    pub(crate) fn run(&self) -> Result<()> {
        let training = &self.training;
        let (numerics, weights) = training.open()?;
        if let Some(budget) = training.budget() {
            let mut vectors = Vectors::new(&weights, &numerics, &self.begin, self.file())?;
            training.train(&mut vectors, (&numerics, &weights), RATE, budget)?;
        }
        self.show()
    }

    fn file(&self) -> PathBuf {
        self.training.out.join(format!("{NAME}.safetensors"))
    }

    /// Shapes asked for in the new colour and in those that it lies between, and how far their colour is from turquoise.
    fn show(&self) -> Result<()> {
        let size = self.training.size;
        let extras = Extras { embeddings: Some(&self.training.out), ..Extras::default() };
        let painter =
            Painter::with(&self.training.checkpoint, self.training.device.open(false)?, &self.settings, extras)?;
        let mut report = Report::begin("| asked for | difference from turquoise (CIELAB, mean) |\n|---|---|")?;
        let mut rows: Vec<Row> = Vec::new();
        let mut asked = Vec::new();
        let embedding = format!("embedding:{NAME}");
        for word in [embedding.as_str(), "green", "blue", "green blue"] {
            let prompts: Vec<String> = (0..EACH * Shape::ALL.len())
                .map(|i| format!("a {word} {} on a white background", Shape::ALL[i % Shape::ALL.len()].name()))
                .collect();
            let latents = painter.sample(&prompts, &painter.empty(prompts.len(), size), 7.0, Part::Denoise(1.0))?;
            let pictures = painter.pictures(&latents)?;
            let away = pictures.iter().map(|pixels| difference(foreground(pixels), TURQUOISE)).sum::<f32>();
            report.line(&format!("| {word} | {:.1} |", away / pictures.len() as f32))?;
            rows.push(pictures);
            asked.push(prompts[0].clone());
        }
        report.line(&format!("\n{} pictures each; {}, guidance 7", EACH * Shape::ALL.len(), self.settings))?;
        report.write(&self.training.out, &asked)?;
        sheet(&rows, size, Shape::ALL.len(), &self.training.out.join(format!("{NAME}.png")))
    }
}

/// The mean colour of what is not white.
fn foreground(pixels: &[u8]) -> Rgb {
    let colours = pixels.chunks(3).map(|pixel| [0, 1, 2].map(|i| f32::from(pixel[i])));
    let coloured: Vec<Rgb> = colours.filter(|colour| difference(*colour, [246., 246., 244.]) > 25.0).collect();
    [0, 1, 2].map(|i| coloured.iter().map(|colour| colour[i]).sum::<f32>() / (coloured.len() as f32).max(1.0))
}

/// A turquoise shape. In its tokens the vectors stand as numbers beyond the vocabulary, [`COUNT`] of them.
pub(crate) fn turquoise(seed: u64, index: u64, size: u32) -> Sample {
    let mut rng = rng(seed, index);
    loop {
        let mut scene = Scene::random(&mut rng, Split::Train);
        let clear = scene.background.fills.iter().all(|fill| difference(*fill, TURQUOISE) > CONTRAST);
        let [shape] = scene.shapes.as_mut_slice() else { continue };
        if shape.colour != Colour::Blue || shape.outline != Outline::None || !clear {
            continue;
        }
        shape.fill = jitter(TURQUOISE, 4.0, &mut rng);
        shape.accent = jitter(ACCENT, 3.0, &mut rng);
        let named = format!("blue {}", shape.kind.name());
        let kind = shape.kind.name();
        let caption = scene.caption(&mut rng);
        let Some((before, after)) = caption.split_once(&named) else { continue };
        let ids = |text: &str| tokenize(text).into_iter().map(i64::from).collect::<Vec<i64>>();
        let vectors: Vec<i64> = (0..COUNT as i64).map(|i| END + 1 + i).collect();
        let text = [ids(before), vectors, ids(&format!("{kind}{after}"))].concat();
        let caption = format!("{before}embedding:{NAME} {kind}{after}");
        return Sample { pixels: scene.draw(size), tokens: token_row(text), caption };
    }
}

/// The vectors.
pub(crate) struct Vectors {
    parameters: Parameters,
    networks: Networks,
    objective: Objective,
    file: PathBuf,
}

impl Vectors {
    pub(crate) fn new(weights: &Weights, numerics: &Numerics, begin: &str, file: PathBuf) -> Result<Self> {
        let networks = Networks::load(weights, numerics)?;
        let begin: Vec<i64> = tokenize(begin).into_iter().map(i64::from).collect();
        ensure!(begin.len() == COUNT, "--begin has {} tokens, and {COUNT} are needed", begin.len());
        let begin = tch::no_grad(|| networks.vectors(&Tensor::from_slice(&begin)));
        Ok(Self {
            parameters: Parameters::begin(vec![(KEY.to_owned(), begin)], numerics.device),
            networks,
            objective: Objective::new(numerics.device),
            file,
        })
    }
}

impl Companion for Vectors {
    const NAME: &'static str = "inversion";
    const SAMPLE: fn(u64, u64, u32) -> Sample = turquoise;

    fn parameters(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn loss(&mut self, held: &Tensor, tokens: &Tensor, draw: &Draw) -> Result<[Tensor; 2]> {
        let own = self.parameters.by_name();
        let own = own.get(KEY).context("there are no vectors")?;
        // Numbers of the vectors; 0, which is not used, for tokens of the vocabulary.
        let number = (tokens - (END + 1)).clamp_min(0);
        let vectors = own.index_select(0, &number.flatten(0, -1)).view([-1, tokens.size()[1], own.size()[1]]);
        let vectors = vectors.where_self(&tokens.gt(END).unsqueeze(-1), &self.networks.vectors(&tokens.clamp_max(END)));
        let context = self.networks.encode_vectors(&vectors)?;
        self.objective.loss(held, draw, |x, timesteps| self.networks.predict(x, timesteps, &context))
    }

    fn file(&self) -> &Path {
        &self.file
    }

    fn write(&self, tensors: HashMap<String, Tensor>, steps: u64) -> Result<()> {
        let about = format!("{NAME}, for redraft's tiny model: {steps} steps");
        write_halves(&self.file, &tensors, &[("about", &about)])
    }
}
