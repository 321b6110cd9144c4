//! What a network that steers another one adds inside of it: the residuals of a ControlNet or a T2I-Adapter.

use std::collections::HashMap;

use anyhow::Result;
use tch::{Kind, Tensor};

use super::extra_conds::ExtraConds;
use super::patch::UNetPart;

/// What is added to the states inside of a network, by the part that takes it. An entry without a tensor adds nothing.
///
/// For a UNet, the last entry of a list is for the first block of the part, the last but one for the second; in transformers, the first is
/// for the first.
#[derive(Debug, Default)]
pub struct Residuals {
    /// For a UNet's input blocks, and for the blocks of Flux in which text and picture have weights of their own.
    pub input: Vec<Option<Tensor>>,
    /// For a UNet's middle.
    pub middle: Vec<Option<Tensor>>,
    /// For the skip connections of a UNet, and for the other blocks of transformers.
    pub output: Vec<Option<Tensor>>,
}

/// What a network that steers is asked. All tensors are on the device of the network that it steers, float32.
#[derive(Clone, Copy)]
pub struct ControlInputs<'a> {
    /// The states, scaled as the steered network takes them, without what is shown beside: B×C×h×w.
    pub x: &'a Tensor,
    /// The noise level as the steered network takes it, B values.
    pub timestep: &'a Tensor,
    /// The text, B×T×W.
    pub context: &'a Tensor,
    /// What the steered network takes besides, a row for each state.
    pub extra: &'a ExtraConds,
    /// What it goes by: pictures or their latents, 1×C×H×W or one for each state.
    pub hint: &'a Tensor,
    /// What the pictures show, for networks that know several kinds; none: they are not told.
    pub types: &'a [i64],
}

/// A network that steers another one.
pub trait ControlNetwork {
    /// What it adds.
    fn residuals(&self, inputs: &ControlInputs) -> Result<Residuals>;
}

impl Residuals {
    /// What is added to block number `block` of a UNet's part.
    pub fn of_unet(&self, part: UNetPart, block: usize) -> Option<&Tensor> {
        let list = match part {
            UNetPart::Input => &self.input,
            UNetPart::Middle => &self.middle,
            UNetPart::Output => &self.output,
        };
        list.get(list.len().checked_sub(block + 1)?)?.as_ref()
    }

    /// What is added behind block number `block` of a transformer's list.
    pub fn of_block(list: &[Option<Tensor>], block: usize) -> Option<&Tensor> {
        list.get(block)?.as_ref()
    }

    /// All tensors.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.input, &self.middle, &self.output].into_iter().flatten().flatten()
    }

    /// The same, sharing its tensors.
    #[must_use]
    pub fn shared(&self) -> Residuals {
        self.map(|list| list.iter().map(|tensor| tensor.as_ref().map(Tensor::shallow_clone)).collect())
    }

    /// The same times a strength; `pooled`: each channel has its mean everywhere.
    #[must_use]
    pub fn scaled(&self, strength: f64, pooled: bool) -> Residuals {
        self.map(|list| {
            // The same tensor may be meant for several blocks.
            let mut scaled: HashMap<usize, Tensor> = HashMap::new();
            let mut scale = |tensor: &Tensor| {
                let made = scaled.entry(tensor.data_ptr() as usize).or_insert_with(|| match pooled {
                    true => averaged(tensor) * strength,
                    false => tensor * strength,
                });
                made.shallow_clone()
            };
            list.iter().map(|tensor| tensor.as_ref().map(&mut scale)).collect()
        })
    }

    /// The sum with what networks before this one add.
    #[must_use]
    pub fn behind(&self, previous: &Residuals) -> Residuals {
        let sum = |own: &[Option<Tensor>], previous: &[Option<Tensor>]| {
            let at = |list: &[Option<Tensor>], place: usize| {
                list.get(place).and_then(Option::as_ref).map(Tensor::shallow_clone)
            };
            let both = (0..own.len().max(previous.len())).map(|place| match (at(previous, place), at(own, place)) {
                (Some(previous), Some(own)) => Some(previous + own),
                (previous, own) => previous.or(own),
            });
            both.collect()
        };
        Residuals {
            input: sum(&self.input, &previous.input),
            middle: sum(&self.middle, &previous.middle),
            output: sum(&self.output, &previous.output),
        }
    }

    fn map(&self, mut change: impl FnMut(&[Option<Tensor>]) -> Vec<Option<Tensor>>) -> Residuals {
        Residuals { input: change(&self.input), middle: change(&self.middle), output: change(&self.output) }
    }
}

