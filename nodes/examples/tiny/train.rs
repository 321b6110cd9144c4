//! Both stages of training, one after the other.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use redraft_nodes::ops::cuda::{DeviceChoice, allow_tf32};
use redraft_nodes::ops::numerics::Numerics;
use tch::Tensor;

use crate::autoencoder::{Autoencoder, LossWeights, Spread};
use crate::budget::{Budget, Clock, rate};
use crate::checkpoint::{Training, split};
use crate::data::{Stream, pictures, sample};
use crate::denoiser::{Denoiser, Draw};
use crate::drawing::Split;
use crate::log::{Log, plot, say};
use crate::optimiser::Optimiser;
use crate::parameters::Parameters;
use crate::pool::{Pool, mean_latents};
use crate::sheet::sheets;

/// Trains the autoencoder, then UNet and text encoder. Goes on from `state.safetensors` if the directory has it.
#[derive(Debug, clap::Args)]
pub(crate) struct Train {
    /// Where everything is written: tiny.safetensors, loss.csv, loss.svg, sheets, state.
    #[arg(long)]
    out: PathBuf,
    /// The device: cpu, cuda, cuda:N.
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Seconds of training of the autoencoder.
    #[arg(long, conflicts_with = "vae_steps")]
    vae_seconds: Option<f64>,
    /// The same in steps.
    #[arg(long)]
    vae_steps: Option<u64>,
    /// Seconds of training of UNet and text encoder.
    #[arg(long, conflicts_with = "diffusion_steps")]
    diffusion_seconds: Option<f64>,
    /// The same in steps.
    #[arg(long)]
    diffusion_steps: Option<u64>,
    /// The state that is gone on from, and saved; by default state.safetensors in the directory.
    #[arg(long)]
    state: Option<PathBuf>,
    /// A checkpoint of the same layout to start from instead of random weights.
    #[arg(long)]
    init: Option<PathBuf>,
    /// Height and width of the drawings.
    #[arg(long, default_value_t = 128)]
    size: u32,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The part of the autoencoder's training in which drawings have half of the height and width.
    #[arg(long, default_value_t = 0.5)]
    vae_small: f64,
    /// Drawings in a step of the autoencoder. [default: 32 on a GPU, 4 on a CPU]
    #[arg(long)]
    vae_batch: Option<usize>,
    /// Latents in a step of the UNet. [default: 384 on a GPU, 16 on a CPU]
    #[arg(long)]
    batch: Option<usize>,
    /// Drawings that are held encoded. [default: 16384 on a GPU, 512 on a CPU]
    #[arg(long)]
    pool: Option<usize>,
    /// Drawings that are encoded at once. [default: 256 on a GPU, 16 on a CPU]
    #[arg(long)]
    encode_batch: Option<usize>,
    /// New drawings for each step of the UNet. [default: 8 on a GPU, 1 on a CPU]
    #[arg(long)]
    fresh: Option<usize>,
    /// Threads that draw. [default: all but two]
    #[arg(long)]
    threads: Option<usize>,
    /// Drawings that are made ahead. [default: 8192 on a GPU, 256 on a CPU]
    #[arg(long)]
    stock: Option<usize>,
    #[arg(long, default_value_t = 4e-4)]
    vae_rate: f64,
    #[arg(long, default_value_t = 6e-4)]
    rate: f64,
    /// Steps in which the learning rate of the autoencoder rises.
    #[arg(long, default_value_t = 200)]
    vae_warm_up: u64,
    /// Steps in which the learning rate of the UNet rises.
    #[arg(long, default_value_t = 500)]
    warm_up: u64,
    /// Standard deviation of noise that is the same all over a channel of a latent.
    #[arg(long, default_value_t = 0.1)]
    offset_noise: f64,
    #[command(flatten)]
    loss: LossWeights,
    /// Seconds between two saves.
    #[arg(long, default_value_t = 30.0)]
    save_every: f64,
    /// Guidance of the sheet of samples.
    #[arg(long, default_value_t = 7.0)]
    guidance: f64,
    /// Channels-last memory for pictures and kernels.
    #[arg(long)]
    channels_last: bool,
    /// Whether a GPU computes float32 in full.
    #[arg(long)]
    no_tf32: bool,
    /// Saves no state to go on from, which is eight times as large as the checkpoint.
    #[arg(long)]
    no_state: bool,
    /// Where tiny.safetensors is also written in parts below 15 MiB at every save.
    #[arg(long, value_name = "DIR")]
    split_into: Option<PathBuf>,
}

/// Opens a device for float32.
pub(crate) fn open(device: DeviceChoice, channels_last: bool, tf32: bool) -> Result<Numerics> {
    let numerics = Numerics { channels_last, ..device.open(true)? };
    if numerics.device.is_cuda() {
        allow_tf32(tf32)?;
        tch::Cuda::cudnn_set_benchmark(true);
    }
    Ok(numerics)
}

