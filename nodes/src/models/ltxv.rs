//! LTX-Video (Lightricks 2024, arXiv:2501.00103): a transformer over the points of a video's latent, a rectified flow.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value as Json;
use tch::{Device, Kind, Tensor};

use crate::diffusion::network::{Inputs, Network};
use crate::diffusion::patch::TransformerBlock;
use crate::files::weights::Weights;
use crate::models::unet::sinusoids;
use crate::ops::attention::{attention, masked_attention};
use crate::ops::layers::{Linear, RmsNorm, normalised};
use crate::ops::numerics::{Numerics, Placement};

/// 1 for tokens of the text that are seen, B×T.
pub const ATTENTION_MASK: &str = "attention_mask";
/// What is to be made anew, of the latent's shape: points that are kept have no noise, which the network is told point by point.
pub const DENOISE_MASK: &str = "denoise_mask";
/// Where the last points of the latent lie in the video, B×3×K×2: frame, row and column of their first and last pixels.
pub const KEYFRAMES: &str = "keyframe_idxs";
/// Frames in a second, written out.
pub const FRAME_RATE: &str = "frame_rate";

/// Frames, rows and columns of a video that a point of the latent stands for.
const FACTORS: [i64; 3] = [8, 32, 32];
/// How wide the noise level is spread.
const SPREAD: i64 = 256;
/// How many heads share the width, unless the file says otherwise.
const HEADS: i64 = 32;
/// eps of the norms of queries and keys.
const EPS: f64 = 1e-5;

/// The network. Sizes are read off the weights, and the rest off what the file says of itself.
pub struct Ltxv {
    placement: Placement,
    points: Linear,
    time: [Linear; 2],
    modulation: Linear,
    caption: [Linear; 2],
    blocks: Vec<Block>,
    table: Tensor,
    out: Linear,
    width: i64,
    settings: Settings,
}

/// What the tensors do not tell.
struct Settings {
    heads: i64,
    /// Whether the first frame of a latent is taken for one frame, and not for eight.
    causal: bool,
    theta: f64,
    /// Seconds, rows and columns that positions are parts of.
    extent: [f64; 3],
    time_scale: f64,
}

impl Settings {
    fn of(w: &Weights) -> Result<Self> {
        let config = w.metadata("config").and_then(|text| serde_json::from_str::<Json>(text).ok());
        let said = config.as_ref().and_then(|config| config.get("transformer"));
        let number = |name: &str| said.and_then(|said| said.get(name)?.as_f64());
        let is = |name: &str| said.and_then(|said| said.get(name)?.as_bool()).unwrap_or(false);
        let text = |name: &str| said.and_then(|said| said.get(name)?.as_str());
        ensure!(
            !is("use_middle_indices_grid") && text("rope_type").is_none_or(|kind| kind == "interleaved"),
            "{} is a newer model of LTX than 0.9, which is not supported yet; use one of 0.9",
            w.path().display()
        );
        let extent = said.and_then(|said| said.get("positional_embedding_max_pos")?.as_array()).map(|sides| {
            let side = |at: usize, or: f64| sides.get(at).and_then(Json::as_f64).unwrap_or(or);
            [side(0, 20.0), side(1, 2048.0), side(2, 2048.0)]
        });
        let heads = number("num_attention_heads").map_or(HEADS, |heads| heads as i64);
        let theta = number("positional_embedding_theta").unwrap_or(10000.0);
        let extent = extent.unwrap_or([20.0, 2048.0, 2048.0]);
        ensure!(
            theta > 0.0 && extent.iter().all(|&side| side > 0.0),
            "{} says that positions are parts of {extent:?}, by frequencies of {theta}; the file is damaged",
            w.path().display()
        );
        Ok(Self {
            heads,
            causal: is("causal_temporal_positioning"),
            theta,
            extent,
            time_scale: number("timestep_scale_multiplier").unwrap_or(1000.0),
        })
    }
}

