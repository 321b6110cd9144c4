//! The blocks of LTX-Video's autoencoder.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::files::weights::Weights;
use crate::models::unet::sinusoids;
use crate::ops::layers::{LayerNorm, Linear};
use crate::ops::noise::Stream;

/// eps of the norm over the channels of a point.
const EPS: f64 = 1e-8;
/// How wide the noise level is spread.
const SPREAD: i64 = 256;

/// How a convolution goes on beyond the edges of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edges {
    /// Whether it repeats the first frame in front of the video alone, and not the last one behind it, too.
    pub causal: bool,
    /// Whether rows and columns are mirrored at the edges; else there are zeros.
    pub mirrors: bool,
}

/// A convolution over 3×3×3 points.
pub(super) struct Conv {
    weight: Tensor,
    bias: Tensor,
    edges: Edges,
    stride: [i64; 3],
}

impl Conv {
    pub(super) fn load(w: &Weights, inputs: i64, edges: Edges) -> Result<Self> {
        Self::strided(w, inputs, edges, [1; 3])
    }

    pub(super) fn strided(w: &Weights, inputs: i64, edges: Edges, stride: [i64; 3]) -> Result<Self> {
        let w = w.at("conv");
        let outputs = w.dim("weight", 0)?;
        ensure!(outputs > 0, "{} has no channels in {}; it is damaged", w.path().display(), w.full_name("weight"));
        let weight = w.tensor("weight", &[outputs, inputs, 3, 3, 3])?;
        Ok(Self { weight, bias: w.tensor("bias", &[outputs])?, edges, stride })
    }

    pub(super) fn outputs(&self) -> i64 {
        self.weight.size()[0]
    }

    /// `x` is B×C×T×H×W.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let (first, last) = (x.narrow(2, 0, 1), x.narrow(2, x.size()[2] - 1, 1));
        let x = match self.edges.causal {
            true => Tensor::cat(&[&first.repeat([1, 1, 2, 1, 1]), x], 2),
            false => Tensor::cat(&[&first, x, &last], 2),
        };
        let convolved = |x: &Tensor, side: i64| {
            x.conv3d(&self.weight, Some(&self.bias), self.stride, [0, side, side], [1, 1, 1], 1)
        };
        match self.edges.mirrors {
            true => convolved(&x.pad([1, 1, 1, 1, 0, 0], "reflect", None), 0),
            false => convolved(&x, 1),
        }
    }
}

/// Channels of each point, scaled to a root mean square of 1.
pub(super) fn normalised(x: &Tensor) -> Tensor {
    x / (x.square().mean_dim([1i64].as_slice(), true, x.kind()) + EPS).sqrt()
}

/// What a decoder is told with a latent.
pub(super) struct Told {
    /// The noise level, times what it is multiplied by: one number; without it the decoder takes none.
    pub level: Option<Tensor>,
    /// What the noise comes from that some blocks add.
    pub noise: Stream,
}

/// Embeds a noise level.
pub(super) struct TimeEmbedder([Linear; 2]);

impl TimeEmbedder {
    pub(super) fn load(w: &Weights) -> Result<Self> {
        let w = w.at("timestep_embedder");
        let width = w.dim("linear_1.weight", 0)?;
        let second = Linear::load(&w.at("linear_2"), width, width)?;
        Ok(Self([Linear::load(&w.at("linear_1"), SPREAD, width)?, second]))
    }

    /// 1×`parts`×C×1×1×1 of a level, one number.
    pub(super) fn forward(&self, level: &Tensor, parts: i64) -> Tensor {
        let [first, second] = &self.0;
        let spread = sinusoids(&level.flatten(0, -1), SPREAD, level.device());
        second.forward(&first.forward(&spread).silu()).reshape([1, parts, -1, 1, 1, 1])
    }
}

/// Two convolutions beside a shortcut.
pub(super) struct Residual {
    conv1: Conv,
    conv2: Conv,
    shortcut: Option<Shortcut>,
    /// Scales and shifts, 4×C, to which those of the noise level are added.
    table: Option<Tensor>,
    /// How strongly noise is added to each channel behind either convolution.
    noise: Option<[Tensor; 2]>,
}