/// What is trained, at its start: a checkpoint's weights, or random ones.
pub(crate) fn begin(init: Option<&Path>, numerics: &Numerics, seed: u64) -> Result<Training> {
    let folder = tempfile::tempdir()?;
    let random = folder.path().join("random.safetensors");
    if init.is_none() {
        write_random_checkpoint(&random, Layout::Sd1, Size::Small, seed, true)?;
    }
    let weights = Weights::open(init.unwrap_or(&random))?;
    Ok(Training {
        autoencoder: Autoencoder::new(&weights, numerics, init.is_none())?,
        denoiser: Denoiser::new(&weights, numerics, init.is_none())?,
        spread: None,
        seed,
        next_scene: 0,
    })
}

/// Lets a step's random numbers depend on nothing but the seed, the stage and the step.
pub(crate) fn seed_step(seed: u64, stage: u64, step: u64) {
    let number = seed.wrapping_mul(1_000_003).wrapping_add(step).wrapping_mul(2).wrapping_add(stage);
    tch::manual_seed((number & (u64::MAX >> 1)) as i64);
}

/// One update by a loss.
pub(crate) fn update(parameters: &mut Parameters, optimiser: &mut Optimiser, loss: &Tensor, rate: f64) {
    let gradient = parameters.gradient(loss);
    optimiser.update(parameters, &gradient, rate);
}

/// How many threads draw unless it is said.
pub(crate) fn drawing_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get() - 1)
}

/// Pictures of half the height and width.
fn halved(pictures: &Tensor) -> Tensor {
    pictures.avg_pool2d([2, 2], [2, 2], [0, 0], false, false, None)
}

/// A run of the trainer.
struct Run<'a> {
    settings: &'a Train,
    numerics: Numerics,
    training: Training,
    stream: Stream,
    saved: Instant,
}

impl Train {
    pub(crate) fn run(&self) -> Result<()> {
        let begun = Instant::now();
        let numerics = open(self.device, self.channels_last, !self.no_tf32)?;
        fs_err::create_dir_all(&self.out)?;
        if let Some(directory) = &self.split_into {
            fs_err::create_dir_all(directory)?;
        }
        let mut training = begin(self.init.as_deref(), &numerics, self.seed)?;
        if self.state().exists() {
            training.restore(&self.state())?;
            let steps = (training.autoencoder.optimiser.steps, training.denoiser.optimiser.steps);
            say(&format!("going on from {} after {} and {} steps", self.state().display(), steps.0, steps.1))?;
        }
        let threads = self.threads.unwrap_or_else(drawing_threads);
        let stock = self.of(self.stock, 8192, 256);
        let (seed, size) = (training.seed, self.size);
        let draw = move |index| sample(seed, index, size, Split::Train);
        let stream = Stream::start(draw, training.next_scene, threads, stock);
        say(&format!(
            "{:?}: {} parameters of the autoencoder, {} of UNet and text encoder; {threads} threads draw; ready after {:.1} s",
            numerics.device,
            training.autoencoder.parameters.count(),
            training.denoiser.parameters.count(),
            begun.elapsed().as_secs_f64()
        ))?;
        let mut run = Run { settings: self, numerics, training, stream, saved: Instant::now() };
        if let Some(budget) = budget(self.vae_seconds, self.vae_steps) {
            run.autoencoder(budget)?;
        }
        if let Some(budget) = budget(self.diffusion_seconds, self.diffusion_steps) {
            run.denoiser(budget)?;
        }
        plot(&self.out)?;
        sheets(&self.checkpoint(), &numerics, self.size, self.guidance, &self.out)?;
        say(&format!("done after {:.1} s", begun.elapsed().as_secs_f64()))
    }

    fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| self.out.join("state.safetensors"))
    }

    fn checkpoint(&self) -> PathBuf {
        self.out.join("tiny.safetensors")
    }

    /// What was asked for, or the default of the device.
    fn of(&self, asked: Option<usize>, gpu: usize, cpu: usize) -> usize {
        asked.unwrap_or(if self.device == DeviceChoice::Cpu { cpu } else { gpu }).max(1)
    }
}

fn budget(seconds: Option<f64>, steps: Option<u64>) -> Option<Budget> {
    let budget = seconds.map(Budget::Seconds).or(steps.map(Budget::Steps));
    budget.filter(|budget| !matches!(budget, Budget::Steps(0)) && *budget != Budget::Seconds(0.0))
}