impl Ltxv {
    /// Builds the network from the tensors below `weights` (`patchify_proj.*`, `transformer_blocks.*`, …).
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.transformer(weights);
        let w = &weights.placed(placement);
        let settings = Settings::of(w)?;
        let (width, channels) = (w.dim("patchify_proj.weight", 0)?, w.dim("patchify_proj.weight", 1)?);
        ensure!(
            settings.heads > 0 && width % settings.heads == 0,
            "{} is {width} wide, which {} heads cannot share; the file is damaged",
            w.path().display(),
            settings.heads
        );
        let (time, caption) = (w.at("adaln_single.emb.timestep_embedder"), w.at("caption_projection"));
        let blocks = w.at("transformer_blocks");
        Ok(Self {
            placement,
            points: Linear::load(&w.at("patchify_proj"), channels, width)?,
            time: [
                Linear::load(&time.at("linear_1"), SPREAD, width)?,
                Linear::load(&time.at("linear_2"), width, width)?,
            ],
            modulation: Linear::load(&w.at("adaln_single.linear"), width, 6 * width)?,
            caption: [
                Linear::load(&caption.at("linear_1"), caption.dim("linear_1.weight", 1)?, width)?,
                Linear::load(&caption.at("linear_2"), width, width)?,
            ],
            blocks: (0..blocks.children())
                .map(|i| Block::load(&blocks.at(i), width, settings.heads))
                .collect::<Result<_>>()?,
            table: w.tensor("scale_shift_table", &[2, width])?,
            out: Linear::load(&w.at("proj_out"), width, channels)?,
            width,
            settings,
        })
    }

    /// Modulations, B×1×6·W or one for each point, and the embedded noise level, B×1×W or so.
    fn levels(&self, levels: &Tensor, batch: i64) -> [Tensor; 2] {
        let scaled = (levels * self.settings.time_scale).flatten(0, -1);
        let [first, second] = &self.time;
        let embedded = second.forward(&first.forward(&sinusoids(&scaled, SPREAD, self.placement.device)).silu());
        let modulation = self.modulation.forward(&embedded.silu());
        [modulation, embedded].map(|x| x.view([batch, -1, x.size()[1]]))
    }

    /// Cosines and sines that turn queries and keys, B×N×W, for the places of points, B×3×N float32.
    fn turns(&self, places: &Tensor) -> [Tensor; 2] {
        let count = self.width / 6;
        let exponents = Tensor::linspace(0.0, 1.0, count, (Kind::Float, places.device()));
        let frequencies = Tensor::pow_scalar(self.settings.theta, &exponents) * std::f64::consts::PI / 2.0;
        let parts: Vec<Tensor> =
            (0..).zip(self.settings.extent).map(|(axis, extent)| places.select(1, axis) / extent).collect();
        let parts = Tensor::stack(&parts, -1);
        let angles = (frequencies * (parts.unsqueeze(-1) * 2.0 - 1.0)).transpose(-1, -2).flatten(2, -1);
        let missing = self.width % 6;
        [(angles.cos(), 1.0), (angles.sin(), 0.0)].map(|(turn, still)| {
            let turn = turn.repeat_interleave_self_int(2, -1, None);
            if missing == 0 {
                return turn;
            }
            Tensor::cat(&[&turn.narrow(-1, 0, missing).full_like(still), &turn], -1)
        })
    }

    /// Where the points of a latent begin in the video: B×3×N, int64.
    fn places(&self, [frames, rows, columns]: [i64; 3], batch: i64) -> Tensor {
        let options = (Kind::Int64, self.placement.device);
        let line = |count: i64, shape: [i64; 3]| {
            Tensor::arange(count, options).view(shape).expand([frames, rows, columns], false)
        };
        let axes = [line(frames, [-1, 1, 1]), line(rows, [1, -1, 1]), line(columns, [1, 1, -1])];
        let factors = Tensor::from_slice(&FACTORS).to_device(self.placement.device).view([3, 1, 1, 1]);
        let places = Tensor::stack(&axes, 0) * factors;
        if self.settings.causal {
            let mut time = places.select(0, 0);
            time.copy_(&(&time + (1 - FACTORS[0])).clamp_min(0));
        }
        places.flatten(1, -1).unsqueeze(0).repeat([batch, 1, 1])
    }
}

/// B×C×T×h×w as B×N×C.
fn tokens(x: &Tensor) -> Tensor {
    x.flatten(2, -1).transpose(1, 2)
}

