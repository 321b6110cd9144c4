//! ControlNets of Flux: of pictures (XLabs, Mistoline), and of their latents (InstantX, Shakker, AliMama; in the layout of diffusers).

use anyhow::{Context, Result, bail, ensure};
use tch::{Kind, Tensor};

use super::union;
use crate::diffusion::control::{ControlInputs, ControlNetwork, Residuals};
use crate::files::weights::Weights;
use crate::models::flux::Trunk;
use crate::models::flux_blocks::Around;
use crate::models::patches;
use crate::ops::layers::{Conv2d, Linear};
use crate::ops::numerics::Numerics;
use crate::ops::rotary;

/// How many latent points make a token, along a side.
const PATCH: i64 = 2;
/// How many blocks Flux has with weights of their own for text and picture, and how many with common ones.
const BLOCKS: [usize; 2] = [19, 38];

/// The network. Every size is read off the weights.
pub struct FluxControl {
    trunk: Trunk,
    file: String,
    hint: Hint,
    /// What makes states of the hint's tokens.
    tokens: Linear,
    /// What is handed over of the blocks of both kinds.
    double: Vec<Handed>,
    single: Vec<Handed>,
    /// A token for each kind of pictures, in networks that know several.
    kinds: Option<Tensor>,
}

/// What the network goes by.
enum Hint {
    Latents,
    /// Pictures, which layers make as small as latents.
    Pictures(Vec<Conv2d>),
}

/// What a block hands over; with SiLU in Mistoline's.
struct Handed(Linear, bool);

impl Handed {
    fn load(w: &Weights, width: i64) -> Result<Vec<Self>> {
        let one = |w: Weights| match w.at("linear").is_empty() {
            true => Ok(Self(Linear::load(&w, width, width)?, false)),
            false => Ok(Self(Linear::load(&w.at("linear"), width, width)?, true)),
        };
        (0..w.children()).map(|i| one(w.at(i))).collect()
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let out = self.0.forward(x);
        if self.1 { out.silu() } else { out }
    }
}

impl Hint {
    fn load(w: &Weights) -> Result<Self> {
        let Some(name) =
            ["input_hint_block", "input_cond_block.encoder"].into_iter().find(|name| !w.at(name).is_empty())
        else {
            return Ok(Self::Latents);
        };
        let (layers, mut channels) = (w.at(name), 3);
        let numbers = (0..).map(|i| 2 * i).take_while(|i| !layers.at(i).is_empty());
        let halving: &[i64] = if name == "input_hint_block" { &[4, 8, 12] } else { &[6, 10, 14] };
        let convs = numbers.map(|i| {
            let layer = layers.at(i);
            let (outputs, kernel) = (layer.dim("weight", 0)?, layer.dim("weight", 2)?);
            let inputs = std::mem::replace(&mut channels, outputs);
            let stride = if halving.contains(&i) { 2 } else { 1 };
            Conv2d::strided(&layer, inputs, outputs, kernel, stride, kernel / 2)
        });
        Ok(Self::Pictures(convs.collect::<Result<_>>()?))
    }

    fn tokens(&self, hint: &Tensor, file: &str) -> Result<Tensor> {
        let Self::Pictures(layers) = self else { return Ok(patches::tokens(hint, PATCH)) };
        let takes = layers.first().map_or(0, Conv2d::inputs);
        ensure!(
            hint.size()[1] == takes,
            "the picture for the ControlNet {file} has {} channels and the network takes {takes}; connect one with {takes}",
            hint.size()[1]
        );
        let last = layers.len() - 1;
        let states = layers.iter().enumerate().fold(hint * 2.0 - 1.0, |h, (i, conv)| {
            let h = conv.forward(&h);
            if i < last { h.silu() } else { h }
        });
        let size = states.size();
        ensure!(
            size[2] % PATCH == 0 && size[3] % PATCH == 0,
            "the ControlNet {file} takes pictures whose sides are multiples of 16; set such a width and height"
        );
        Ok(patches::tokens(&states, PATCH))
    }
}

