//! Drawings with their captions, without end, drawn on threads of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use redraft_nodes::text::tokenizer::tokenize;
use tch::{Device, Kind, Tensor};

use crate::drawing::{Scene, Split};

/// Places of a prompt.
pub(crate) const LENGTH: usize = 77;
const START: i64 = 49406;
const END: i64 = 49407;

/// A picture and what it shows.
pub(crate) struct Sample {
    /// Red, green and blue of each pixel, row by row.
    pub(crate) pixels: Vec<u8>,
    pub(crate) caption: String,
    pub(crate) tokens: Vec<i64>,
}

/// Scene number `index` of those that a seed stands for, `size` pixels high and wide.
pub(crate) fn sample(seed: u64, index: u64, size: u32, split: Split) -> Sample {
    let mut rng = Pcg64::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index));
    let scene = Scene::random(&mut rng, split);
    let caption = scene.caption(&mut rng);
    Sample { pixels: scene.draw(size), tokens: tokens(&caption), caption }
}

/// A prompt as the text encoder takes it: start, text, and the end up to 77 places.
pub(crate) fn tokens(text: &str) -> Vec<i64> {
    let text = tokenize(text);
    let mut tokens = vec![START];
    tokens.extend(text.into_iter().take(LENGTH - 2).map(i64::from));
    tokens.resize(LENGTH, END);
    tokens
}

/// The endless stream.
pub(crate) struct Stream {
    receiver: Receiver<Sample>,
    next: Arc<AtomicU64>,
}

impl Stream {
    /// Draws scenes from number `first` on with so many threads, up to `stock` of them ahead.
    pub(crate) fn start(seed: u64, first: u64, size: u32, threads: usize, stock: usize) -> Self {
        let (sender, receiver) = sync_channel(stock);
        let next = Arc::new(AtomicU64::new(first));
        for _ in 0..threads.max(1) {
            let (sender, next) = (sender.clone(), next.clone());
            std::thread::spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if sender.send(sample(seed, index, size, Split::Train)).is_err() {
                        break;
                    }
                }
            });
        }
        Self { receiver, next }
    }

    /// The number of the next scene that nobody draws yet.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// So many samples; waits until they are drawn.
    pub(crate) fn take(&self, count: usize) -> Result<Vec<Sample>> {
        let one = || self.receiver.recv().context("the threads that draw have ended");
        (0..count).map(|_| one()).collect()
    }
}

impl Stream {
    /// Adds up to so many samples that are drawn already.
    pub(crate) fn take_ready(&self, most: usize, to: &mut Vec<Sample>) {
        to.extend(self.receiver.try_iter().take(most));
    }
}

/// B×3×H×W in -1…1 on the device.
pub(crate) fn pictures(samples: &[Sample], size: u32, device: Device) -> Tensor {
    let (count, size) = (samples.len() as i64, i64::from(size));
    let mut bytes = Vec::with_capacity(samples.iter().map(|sample| sample.pixels.len()).sum());
    samples.iter().for_each(|sample| bytes.extend_from_slice(&sample.pixels));
    let bytes = Tensor::from_slice(&bytes).view([count, size, size, 3]).to_device(device);
    (bytes.permute([0, 3, 1, 2]).to_kind(Kind::Float) / 127.5 - 1.0).contiguous()
}

/// B×77 on the device.
pub(crate) fn token_rows<'a>(rows: impl IntoIterator<Item = &'a [i64]>, device: Device) -> Tensor {
    let all: Vec<i64> = rows.into_iter().flatten().copied().collect();
    Tensor::from_slice(&all).view([-1, LENGTH as i64]).to_device(device)
}