impl Network for Ltxv {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        let place = |x: &Tensor| x.to_device_(self.placement.device, Kind::Float, false, false);
        let size = inputs.x.size();
        let &[batch, channels, frames, height, width] = size.as_slice() else {
            bail!("the latent is shaped {size:?}, and LTX-Video's are batch x channels x frames x height x width");
        };
        ensure!(
            channels == self.points.inputs(),
            "the latent has {channels} channels, and the model takes {}: use EmptyLTXVLatentVideo and a VAE of the model's family",
            self.points.inputs()
        );
        let (has, takes) = (inputs.context.size().last().copied().unwrap_or(0), self.caption[0].inputs());
        ensure!(
            has == takes,
            "the prompt's embedding is {has} wide and the model takes {takes}: encode it with T5, CLIPLoader's type ltxv"
        );
        let denoised = inputs.extra.get(DENOISE_MASK);
        let levels = match denoised {
            Some(mask) => tokens(&(mask * inputs.timestep.view([-1, 1, 1, 1, 1])).narrow(1, 0, 1)),
            None => inputs.timestep.shallow_clone(),
        };
        let rate: f64 = inputs.extra.constant(FRAME_RATE).and_then(|rate| rate.parse().ok()).unwrap_or(25.0);
        ensure!(
            rate > 0.0,
            "the conditioning tells of {rate} frames a second: set LTXVConditioning's frame_rate above 0"
        );
        let mut places = self.places([frames, height, width], batch);
        let mut points = tokens(&place(inputs.x));
        let mut kept = None;
        let mut levels = place(&levels);
        if let Some(keyframes) = inputs.extra.get(KEYFRAMES) {
            let mask = denoised
                .context("the conditioning has key frames and the latent no noise mask: take both from LTXVAddGuide")?;
            // Points of a negative mask take no part.
            let takes_part = tokens(&place(mask)).ge(0.0).all_dim(-1, false).select(0, 0);
            let (size, count) = (keyframes.size(), points.size()[1]);
            let keys = match size[..] {
                [of, 3, keys, 2] if of == batch && keys <= count => keys,
                _ => bail!(
                    "the conditioning has places of key frames shaped {size:?}, and the latent has {count} points: take both from one \
                     LTXVAddGuide"
                ),
            };
            let at = takes_part.nonzero().squeeze_dim(1);
            let of_keys = takes_part.narrow(0, takes_part.size()[0] - keys, keys).nonzero().squeeze_dim(1);
            points = points.index_select(1, &at);
            levels = levels.index_select(1, &at);
            let own = places.index_select(2, &at);
            let keyframes = keyframes.to_device(self.placement.device).select(-1, 0).index_select(2, &of_keys);
            let before = own.size()[2] - of_keys.size()[0];
            places = Tensor::cat(&[own.narrow(2, 0, before), keyframes.to_kind(Kind::Int64)], 2);
            kept = Some(at);
        }
        let mut x = self.points.forward(&points);
        let [modulation, embedded] = self.levels(&levels, batch);
        let [first, second] = &self.caption;
        let context = second.forward(&first.forward(&place(inputs.context)).gelu("tanh"));
        let hidden = inputs.extra.get(ATTENTION_MASK).map(|mask| {
            let mask = (mask - 1).to_kind(Kind::Float).to_device(self.placement.device);
            mask.reshape([mask.size()[0], 1, -1, mask.size()[1]]) * f64::from(f32::MAX)
        });
        let places = places.to_kind(Kind::Float);
        let mut time = places.select(1, 0);
        time.copy_(&(&time * (1.0 / rate)));
        let turns = self.turns(&places);
        for (i, block) in self.blocks.iter().enumerate() {
            if !inputs.call.skips(TransformerBlock::Double(i)) {
                x = block.forward(x, &context, hidden.as_ref(), &modulation, &turns);
            }
        }
        let table = self.table.unsqueeze(0).unsqueeze(0) + embedded.unsqueeze(2);
        let (shift, scale) = (table.select(2, 0), table.select(2, 1));
        let x = normalised(&x, self.width) * (scale + 1.0) + shift;
        let mut out = self.out.forward(&x);
        if let Some(at) = kept {
            let all = Tensor::zeros([batch, frames * height * width, channels], (out.kind(), out.device()));
            out = all.index_copy(1, &at, &out);
        }
        Ok(out.transpose(1, 2).reshape([batch, channels, frames, height, width]))
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

/// Attention with norms over the whole width of queries and keys.
struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    norms: [RmsNorm; 2],
    heads: i64,
}

