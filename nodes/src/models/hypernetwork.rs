//! Hypernetworks in the form of AUTOMATIC1111's: small networks beside the keys and values of a UNet's attentions, one pair for each width.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use crate::files::pickle::Value;
use crate::files::torch_file::TorchFile;

/// Files of hypernetworks have some hundred megabytes.
const MAX_FILE: u64 = 8 << 30;

/// For each width of the inputs of keys and values, what is added to those of the keys and to those of the values.
pub struct Hypernetwork {
    pairs: BTreeMap<i64, [Vec<Layer>; 2]>,
    /// Whether it was trained with dropout, which is left out here.
    pub drops_out: bool,
}

enum Layer {
    Linear { weight: Tensor, bias: Tensor },
    Norm { weight: Tensor, bias: Tensor },
    Activation(Activation),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Activation {
    Linear,
    Relu,
    LeakyRelu,
    Elu,
    HardSwish,
    Tanh,
    Sigmoid,
    SoftSign,
    Mish,
}

impl Activation {
    fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "linear" => Self::Linear,
            "relu" => Self::Relu,
            "leakyrelu" => Self::LeakyRelu,
            "elu" => Self::Elu,
            "swish" => Self::HardSwish,
            "tanh" => Self::Tanh,
            "sigmoid" => Self::Sigmoid,
            "softsign" => Self::SoftSign,
            "mish" => Self::Mish,
            _ => bail!(
                "the hypernetwork has the activation '{name}', which is not supported; use one with linear, relu, leakyrelu, elu, swish, \
                 tanh, sigmoid, softsign or mish"
            ),
        })
    }

    fn of(self, x: &Tensor) -> Tensor {
        match self {
            Self::Linear => x.shallow_clone(),
            Self::Relu => x.relu(),
            Self::LeakyRelu => x.leaky_relu(),
            Self::Elu => x.elu(),
            Self::HardSwish => x.hardswish(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => x.sigmoid(),
            Self::SoftSign => x / (x.abs() + 1.0),
            Self::Mish => x.mish(),
        }
    }
}

/// How a file says that its layers are put together.
struct Plan {
    activation: Activation,
    normalises: bool,
    activates_last: bool,
}

impl Hypernetwork {
    /// Reads a file of `torch.save`; the tensors are put on `device` in float32.
    ///
    /// # Errors
    /// The file is damaged or no hypernetwork, a layer is missing or does not fit its neighbours, or numbers are NaN.
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        let file = TorchFile::open(path, MAX_FILE)?;
        let read = || Self::of(&file, device);
        read().with_context(|| format!("cannot use the hypernetwork {}", path.display()))
    }

    fn of(file: &TorchFile, device: Device) -> Result<Self> {
        let (pickle, root) = (file.pickle(), file.pickle().root());
        let entries: Vec<_> = pickle.entries(root).context("the file holds no dictionary")?.collect();
        let find = |name: &str| entries.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let is_set = |name: &str| matches!(find(name), Some(Value::Bool(true)));
        let activation = match find("activation_func") {
            Some(Value::Str(name)) => Activation::named(name)?,
            None | Some(Value::None) => Activation::Linear,
            Some(other) => bail!("its activation is {}; the file is damaged", other.what()),
        };
        let plan = Plan { activation, normalises: is_set("is_layer_norm"), activates_last: is_set("activate_output") };
        let mut pairs = BTreeMap::new();
        for (width, value) in pickle.numbered(root).context("the file holds no dictionary")? {
            let Some([keys, values, ..]) = pickle.items(value) else {
                bail!("there are no two networks for the width {width}; the file is damaged")
            };
            let network = |value: &Value| plan.layers(file, value, width, device);
            pairs.insert(width, [network(keys)?, network(values)?]);
        }
        ensure!(!pairs.is_empty(), "it holds no layers; it is of another kind, or damaged");
        Ok(Self { pairs, drops_out: is_set("use_dropout") })
    }

    /// The inputs of keys and values, B×T×W each, with what the networks add, `strength` times. Those of another width stay as they are.
    pub fn applied(&self, keys: Tensor, values: Tensor, strength: f64) -> [Tensor; 2] {
        let width = keys.size().last().copied().unwrap_or(0);
        let Some(networks) = self.pairs.get(&width) else { return [keys, values] };
        let mut each = networks.iter().zip([keys, values]).map(|(network, x)| {
            let made = network.iter().fold(x.shallow_clone(), |x, layer| layer.forward(&x));
            x + made * strength
        });
        [each.next().unwrap_or_default(), each.next().unwrap_or_default()]
    }
}

impl Plan {
    /// The layers of one network, in the order of the file.
    fn layers(&self, file: &TorchFile, value: &Value, width: i64, device: Device) -> Result<Vec<Layer>> {
        let tensors: Vec<_> = file.pickle().entries(value).context("a network is no dictionary")?.collect();
        let names: Vec<&str> = tensors.iter().filter_map(|(name, _)| name.strip_suffix(".weight")).collect();
        let read = |name: &str| -> Result<Tensor> {
            let found = tensors.iter().find(|(of, _)| *of == name).map(|(_, value)| *value);
            let Some(Value::Tensor(view)) = found else { bail!("there is no tensor {name} for the width {width}") };
            let tensor = file.tensor(view)?.to_kind(Kind::Float);
            ensure!(
                tensor.isfinite().all().int64_value(&[]) != 0,
                "{name} for the width {width} has values that are no numbers; the file is damaged"
            );
            Ok(tensor.to_device(device))
        };
        let both = |name: &str, shape: &[i64]| -> Result<[Tensor; 2]> {
            let (weight, bias) = (read(&format!("{name}.weight"))?, read(&format!("{name}.bias"))?);
            let outputs = weight.size().first().copied().unwrap_or(0);
            ensure!(
                weight.size() == shape.iter().map(|&side| if side < 0 { outputs } else { side }).collect::<Vec<_>>()
                    && bias.size() == [outputs],
                "{name} for the width {width} has the shapes {:?} and {:?}, which do not fit what comes before; the file is damaged",
                weight.size(),
                bias.size()
            );
            Ok([weight, bias])
        };
        let (mut layers, mut at, mut channels) = (Vec::new(), 0, width);
        while let Some(name) = names.get(at) {
            let [weight, bias] = both(name, &[-1, channels])?;
            channels = weight.size()[0];
            layers.push(Layer::Linear { weight, bias });
            // Where layers are normalised, the last matrix is not the last layer and has an activation behind it.
            if at + 1 < names.len() || self.activates_last {
                layers.push(Layer::Activation(self.activation));
            }
            if self.normalises {
                at += 1;
                let name = names.get(at).context("a matrix has no normalisation behind it; the file is damaged")?;
                let [weight, bias] = both(name, &[channels])?;
                layers.push(Layer::Norm { weight, bias });
            }
            at += 1;
        }
        ensure!(
            !layers.is_empty() && channels == width,
            "a network for the width {width} gives {channels} channels; the file is damaged"
        );
        Ok(layers)
    }
}

impl Layer {
    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Layer::Linear { weight, bias } => x.linear(weight, Some(bias)),
            Layer::Norm { weight, bias } => x.layer_norm(weight.size(), Some(weight), Some(bias), 1e-5, true),
            Layer::Activation(activation) => activation.of(x),
        }
    }
}
