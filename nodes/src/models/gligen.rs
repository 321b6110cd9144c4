//! GLIGEN (Li et al. 2023, arXiv:2301.07093): what lies where in a picture, told to a UNet by attentions of their own between those that it
//! has.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use super::unet_blocks::{Attention, FeedForward};
use crate::files::weights::Weights;
use crate::ops::layers::{LayerNorm, Linear};
use crate::ops::numerics::{Numerics, Placement};
use crate::values::Place;

/// How many things there may be; the others are told to be nothing.
pub const MOST_BOXES: usize = 30;
/// How many frequencies stand for a coordinate.
const FREQUENCIES: i64 = 8;
/// What a coordinate's frequencies rise to.
const TEMPERATURE: f64 = 100.0;
/// The parts of a UNet, in the order in which its transformers are counted, and the most blocks of each.
const PARTS: [&str; 3] = ["input_blocks", "middle_block", "output_blocks"];
const MOST_BLOCKS: usize = 20;
/// Up to this width of a text's vector attentions are split into 8 heads, as in Stable Diffusion 1.x; else into heads of 64.
const WIDTH_OF_EIGHT_HEADS: i64 = 768;

/// The network: what makes vectors of things and places, and an attention for each transformer of the UNet.
pub struct Gligen {
    positions: Positions,
    fusers: Vec<Fuser>,
    path: String,
}

/// Makes a vector of a thing and its place.
struct Positions {
    layers: [Linear; 3],
    no_thing: Tensor,
    no_place: Tensor,
    frequencies: Tensor,
    placement: Placement,
}

/// An attention of a picture's tokens and things to each other, and a feed-forward layer, each behind a gate.
struct Fuser {
    linear: Linear,
    attention: Attention,
    feed_forward: FeedForward,
    norm1: LayerNorm,
    norm2: LayerNorm,
    gates: [Tensor; 2],
}

/// Where a file has the attentions, in the order of the UNet's transformers.
fn places(file: &Weights) -> Vec<String> {
    let mut found = BTreeMap::new();
    for name in file.names() {
        let Some((front, _)) = name.split_once(".fuser.") else { continue };
        let mut parts = front.split('.').skip_while(|part| !PARTS.contains(part));
        let (part, block) = (parts.next(), parts.next().and_then(|block| block.parse::<usize>().ok()));
        let part = part.and_then(|part| PARTS.iter().position(|of| *of == part));
        if let (Some(part), Some(block)) = (part, block)
            && block < MOST_BLOCKS
        {
            found.insert((part, block), format!("{front}.fuser"));
        }
    }
    found.into_values().collect()
}

/// Makes sure that a file holds such a network.
///
/// # Errors
/// If it does not, with what to do.
pub fn recognise(file: &Weights) -> Result<()> {
    if !file.contains("position_net.null_positive_feature") || places(file).is_empty() {
        bail!(
            "{} holds no GLIGEN model for texts in boxes; choose a file such as gligen_sd14_textbox_pruned.safetensors",
            file.path().display()
        );
    }
    Ok(())
}

/// Looks at what a file says of itself, without its numbers.
///
/// # Errors
/// Those of [`recognise`].
pub fn look(path: &Path) -> Result<()> {
    Weights::look_any(path)?.map_or(Ok(()), |weights| recognise(&weights))
}

impl Gligen {
    /// Builds the network from a whole file.
    ///
    /// # Errors
    /// Those of [`recognise`], and a tensor that is missing or has another shape than its neighbours call for.
    pub fn load(file: &Weights, numerics: &Numerics) -> Result<Self> {
        recognise(file)?;
        let placement = Placement { channels_last: false, ..numerics.unet() };
        let w = file.placed(placement);
        let fusers = places(file).iter().map(|place| Fuser::load(&w.at(place))).collect::<Result<Vec<_>>>()?;
        let exact = file.placed(Placement { kind: Kind::Float, ..placement });
        let positions = Positions::load(&exact.at("position_net"))?;
        let (made, taken) = (positions.layers[2].outputs(), fusers.iter().map(|fuser| fuser.linear.inputs()));
        let path = file.path().display().to_string();
        ensure!(
            taken.clone().all(|taken| taken == made),
            "the GLIGEN model {path} makes vectors of {made} numbers, and its attentions take {:?}; it is damaged",
            taken.collect::<Vec<_>>()
        );
        Ok(Self { positions, fusers, path })
    }