struct Shortcut {
    norm: LayerNorm,
    weight: Tensor,
    bias: Tensor,
}

impl Residual {
    pub(super) fn load(w: &Weights, inputs: i64, edges: Edges) -> Result<Self> {
        let conv1 = Conv::load(&w.at("conv1"), inputs, edges)?;
        let outputs = conv1.outputs();
        let table = "scale_shift_table";
        let noise = |name: &str| w.tensor(name, &[inputs, 1, 1]);
        let shortcut = || -> Result<Shortcut> {
            Ok(Shortcut {
                norm: LayerNorm::load(&w.at("norm3.norm"), inputs)?.with_eps(1e-6),
                weight: w.tensor("conv_shortcut.weight", &[outputs, inputs, 1, 1, 1])?,
                bias: w.tensor("conv_shortcut.bias", &[outputs])?,
            })
        };
        Ok(Self {
            conv2: Conv::load(&w.at("conv2"), outputs, edges)?,
            conv1,
            shortcut: (inputs != outputs).then(shortcut).transpose()?,
            table: w.contains(table).then(|| w.tensor(table, &[4, inputs])).transpose()?,
            noise: match w.contains("per_channel_scale1") {
                true => Some([noise("per_channel_scale1")?, noise("per_channel_scale2")?]),
                false => None,
            },
        })
    }

    pub(super) fn outputs(&self) -> i64 {
        self.conv1.outputs()
    }

    /// `embedded` is the noise level for this block, 1×4×C×1×1×1.
    fn forward(&self, x: &Tensor, embedded: Option<&Tensor>, noise: &mut Stream) -> Tensor {
        let parts = match (&self.table, embedded) {
            (Some(table), Some(embedded)) => {
                let table = table.unsqueeze(0).unsqueeze(-1).unsqueeze(-1).unsqueeze(-1);
                Some((table + embedded).unbind(1))
            }
            _ => None,
        };
        let modulated = |h: Tensor, shift: usize| match &parts {
            Some(parts) => h * (&parts[shift + 1] + 1.0) + &parts[shift],
            None => h,
        };
        let mut noisy = |h: Tensor, place: usize| match &self.noise {
            Some(scales) => {
                let size = h.size();
                let drawn = noise.normal(&[size[3], size[4]]).to_device(h.device()).unsqueeze(0);
                h + (drawn * &scales[place]).unsqueeze(0).unsqueeze(2)
            }
            None => h,
        };
        let h = modulated(normalised(x), 0).silu();
        let h = noisy(self.conv1.forward(&h), 0);
        let h = modulated(normalised(&h), 2).silu();
        let h = noisy(self.conv2.forward(&h), 1);
        match &self.shortcut {
            None => x + h,
            Some(Shortcut { norm, weight, bias }) => {
                let last = norm.forward(&x.permute([0, 2, 3, 4, 1])).permute([0, 4, 1, 2, 3]);
                last.conv3d(weight, Some(bias), [1, 1, 1], [0, 0, 0], [1, 1, 1], 1) + h
            }
        }
    }
}

/// A block of a side.
pub(super) enum Block {
    /// Residual blocks, which are told the noise level.
    Residuals(Vec<Residual>, Option<TimeEmbedder>),
    Residual(Box<Residual>),
    Conv(Conv),
    /// Points are put into channels beside a mean of them.
    Smaller(Conv, [i64; 3]),
    /// Channels are put into points; `residual` says how often the input's are repeated and added.
    Larger {
        conv: Conv,
        factors: [i64; 3],
        residual: Option<i64>,
    },
}

impl Block {
    /// So many residual blocks of one width.
    pub(super) fn residuals(w: &Weights, channels: i64, count: usize, edges: Edges) -> Result<Self> {
        let blocks = w.at("res_blocks");
        let each = (0..count).map(|i| Residual::load(&blocks.at(i), channels, edges)).collect::<Result<Vec<_>>>()?;
        let time = w.at("time_embedder");
        ensure!(
            each.iter().all(|block| block.outputs() == channels),
            "{} has a block whose width changes where it should not; the file is damaged",
            w.path().display()
        );
        Ok(Block::Residuals(each, (!time.is_empty()).then(|| TimeEmbedder::load(&time)).transpose()?))
    }

