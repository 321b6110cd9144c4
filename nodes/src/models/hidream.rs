//! HiDream (HiDream.ai 2025, arXiv:2505.22705): a transformer over the tokens of picture and text, whose feed-forward layers are chosen token
//! by token; a rectified flow.

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use super::flux_blocks::{self, Embedder, LastLayer, pooled};
use super::hidream_blocks::{DoubleBlock, HEAD, SingleBlock};
use super::patches;
use crate::diffusion::network::{Inputs, Network};
use crate::files::weights::Weights;
use crate::models::unet::sinusoids;
use crate::ops::layers::Linear;
use crate::ops::numerics::{Numerics, Placement};
use crate::ops::rotary;

/// The states behind each layer of Llama 3, B×L×N×W.
pub const LAYERS: &str = "encoder_hidden_states_llama3";
/// The latent of a picture that is to be changed, B×C×h×w, which the network sees at the right of its own.
pub const SHOWN: &str = "image_cond";

/// How many latent points make a token, along a side.
const PATCH: i64 = 2;
/// How wide the noise level is spread.
const SPREAD: i64 = 256;
/// Channels of a head that are turned by index, y and x.
const AXES: [i64; 3] = [64, 32, 32];
/// The base of the rotary frequencies.
const THETA: f64 = 10000.0;
/// Each block reads the layer of Llama's with its number; those behind this one read this.
const LAST_LAYER: i64 = 31;

/// The network. Every size is read off the weights.
pub struct HiDream {
    placement: Placement,
    picture: Linear,
    time: Embedder,
    pooled: Embedder,
    /// What makes tokens of Llama's states, for each block.
    layers: Vec<Linear>,
    /// What makes tokens of T5's states.
    text: Linear,
    double: Vec<DoubleBlock>,
    single: Vec<SingleBlock>,
    last: LastLayer,
}

impl HiDream {
    /// Builds the network from the tensors below `weights` (`x_embedder.*`, `double_stream_blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let (width, columns) = (w.dim("x_embedder.proj.weight", 0)?, w.dim("x_embedder.proj.weight", 1)?);
        ensure!(
            width > 0 && width % HEAD == 0 && columns % (PATCH * PATCH) == 0,
            "{} is {width} wide with patches of {columns} numbers, which heads of {HEAD} and squares of {PATCH} points cannot share; the file \
             is damaged",
            w.path().display()
        );
        let (double, single) = (w.at("double_stream_blocks"), w.at("single_stream_blocks"));
        let projections = w.at("caption_projection");
        let (blocks, texts) = (double.children() + single.children(), projections.children());
        ensure!(
            double.children() > 0 && texts == blocks + 1,
            "{} has {blocks} blocks and {texts} projections of texts, and HiDream one more of these; it is incomplete",
            w.path().display()
        );
        let project = |i: usize| {
            let layer = projections.at(i).at("linear");
            Linear::load(&layer, layer.dim("weight", 1)?, width)
        };
        let embedder = |name: &str| Embedder::named(&w.at(name), ["linear_1", "linear_2"], width);
        let sizes = flux_blocks::Sizes { width, heads: width / HEAD, modulates: true };
        Ok(Self {
            placement,
            picture: Linear::load(&w.at("x_embedder.proj"), columns, width)?,
            time: embedder("t_embedder.timestep_embedder")?,
            pooled: embedder("p_embedder.pooled_embedder")?,
            layers: (0..blocks).map(project).collect::<Result<_>>()?,
            text: project(blocks)?,
            double: (0..double.children())
                .map(|i| DoubleBlock::load(&double.at(i).at("block"), width))
                .collect::<Result<_>>()?,
            single: (0..single.children())
                .map(|i| SingleBlock::load(&single.at(i).at("block"), width))
                .collect::<Result<_>>()?,
            last: LastLayer::load(&w.at("final_layer"), sizes)?,
        })
    }

    /// Llama's states as the tokens of block `i`, B×N×width.
    fn of_layer(&self, states: &Tensor, i: usize) -> Tensor {
        self.layers[i].forward(&states.select(1, (i as i64).min(LAST_LAYER)))
    }

    /// Llama's states of a prompt.
    fn states(&self, inputs: &Inputs) -> Result<Tensor> {
        let states = inputs.extra.get(LAYERS).context(
            "the prompt has no states of Llama 3, which HiDream takes: encode it with QuadrupleCLIPLoader, or CLIPLoader's type hidream",
        )?;
        let needed = (self.layers.len() as i64).min(LAST_LAYER + 1);
        let takes = self.layers.first().map_or(0, Linear::inputs);
        let size = states.size();
        let &[_, layers, _, width] = size.as_slice() else {
            bail!("the prompt's states of Llama 3 are shaped {size:?}, and they are batch x layers x tokens x width");
        };
        ensure!(
            layers >= needed && width == takes,
            "the prompt has states of {layers} layers of Llama 3, {width} wide, and the model takes {needed} of {takes}: use Llama 3.1 8B"
        );
        Ok(states.to_device_(self.placement.device, Kind::Float, false, false))
    }
}

