//! The layers of the networks. Each loads its tensors by name and shape.

use anyhow::{Result, ensure};
use redraft_engine::error::Unsupported;
use tch::{Device, Kind, Tensor};

use crate::files::gguf::Packed;
use crate::files::weights::Weights;

/// y = x·Wᵀ + b over the last dimension.
///
/// Weights may have a smaller element type than activations, or lie in blocks. They are then widened for each call.
pub struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
}

/// A matrix, outputs×inputs.
enum Matrix {
    Plain(Tensor),
    /// Floats of 8 bits, and what they are multiplied by when they are widened.
    Scaled(Tensor, Tensor),
    Packed(Packed),
}

impl Matrix {
    fn shape(&self) -> [i64; 2] {
        let (outputs, inputs) = match self {
            Matrix::Plain(weight) | Matrix::Scaled(weight, _) => weight.size2().unwrap_or_default(),
            Matrix::Packed(packed) => match packed.shape() {
                &[outputs, inputs] => (outputs, inputs),
                _ => (0, 0),
            },
        };
        [outputs, inputs]
    }

    fn device(&self) -> Device {
        match self {
            Matrix::Plain(weight) | Matrix::Scaled(weight, _) => weight.device(),
            Matrix::Packed(packed) => packed.device(),
        }
    }

    fn of_kind(&self, kind: Kind) -> Tensor {
        match self {
            Matrix::Plain(weight) => weight.to_kind(kind),
            Matrix::Scaled(weight, scale) => weight.to_kind(kind) * scale.to_kind(kind),
            Matrix::Packed(packed) => packed.numbers(kind),
        }
    }
}

impl Linear {
    /// The layer of a matrix, outputs×inputs, and a bias.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight: Matrix::Plain(weight), bias }
    }

    /// Reads `weight` (outputs×inputs) and, if it is there, `bias`. Of weights in floats of 8 bits that have a scale, a single number
    /// (`scale_weight` or `weight_scale`), that is read, too.
    ///
    /// # Errors
    /// As [`Weights::tensor`]; a LoRA lies over weights with a scale, or there are several scales.
    pub fn load(weights: &Weights, inputs: i64, outputs: i64) -> Result<Self> {
        let (shape, bias) = ([outputs, inputs], load_bias(weights, outputs)?);
        let stays_small = weights.placement().kind != Kind::Float;
        let Some(scale) = load_scale(weights)? else {
            // What is computed with in float32 is unpacked once; else it stays as small as the file has it.
            let packed = if stays_small { weights.packed("weight", &shape)? } else { None };
            let plain = || weights.tensor("weight", &shape).map(Matrix::Plain);
            return Ok(Self { weight: packed.map_or_else(plain, |packed| Ok(Matrix::Packed(packed)))?, bias });
        };
        if !stays_small {
            return Ok(Self::new(weights.tensor("weight", &shape)? * scale, bias));
        }
        let weight = weights.tensor_as("weight", &shape, weights.kind("weight")?)?;
        Ok(Self { weight: Matrix::Scaled(weight, scale), bias })
    }

    /// The number of input channels.
    pub fn inputs(&self) -> i64 {
        self.weight.shape()[1]
    }

    /// The number of output channels.
    pub fn outputs(&self) -> i64 {
        self.weight.shape()[0]
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.weight.device()
    }

    /// Applies the layer to a tensor of shape …×inputs.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let kind = x.kind();
        match &self.weight {
            Matrix::Plain(weight) if weight.kind() == kind => x.linear(weight, self.bias.as_ref()),
            weight => x.linear(&weight.of_kind(kind), self.bias.as_ref().map(|b| b.to_kind(kind))),
        }
    }
}

/// The names of what a layer's matrix of 8 bits is multiplied by.
const SCALES: [&str; 2] = ["scale_weight", "weight_scale"];

/// Whether a layer's matrix is of 8 bits and has a scale: its numbers count only times that.
pub fn is_scaled(layer: &Weights) -> bool {
    SCALES.iter().any(|name| layer.contains(name))
}