    pub(super) fn forward(&self, x: Tensor, told: &mut Told) -> Tensor {
        match self {
            Block::Residuals(blocks, time) => {
                let embedded = match (time, &told.level) {
                    (Some(time), Some(level)) => Some(time.forward(level, 4)),
                    _ => None,
                };
                blocks.iter().fold(x, |x, block| block.forward(&x, embedded.as_ref(), &mut told.noise))
            }
            Block::Residual(block) => block.forward(&x, None, &mut told.noise),
            Block::Conv(conv) => conv.forward(&x),
            Block::Smaller(conv, factors) => smaller(&x, conv, *factors),
            Block::Larger { conv, factors, residual } => larger(&x, conv, *factors, *residual),
        }
    }
}

fn smaller(x: &Tensor, conv: &Conv, factors: [i64; 3]) -> Tensor {
    let doubled = (factors[0] == 2).then(|| Tensor::cat(&[&x.narrow(2, 0, 1), x], 2));
    let x = doubled.as_ref().unwrap_or(x);
    let convolved = into_channels(&conv.forward(x), factors);
    let own = into_channels(x, factors);
    let group = own.size()[1] / convolved.size()[1];
    convolved + own.unflatten(1, [-1, group]).mean_dim([2i64].as_slice(), false, x.kind())
}

fn larger(x: &Tensor, conv: &Conv, factors: [i64; 3], residual: Option<i64>) -> Tensor {
    let cut = |x: Tensor| if factors[0] == 2 { x.slice(2, 1, None, 1) } else { x };
    let own = residual.map(|times| cut(into_points(x, factors).repeat([1, times, 1, 1, 1])));
    let convolved = cut(into_points(&conv.forward(x), factors));
    match own {
        Some(own) => convolved + own,
        None => convolved,
    }
}

/// B×C×T×H×W with the points of boxes put into channels behind each channel.
fn into_channels(x: &Tensor, [time, rows, columns]: [i64; 3]) -> Tensor {
    let s = x.size();
    let (t, h, w) = (s[2] / time, s[3] / rows, s[4] / columns);
    let split = x.reshape([s[0], s[1], t, time, h, rows, w, columns]);
    split.permute([0, 1, 3, 5, 7, 2, 4, 6]).reshape([s[0], -1, t, h, w])
}

/// The inverse of [`into_channels`].
fn into_points(x: &Tensor, [time, rows, columns]: [i64; 3]) -> Tensor {
    let s = x.size();
    let split = x.reshape([s[0], -1, time, rows, columns, s[2], s[3], s[4]]);
    split.permute([0, 1, 5, 2, 6, 3, 7, 4]).reshape([s[0], -1, s[2] * time, s[3] * rows, s[4] * columns])
}

/// Nothing to be told, for encoders.
pub(super) fn nothing() -> Told {
    Told { level: None, noise: Stream::seeded(0) }
}

/// A noise level, one number.
pub(super) fn level(scale: &Tensor, level: f64) -> Tensor {
    (scale * level).to_kind(Kind::Float).to_device(Device::Cpu).to_device(scale.device())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_go_into_channels_and_back() {
        let x = Tensor::arange(2 * 2 * 2 * 4, (Kind::Float, Device::Cpu)).view([1, 2, 2, 2, 4]);
        let small = into_channels(&x, [2, 2, 2]);
        assert_eq!(small.size(), [1, 16, 1, 1, 2]);
        let first: Vec<f32> = Vec::try_from(small.select(4, 0).flatten(0, -1).narrow(0, 0, 4)).unwrap_or_default();
        assert_eq!(first, [0.0, 1.0, 4.0, 5.0]);
        assert_eq!(into_points(&small, [2, 2, 2]), x);
    }
}
