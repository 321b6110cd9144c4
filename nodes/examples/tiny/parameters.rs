//! The parameters of a stage of training: one float32 tensor, of which each parameter is a view.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Result, ensure};
use redraft_nodes::files::weights::Weights;
use redraft_nodes::ops::numerics::Placement;
use tch::{Device, Kind, Tensor};

/// Where a parameter lies.
struct Place {
    name: String,
    shape: Vec<i64>,
    start: i64,
}

impl Place {
    fn length(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// All parameters below some prefixes of a checkpoint, in one piece of memory on the device.
pub(crate) struct Parameters {
    places: Vec<Place>,
    /// All values, float32.
    pub(crate) flat: Tensor,
    /// The views of it that networks compute with and that gradients are taken by, in the order of `places`.
    leaves: Vec<Tensor>,
}

impl Parameters {
    /// The tensors of `weights`, a whole checkpoint, below these prefixes, with the values they have there.
    pub(crate) fn of(weights: &Weights, prefixes: &[&str], device: Device) -> Result<Self> {
        let mut names: Vec<String> = weights.names();
        names.retain(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        ensure!(!names.is_empty(), "{} has no tensors below {}", weights.path().display(), prefixes.join(", "));
        let weights = weights.placed(Placement::cpu(Kind::Float));
        let mut read = names
            .into_iter()
            .map(|name| {
                let shape = weights.shape(&name)?;
                let values = weights.tensor(&name, &shape)?;
                Ok((name, shape, values))
            })
            .collect::<Result<Vec<_>>>()?;
        // Those whose lengths divide by large powers of two come first, so that each lies as aligned as it can.
        read.sort_by_key(|(_, _, values)| std::cmp::Reverse(values.numel().trailing_zeros().min(6)));
        let mut start = 0;
        let mut places = Vec::new();
        for (name, shape, values) in &read {
            places.push(Place { name: name.clone(), shape: shape.clone(), start });
            start += values.numel() as i64;
        }
        let values: Vec<Tensor> = read.iter().map(|(_, _, values)| values.reshape([-1])).collect();
        let flat = Tensor::cat(&values, 0).to_device(device);
        let leaf = |place: &Place| view(&flat, place).detach().set_requires_grad(true);
        let leaves = places.iter().map(leaf).collect();
        Ok(Self { places, flat, leaves })
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> i64 {
        self.flat.size()[0]
    }

    /// The parameters by name, for [`Weights::trained`].
    pub(crate) fn by_name(&self) -> Rc<HashMap<String, Tensor>> {
        let named = self.places.iter().zip(&self.leaves);
        Rc::new(named.map(|(place, leaf)| (place.name.clone(), leaf.shallow_clone())).collect())
    }

    /// Values that lie as those of the parameters do (moments, means), by name and in the parameters' shapes.
    pub(crate) fn named(&self, flat: &Tensor) -> HashMap<String, Tensor> {
        self.places.iter().map(|place| (place.name.clone(), view(flat, place))).collect()
    }

    /// The gradient of a loss by all parameters, as they lie in [`Parameters::flat`].
    pub(crate) fn gradient(&self, loss: &Tensor) -> Tensor {
        let gradients = Tensor::run_backward(&[loss], &self.leaves, false, false);
        let parts: Vec<Tensor> = gradients
            .into_iter()
            .zip(&self.places)
            .map(|(gradient, place)| match gradient.defined() {
                true => gradient.reshape([-1]),
                false => Tensor::zeros([place.length()], (Kind::Float, self.flat.device())),
            })
            .collect();
        Tensor::cat(&parts, 0)
    }

    /// 1 where weight decay applies: to matrices and kernels, not to biases, normalisations and embeddings.
    pub(crate) fn decayed(&self) -> Tensor {
        let parts: Vec<Tensor> = self
            .places
            .iter()
            .map(|place| {
                let decays = place.shape.len() >= 2 && !place.name.contains("embeddings.");
                Tensor::full([place.length()], f64::from(u8::from(decays)), (Kind::Float, Device::Cpu))
            })
            .collect();
        Tensor::cat(&parts, 0).to_device(self.flat.device())
    }

    /// The number of parameters that a loss does not depend on, by name. For tests.
    #[cfg(test)]
    pub(crate) fn without_gradient(&self, loss: &Tensor) -> Vec<String> {
        let gradients = Tensor::run_backward(&[loss], &self.leaves, true, false);
        let none = |gradient: &Tensor| !gradient.defined() || gradient.abs().max().double_value(&[]) == 0.0;
        let missing = gradients.iter().zip(&self.places).filter(|(gradient, _)| none(gradient));
        missing.map(|(_, place)| place.name.clone()).collect()
    }

    /// Where the parameters lie whose names start so. For tests.
    #[cfg(test)]
    pub(crate) fn mask(&self, prefix: &str) -> Tensor {
        let mask = Tensor::zeros([self.count()], (Kind::Float, self.flat.device()));
        for place in self.places.iter().filter(|place| place.name.starts_with(prefix)) {
            let _ = mask.narrow(0, place.start, place.length()).fill_(1.0);
        }
        mask
    }

    /// All names. For tests.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| place.name.as_str())
    }
}

fn view(flat: &Tensor, place: &Place) -> Tensor {
    flat.narrow(0, place.start, place.length()).view(place.shape.as_slice())
}
