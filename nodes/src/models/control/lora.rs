//! Control-LoRAs (Stability AI 2023): ControlNets whose half UNet is that of the model that they steer, with low-rank changes.

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use crate::files::delta::{Change, Delta, Slot};
use crate::files::weights::Weights;

/// A product of two matrices that is added to a weight.
struct AddProduct {
    of: Weights,
    up: String,
    down: String,
}

/// A tensor that takes another's place.
struct Replace {
    of: Weights,
    name: String,
}

/// A tensor of another model that is added, in the element type in which the file has this one.
struct AddTensor {
    of: Weights,
    name: String,
    kind: Kind,
}

impl Change for AddProduct {
    fn apply(&self, weight: &Tensor, _: Kind) -> Result<Tensor> {
        let read = |name: &str| self.of.tensor_as(name, &self.of.shape(name)?, Kind::Float);
        let (up, down) = (read(&self.up)?.flatten(1, -1), read(&self.down)?.flatten(1, -1));
        let product = up.f_mm(&down)?.f_reshape(weight.size())?;
        Ok(weight + product.to_device(weight.device()).to_kind(weight.kind()))
    }
}

impl Change for Replace {
    fn apply(&self, weight: &Tensor, _: Kind) -> Result<Tensor> {
        let tensor = self.of.tensor_as(&self.name, &weight.size(), Kind::Float)?;
        Ok(tensor.to_device(weight.device()).to_kind(weight.kind()))
    }
}

impl Change for AddTensor {
    fn apply(&self, weight: &Tensor, _: Kind) -> Result<Tensor> {
        let added = self.of.tensor_as(&self.name, &weight.size(), Kind::Float)?.to_device(weight.device());
        Ok((weight.to_kind(self.kind) + added.to_kind(self.kind)).to_kind(weight.kind()))
    }
}

/// The half UNet of a control-LoRA: the network of the model that it steers, below `base`, changed by the tensors below `own`.
///
/// # Errors
/// If a change has another shape than its tensor: the control-LoRA is for another model.
pub(super) fn over(base: &Weights, own: &Weights) -> Result<Weights> {
    let mut changes: Vec<(Slot, Rc<dyn Change>)> = Vec::new();
    let fits = |name: &str, rows: bool, columns: bool| {
        ensure!(
            rows && columns,
            "the control-LoRA {} does not fit the model {}, whose tensor {name} has another size; use one made for this family of models",
            own.path().display(),
            base.path().display()
        );
        Ok(())
    };
    let names = own.names();
    for name in names.iter().filter(|name| base.contains(name)) {
        fits(name, own.shape(name)? == base.shape(name)?, true)?;
        let slot = Slot::whole(base.full_name(name));
        changes.push((slot, Rc::new(Replace { of: own.clone(), name: name.clone() })));
    }
    for up in names.iter().filter(|name| name.ends_with(".up")) {
        let layer = up.trim_end_matches(".up");
        let (weight, down) = (format!("{layer}.weight"), format!("{layer}.down"));
        ensure!(
            base.contains(&weight),
            "the control-LoRA {} changes {weight}, which the model {} lacks; use one made for this family of models",
            own.path().display(),
            base.path().display()
        );
        let (of, left, right) = (base.shape(&weight)?, own.shape(up)?, own.shape(&down)?);
        let rest = |shape: &[i64]| shape.iter().skip(1).product::<i64>();
        let rank = rest(&left) == right.first().copied().unwrap_or(0);
        fits(&weight, left.first() == of.first() && rank, rest(&right) == rest(&of))?;
        let product = AddProduct { of: own.clone(), up: up.clone(), down };
        changes.push((Slot::whole(base.full_name(&weight)), Rc::new(product)));
    }
    Ok(base.changed(Delta::new(digest(b"control-lora", own), changes).taking(own.clone())))
}

/// A ControlNet that was saved as its difference from the half UNet of a model: `own` with the tensors of `model` added.
pub(super) fn completed(own: &Weights, model: &Weights) -> Result<Weights> {
    let mut changes: Vec<(Slot, Rc<dyn Change>)> = Vec::new();
    for name in own.names().into_iter().filter(|name| model.contains(name)) {
        ensure!(
            own.shape(&name)? == model.shape(&name)?,
            "the ControlNet {} is the difference from another model than {}, whose tensor {name} has another size; connect the model that \
             it was made of",
            own.path().display(),
            model.path().display()
        );
        let kind = own.kind(&name)?;
        let slot = Slot::whole(own.full_name(&name));
        changes.push((slot, Rc::new(AddTensor { of: model.clone(), name, kind })));
    }
    Ok(own.changed(Delta::new(digest(b"difference", model), changes).taking(model.clone())))
}

fn digest(what: &[u8], of: &Weights) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(what).update(&of.digest());
    *hasher.finalize().as_bytes()
}