/// Makes sure that the layer of a tensor, by its full name in the file, can be merged and saved.
///
/// # Errors
/// [`Unsupported`] if it [is scaled](is_scaled).
pub fn ensure_unscaled(weights: &Weights, full_name: &str) -> Result<()> {
    let whole = weights.whole();
    let layer = full_name.rsplit_once('.').map_or_else(|| whole.clone(), |(layer, _)| whole.at(layer));
    if is_scaled(&layer) {
        return Err(refused(&layer, "is of 8 bits with a scale, which cannot be merged or saved yet").into());
    }
    Ok(())
}

fn refused(layer: &Weights, why: &str) -> Unsupported {
    let (matrix, file) = (layer.full_name("weight"), layer.path().display());
    Unsupported(format!("{matrix} in {file} {why}; use a file in half precision"))
}

/// The scale of a matrix of 8 bits, if it has one.
fn load_scale(weights: &Weights) -> Result<Option<Tensor>> {
    let Some(name) = SCALES.into_iter().find(|name| weights.contains(name)) else {
        return Ok(None);
    };
    let shape = weights.shape(name)?;
    if shape.iter().product::<i64>() != 1 {
        return Err(refused(weights, "is quantised by blocks, which is not supported yet").into());
    }
    if weights.is_changed("weight") {
        return Err(refused(weights, "is of 8 bits with a scale, over which no LoRA can be laid yet").into());
    }
    Ok(Some(weights.tensor_as(name, &shape, Kind::Float)?.reshape([] as [i64; 0])))
}

fn load_bias(weights: &Weights, outputs: i64) -> Result<Option<Tensor>> {
    weights.contains("bias").then(|| weights.tensor("bias", &[outputs])).transpose()
}

/// A square two-dimensional convolution.
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
    inputs: i64,
    outputs: i64,
}

impl Conv2d {
    /// A convolution of size `kernel` that keeps height and width (for an odd size).
    pub fn load(weights: &Weights, inputs: i64, outputs: i64, kernel: i64) -> Result<Self> {
        Self::strided(weights, inputs, outputs, kernel, 1, kernel / 2)
    }

    /// A convolution with a stride and zero padding at every edge. In files the weight of a 1×1 convolution has the
    /// shape outputs×inputs×1×1 or outputs×inputs.
    pub fn strided(
        weights: &Weights,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
        padding: i64,
    ) -> Result<Self> {
        let shape = [outputs, inputs, kernel, kernel];
        let flat = kernel == 1 && weights.shape("weight")?.len() == 2;
        let weight = weights.tensor("weight", if flat { &shape[..2] } else { &shape })?;
        let weight = if flat { weight.view(shape) } else { weight };
        Ok(Self { weight, bias: load_bias(weights, outputs)?, stride, padding, inputs, outputs })
    }

    /// Applies the layer to a B×C×H×W tensor.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (stride, padding) = (self.stride, self.padding);
        x.conv2d(&self.weight, self.bias.as_ref(), [stride, stride], [padding, padding], [1, 1], 1)
    }

    /// The number of input channels.
    pub fn inputs(&self) -> i64 {
        self.inputs
    }

    /// The number of output channels.
    pub fn outputs(&self) -> i64 {
        self.outputs
    }
}

/// Group normalisation over 32 groups (Wu and He 2018).
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl GroupNorm {
    const GROUPS: i64 = 32;

    /// Reads `weight` and `bias`. `channels` must be a multiple of 32.
    pub fn load(weights: &Weights, channels: i64, eps: f64) -> Result<Self> {
        ensure!(
            channels % Self::GROUPS == 0,
            "{} in {} has {channels} channels, which is no multiple of {}; networks of this width are not supported",
            weights.full_name("weight"),
            weights.path().display(),
            Self::GROUPS
        );
        Ok(Self { weight: weights.tensor("weight", &[channels])?, bias: weights.tensor("bias", &[channels])?, eps })
    }

    /// Normalises a B×C×H×W tensor.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.group_norm(Self::GROUPS, Some(&self.weight), Some(&self.bias), self.eps, true)
    }

    /// Normalises, then applies SiLU (x·σ(x)).
    pub fn forward_silu(&self, x: &Tensor) -> Tensor {
        self.forward(x).silu_()
    }
}