    /// Makes sure that each transformer of a UNet has an attention of its width.
    ///
    /// # Errors
    /// If one has none.
    pub fn fits(&self, unet: &Weights) -> Result<()> {
        let mut wanted = Vec::new();
        for part in PARTS {
            let blocks = unet.at(part);
            let block = |block: Weights| block.shape("transformer_blocks.0.norm1.weight").ok()?.first().copied();
            match part {
                "middle_block" => wanted.extend((0..blocks.children()).filter_map(|i| block(blocks.at(i)))),
                _ => wanted.extend((0..blocks.children()).filter_map(|i| block(blocks.at(i).at(1)))),
            }
        }
        let have: Vec<i64> = self.fusers.iter().map(|fuser| fuser.linear.outputs()).collect();
        ensure!(
            !wanted.is_empty() && have.starts_with(&wanted),
            "the GLIGEN model {} is for another UNet than that of {}: it has attentions of the widths {have:?}, and the model's are \
             {wanted:?}; use it with Stable Diffusion 1.x, or the model that it was made for",
            self.path,
            unet.path().display()
        );
        Ok(())
    }

    /// The vectors of things in places, B×30×W, for latents of such a size, B×C×h×w.
    ///
    /// # Errors
    /// If there are too many, or their texts are of another width than the network takes.
    pub fn objects(&self, boxes: &[Place], size: [i64; 4]) -> Result<Tensor> {
        ensure!(
            boxes.len() <= MOST_BOXES,
            "{} texts are in boxes, and GLIGEN takes {MOST_BOXES}; leave some out",
            boxes.len()
        );
        self.positions.objects(boxes, size)
    }

    /// The states of transformer number `transformer`, B×N×W, with what the objects, B×30×W, tell them.
    pub fn between_attentions(&self, x: Tensor, objects: &Tensor, transformer: usize) -> Tensor {
        match self.fusers.get(transformer) {
            Some(fuser) => fuser.forward(x, objects),
            None => x,
        }
    }
}

impl Positions {
    fn load(w: &Weights) -> Result<Self> {
        let thing = w.dim("null_positive_feature", 0)?;
        let place = FREQUENCIES * 2 * 4;
        let hidden = w.dim("linears.0.weight", 0)?;
        let layer = |at: usize, inputs: i64| {
            let w = w.at("linears").at(at);
            Linear::load(&w, inputs, w.dim("weight", 0)?)
        };
        let steps = Tensor::arange(FREQUENCIES, (Kind::Float, Device::Cpu)) / FREQUENCIES as f64;
        let placement = w.placement();
        Ok(Self {
            layers: [
                layer(0, thing.saturating_add(place))?,
                layer(2, hidden)?,
                layer(4, w.dim("linears.2.weight", 0)?)?,
            ],
            no_thing: w.tensor("null_positive_feature", &[thing])?,
            no_place: w.tensor("null_position_feature", &[place])?,
            frequencies: Tensor::pow_scalar(TEMPERATURE, &steps).to_device(placement.device),
            placement,
        })
    }

