//! ControlNets in a sampling run: when each acts, what it is shown, and what all of a chain add together.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::diffusion::control::{ControlInputs, Residuals};
use crate::diffusion::parameterisation::Parameterisation;
use crate::models::autoencoder::Autoencoder;
use crate::models::control::{HintFormat, Steerer};
use crate::ops::composite::fill_batch;
use crate::ops::resize::{Crop, Method, resize};
use crate::values::Control;

/// What a control is made ready of: its network in memory, and what encodes its pictures.
pub struct ControlParts {
    /// The network.
    pub steerer: Steerer,
    /// What is made of the pictures before the network sees them.
    pub hint: HintFormat,
    /// What encodes the pictures, if the network takes latents and there is one.
    pub vae: Option<Rc<dyn Autoencoder>>,
}

/// Takes the networks of controls into memory.
pub type ControlPartsOf = dyn Fn(&Control) -> Result<ControlParts>;

/// All controls of a run. Prompts that share a control share it here.
pub struct Controls<'a> {
    parts: &'a ControlPartsOf,
    sampling: &'a Parameterisation,
    device: Device,
    made: RefCell<HashMap<*const Control, Rc<ReadyControl>>>,
}

/// A control in a run.
pub struct ReadyControl {
    control: Rc<Control>,
    parts: ControlParts,
    /// It acts at `from` ≥ σ ≥ `until`.
    from: f32,
    until: f32,
    device: Device,
    previous: Option<Rc<ReadyControl>>,
    shown: RefCell<Shown>,
    /// Whether what it adds was looked at once.
    checked: Cell<bool>,
}

/// What the network was shown last.
#[derive(Default)]
struct Shown {
    /// The pictures as it takes them.
    hint: Option<Tensor>,
    /// What an adapter made of them.
    features: Option<Residuals>,
}

/// A call of the network that is steered.
#[derive(Clone, Copy)]
pub struct SteeredCall<'a> {
    /// The noise level.
    pub sigma: f32,
    /// How many prompts share the call.
    pub prompts: i64,
    /// What goes to the network; its `hint` and `types` are not looked at.
    pub inputs: ControlInputs<'a>,
}

impl<'a> Controls<'a> {
    /// For networks on `device`.
    pub fn new(parts: &'a ControlPartsOf, sampling: &'a Parameterisation, device: Device) -> Self {
        Self { parts, sampling, device, made: RefCell::default() }
    }

    /// A control made ready, with its network in memory.
    pub fn ready(&self, control: &Rc<Control>) -> Result<Rc<ReadyControl>> {
        let key = Rc::as_ptr(control);
        if let Some(made) = self.made.borrow().get(&key) {
            return Ok(made.clone());
        }
        let previous = control.previous().map(|previous| self.ready(previous)).transpose()?;
        let level = |percent: f64| self.sampling.percent_to_sigma(percent) as f32;
        let made = Rc::new(ReadyControl {
            control: control.clone(),
            parts: (self.parts)(control)?,
            from: level(control.start_percent),
            until: level(control.end_percent),
            device: self.device,
            previous,
            shown: RefCell::default(),
            checked: Cell::new(false),
        });
        self.made.borrow_mut().insert(key, made.clone());
        Ok(made)
    }
}

impl ReadyControl {
    /// What this control and those before it add in a call; nothing if none of them acts.
    pub fn residuals(&self, call: &SteeredCall) -> Result<Option<Residuals>> {
        let previous = match &self.previous {
            Some(previous) => previous.residuals(call)?,
            None => None,
        };
        if call.sigma > self.from || call.sigma < self.until {
            return Ok(previous);
        }
        let own = self.own(call)?.scaled(self.control.strength, self.control.net.pooled);
        Ok(Some(match previous {
            Some(previous) => own.behind(&previous),
            None => own,
        }))
    }

    fn own(&self, call: &SteeredCall) -> Result<Residuals> {
        let own = self.made(call)?;
        if !self.checked.replace(true) {
            let is_nan = |tensor: &Tensor| tensor.isnan().any().int64_value(&[]) != 0;
            ensure!(
                !own.tensors().any(is_nan) || is_nan(call.inputs.x),
                "the ControlNet {} gives values that are no numbers (NaN), so its weights are damaged; fetch the file again",
                self.control.net.file.weights.path().display()
            );
        }
        Ok(own)
    }

    fn made(&self, call: &SteeredCall) -> Result<Residuals> {
        let mut shown = self.shown.borrow_mut();
        let hint = self.hint(call, &mut shown)?;
        match &self.parts.steerer {
            Steerer::Control(network) => {
                let inputs = ControlInputs { hint: &hint, types: &self.control.net.types, ..call.inputs };
                network.residuals(&inputs)
            }
            Steerer::Adapter(adapter) => {
                let features = match shown.features.take() {
                    Some(features) => features,
                    None => adapter.residuals(&hint)?,
                };
                Ok(shown.features.insert(features).shared())
            }
        }
    }

