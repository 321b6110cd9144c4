//! Pictures as the project's nodes make them from a checkpoint, many prompts at once.

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use redraft_engine::folders::FolderPaths;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::lora::{Lora, layers};
use redraft_nodes::models::autoencoder::Autoencoder;
use redraft_nodes::models::families::recognise;
use redraft_nodes::networks::Networks;
use redraft_nodes::ops::cuda::DeviceChoice;
use redraft_nodes::ops::numerics::Numerics;
use redraft_nodes::recipes::{ControlNet, Model, VaeRecipe};
use redraft_nodes::sampling::guidance::Batching;
use redraft_nodes::sampling::ksampler::{SampleRequest, sample};
use redraft_nodes::sampling::ready::ReadyModel;
use redraft_nodes::sampling::samplers::Sampler;
use redraft_nodes::sampling::schedules::Schedule;
use redraft_nodes::text::embeddings::EmbeddingFiles;
use redraft_nodes::text::encode::TextEncoder;
use redraft_nodes::values::extras::{CONCAT_LATENT, CONCAT_MASK};
use redraft_nodes::values::{Conditioning, Control, Latent};
use tch::{Device, Kind, Tensor};

/// Prompts that go through the network together.
pub(crate) const TOGETHER: usize = 50;

/// Where pictures are drawn, and how large.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Canvas {
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceChoice,
    /// Height and width of each picture.
    #[arg(long, default_value_t = 128)]
    pub(crate) size: u32,
}

/// How pictures are sampled.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Settings {
    #[arg(long, default_value_t = 20)]
    pub(crate) steps: usize,
    #[arg(long, default_value = "dpmpp_2m")]
    sampler: String,
    #[arg(long, default_value = "karras")]
    scheduler: String,
    /// Seed of the noise.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The negative prompt.
    #[arg(long, default_value = "")]
    negative: String,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} steps of {}, schedule {}, seed {}", self.steps, self.sampler, self.scheduler, self.seed)
    }
}

/// Which part of the schedule is run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// KSampler's `denoise`.
    Denoise(f64),
    /// KSamplerAdvanced's `start_at_step`, up to the end.
    From(usize),
}

/// The networks of a checkpoint.
pub(crate) struct Painter {
    model: ReadyModel,
    text: Rc<dyn TextEncoder>,
    vae: Rc<dyn Autoencoder>,
    sampler: &'static Sampler,
    schedule: &'static Schedule,
    settings: Settings,
    embeddings: EmbeddingFiles,
    /// A ControlNet, what it goes by, and its strength.
    control: Option<(ControlNet, Tensor, f64)>,
}

/// What is used beside a checkpoint.
#[derive(Clone, Copy, Default)]
pub(crate) struct Extras<'a> {
    /// A LoRA for the UNet, and how much of it.
    pub(crate) lora: Option<(&'a Path, f64)>,
    /// A directory of textual inversions.
    pub(crate) embeddings: Option<&'a Path>,
    /// A UNet in place of the checkpoint's.
    pub(crate) unet: Option<&'a Path>,
    /// A ControlNet.
    pub(crate) control: Option<Steering<'a>>,
}

/// A ControlNet and what it goes by.
#[derive(Clone, Copy)]
pub(crate) struct Steering<'a> {
    pub(crate) file: &'a Path,
    /// A picture for each latent, N×3×H×W of 0 to 1.
    pub(crate) hint: &'a Tensor,
    pub(crate) strength: f64,
}

/// What part of pictures is painted anew.
pub(crate) struct Repaint {
    /// N×1×H×W in pixels, 1 = anew.
    pub(crate) mask: Tensor,
    /// The latents of the pictures with that part greyed, for UNets that are shown them: N×4×h×w.
    pub(crate) shown: Option<Tensor>,
}

impl Repaint {
    fn part(&self, start: i64, count: i64) -> Repaint {
        let part = |tensor: &Tensor| tensor.narrow(0, start, count);
        Repaint { mask: part(&self.mask), shown: self.shown.as_ref().map(part) }
    }
}

impl Painter {
    /// Those in a file.
    ///
    /// # Errors
    /// If it lacks one of the three networks, or no sampler or schedule has the name.
    pub(crate) fn open(checkpoint: &Path, numerics: Numerics, settings: &Settings) -> Result<Painter> {
        Self::with(checkpoint, numerics, settings, Extras::default())
    }

