//! Tiny autoencoders that stand in for large ones (TAESD, Bohan 2023): convolutions and rectifiers, nothing else.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tch::Tensor;

use super::picture_autoencoder::PictureAutoencoder;
use crate::files::gathered::Gathered;
use crate::files::named_tensors::NamedTensors;
use crate::files::weights::Weights;
use crate::ops::layers::{Conv2d, upsample_nearest};
use crate::ops::numerics::{Numerics, Placement, channels_last};

/// Scale and shift of the latents that each is for, by its name among the choices.
const KINDS: [(&str, f32, f32); 4] =
    [("taesd", 0.18215, 0.0), ("taesdxl", 0.13025, 0.0), ("taesd3", 1.5305, 0.0609), ("taef1", 0.3611, 0.1159)];

/// Halvings of the encoder, doublings of the decoder.
const LEVELS: usize = 3;
/// Blocks at a resolution.
const BLOCKS: usize = 3;

/// The autoencoder: 8×8 pixels become one point.
pub struct Taesd {
    placement: Placement,
    encoder: Vec<Step>,
    decoder: Vec<Step>,
    scale: Tensor,
    shift: Tensor,
    channels: i64,
}

enum Step {
    Conv(Conv2d),
    Block(Block),
    /// Values are brought within -3…3.
    Clamp,
    Relu,
    Double,
}

/// Three convolutions beside a shortcut.
struct Block {
    convs: [Conv2d; 3],
    skip: Option<Conv2d>,
}

impl Taesd {
    /// Whether the tensors are an encoder and a decoder that were put together.
    pub fn is_in(weights: &Weights) -> bool {
        weights.contains("taesd_decoder.1.weight") && weights.contains("taesd_encoder.0.weight")
    }

    /// The autoencoder that a choice of the VAE loader's stands for, of the files of both halves; nothing for another choice.
    pub fn named(name: &str, encoder: &Path, decoder: &Path) -> Result<Option<Weights>> {
        let Some((_, scale, shift)) = KINDS.iter().find(|(kind, ..)| *kind == name) else { return Ok(None) };
        let (first, second) = (NamedTensors::open(encoder)?, NamedTensors::open(decoder)?);
        let all = Gathered::new(decoder)
            .with(first, |name| Some(format!("taesd_encoder.{name}")))
            .with(second, |name| Some(format!("taesd_decoder.{name}")))
            .with_number("vae_scale", *scale)
            .with_number("vae_shift", *shift);
        let weights = Weights::gathered(all);
        ensure!(
            Taesd::is_in(&weights),
            "{} and {} are no encoder and decoder of {name}: fetch them again",
            encoder.display(),
            decoder.display()
        );
        Ok(Some(weights))
    }

    /// Builds the autoencoder from the tensors below `weights` (`taesd_encoder.*`, `taesd_decoder.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.vae();
        let w = &weights.placed(placement);
        let number = |name: &str, or: f64| match w.contains(name) {
            true => w.tensor(name, &[]),
            false => Ok(Tensor::from(or as f32).to_kind(placement.kind).to_device(placement.device)),
        };
        let channels = w.dim("taesd_decoder.1.weight", 1)?;
        let this = Self {
            placement,
            encoder: encoder(&w.at("taesd_encoder")).context("in the encoder")?,
            decoder: decoder(&w.at("taesd_decoder")).context("in the decoder")?,
            scale: number("vae_scale", 1.0)?,
            shift: number("vae_shift", 0.0)?,
            channels,
        };
        let outputs =
            this.encoder.last().map_or(0, |step| if let Step::Conv(conv) = step { conv.outputs() } else { 0 });
        ensure!(
            outputs == channels,
            "the encoder gives {outputs} channels and the decoder {} takes {channels}: they belong to two autoencoders",
            w.path().display()
        );
        Ok(this)
    }
}

impl PictureAutoencoder for Taesd {
    fn latent_channels(&self) -> i64 {
        self.channels
    }