impl Run<'_> {
    fn autoencoder(&mut self, budget: Budget) -> Result<()> {
        let settings = self.settings;
        let batch = settings.of(settings.vae_batch, 32, 4);
        let mut log = Log::new("autoencoder", batch, &settings.out)?;
        let mut clock = Clock::start(budget);
        while clock.progress() < 1.0 {
            let training = &mut self.training;
            let steps = training.autoencoder.optimiser.steps;
            seed_step(training.seed, 0, steps);
            let progress = clock.progress();
            let rate = rate(settings.vae_rate, progress, steps, settings.vae_warm_up);
            let drawn = pictures(&self.stream.take(batch)?, settings.size, self.numerics.device);
            let autoencoder = &mut training.autoencoder;
            let drawn = if progress < settings.vae_small { halved(&drawn) } else { drawn };
            let noise = Tensor::randn(autoencoder.latent_shape(&drawn), (tch::Kind::Float, self.numerics.device));
            let losses = autoencoder.loss(&drawn, &noise, &settings.loss, progress);
            update(&mut autoencoder.parameters, &mut autoencoder.optimiser, &losses[0], rate);
            clock.tick();
            log.step(steps + 1, rate, losses, &clock)?;
            self.save_if_due()?;
        }
        log.fetch(&clock)?;
        self.measure_spread()?;
        self.save()
    }

    /// Mean and standard deviation of the latents of a thousand or so drawings.
    fn measure_spread(&mut self) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let settings = self.settings;
        self.training.spread = None;
        self.training.export(&settings.checkpoint())?;
        let weights = Weights::open(settings.checkpoint())?;
        let (at_once, count) = (settings.of(settings.encode_batch, 256, 16), settings.of(None, 2048, 256));
        let mut pool = Pool::new(&weights, &self.numerics, count as i64, mean_latents)?;
        pool.fill(at_once, settings.size, |count| self.stream.take(count))?;
        self.training.spread = Some(Spread::of(&pool.in_vae_units()?));
        say(&format!("latents before folding: {:?}", self.training.spread))
    }

    fn denoiser(&mut self, budget: Budget) -> Result<()> {
        let settings = self.settings;
        let batch = settings.of(settings.batch, 384, 16);
        let at_once = settings.of(settings.encode_batch, 256, 16);
        let fresh = settings.of(settings.fresh, 8, 1);
        let capacity = settings.of(settings.pool, 16384, 512);
        // The latents of a checkpoint that is gone on from have the right spread.
        if self.training.spread.is_none() && settings.init.is_none() {
            self.measure_spread()?;
        }
        self.training.export(&settings.checkpoint())?;
        let weights = Weights::open(settings.checkpoint())?;
        let begun = Instant::now();
        let mut pool = Pool::new(&weights, &self.numerics, capacity as i64, mean_latents)?;
        pool.fill(at_once, settings.size, |count| self.stream.take(count))?;
        say(&format!("{capacity} drawings encoded in {:.1} s", begun.elapsed().as_secs_f64()))?;
        let mut log = Log::new("denoiser", batch, &settings.out)?;
        let mut clock = Clock::start(budget);
        let mut ready = Vec::new();
        while clock.progress() < 1.0 {
            let training = &mut self.training;
            let steps = training.denoiser.optimiser.steps;
            seed_step(training.seed, 1, steps);
            let rate = rate(settings.rate, clock.progress(), steps, settings.warm_up);
            let (latents, tokens) = pool.batch(batch as i64)?;
            let draw = Draw::new(&latents, settings.offset_noise);
            let denoiser = &mut training.denoiser;
            let losses = denoiser.loss(&latents, &tokens, &draw)?;
            update(&mut denoiser.parameters, &mut denoiser.optimiser, &losses[0], rate);
            clock.tick();
            log.step(steps + 1, rate, losses, &clock)?;
            self.stream.take_ready(fresh, &mut ready);
            if ready.len() >= at_once {
                let rest = ready.split_off(at_once);
                pool.add(&std::mem::replace(&mut ready, rest), settings.size);
            }
            self.save_if_due()?;
        }
        log.fetch(&clock)?;
        say(&format!("{} steps in {:.1} s", clock.done(), clock.seconds()))?;
        self.save()
    }

    fn save_if_due(&mut self) -> Result<()> {
        if self.saved.elapsed() < Duration::from_secs_f64(self.settings.save_every) {
            return Ok(());
        }
        self.save()
    }

    fn save(&mut self) -> Result<()> {
        self.training.next_scene = self.stream.next();
        let settings = self.settings;
        if !settings.no_state {
            self.training.save(&settings.state())?;
        }
        self.training.export(&settings.checkpoint())?;
        if let Some(directory) = &settings.split_into {
            split(&settings.checkpoint(), Some(directory))?;
        }
        plot(&settings.out)?;
        self.saved = Instant::now();
        Ok(())
    }
}