/// Each channel's mean over the picture, everywhere.
fn averaged(tensor: &Tensor) -> Tensor {
    let size = tensor.size();
    tensor.mean_dim([2i64, 3].as_slice(), true, None::<Kind>).repeat([1, 1, size[2], size[3]])
}

/// Adds a residual to `h`, in place. One of another shape is left out, with a warning, as ComfyUI does.
pub fn add(h: &mut Tensor, residual: Option<&Tensor>) {
    let Some(residual) = residual else { return };
    let (of, to) = (residual.size(), h.size());
    let fits = of.len() <= to.len() && of.iter().rev().zip(to.iter().rev()).all(|(of, to)| of == to || *of == 1);
    if !fits {
        tracing::warn!("what a ControlNet adds is shaped {of:?} and is left out, since the model's states are {to:?}");
        return;
    }
    *h += residual;
}

/// Adds a residual to the first tokens of `x`, B×N×W, in place; as many as it has.
pub fn add_in_front(x: &Tensor, residual: Option<&Tensor>) {
    let Some(residual) = residual else { return };
    let tokens = residual.size().get(1).copied().unwrap_or(0);
    add(&mut x.narrow(1, 0, tokens.min(x.size()[1])), Some(residual));
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn row(values: &[f32]) -> Option<Tensor> {
        Some(Tensor::from_slice(values))
    }

    fn values(list: &[Option<Tensor>]) -> Vec<Option<f64>> {
        list.iter().map(|tensor| tensor.as_ref().map(|tensor| tensor.double_value(&[0]))).collect()
    }

    #[test]
    fn lists_of_other_lengths_are_summed() {
        let own = Residuals { input: vec![None, row(&[1.0]), row(&[2.0])], ..Residuals::default() };
        let previous =
            Residuals { input: vec![row(&[10.0]), row(&[20.0])], middle: vec![row(&[5.0])], ..Residuals::default() };
        let both = own.behind(&previous);
        assert_eq!(values(&both.input), [Some(10.0), Some(21.0), Some(2.0)]);
        assert_eq!(values(&both.middle), [Some(5.0)]);
        assert_eq!(both.of_unet(UNetPart::Input, 0).map(|t| t.double_value(&[0])), Some(2.0));
        assert!(both.of_unet(UNetPart::Input, 3).is_none() && both.of_unet(UNetPart::Output, 0).is_none());
        assert_eq!(Residuals::of_block(&both.input, 0).map(|t| t.double_value(&[0])), Some(10.0));
    }

    #[test]
    fn a_tensor_for_several_blocks_is_scaled_once() {
        let shared = Tensor::from_slice(&[3f32]);
        let list = vec![Some(shared.shallow_clone()), Some(shared.shallow_clone())];
        let scaled = Residuals { output: list, ..Residuals::default() }.scaled(0.5, false);
        assert_eq!(values(&scaled.output), [Some(1.5), Some(1.5)]);
        assert_eq!(shared.double_value(&[0]), 3.0);
        let picture = Tensor::from_slice(&[1f32, 3.0]).view([1, 1, 1, 2]);
        let pooled = Residuals { middle: vec![Some(picture)], ..Residuals::default() }.scaled(2.0, true);
        assert_eq!(
            Vec::<f32>::try_from(pooled.middle[0].as_ref().map(|t| t.flatten(0, -1)).unwrap_or_default())
                .unwrap_or_default(),
            [4.0, 4.0]
        );
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut h = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        add(&mut h, row(&[1.0, 2.0, 3.0]).as_ref());
        add(&mut h, row(&[1.0, 2.0]).as_ref());
        add(&mut h, None);
        assert_eq!(h.sum(Kind::Float).double_value(&[]), 12.0);
    }
}