/// Layer normalisation over the last dimension (Ba et al. 2016), eps 1e-5 unless said otherwise.
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Reads `weight` and `bias`.
    pub fn load(weights: &Weights, width: i64) -> Result<Self> {
        Self::load_as(weights, width, weights.placement().kind)
    }

    /// As [`LayerNorm::load`], but computed in the element type `kind` instead of that of the other weights.
    pub fn load_as(weights: &Weights, width: i64, kind: Kind) -> Result<Self> {
        // First read in the type of the other weights, so that the values are rounded as theirs.
        let read = |name| Ok::<_, anyhow::Error>(weights.tensor(name, &[width])?.to_kind(kind));
        Ok(Self { weight: read("weight")?, bias: read("bias")?, eps: 1e-5 })
    }

    /// The same with another eps.
    #[must_use]
    pub fn with_eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// Normalises a tensor of shape …×width.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

/// Root mean square normalisation over the last dimension (Zhang and Sennrich 2019, arXiv:1910.07467), eps 1e-6 unless said otherwise.
pub struct RmsNorm {
    weight: Tensor,
    eps: Option<f64>,
}

impl RmsNorm {
    /// Reads the factors, a tensor of this name.
    pub fn load(weights: &Weights, name: &str, width: i64) -> Result<Self> {
        Ok(Self { weight: weights.tensor(name, &[width])?, eps: Some(1e-6) })
    }

    /// The same with another eps; without one it is the smallest difference of numbers near 1.
    #[must_use]
    pub fn with_eps(self, eps: Option<f64>) -> Self {
        Self { eps, ..self }
    }

    /// Normalises a tensor of shape …×width.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.rms_norm(self.weight.size(), Some(&self.weight.to_kind(x.kind())), self.eps)
    }
}

/// Layer normalisation over the last dimension, of `width`, without factors, eps 1e-6.
pub fn normalised(x: &Tensor, width: i64) -> Tensor {
    x.layer_norm([width], None::<&Tensor>, None::<&Tensor>, 1e-6, true)
}

/// `x` + `y`, in place unless a gradient is being recorded: layers that took `x` need it again then.
///
/// `x` must be nobody else's.
pub fn added(mut x: Tensor, y: &Tensor) -> Tensor {
    if x.requires_grad() || y.requires_grad() {
        return x + y;
    }
    x += y;
    x
}

/// Enlarges a B×C×H×W tensor to the given height and width by repeating pixels.
pub fn upsample_nearest(x: &Tensor, height: i64, width: i64) -> Tensor {
    x.upsample_nearest2d([height, width], None, None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;
    use crate::ops::numerics::Placement;

    /// Weights in floats of 8 bits, and what they are multiplied by.
    #[test]
    fn scaled_weights_are_scaled_however_they_are_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scaled.safetensors");
        // 1, -2, 0.5 and 3.
        let weight = TensorView::new(Dtype::F8_E4M3, vec![2, 2], &[0x38, 0xc0, 0x30, 0x44]).unwrap();
        let write = |scale: &[f32]| {
            let bytes: Vec<u8> = scale.iter().flat_map(|number| number.to_le_bytes()).collect();
            let scale = TensorView::new(Dtype::F32, vec![scale.len()], &bytes).unwrap();
            safetensors::serialize_to_file([("weight", &weight), ("weight_scale", &scale)], None, &path).unwrap();
            Weights::open(&path).unwrap()
        };
        let weights = write(&[0.25]);
        let x = Tensor::from_slice(&[4f32, 8.0]).view([1, 2]);
        for kind in [Kind::Float, Kind::BFloat16, Kind::Half] {
            let layer = Linear::load(&weights.placed(Placement::cpu(kind)), 2, 2).unwrap();
            assert_eq!(Vec::<f32>::try_from(layer.forward(&x).flatten(0, 1)).unwrap(), [-3.0, 6.5], "{kind:?}");
        }
        let message = Linear::load(&write(&[1.0, 2.0]), 2, 2).err().unwrap().to_string();
        assert!(message.contains("by blocks"), "{message}");
    }
}
