//! What is common to all kinds: a difference, scaled and added to a weight, or decomposed into direction and length.

use std::rc::Rc;

use anyhow::{Result, bail, ensure};
use tch::{Kind, Tensor};
use tracing::warn;

use super::file::{Stored, elements};
use crate::files::delta::Change;

/// How much larger than the weight an intermediate result may be: LoRAs whose rank is far beyond what can be of use are refused.
const LARGEST: i64 = 64;

/// Intermediate results of so few elements are let pass.
const HARMLESS: i64 = 1 << 22;

/// What a file has for one weight.
pub(super) trait Adapter {
    /// The weight changed at a strength, in its own element type. An error leaves it as it was.
    fn apply(&self, weight: &Tensor, strength: f64) -> Result<Tensor>;

    /// The shape of what it makes of a weight of this shape.
    fn shape(&self, shape: &[i64]) -> Vec<i64> {
        shape.to_vec()
    }

    /// Whether it makes a difference at the strength 0.
    fn counts_at_zero(&self) -> bool {
        false
    }
}

/// A change at a strength.
pub(super) struct AtStrength {
    pub(super) adapter: Rc<dyn Adapter>,
    pub(super) strength: f64,
}

impl Change for AtStrength {
    fn shape(&self, shape: &[i64]) -> Vec<i64> {
        self.adapter.shape(shape)
    }

    fn apply(&self, weight: &Tensor, _: Kind) -> Result<Tensor> {
        self.adapter.apply(weight, self.strength)
    }
}

/// A difference to a weight.
pub(super) trait Difference {
    /// The difference in float32, of as many elements as the weight, before it is scaled. Most do not look at the strength.
    ///
    /// Sizes are checked before memory is taken.
    fn of(&self, weight: &Tensor, strength: f64) -> Result<Tensor>;

    /// What alpha is divided by; without a rank, the difference is added as it is.
    fn rank(&self, weight: &[i64]) -> Option<i64>;

    /// What the difference is multiplied by in a decomposition, given alpha and what it is multiplied by otherwise.
    fn decomposed_scale(&self, _alpha: Option<f64>, scale: f64) -> f64 {
        scale
    }
}

/// A difference that is scaled and added to the weight.
pub(super) struct Added<D> {
    pub(super) difference: D,
    /// The difference is multiplied by alpha / rank, besides the strength.
    pub(super) alpha: Option<f64>,
    /// The lengths of the weight's rows or columns (DoRA).
    pub(super) lengths: Option<Stored>,
    /// A shape to which the weight is filled up with zeros first.
    pub(super) padded: Option<Vec<i64>>,
}

impl<D: Difference> Adapter for Added<D> {
    fn apply(&self, weight: &Tensor, strength: f64) -> Result<Tensor> {
        let padded = self.shape(&weight.size());
        if padded == weight.size() {
            return self.added(weight, strength);
        }
        let larger = pad(weight, &padded)?;
        // The network was given the larger shape: it is kept even if the difference cannot be added.
        Ok(self.added(&larger, strength).unwrap_or_else(|error| {
            warn!("a weight was filled up, but not changed: {error:#}");
            larger
        }))
    }

    fn shape(&self, shape: &[i64]) -> Vec<i64> {
        let fits = |larger: &&Vec<i64>| {
            larger.len() == shape.len()
                && larger.iter().zip(shape).all(|(new, old)| new >= old)
                && elements(larger) <= elements(shape).saturating_mul(LARGEST)
        };
        self.padded.as_ref().filter(fits).map_or_else(|| shape.to_vec(), Clone::clone)
    }

    fn counts_at_zero(&self) -> bool {
        self.padded.is_some()
    }
}

impl<D: Difference> Added<D> {
    fn added(&self, weight: &Tensor, strength: f64) -> Result<Tensor> {
        let size = weight.size();
        let scale = match (self.alpha, self.difference.rank(&size)) {
            (Some(_), Some(0)) => bail!("its rank is 0"),
            (Some(alpha), Some(rank)) => alpha / rank as f64,
            _ => 1.0,
        };
        let difference = self.difference.of(weight, strength)?.f_reshape(&size)?;
        match &self.lengths {
            Some(lengths) => {
                let difference = difference * self.difference.decomposed_scale(self.alpha, scale);
                decomposed(weight, &difference.to_kind(weight.kind()), lengths, strength)
            }
            None => Ok(weight.f_add(&(difference * (strength * scale)).to_kind(weight.kind()))?),
        }
    }
}

/// The weight with a difference added, its rows or columns brought to the given lengths (DoRA, Liu et al. 2024,
/// arXiv:2402.09353); that much of the way which the strength says.
fn decomposed(weight: &Tensor, difference: &Tensor, lengths: &Stored, strength: f64) -> Result<Tensor> {
    let (size, shape) = (weight.size(), &lengths.shape);
    let broadcasts = shape.len() <= size.len()
        && shape.iter().rev().zip(size.iter().rev()).all(|(length, size)| *length == 1 || length == size);
    ensure!(
        !shape.is_empty() && broadcasts && (shape[0] == size[0] || size.len() >= 2),
        "{} has shape {shape:?}, and the weight {size:?}",
        lengths.name
    );
    let (lengths, kind) = (lengths.read(weight.device())?, weight.kind());
    let changed = weight.f_add(difference)?;
    let rows = |t: &Tensor| -> Result<Tensor> {
        let axis = t.size()[0];
        let lengths = t.f_reshape([axis, -1])?.f_linalg_norm(2.0, [1i64].as_slice(), true, None::<Kind>)?;
        let shape: Vec<i64> = (0..size.len()).map(|dim| if dim == 0 { axis } else { 1 }).collect();
        Ok(lengths.f_reshape(shape)?)
    };
    // ComfyUI measures the rows of the weight as it was, but the columns of the changed one.
    let found = if shape[0] == size[0] { rows(weight)? } else { rows(&changed.transpose(0, 1))?.f_transpose(0, 1)? };
    let epsilon = if kind == Kind::Half { f64::from(half::f16::EPSILON) } else { f64::from(f32::EPSILON) };
    let brought = changed * lengths.f_div(&(found + epsilon))?.to_kind(kind);
    Ok(if strength == 1.0 { brought } else { weight + (brought - weight) * strength })
}

/// A tensor filled up with zeros at the end of each dimension.
fn pad(tensor: &Tensor, shape: &[i64]) -> Result<Tensor> {
    let padded = Tensor::f_zeros(shape, (tensor.kind(), tensor.device()))?;
    let mut part = padded.shallow_clone();
    for (dim, size) in (0..).zip(tensor.size()) {
        part = part.f_narrow(dim, 0, size)?;
    }
    part.f_copy_(tensor)?;
    Ok(padded)
}

/// An error unless a difference of so many elements fits the weight.
pub(super) fn fits(weight: &Tensor, found: i64, what: &str) -> Result<()> {
    let size = weight.size();
    ensure!(found == elements(&size), "{what} makes {found} elements, and the weight has shape {size:?}");
    Ok(())
}

/// An error if an intermediate result of these sizes takes far more memory than the weight.
pub(super) fn bounded(weight: &Tensor, sizes: &[i64], what: &str) -> Result<()> {
    let limit = elements(&weight.size()).saturating_mul(LARGEST).max(HARMLESS);
    ensure!(
        elements(sizes) <= limit,
        "{what} would need {} elements, for a weight of shape {:?}",
        elements(sizes),
        weight.size()
    );
    Ok(())
}
