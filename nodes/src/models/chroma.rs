//! Chroma: Flux's blocks without layers that modulate them. What shifts, scales and gates all of them is made at once, of noise level and
//! guidance.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::flux::GUIDANCE;
use super::flux_blocks::{Around, DoubleBlock, Embedder, LastLayer, Parts, SingleBlock, Sizes, blocks};
use super::patches;
use crate::diffusion::control::{self, Residuals};
use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::patch::TransformerBlock;
use crate::files::weights::Weights;
use crate::models::unet::sinusoids;
use crate::ops::layers::{Linear, RmsNorm};
use crate::ops::numerics::{Numerics, Placement};
use crate::ops::rotary;

/// How many latent points make a token, along a side.
const PATCH: i64 = 2;
/// The base of the rotary frequencies.
const THETA: f64 = 10000.0;
/// What noise level, guidance and places are multiplied by before they are spread.
const TIME_FACTOR: f64 = 1000.0;
/// How many vectors the blocks are modulated by: 3 for each of 38 single blocks, 6 for either side of 19 double blocks, and 2 for the last
/// layer. Networks with fewer blocks leave out those before the last two.
const PLACES: i64 = 38 * 3 + 19 * 2 * 6 + 2;

/// The network. Every size is read off the weights.
pub struct Chroma {
    placement: Placement,
    picture: Linear,
    text: Linear,
    approximator: Approximator,
    double: Vec<DoubleBlock>,
    single: Vec<SingleBlock>,
    last: LastLayer,
    sizes: Sizes,
}

impl Chroma {
    /// Builds the network from the tensors below `weights` (`img_in.*`, `distilled_guidance_layer.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let (width, columns) = (w.dim("img_in.weight", 0)?, w.dim("img_in.weight", 1)?);
        let sizes = Sizes { modulates: false, ..Sizes::of(w, width)? };
        let (doubles, singles) = (w.at("double_blocks").children(), w.at("single_blocks").children());
        let needed = 3 * singles + 12 * doubles + 2;
        ensure!(
            needed as i64 <= PLACES,
            "{} has {doubles} double and {singles} single blocks, more than Chroma has; the file is of another kind",
            w.path().display()
        );
        let (double, single) = blocks(w, sizes)?;
        Ok(Self {
            placement,
            picture: Linear::load(&w.at("img_in"), columns, width)?,
            text: Linear::load(&w.at("txt_in"), w.dim("txt_in.weight", 1)?, width)?,
            approximator: Approximator::load(&w.at("distilled_guidance_layer"), width)?,
            double,
            single,
            last: LastLayer::load(&w.at("final_layer"), sizes)?,
            sizes,
        })
    }

    /// All that modulates the blocks, B×[`PLACES`]×width.
    fn modulations(&self, inputs: &Inputs) -> Result<Tensor> {
        let device = self.placement.device;
        let guidance = inputs.extra.get(GUIDANCE).context(
            "Chroma needs a guidance, and the conditioning was told to have none: leave FluxDisableGuidance out",
        )?;
        let spread = |numbers: &Tensor, width: i64| sinusoids(&(numbers * TIME_FACTOR), width, device);
        let quarter = self.approximator.inputs() / 4;
        let places = spread(&Tensor::arange(PLACES, (Kind::Int64, device)), 2 * quarter);
        let levels = Tensor::cat(&[spread(inputs.timestep, quarter), spread(guidance, quarter)], 1);
        let batch = levels.size()[0];
        let levels = levels.unsqueeze(1).repeat([1, PLACES, 1]);
        let all = Tensor::cat(&[levels, places.unsqueeze(0).repeat([batch, 1, 1])], -1);
        Ok(self.approximator.forward(&all))
    }

    /// Where the vectors of double block `index` lie, of its picture's side or of its text's.
    fn of_double(&self, index: usize, text: bool) -> usize {
        let side = if text { 6 * self.double.len() } else { 0 };
        3 * self.single.len() + side + 6 * index
    }
}

/// `count` vectors from `start` on, B×1×width each.
fn parts(all: &Tensor, start: usize, count: usize) -> Parts {
    (start..start + count).map(|at| all.narrow(1, at as i64, 1)).collect()
}