    fn factor(&self) -> i64 {
        1 << LEVELS
    }

    fn encode_picture(&self, pixels: &Tensor) -> Tensor {
        let x = self.placement.place(&(pixels * 2.0 - 1.0)) * 0.5 + 0.5;
        let x = if self.placement.channels_last { channels_last(&x) } else { x };
        run(&self.encoder, x) / &self.scale + &self.shift
    }

    fn decode_picture(&self, latent: &Tensor) -> Tensor {
        let x = (self.placement.image(latent) - &self.shift) * &self.scale;
        (run(&self.decoder, x) - 0.5) * 2.0
    }
}

fn run(steps: &[Step], x: Tensor) -> Tensor {
    steps.iter().fold(x, |x, step| match step {
        Step::Conv(conv) => conv.forward(&x),
        Step::Block(block) => block.forward(&x),
        Step::Clamp => (x / 3.0).tanh() * 3.0,
        Step::Relu => x.relu(),
        Step::Double => upsample_nearest(&x, x.size()[2] * 2, x.size()[3] * 2),
    })
}

/// Reads steps by their numbers in the file, which count those without weights, too.
struct Reader<'a> {
    weights: &'a Weights,
    place: usize,
    channels: i64,
}

impl Reader<'_> {
    fn conv(&mut self, stride: i64) -> Result<Step> {
        let w = self.weights.at(self.place);
        let (inputs, outputs) = (self.channels, w.dim("weight", 0)?);
        (self.place, self.channels) = (self.place + 1, outputs);
        Ok(Step::Conv(Conv2d::strided(&w, inputs, outputs, 3, stride, 1)?))
    }

    fn blocks(&mut self, count: usize, into: &mut Vec<Step>) -> Result<()> {
        for _ in 0..count {
            let w = self.weights.at(self.place);
            let (inputs, outputs) = (self.channels, w.dim("conv.0.weight", 0)?);
            let conv = |at: usize, from: i64| Conv2d::load(&w.at("conv").at(at), from, outputs, 3);
            let convs = [conv(0, inputs)?, conv(2, outputs)?, conv(4, outputs)?];
            let skip = (inputs != outputs).then(|| Conv2d::load(&w.at("skip"), inputs, outputs, 1)).transpose()?;
            into.push(Step::Block(Block { convs, skip }));
            (self.place, self.channels) = (self.place + 1, outputs);
        }
        Ok(())
    }

    fn plain(&mut self, step: Step) -> Step {
        self.place += 1;
        step
    }
}

fn encoder(weights: &Weights) -> Result<Vec<Step>> {
    let mut read = Reader { weights, place: 0, channels: 3 };
    let mut steps = vec![read.conv(1)?];
    read.blocks(1, &mut steps)?;
    for _ in 0..LEVELS {
        steps.push(read.conv(2)?);
        read.blocks(BLOCKS, &mut steps)?;
    }
    steps.push(read.conv(1)?);
    Ok(steps)
}

fn decoder(weights: &Weights) -> Result<Vec<Step>> {
    let mut read = Reader { weights, place: 0, channels: weights.dim("1.weight", 1)? };
    let mut steps = vec![read.plain(Step::Clamp), read.conv(1)?, read.plain(Step::Relu)];
    for _ in 0..LEVELS {
        read.blocks(BLOCKS, &mut steps)?;
        steps.push(read.plain(Step::Double));
        steps.push(read.conv(1)?);
    }
    read.blocks(1, &mut steps)?;
    steps.push(read.conv(1)?);
    Ok(steps)
}

impl Block {
    fn forward(&self, x: &Tensor) -> Tensor {
        let [first, second, third] = &self.convs;
        let h = third.forward(&second.forward(&first.forward(x).relu()).relu());
        match &self.skip {
            Some(skip) => (h + skip.forward(x)).relu(),
            None => (h + x).relu(),
        }
    }
}