impl FluxControl {
    /// Builds the network from the tensors below `weights`, under the original's names.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let trunk = Trunk::load(weights, numerics)?;
        let (w, width) = (&weights.placed(trunk.placement), trunk.sizes.width);
        let kinds = w.at("controlnet_mode_embedder");
        let single = match w.at("single_controlnet_blocks").is_empty() {
            true => w.at("controlnet_single_blocks"),
            false => w.at("single_controlnet_blocks"),
        };
        Ok(Self {
            trunk,
            file: w.path().display().to_string(),
            hint: Hint::load(w)?,
            tokens: Linear::load(&w.at("pos_embed_input"), w.dim("pos_embed_input.weight", 1)?, width)?,
            double: Handed::load(&w.at("controlnet_blocks"), width)?,
            single: Handed::load(&single, width)?,
            kinds: match kinds.is_empty() {
                true => None,
                false => Some(kinds.tensor("weight", &[kinds.dim("weight", 0)?, width])?),
            },
        })
    }

    /// The text's tokens, behind one that tells what the picture shows, if it is told.
    fn text(&self, inputs: &ControlInputs) -> Result<Tensor> {
        let text = self.trunk.text.forward(&inputs.context.to_kind(Kind::Float));
        let (Some(kinds), false) = (&self.kinds, inputs.types.is_empty()) else { return Ok(text) };
        let count = kinds.size()[0];
        if let Some(unknown) = union::unknown(inputs.types, count) {
            bail!(
                "the kind of picture {unknown} is not among the {count} that the ControlNet {} knows; choose another type",
                self.file
            );
        }
        let at = Tensor::from_slice(inputs.types).to_device(kinds.device());
        let told = kinds.index_select(0, &at).to_kind(Kind::Float).unsqueeze(0).repeat([text.size()[0], 1, 1]);
        Ok(Tensor::cat(&[told, text], 1))
    }

    /// What the blocks hand over, for as many as Flux has: each for several, or all in turn.
    fn spread(&self, made: &[Tensor], blocks: usize) -> Vec<Option<Tensor>> {
        if made.is_empty() {
            return Vec::new();
        }
        let each = blocks.div_ceil(made.len());
        let place = |i: usize| match self.hint {
            Hint::Latents => i / each,
            Hint::Pictures(_) => i % made.len(),
        };
        (0..blocks).map(|i| made.get(place(i)).map(Tensor::shallow_clone)).collect()
    }
}

impl ControlNetwork for FluxControl {
    fn residuals(&self, inputs: &ControlInputs) -> Result<Residuals> {
        let (trunk, file) = (&self.trunk, &self.file);
        let device = trunk.placement.device;
        let place = |x: &Tensor| x.to_device_(device, Kind::Float, false, false);
        let (_, channels, height, width) = inputs.x.size4().context("Flux takes latents of pictures, B x C x h x w")?;
        ensure!(
            channels * PATCH * PATCH == trunk.picture.inputs(),
            "the ControlNet {file} takes latents of {} channels and the model's have {channels}; use one made for the model's family",
            trunk.picture.inputs() / (PATCH * PATCH)
        );
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), trunk.text.inputs());
        ensure!(
            has == takes,
            "the ControlNet {file} takes prompts {takes} wide and the model's are {has} wide; use one made for the model's family"
        );
        let hint = self.hint.tokens(&place(inputs.hint), file)?;
        ensure!(
            hint.size()[2] == self.tokens.inputs(),
            "the ControlNet {file} takes hints of {} channels, and {} are made of the picture; connect the VAE of the model's family",
            self.tokens.inputs() / (PATCH * PATCH),
            hint.size()[2] / (PATCH * PATCH)
        );
        let mut picture = trunk.picture.forward(&place(&patches::tokens(inputs.x, PATCH)));
        picture += self.tokens.forward(&hint);
        let vector = trunk.vector(inputs.timestep, inputs.extra)?;
        let mut text = self.text(inputs)?;
        let words = text.size()[1];
        let ids = rotary::grid(0.0, (0.0, 0.0), (patches::halved(height), patches::halved(width)), device);
        let turns = trunk.turns(words, ids);
        let mut double = Vec::new();
        for (block, handed) in trunk.double.iter().zip(&self.double) {
            (picture, text) = block.forward(picture, text, &vector, Around::plain(&turns));
            double.push(handed.forward(&picture));
        }
        let mut all = Tensor::cat(&[text, picture], 1);
        let mut single = Vec::new();
        for (block, handed) in trunk.single.iter().zip(&self.single) {
            all = block.forward(all, &vector, Around::plain(&turns));
            single.push(handed.forward(&all.narrow(1, words, all.size()[1] - words)));
        }
        let [doubles, singles] = BLOCKS;
        Ok(Residuals {
            input: self.spread(&double, doubles),
            output: self.spread(&single, singles),
            ..Residuals::default()
        })
    }
}