impl Network for Chroma {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let place = |x: &Tensor| x.to_device_(self.placement.device, Kind::Float, false, false);
        let (batch, _, height, width) = inputs.x.size4().context("Chroma takes latents of pictures, B x C x h x w")?;
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.text.inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with T5, CLIPLoader's type chroma"
        );
        let tokens = patches::tokens(inputs.x, PATCH);
        ensure!(
            tokens.size()[2] == self.picture.inputs(),
            "the latent has {} channels, and the model takes {}: use a latent and a VAE of the model's family",
            tokens.size()[2] / (PATCH * PATCH),
            self.picture.inputs() / (PATCH * PATCH)
        );
        let (rows, columns) = (patches::halved(height), patches::halved(width));
        let device = self.placement.device;
        let mut picture = self.picture.forward(&place(&tokens));
        let all = self.modulations(inputs)?;
        let mut text = self.text.forward(&place(inputs.context));
        let text_tokens = text.size()[1];
        let text_ids = Tensor::zeros([text_tokens, 3], (Kind::Float, device));
        let ids = Tensor::cat(&[text_ids, rotary::grid(0.0, (0.0, 0.0), (rows, columns), device)], 0);
        let turns = rotary::turns(&ids, &self.sizes.axes(), THETA);
        for (i, block) in self.double.iter().enumerate() {
            if !inputs.call.skips(TransformerBlock::Double(i)) {
                let sides = [false, true].map(|side| parts(&all, self.of_double(i, side), 6));
                (picture, text) = block.modulated(picture, text, sides, Around::plain(&turns));
                control::add_in_front(&picture, inputs.control.and_then(|c| Residuals::of_block(&c.input, i)));
            }
        }
        let mut x = Tensor::cat(&[text, picture], 1);
        for (i, block) in self.single.iter().enumerate() {
            if !inputs.call.skips(TransformerBlock::Single(i)) {
                x = block.modulated(x, &parts(&all, 3 * i, 3), Around::plain(&turns));
                let residual = inputs.control.and_then(|c| Residuals::of_block(&c.output, i));
                control::add_in_front(&x.narrow(1, text_tokens, x.size()[1] - text_tokens), residual);
            }
        }
        let picture = x.narrow(1, text_tokens, x.size()[1] - text_tokens);
        let out = self.last.modulated(&picture, &parts(&all, PLACES as usize - 2, 2));
        Ok(patches::picture(&out, batch, PATCH, [height, width]))
    }

    fn repeats_text(&self) -> bool {
        false
    }

    fn device(&self) -> Device {
        self.placement.device
    }
}

/// The network that makes all modulations of noise level, guidance and the place of each.
struct Approximator {
    first: Linear,
    layers: Vec<(RmsNorm, Embedder)>,
    last: Linear,
}

impl Approximator {
    fn load(w: &Weights, outputs: i64) -> Result<Self> {
        let (hidden, inputs) = (w.dim("in_proj.weight", 0)?, w.dim("in_proj.weight", 1)?);
        ensure!(inputs % 8 == 0, "{} has a guidance layer of {inputs} inputs; it is damaged", w.path().display());
        let layer = |i: usize| {
            let norm = RmsNorm::load(&w.at("norms").at(i), "scale", hidden)?;
            Ok((norm, Embedder::load(&w.at("layers").at(i), hidden)?))
        };
        Ok(Self {
            first: Linear::load(&w.at("in_proj"), inputs, hidden)?,
            layers: (0..w.at("layers").children()).map(layer).collect::<Result<_>>()?,
            last: Linear::load(&w.at("out_proj"), hidden, outputs)?,
        })
    }

    fn inputs(&self) -> i64 {
        self.first.inputs()
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.first.forward(x);
        let x = self.layers.iter().fold(x, |x, (norm, layer)| &x + layer.forward(&norm.forward(&x)));
        self.last.forward(&x)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::diffusion::extra_conds::{ExtraCond, ExtraConds};
    use crate::diffusion::patch::{Call, Patch};
    use crate::models::families::recognise;
    use crate::models::random::{Layout, Size, write_random_checkpoint};
    use crate::models::reference::figures_within;
    use crate::ops::noise::randn;

    #[derive(Debug)]
    struct WithoutTheSecond;

    impl Patch for WithoutTheSecond {
        fn skips(&self, block: TransformerBlock) -> bool {
            block == TransformerBlock::Double(1)
        }
    }

    /// Figures: the reference's network with a checkpoint of this seed, on a CPU. They are as near as other CPUs round what is drawn here.
    #[test]
    fn what_steers_is_added_behind_the_blocks_that_run() {
        let _guard = tch::no_grad_guard();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chroma.safetensors");
        write_random_checkpoint(&path, Layout::Chroma, Size::Tiny, 7, false).unwrap();
        let model = recognise(&Weights::open(&path).unwrap()).unwrap().model().unwrap().clone();
        let network = Chroma::load(&model.weights, &Numerics::cpu()).unwrap();
        let (x, context, timestep) = (randn(1, &[1, 16, 6, 8]), randn(2, &[1, 5, 64]), Tensor::from_slice(&[0.5f32]));
        let extra = ExtraConds::default().with(GUIDANCE, ExtraCond::Rows(Tensor::from_slice(&[0f32])));
        let both = Residuals {
            input: vec![None, Some(randn(3, &[1, 12, 64]))],
            output: vec![Some(randn(4, &[1, 12, 64]))],
            ..Residuals::default()
        };
        let predicted = |control: Option<&Residuals>, call: &Call| {
            let inputs = Inputs { x: &x, timestep: &timestep, context: &context, extra: &extra, control, call };
            network.predict(&inputs).unwrap()
        };
        let values = [0.53523314, -0.53866768, -1.08196938, 0.54594904, -2.31869125, 0.6564045];
        figures_within(1e-4, &predicted(None, &Call::plain()), 0.0145660737, 1.20215314, &values);
        let values = [-1.30962265, -0.53562617, 0.53720063, 0.81565607, -1.5294014, 0.36036804];
        figures_within(1e-4, &predicted(Some(&both), &Call::plain()), -0.0407862596, 1.15944446, &values);
        let call = Call { patches: &[&WithoutTheSecond], ..Call::plain() };
        let input = Residuals { output: Vec::new(), ..both };
        assert_eq!(predicted(Some(&input), &call), predicted(None, &call));
    }
}