    /// The pictures as the network takes them: one, or one for each state. They are kept from call to call, as ComfyUI keeps them.
    fn hint(&self, call: &SteeredCall, shown: &mut Shown) -> Result<Tensor> {
        let x = call.inputs.x.size();
        let sides = [x[x.len() - 2], x[x.len() - 1]];
        let fits = |hint: &Tensor| {
            let size = hint.size();
            let ratio = if self.parts.hint.latent.is_some() { 1 } else { self.parts.hint.ratio };
            size[size.len() - 2..] == sides.map(|side| side * ratio)
        };
        let hint = match shown.hint.take() {
            Some(hint) if fits(&hint) => hint,
            _ => {
                shown.features = None;
                self.made_hint(sides)?
            }
        };
        let hint = if hint.size()[0] == x[0] { hint } else { spread(hint, x[0], call.prompts) };
        Ok(shown.hint.insert(hint).shallow_clone())
    }

    /// The pictures as the network takes them, for latents of these sides.
    fn made_hint(&self, [height, width]: [i64; 2]) -> Result<Tensor> {
        let Control { hint: pictures, masks, net, .. } = &*self.control;
        let format = &self.parts.hint;
        let path = net.file.weights.path().display();
        let vae = || {
            self.parts.vae.as_ref().with_context(|| {
                format!("the ControlNet {path} takes latents, and there is no VAE: apply it with a node that has an input vae, and connect the model's")
            })
        };
        let ratio = format.ratio * if format.latent.is_some() { vae()?.factor() } else { 1 };
        let side = |latent: i64| ((latent * ratio) as u64).next_multiple_of(format.multiple as u64) as i64;
        let scaled = resize(pictures, side(width), side(height), Method::NearestExact, Crop::Center)?;
        let mut hint = (format.prepared)(&scaled);
        if let Some(in_network_scale) = format.latent {
            // The layout decides which kernel takes it, and so how sums are rounded.
            hint = in_network_scale(&vae()?.encode(&hint.movedim_int(1, -1))?.contiguous());
        }
        if self.parts.steerer.channels() == Some(1) && hint.size()[1] > 1 {
            hint = hint.mean_dim([1i64].as_slice(), true, None::<Kind>);
        }
        if format.masked {
            hint = self.with_masks(hint, masks)?;
        }
        Ok(hint.to_device(self.device).to_kind(Kind::Float))
    }

    /// A hint with the masks behind its channels; without any, one of ones.
    fn with_masks(&self, hint: Tensor, masks: &[Tensor]) -> Result<Tensor> {
        let size = hint.size();
        let ones = [Tensor::ones([1, 1, 1, 1], (Kind::Float, Device::Cpu))];
        let mut all = vec![hint.shallow_clone()];
        for mask in if masks.is_empty() { &ones[..] } else { masks } {
            let mask = resize(mask, size[size.len() - 1], size[size.len() - 2], Method::NearestExact, Crop::Center)?;
            let mask = match size.len() {
                5 => mask.unsqueeze(2).repeat([1, 1, size[2], 1, 1]),
                _ => mask,
            };
            all.push(fill_batch(&mask.to_device(hint.device()).to_kind(Kind::Float), size[0]));
        }
        Ok(Tensor::f_cat(&all, 1)?)
    }
}

/// A batch of several pictures for `states` of several prompts, each of which has all of them; one picture stays one.
///
/// Put together as ComfyUI does it, for the sake of the memory layout.
fn spread(pictures: Tensor, states: i64, prompts: i64) -> Tensor {
    if pictures.size()[0] == 1 {
        return pictures;
    }
    let each = states / prompts;
    let mut own = pictures.narrow(0, 0, each.min(pictures.size()[0]));
    let count = own.size()[0];
    if each > count {
        let mut parts: Vec<Tensor> = (0..each / count).map(|_| own.shallow_clone()).collect();
        parts.push(own.narrow(0, 0, each % count));
        own = Tensor::cat(&parts, 0);
    }
    if own.size()[0] == states {
        return own;
    }
    Tensor::cat(&(0..prompts).map(|_| own.shallow_clone()).collect::<Vec<_>>(), 0)
}

impl fmt::Debug for ReadyControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} from {} until {}", self.control, self.from, self.until)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// ComfyUI's rule: the prompts of a call lie behind each other, each with all of the latents.
    #[test]
    fn every_prompt_of_a_call_has_all_pictures() {
        let spread = |pictures: &[f32], states: i64, prompts: i64| {
            let pictures = Tensor::from_slice(pictures).view([-1, 1, 1, 1]);
            Vec::<f32>::try_from(super::spread(pictures, states, prompts).flatten(0, -1)).unwrap()
        };
        assert_eq!(spread(&[1.0], 6, 2), [1.0], "one is for all states");
        assert_eq!(spread(&[1.0, 2.0], 4, 2), [1.0, 2.0, 1.0, 2.0]);
        assert_eq!(spread(&[1.0, 2.0, 3.0], 4, 2), [1.0, 2.0, 1.0, 2.0], "too many");
        assert_eq!(spread(&[1.0, 2.0], 3, 1), [1.0, 2.0, 1.0], "too few");
        assert_eq!(spread(&[1.0, 2.0], 10, 2), [1.0, 2.0, 1.0, 2.0, 1.0, 1.0, 2.0, 1.0, 2.0, 1.0]);
        assert_eq!(spread(&[1.0, 2.0], 2, 2), [1.0, 1.0], "one latent");
    }
}
