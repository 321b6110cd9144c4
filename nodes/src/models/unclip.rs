//! What unCLIP models are told of pictures (Ramesh et al. 2022, arXiv:2204.06125): CLIP's embeddings of them with noise, and how much.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::unet::sinusoids;
use crate::diffusion::run_entry::RunEntry;
use crate::ops::noise::Stream;
use crate::values::extras::{UNCLIP_EMBEDS, UNCLIP_NOISE, UNCLIP_STRENGTH};

/// How many noise levels there are.
const LEVELS: usize = 1000;
/// How much noise is mixed into the sum of several pictures.
const NOISE_OF_SUM: f64 = 0.05;
/// What is taken off a run's seed, for noise other than the run's own.
const SEED_BEHIND: u64 = 10;

/// The pictures of a prompt as one vector, 1×2·`width`: their embeddings with noise, and the sinusoids of the noise level. None if the
/// prompt has no pictures. Several are added, and the sum is given a little noise of its own.
///
/// # Errors
/// If an embedding is not `width` wide, or there are not as many strengths as pictures.
pub fn pictures(prompt: &RunEntry, width: i64) -> Result<Option<Tensor>> {
    let extras = &prompt.entry.extras;
    let Some(embeds) = extras.get(UNCLIP_EMBEDS).filter(|embeds| !embeds.is_empty()) else { return Ok(None) };
    let (strengths, noises) = (extras.get(UNCLIP_STRENGTH), extras.get(UNCLIP_NOISE));
    let (strengths, noises) = strengths.zip(noises).context("pictures of a prompt lack their strengths")?;
    ensure!(
        strengths.len() == embeds.len() && noises.len() == embeds.len(),
        "{} pictures of a prompt have {} strengths and {} noise levels; set them with unCLIPConditioning",
        embeds.len(),
        strengths.len(),
        noises.len()
    );
    let levels = Levels::new();
    let mut told = Vec::new();
    let mut stream = Stream::seeded(prompt.seed);
    for ((embeds, strength), noise) in embeds.iter().zip(strengths).zip(noises) {
        let size = embeds.size();
        ensure!(
            size.len() == 2 && size[1] == width,
            "the model takes pictures as vectors of {width} numbers, and clip_vision_output has the shape {size:?}; look at them with the \
             image encoder that belongs to the model"
        );
        for row in 0..size[0] {
            stream = Stream::seeded(prompt.seed.wrapping_sub(SEED_BEHIND));
            let picture = embeds.narrow(0, row, 1).to_device(Device::Cpu).to_kind(Kind::Float);
            told.push(levels.told(&picture, noise, &mut stream) * strength);
        }
    }
    let sum = match told.as_slice() {
        [] => return Ok(None),
        [only] => return Ok(Some(only.shallow_clone())),
        several => Tensor::stack(several, 0).sum_dim_intlist([0i64].as_slice(), false, None::<Kind>),
    };
    Ok(Some(levels.told(&sum.narrow(1, 0, width), NOISE_OF_SUM, &mut stream)))
}

/// How much of a picture's embedding and how much noise there is at each level: the cosine schedule.
struct Levels {
    picture: Vec<f32>,
    noise: Vec<f32>,
}

impl Levels {
    fn new() -> Self {
        let left = |part: f64| ((part + 0.008) / 1.008 * std::f64::consts::PI / 2.0).cos().powi(2);
        let (mut picture, mut noise, mut product) = (Vec::new(), Vec::new(), 1.0);
        for level in 0..LEVELS {
            let (from, to) = (level as f64 / LEVELS as f64, (level + 1) as f64 / LEVELS as f64);
            product *= 1.0 - (1.0 - left(to) / left(from)).min(0.999);
            picture.push(product.sqrt() as f32);
            noise.push((1.0 - product).sqrt() as f32);
        }
        Self { picture, noise }
    }

    /// An embedding, 1×W, with noise (0 to 1), and the sinusoids of its level behind it.
    fn told(&self, embedding: &Tensor, noise: f64, stream: &mut Stream) -> Tensor {
        let last = LEVELS - 1;
        let level = ((last as f64 * noise).round_ties_even().max(0.0) as usize).min(last);
        let drawn = stream.normal(&embedding.size());
        let noisy = embedding * f64::from(self.picture[level]) + drawn * f64::from(self.noise[level]);
        let width = embedding.size()[1];
        Tensor::cat(&[noisy, sinusoids(&Tensor::from_slice(&[level as f32]), width, Device::Cpu)], 1)
    }
}