    /// The same with something beside it.
    pub(crate) fn with(checkpoint: &Path, numerics: Numerics, settings: &Settings, extras: Extras) -> Result<Painter> {
        let contents = recognise(&Weights::open(checkpoint)?)?;
        let networks = Rc::new(Networks::new(numerics));
        let text = contents.text.as_ref().context("the checkpoint has no text encoder")?;
        let (usage, weights) = text.recipe.encoders.first().zip(text.encoders.first()).context("no text encoder")?;
        let weights = weights.as_ref().context("the checkpoint has no text encoder")?;
        let mut model = match extras.unet {
            Some(unet) => Model::new(recognise(&Weights::open(unet)?)?.model()?.clone()),
            None => Model::new(contents.model()?.clone()),
        };
        if let Some((file, strength)) = extras.lora {
            let layers = layers::unet(&model.part.weights);
            let delta = Lora::open(file)?.fit(&layers).delta(&layers, strength);
            model = model.changed(delta);
        }
        Ok(Painter {
            model: model.ready(&networks)?,
            text: (usage.open)(&networks, weights, &FolderPaths::below(Path::new(".")))?,
            vae: VaeRecipe { weights: contents.vae }.network(&networks)?,
            sampler: Sampler::named(&settings.sampler)?,
            schedule: Schedule::named(&settings.scheduler)?,
            settings: settings.clone(),
            embeddings: EmbeddingFiles::new(extras.embeddings.map(Path::to_owned)),
            control: match extras.control {
                Some(Steering { file, hint, strength }) => {
                    Some((ControlNet::open(&Weights::open(file)?)?, hint.shallow_clone(), strength))
                }
                None => None,
            },
        })
    }

    /// Samples one latent for each prompt, from latents of that number.
    pub(crate) fn sample<S: AsRef<str>>(
        &self,
        prompts: &[S],
        latents: &Tensor,
        guidance: f64,
        part: Part,
    ) -> Result<Tensor> {
        self.repaint(prompts, latents, guidance, part, None)
    }

    /// The same, of which only a part of each picture may be painted anew.
    pub(crate) fn repaint<S: AsRef<str>>(
        &self,
        prompts: &[S],
        latents: &Tensor,
        guidance: f64,
        part: Part,
        repaint: Option<&Repaint>,
    ) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let parts = prompts.chunks(TOGETHER).zip(0..).map(|(prompts, group)| {
            let (denoise, start_at_step) = match part {
                Part::Denoise(denoise) => (denoise, None),
                Part::From(step) => (1.0, Some(step)),
            };
            let (start, count) = (group as i64 * TOGETHER as i64, prompts.len() as i64);
            let repaint = repaint.map(|repaint| repaint.part(start, count));
            let noise_mask = repaint.as_ref().map(|repaint| repaint.mask.shallow_clone());
            let control = self.control.as_ref().map(|(net, hint, strength)| {
                let mut control = Control::new(net.clone(), hint.narrow(0, start, count));
                control.strength = *strength;
                Rc::new(control)
            });
            let shown = |conditioning: Conditioning| {
                conditioning.map(|entry| {
                    entry.control = control.clone();
                    if let Some(Repaint { mask, shown: Some(shown) }) = &repaint {
                        entry.extras.set(CONCAT_LATENT, shown.shallow_clone());
                        entry.extras.set(CONCAT_MASK, mask.shallow_clone());
                    }
                })
            };
            let request = SampleRequest {
                seed: self.settings.seed + group,
                steps: self.settings.steps,
                cfg: guidance,
                sampler: self.sampler,
                schedule: self.schedule,
                positive: shown(self.encode(prompts)?),
                negative: shown(self.encode(&[&self.settings.negative])?),
                latent: Latent { noise_mask, ..Latent::new(latents.narrow(0, start, count)) },
                denoise,
                add_noise: true,
                start_at_step,
                end_at_step: None,
                force_full_denoise: start_at_step.is_some(),
                batching: Batching::Together,
            };
            Ok(sample(&self.model, &request, &mut |_, _, _| Ok(()))?.samples)
        });
        Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0))
    }

    /// So many empty latents for pictures of a size.
    pub(crate) fn empty(&self, count: usize, size: u32) -> Tensor {
        let side = i64::from(size) / self.vae.factor();
        Tensor::zeros([count as i64, self.vae.latent_channels(), side, side], (Kind::Float, Device::Cpu))
    }

    /// Pictures as latents, B×4×h×w.
    pub(crate) fn latents(&self, pictures: &[Vec<u8>], size: u32) -> Result<Tensor> {
        let _guard = tch::no_grad_guard();
        let (count, size) = (pictures.len() as i64, i64::from(size));
        let pixels = Tensor::from_slice(&pictures.concat()).view([count, size, size, 3]).to_kind(Kind::Float) / 255.0;
        self.vae.encode(&pixels)
    }

    /// Latents as pictures of bytes, as they are saved.
    pub(crate) fn pictures(&self, latents: &Tensor) -> Result<Vec<Vec<u8>>> {
        let _guard = tch::no_grad_guard();
        let pixels = (self.vae.decode(latents)? * 255.0).clamp(0.0, 255.0).to_kind(Kind::Uint8);
        (0..pixels.size()[0]).map(|i| Ok(Vec::<u8>::try_from(pixels.get(i).flatten(0, -1))?)).collect()
    }

    /// One prompt for each latent of a batch: N×77×W.
    fn encode<S: AsRef<str>>(&self, prompts: &[S]) -> Result<Conditioning> {
        let encoded = prompts.iter().map(|prompt| {
            let chunks = self.text.chunks(prompt.as_ref().into(), &self.embeddings)?;
            Ok(self.text.encode(chunks, None)?.cond)
        });
        Ok(Tensor::cat(&encoded.collect::<Result<Vec<_>>>()?, 0).into())
    }
}