    fn objects(&self, boxes: &[Place], [batch, _, height, width]: [i64; 4]) -> Result<Tensor> {
        let wanted = self.no_thing.size()[0];
        let (mut corners, mut things) = (vec![0f32; 4 * MOST_BOXES], Vec::new());
        for (at, place) in boxes.iter().enumerate() {
            let size = place.text.size();
            ensure!(
                size == [1, wanted],
                "the text of a box is a vector of the shape {size:?}, and the GLIGEN model takes {wanted} numbers; encode it with the \
                 text encoder of the model that it was made for"
            );
            let (across, down) =
                (|x: i64| (x as f64 / width as f64) as f32, |y: i64| (y as f64 / height as f64) as f32);
            corners[4 * at..4 * at + 4].copy_from_slice(&[
                across(place.x),
                down(place.y),
                across(place.x.saturating_add(place.width)),
                down(place.y.saturating_add(place.height)),
            ]);
            things.push(place.text.to_device(Device::Cpu).to_kind(Kind::Float));
        }
        let count = boxes.len() as i64;
        let rest = MOST_BOXES as i64 - count;
        things.push(Tensor::zeros([rest, wanted], (Kind::Float, Device::Cpu)));
        let options = (Kind::Float, Device::Cpu);
        let mask = Tensor::cat(&[Tensor::ones([count], options), Tensor::zeros([rest], options)], 0);
        let here = |tensor: Tensor| tensor.to_device(self.placement.device).unsqueeze(0);
        let mask = here(mask).unsqueeze(-1);
        let (things, corners) =
            (here(Tensor::cat(&things, 0)), here(Tensor::from_slice(&corners).view([MOST_BOXES as i64, 4])));
        let waves = (0..FREQUENCIES).flat_map(|at| {
            let angles = self.frequencies.get(at) * &corners;
            [angles.sin(), angles.cos()]
        });
        let places = Tensor::cat(&waves.collect::<Vec<_>>(), -1);
        let or_nothing = |of: &Tensor, nothing: &Tensor| of * &mask + (1f64 - &mask) * nothing.view([1, 1, -1]);
        let one = Tensor::cat(&[or_nothing(&things, &self.no_thing), or_nothing(&places, &self.no_place)], -1);
        // Each latent's are computed: the shape decides how products are rounded.
        let both = one.repeat([batch, 1, 1]);
        let [first, second, third] = &self.layers;
        let made = third.forward(&second.forward(&first.forward(&both).silu()).silu());
        ensure!(
            made.isfinite().all().int64_value(&[]) != 0 || things.isfinite().all().int64_value(&[]) == 0,
            "the GLIGEN model makes values that are no numbers (NaN), so its weights are damaged; fetch the file again"
        );
        Ok(made)
    }
}

impl Fuser {
    fn load(w: &Weights) -> Result<Self> {
        let (width, text) = (w.dim("linear.weight", 0)?, w.dim("linear.weight", 1)?);
        let heads = if text <= WIDTH_OF_EIGHT_HEADS { 8 } else { width / 64 };
        ensure!(
            heads > 0 && width % heads == 0,
            "an attention of the GLIGEN model {} is {width} wide, which heads cannot share; it is damaged",
            w.path().display()
        );
        Ok(Self {
            linear: Linear::load(&w.at("linear"), text, width)?,
            attention: Attention::load(&w.at("attn"), width, width, heads)?,
            feed_forward: FeedForward::load(&w.at("ff"), width)?,
            norm1: LayerNorm::load(&w.at("norm1"), width)?,
            norm2: LayerNorm::load(&w.at("norm2"), width)?,
            gates: [w.tensor("alpha_attn", &[])?.tanh(), w.tensor("alpha_dense", &[])?.tanh()],
        })
    }

    fn forward(&self, x: Tensor, objects: &Tensor) -> Tensor {
        let objects = self.linear.forward(&objects.to_kind(x.kind()));
        let tokens = x.size()[1];
        let all = self.norm1.forward(&Tensor::cat(&[&x, &objects], 1));
        let attended = self.attention.forward([&all, &all, &all], |_| None).narrow(1, 0, tokens);
        let x = x + &self.gates[0] * attended;
        let fed = self.feed_forward.forward(&self.norm2.forward(&x));
        x + &self.gates[1] * fed
    }
}