impl Network for HiDream {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let device = self.placement.device;
        let place = |x: &Tensor| x.to_device_(device, Kind::Float, false, false);
        let (batch, channels, height, width) =
            inputs.x.size4().context("HiDream takes latents of pictures, B x C x h x w")?;
        let takes = self.picture.inputs() / (PATCH * PATCH);
        ensure!(
            channels == takes,
            "the latent has {channels} channels, and the model takes {takes}: use a latent and a VAE of the model's family"
        );
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.text.inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with QuadrupleCLIPLoader, or CLIPLoader's type hidream"
        );
        let pooled = pooled(inputs.extra, &self.pooled)?.context(
            "the prompt has no pooled output, which HiDream takes: encode it with QuadrupleCLIPLoader, or CLIPLoader's type hidream",
        )?;
        let told = self.time.forward(&sinusoids(inputs.timestep, SPREAD, device)) + pooled;
        let vector = told.silu();
        let x = place(inputs.x);
        let x = match inputs.extra.get(SHOWN) {
            Some(shown) => Tensor::cat(&[x, place(shown)], -1),
            None => x,
        };
        let whole = x.size()[3];
        let mut picture = self.picture.forward(&patches::tokens_last(&x, PATCH));
        let own = picture.size()[1];
        let states = self.states(inputs)?;
        let last = self.of_layer(&states, self.layers.len() - 1);
        let mut text = Tensor::cat(&[self.text.forward(&place(inputs.context)), last], 1);
        let tokens = text.size()[1];
        let (rows, columns) = (patches::halved(height), patches::halved(whole));
        let texts = Tensor::zeros([tokens + states.size()[2], 3], (Kind::Float, device));
        let ids = Tensor::cat(&[rotary::grid(0.0, (0.0, 0.0), (rows, columns), device), texts], 0);
        let turns = rotary::turns(&ids, &AXES, THETA).transpose(1, 2);
        // Each block gets further tokens of its own, which it alone sees.
        for (i, block) in self.double.iter().enumerate() {
            let with_own = Tensor::cat(&[text, self.of_layer(&states, i)], 1);
            (picture, text) = block.forward(&picture, &with_own, &vector, &turns);
            text = text.narrow(1, 0, tokens);
        }
        let mut both = Tensor::cat(&[picture, text], 1);
        for (i, block) in (self.double.len()..).zip(&self.single) {
            let with_own = Tensor::cat(&[both, self.of_layer(&states, i)], 1);
            both = block.forward(&with_own, &vector, &turns).narrow(1, 0, own + tokens);
        }
        let out = self.last.forward(&both.narrow(1, 0, own), &told, None);
        let out = -patches::picture_last(&out, batch, PATCH, [height, whole]);
        Ok(out.narrow(3, 0, width))
    }

    fn repeats_text(&self) -> bool {
        false
    }

    fn device(&self) -> Device {
        self.placement.device
    }
}