impl Attention {
    fn load(w: &Weights, width: i64, context: i64, heads: i64) -> Result<Self> {
        let norm =
            |name: &str| Ok::<_, anyhow::Error>(RmsNorm::load(&w.at(name), "weight", width)?.with_eps(Some(EPS)));
        Ok(Self {
            q: Linear::load(&w.at("to_q"), width, width)?,
            k: Linear::load(&w.at("to_k"), context, width)?,
            v: Linear::load(&w.at("to_v"), context, width)?,
            out: Linear::load(&w.at("to_out.0"), width, width)?,
            norms: [norm("q_norm")?, norm("k_norm")?],
            heads,
        })
    }

    fn forward(&self, x: &Tensor, context: &Tensor, mask: Option<&Tensor>, turns: Option<&[Tensor; 2]>) -> Tensor {
        let (q, k, v) = (self.q.forward(x), self.k.forward(context), self.v.forward(context));
        let [of_q, of_k] = &self.norms;
        let (mut q, mut k) = (of_q.forward(&q), of_k.forward(&k));
        if let Some(turns) = turns {
            (q, k) = (turned(&q, turns), turned(&k, turns));
        }
        self.out.forward(&match mask {
            Some(mask) => masked_attention(&q, &k, &v, self.heads, mask),
            None => attention(&q, &k, &v, self.heads),
        })
    }
}

/// B×N×W, turned in pairs of neighbours.
fn turned(x: &Tensor, [cos, sin]: &[Tensor; 2]) -> Tensor {
    let pairs = x.unflatten(-1, [-1, 2]);
    let across = Tensor::stack(&[&-pairs.select(-1, 1), &pairs.select(-1, 0)], -1).flatten(-2, -1);
    x * cos + across * sin
}

struct Block {
    own: Attention,
    text: Attention,
    up: Linear,
    down: Linear,
    table: Tensor,
}

impl Block {
    fn load(w: &Weights, width: i64, heads: i64) -> Result<Self> {
        let hidden = w.dim("ff.net.0.proj.weight", 0)?;
        Ok(Self {
            own: Attention::load(&w.at("attn1"), width, width, heads)?,
            text: Attention::load(&w.at("attn2"), width, w.dim("attn2.to_k.weight", 1)?, heads)?,
            up: Linear::load(&w.at("ff.net.0.proj"), width, hidden)?,
            down: Linear::load(&w.at("ff.net.2"), hidden, width)?,
            table: w.tensor("scale_shift_table", &[6, width])?,
        })
    }

    /// `x` is nobody else's.
    fn forward(
        &self,
        mut x: Tensor,
        context: &Tensor,
        mask: Option<&Tensor>,
        modulation: &Tensor,
        turns: &[Tensor; 2],
    ) -> Tensor {
        let size = modulation.size();
        let parts = self.table.unsqueeze(0).unsqueeze(0) + modulation.reshape([size[0], size[1], 6, -1]);
        let parts = parts.unbind(2);
        let n = modulated(&x, &parts[0], &parts[1]);
        let _ = x.addcmul_(&self.own.forward(&n, &n, None, Some(turns)), &parts[2]);
        x += self.text.forward(&x, context, mask, None);
        let n = modulated(&x, &parts[3], &parts[4]);
        let h = self.down.forward(&self.up.forward(&n).gelu("tanh"));
        let _ = x.addcmul_(&h, &parts[5]);
        x
    }
}

/// `x`, normalised by its root mean square, scaled by 1 + `scale` and shifted.
fn modulated(x: &Tensor, shift: &Tensor, scale: &Tensor) -> Tensor {
    let width = x.size().last().copied().unwrap_or(0);
    let n = x.rms_norm([width], None::<&Tensor>, Some(1e-6));
    n.addcmul(&n, scale) + shift
}
