//! HunyuanVideo (Tencent 2024, arXiv:2412.03603): Flux's blocks over the tokens of a video and of a text that is refined first.

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use super::flux_blocks::{Around, DoubleBlock, Embedder, LastLayer, SingleBlock, Sizes, blocks, pooled};
use super::patches;
use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::patch::TransformerBlock;
use crate::files::weights::Weights;
use crate::models::flux::GUIDANCE;
use crate::models::unet::sinusoids;
use crate::ops::attention::attention_of_heads;
use crate::ops::layers::{LayerNorm, Linear};
use crate::ops::numerics::{Numerics, Placement};
use crate::ops::rotary;

/// The noise level of the first latent frame, which is a picture that is kept: one number.
pub const FIRST_FRAME: &str = "guiding_frame_index";
/// The latent of a picture to go by, whose tokens stand in front of the video's.
pub const REFERENCE: &str = "ref_latent";

/// How many latent points make a token, along a side.
const PATCH: i64 = 2;
/// How wide noise level and guidance are spread.
const SPREAD: i64 = 256;
/// The base of the rotary frequencies.
const THETA: f64 = 256.0;
/// What the guidance is multiplied by.
const GUIDANCE_FACTOR: f64 = 1000.0;

/// The network. Every size is read off the weights.
pub struct HunyuanVideo {
    placement: Placement,
    picture: (Tensor, Tensor),
    refiner: Refiner,
    time: Embedder,
    guidance: Option<Embedder>,
    vector: Embedder,
    double: Vec<DoubleBlock>,
    single: Vec<SingleBlock>,
    last: LastLayer,
    sizes: Sizes,
    channels: i64,
}

impl HunyuanVideo {
    /// Builds the network from the tensors below `weights` (`img_in.proj.*`, `double_blocks.*`, …), in the names that Flux has for its
    /// blocks.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let shape = w.shape("img_in.proj.weight")?;
        let &[width, _, 1, PATCH, PATCH] = shape.as_slice() else {
            bail!(
                "img_in.proj.weight in {} has shape {shape:?}, and HunyuanVideo's makes tokens of 1x2x2 points; the file is of another kind",
                w.path().display()
            );
        };
        let sizes = Sizes::of(w, width)?;
        let embedder = |name: &str| Embedder::load(&w.at(name), width);
        let (double, single) = blocks(w, sizes)?;
        let outputs = w.dim("final_layer.linear.weight", 0)?;
        Ok(Self {
            placement,
            picture: (w.tensor("img_in.proj.weight", &shape)?, w.tensor("img_in.proj.bias", &[width])?),
            refiner: Refiner::load(&w.at("txt_in"), sizes)?,
            time: embedder("time_in")?,
            guidance: (!w.at("guidance_in").is_empty()).then(|| embedder("guidance_in")).transpose()?,
            vector: embedder("vector_in")?,
            double,
            single,
            last: LastLayer::load(&w.at("final_layer"), sizes)?,
            sizes,
            channels: outputs / (PATCH * PATCH),
        })
    }

    /// B×C×T×h×w as tokens.
    fn tokens(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = &self.picture;
        let (stride, x) = ([1, PATCH, PATCH], patches::wrapped(x, PATCH));
        x.conv3d(weight, Some(bias), stride, [0, 0, 0], [1, 1, 1], 1).flatten(2, -1).transpose(1, 2)
    }

    /// The embedded noise level, pooled text and guidance, B×width; B×2×width where the first frame has a level of its own.
    fn vector(&self, inputs: &Inputs) -> Result<Tensor> {
        let device = self.placement.device;
        let pooled = pooled(inputs.extra, &self.vector)?.context(
            "the prompt has no pooled output, which HunyuanVideo takes: encode it with CLIP-L and Llama, DualCLIPLoader's type hunyuan_video",
        )?;
        let level = |level: &Tensor| self.time.forward(&sinusoids(level, SPREAD, device));
        let mut vector = match inputs.extra.get(FIRST_FRAME) {
            Some(first) => {
                let first = (&pooled + level(first)).unsqueeze(1);
                Tensor::cat(&[first, (&pooled + level(inputs.timestep)).unsqueeze(1)], 1)
            }
            None => level(inputs.timestep) + pooled,
        };
        if let (Some(embedder), Some(guidance)) = (&self.guidance, inputs.extra.get(GUIDANCE)) {
            vector += embedder.forward(&sinusoids(&(guidance * GUIDANCE_FACTOR), SPREAD, device));
        }
        Ok(vector)
    }

    /// Positions of a video's tokens, N×3.
    fn positions(&self, frames: i64, rows: i64, columns: i64) -> Tensor {
        let device = self.placement.device;
        let frame = |at: i64| rotary::grid(at as f64, (0.0, 0.0), (rows, columns), device);
        Tensor::cat(&(0..frames).map(frame).collect::<Vec<_>>(), 0)
    }
}

