//! Training small files that go with a checkpoint whose own weights stay as they are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use redraft_nodes::files::tensor_file;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::ops::cuda::DeviceChoice;
use redraft_nodes::ops::numerics::Numerics;
use tch::Tensor;

use crate::budget::{Budget, Clock, rate};
use crate::data::{Sample, Stream};
use crate::denoiser::Draw;
use crate::log::{Log, plot, say};
use crate::optimiser::Optimiser;
use crate::parameters::Parameters;
use crate::pool::{Encode, Pool, mean_latents};
use crate::train::{drawing_threads, open, seed_step, update};

/// Something that is trained beside a checkpoint.
pub(crate) trait Companion {
    /// What it is called in the log.
    const NAME: &'static str;
    /// What is held of drawings.
    const ENCODE: Encode = mean_latents;
    /// Scene number `index` of a seed, `size` pixels high and wide: `sample(seed, index, size)`.
    const SAMPLE: fn(u64, u64, u32) -> Sample;

    /// What is trained.
    fn parameters(&mut self) -> &mut Parameters;

    /// The weighted loss over what is held of drawings with their captions, and the plain one.
    fn loss(&mut self, held: &Tensor, tokens: &Tensor, draw: &Draw) -> Result<[Tensor; 2]>;

    /// Where its file is.
    fn file(&self) -> &Path;

    /// Writes the file, given the averaged parameters.
    fn write(&self, tensors: HashMap<String, Tensor>, steps: u64) -> Result<()>;
}

/// How a companion is trained.
#[derive(Debug, clap::Args)]
pub(crate) struct Training {
    /// The checkpoint that it goes with.
    pub(crate) checkpoint: PathBuf,
    /// Where everything is written: the file, loss.csv, loss.svg, a sheet, a table.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// The device: cpu, cuda, cuda:N.
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceChoice,
    /// Seconds of training. Without, nothing is trained and the file in the directory is shown.
    #[arg(long, conflicts_with = "train_steps")]
    pub(crate) train_seconds: Option<f64>,
    /// The same in steps.
    #[arg(long)]
    pub(crate) train_steps: Option<u64>,
    /// Begins with the file that the directory has.
    #[arg(long)]
    pub(crate) go_on: bool,
    /// Height and width of the drawings.
    #[arg(long, default_value_t = 128)]
    pub(crate) size: u32,
    #[arg(long, default_value_t = 1)]
    pub(crate) train_seed: u64,
    #[arg(long, default_value_t = 16)]
    pub(crate) batch: usize,
    /// Drawings that are held encoded.
    #[arg(long, default_value_t = 512)]
    pub(crate) pool: usize,
    /// Drawings that are encoded at once.
    #[arg(long, default_value_t = 16)]
    pub(crate) encode_batch: usize,
    /// New drawings for each step.
    #[arg(long, default_value_t = 1)]
    pub(crate) fresh: usize,
    /// The highest learning rate.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Steps in which the learning rate rises.
    #[arg(long, default_value_t = 20)]
    pub(crate) warm_up: u64,
    /// Seconds between two saves.
    #[arg(long, default_value_t = 60.0)]
    pub(crate) save_every: f64,
}

impl Training {
    /// Opens the device for float32, and the checkpoint.
    pub(crate) fn open(&self) -> Result<(Numerics, Weights)> {
        fs_err::create_dir_all(&self.out)?;
        Ok((open(self.device, false, true)?, Weights::open(&self.checkpoint)?))
    }

    /// Whether there is anything to train, or only a file to show.
    pub(crate) fn budget(&self) -> Option<Budget> {
        self.train_seconds.map(Budget::Seconds).or(self.train_steps.map(Budget::Steps))
    }

    /// Trains and writes.
    pub(crate) fn train<C: Companion>(
        &self,
        companion: &mut C,
        (numerics, weights): (&Numerics, &Weights),
        highest_rate: f64,
        budget: Budget,
    ) -> Result<()> {
        if self.go_on {
            let (file, path) = (tensor_file::load(companion.file())?, companion.file().display().to_string());
            companion.parameters().take(&file).with_context(|| format!("cannot go on from {path}"))?;
        }
        let (seed, size) = (self.train_seed, self.size);
        let draw = move |index| C::SAMPLE(seed, index, size);
        let stream = Stream::start(draw, 0, drawing_threads(), 64);
        let mut pool = Pool::new(weights, numerics, self.pool as i64, C::ENCODE)?;
        let begun = Instant::now();
        pool.fill(self.encode_batch, size, |count| stream.take(count))?;
        say(&format!(
            "{}: {} parameters; {} drawings encoded in {:.1} s",
            C::NAME,
            companion.parameters().count(),
            self.pool,
            begun.elapsed().as_secs_f64()
        ))?;
        let mut optimiser = Optimiser::new(companion.parameters());
        let mut log = Log::new(C::NAME, self.batch, &self.out)?;
        let mut clock = Clock::start(budget);
        let (mut ready, mut saved) = (Vec::new(), Instant::now());
        while clock.progress() < 1.0 {
            seed_step(seed, 2, clock.done());
            let rate = rate(self.rate.unwrap_or(highest_rate), clock.progress(), clock.done(), self.warm_up);
            let (held, tokens) = pool.batch(self.batch as i64)?;
            let draw = Draw::new(&held.narrow(1, 0, 4), 0.1);
            let losses = companion.loss(&held, &tokens, &draw)?;
            update(companion.parameters(), &mut optimiser, &losses[0], rate);
            clock.tick();
            log.step(clock.done(), rate, losses, &clock)?;
            stream.take_ready(self.fresh, &mut ready);
            if ready.len() >= self.encode_batch {
                pool.add(&std::mem::take(&mut ready), size);
            }
            if saved.elapsed().as_secs_f64() > self.save_every || clock.progress() >= 1.0 {
                let tensors = companion.parameters().named(&optimiser.average);
                companion.write(tensors, clock.done())?;
                plot(&self.out)?;
                saved = Instant::now();
            }
        }
        log.fetch(&clock)?;
        plot(&self.out)?;
        say(&format!("{} steps in {:.1} s", clock.done(), clock.seconds()))
    }
}