impl Network for HunyuanVideo {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let (device, size) = (self.placement.device, inputs.x.size());
        let place = |x: &Tensor| x.to_device_(device, Kind::Float, false, false);
        let &[batch, channels, frames, height, width] = size.as_slice() else {
            bail!("the latent is shaped {size:?}, and HunyuanVideo's are batch x channels x frames x height x width");
        };
        let takes = self.picture.0.size()[1];
        ensure!(
            channels == takes,
            "the latent has {channels} channels with what is shown beside it, and the model takes {takes}: use EmptyHunyuanLatentVideo"
        );
        ensure!(
            height % PATCH == 0 && width % PATCH == 0,
            "the latent's frames are {width}x{height} points, and HunyuanVideo takes even sides: set a width and height that are multiples \
             of 16"
        );
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.refiner.text.inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with DualCLIPLoader's type hunyuan_video"
        );
        let (rows, columns) = (height / PATCH, width / PATCH);
        let mut picture = self.tokens(&place(inputs.x));
        let vector = self.vector(inputs)?;
        let mut ids = vec![self.positions(frames, rows, columns)];
        let mut shown = 0;
        if let Some(reference) = inputs.extra.get(REFERENCE) {
            let size = reference.size();
            ensure!(
                size.len() == 5 && size[1] == self.picture.0.size()[1],
                "the picture to go by has a latent shaped {size:?}, which this model does not take: use HunyuanImageToVideo with the model's VAE"
            );
            let tokens = self.tokens(&place(reference));
            shown = tokens.size()[1];
            let places = self.positions(size[2], patches::halved(size[3]), patches::halved(size[4]));
            let _ = places.select(1, 0).fill_(-1.0);
            let _ = places.select(1, 2).g_add_scalar_(columns as f64);
            ids.insert(0, places);
            picture = Tensor::cat(&[tokens, picture], 1);
        }
        let mut text = self.refiner.forward(&place(inputs.context), &sinusoids(inputs.timestep, SPREAD, device));
        ids.push(Tensor::zeros([text.size()[1], 3], (Kind::Float, device)));
        let turns = rotary::turns(&Tensor::cat(&ids, 0), &self.sizes.axes(), THETA);
        let first = inputs.extra.get(FIRST_FRAME).map(|_| rows * columns);
        let around = Around { turns: &turns, picture_first: true, first };
        for (i, block) in self.double.iter().enumerate() {
            if !inputs.call.skips(TransformerBlock::Double(i)) {
                (picture, text) = block.forward(picture, text, &vector, around);
            }
        }
        let own = picture.size()[1];
        let mut all = Tensor::cat(&[picture, text], 1);
        for (i, block) in self.single.iter().enumerate() {
            if !inputs.call.skips(TransformerBlock::Single(i)) {
                all = block.forward(all, &vector, around);
            }
        }
        let picture = all.narrow(1, shown, own - shown);
        let out = self.last.forward(&picture, &vector, first);
        let split = out.reshape([batch, frames, rows, columns, self.channels, 1, PATCH, PATCH]);
        Ok(split.permute([0, 4, 1, 5, 2, 6, 3, 7]).reshape([batch, self.channels, frames, height, width]))
    }

    fn repeats_text(&self) -> bool {
        false
    }

    fn takes_known_clean(&self) -> bool {
        true
    }

    fn device(&self) -> Device {
        self.placement.device
    }
}

/// What the text goes through first: self-attention that is told the noise level and the text's mean.
struct Refiner {
    text: Linear,
    time: Embedder,
    mean: Embedder,
    blocks: Vec<RefinerBlock>,
}

impl Refiner {
    fn load(w: &Weights, sizes: Sizes) -> Result<Self> {
        let blocks = w.at("individual_token_refiner.blocks");
        let inputs = w.dim("input_embedder.weight", 1)?;
        Ok(Self {
            text: Linear::load(&w.at("input_embedder"), inputs, sizes.width)?,
            time: Embedder::load(&w.at("t_embedder"), sizes.width)?,
            mean: Embedder::load(&w.at("c_embedder"), sizes.width)?,
            blocks: (0..blocks.children()).map(|i| RefinerBlock::load(&blocks.at(i), sizes)).collect::<Result<_>>()?,
        })
    }

    fn forward(&self, text: &Tensor, level: &Tensor) -> Tensor {
        let mean = text.sum_dim_intlist([1i64].as_slice(), false, text.kind()) / text.size()[1] as f64;
        let told = self.time.forward(level) + self.mean.forward(&mean);
        self.blocks.iter().fold(self.text.forward(text), |x, block| block.forward(&x, &told))
    }
}

struct RefinerBlock {
    heads: i64,
    modulation: Linear,
    norm1: LayerNorm,
    qkv: Linear,
    out: Linear,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
}

impl RefinerBlock {
    fn load(w: &Weights, Sizes { width, heads, .. }: Sizes) -> Result<Self> {
        let hidden = w.dim("mlp.0.weight", 0)?;
        let norm = |name: &str| Ok::<_, anyhow::Error>(LayerNorm::load(&w.at(name), width)?.with_eps(1e-6));
        Ok(Self {
            heads,
            modulation: Linear::load(&w.at("adaLN_modulation.1"), width, 2 * width)?,
            norm1: norm("norm1")?,
            qkv: Linear::load(&w.at("self_attn.qkv"), width, 3 * width)?,
            out: Linear::load(&w.at("self_attn.proj"), width, width)?,
            norm2: norm("norm2")?,
            up: Linear::load(&w.at("mlp.0"), width, hidden)?,
            down: Linear::load(&w.at("mlp.2"), hidden, width)?,
        })
    }

    fn forward(&self, x: &Tensor, told: &Tensor) -> Tensor {
        let gates = self.modulation.forward(&told.silu()).chunk(2, 1);
        let qkv = self.qkv.forward(&self.norm1.forward(x));
        let split = qkv.reshape([qkv.size()[0], qkv.size()[1], 3, self.heads, -1]).permute([2, 0, 3, 1, 4]);
        let attended = attention_of_heads(&split.get(0), &split.get(1), &split.get(2));
        let x = x + self.out.forward(&attended) * gates[0].unsqueeze(1);
        let h = self.down.forward(&self.up.forward(&self.norm2.forward(&x)).silu());
        &x + h * gates[1].unsqueeze(1)
    }
}
