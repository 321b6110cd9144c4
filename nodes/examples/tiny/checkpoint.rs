//! The files: what is deployed, and what training goes on from.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::aside::Aside;
use redraft_nodes::files::tensor_file;
use redraft_nodes::files::weights::Weights;
use tch::{Device, Kind, Tensor};

use crate::autoencoder::{Autoencoder, Spread};
use crate::denoiser::Denoiser;
use crate::optimiser::Optimiser;
use crate::parameters::Parameters;

/// The most bytes of a part of a file.
const PART: usize = 14 << 20;

/// Everything that is trained.
pub(crate) struct Training {
    pub(crate) autoencoder: Autoencoder,
    pub(crate) denoiser: Denoiser,
    /// That of the autoencoder's latents, once it is trained.
    pub(crate) spread: Option<Spread>,
    pub(crate) seed: u64,
    /// The number of the next scene to be drawn.
    pub(crate) next_scene: u64,
}

impl Training {
    /// Writes what training goes on from.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        for (stage, parameters, optimiser) in self.stages() {
            tensors.push((format!("{stage}.parameters"), parameters.flat.shallow_clone()));
            let state = optimiser.state().map(|(name, tensor)| (format!("{stage}.{name}"), tensor.shallow_clone()));
            tensors.extend(state);
        }
        if let Some(Spread { mean, std }) = &self.spread {
            tensors.push(("spread.mean".to_owned(), mean.shallow_clone()));
            tensors.push(("spread.std".to_owned(), std.shallow_clone()));
        }
        let counts = [self.autoencoder.optimiser.steps, self.denoiser.optimiser.steps, self.seed, self.next_scene];
        tensors.push(("counts".to_owned(), Tensor::from_slice(&counts.map(|count| count as i64))));
        let bytes =
            tensor_file::to_bytes(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)), HashMap::new())?;
        write(path, &bytes)
    }

    /// Goes on from what [`Training::save`] wrote.
    ///
    /// # Errors
    /// If the file is none of this kind, or of networks of another size.
    pub(crate) fn restore(&mut self, path: &Path) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let tensors = tensor_file::load(path)?;
        let get = |name: &str| -> Result<Tensor> {
            let tensor = tensors.get(name).with_context(|| {
                format!("{} has no tensor {name}; it is no training state: remove it to start anew", path.display())
            })?;
            Ok(tensor.shallow_clone())
        };
        let counts = Vec::<i64>::try_from(get("counts")?)?;
        let &[autoencoder, denoiser, seed, next_scene] = counts.as_slice() else {
            bail!("{} has {} counts, and 4 are needed; remove it to start anew", path.display(), counts.len());
        };
        for (stage, steps) in [("autoencoder", autoencoder), ("denoiser", denoiser)] {
            let values = get(&format!("{stage}.parameters"))?;
            let state = ["first", "second", "average"].map(|name| get(&format!("{stage}.{name}")));
            let [first, second, average] = state;
            let state = [first?, second?, average?];
            let (parameters, optimiser) = match stage {
                "autoencoder" => (&mut self.autoencoder.parameters, &mut self.autoencoder.optimiser),
                _ => (&mut self.denoiser.parameters, &mut self.denoiser.optimiser),
            };
            for tensor in state.iter().chain([&values]) {
                ensure!(
                    tensor.size() == parameters.flat.size(),
                    "{} has {:?} values for the {stage}, which has {:?}; remove it to start anew",
                    path.display(),
                    tensor.size(),
                    parameters.flat.size()
                );
            }
            parameters.flat.copy_(&values);
            optimiser.restore(state, steps as u64);
        }
        self.spread = match tensors.contains_key("spread.mean") {
            true => Some(Spread { mean: get("spread.mean")?, std: get("spread.std")? }),
            false => None,
        };
        (self.seed, self.next_scene) = (seed as u64, next_scene as u64);
        Ok(())
    }

    fn stages(&self) -> [(&'static str, &Parameters, &Optimiser); 2] {
        let (autoencoder, denoiser) = (&self.autoencoder, &self.denoiser);
        [
            ("autoencoder", &autoencoder.parameters, &autoencoder.optimiser),
            ("denoiser", &denoiser.parameters, &denoiser.optimiser),
        ]
    }

    /// The averaged parameters by their names in a checkpoint, float32, with latents of the family's scale.
    pub(crate) fn averaged(&self) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::new();
        for (_, parameters, optimiser) in self.stages() {
            tensors.extend(parameters.named(&optimiser.average));
        }
        if let Some(spread) = &self.spread {
            spread.fold(&mut tensors)?;
        }
        Ok(tensors)
    }

    /// Writes the checkpoint that is deployed: the averaged parameters in half precision, in the layout of Stable Diffusion 1.x.
    pub(crate) fn export(&self, path: &Path) -> Result<()> {
        let tensors = self.averaged()?;
        let about = format!(
            "redraft's tiny model in the layout of Stable Diffusion 1.x, trained on drawings of coloured shapes: {} steps of the \
             autoencoder, {} of UNet and text encoder, seed {}",
            self.autoencoder.optimiser.steps, self.denoiser.optimiser.steps, self.seed
        );
        write_halves(path, &tensors, &[("format", "pt"), ("about", &about)])
    }
}

/// Writes tensors in half precision, in order of name, with what is said of them.
pub(crate) fn write_halves(path: &Path, tensors: &HashMap<String, Tensor>, about: &[(&str, &str)]) -> Result<()> {
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort();
    let halves: Vec<(&str, Tensor)> = names
        .into_iter()
        .map(|name| (name.as_str(), tensors[name].to_device(Device::Cpu).to_kind(Kind::Half)))
        .collect();
    let ours = [("made-by", "redraft"), ("license", "MIT OR Apache-2.0")];
    let metadata = about.iter().chain(&ours).map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    write(path, &tensor_file::to_bytes(halves.iter().map(|(name, tensor)| (*name, tensor)), metadata)?)
}

/// Writes a file aside and renames it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let mut aside = Aside::of(path)?;
        aside.write_all(bytes)?;
        Ok(aside.stand_over()?)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Cuts a file into parts named `FILE.part0`, `FILE.part1`, … beside it, or in `into`.
pub(crate) fn split(path: &Path, into: Option<&Path>) -> Result<Vec<PathBuf>> {
    let bytes = fs_err::read(path)?;
    let name = path.file_name().with_context(|| format!("{} is no file", path.display()))?.to_string_lossy();
    let directory = into.or(path.parent()).unwrap_or(Path::new("."));
    let parts = bytes.chunks(PART).enumerate().map(|(number, part)| {
        let path = directory.join(format!("{name}.part{number}"));
        write(&path, part)?;
        Ok(path)
    });
    parts.collect()
}

/// Puts the parts of a checkpoint together, in the order given, and checks that it is whole.
pub(crate) fn join(parts: &[PathBuf], path: &Path) -> Result<()> {
    let parts = parts.iter().map(|part| Ok(fs_err::read(part)?)).collect::<Result<Vec<_>>>()?;
    write(path, &parts.concat())?;
    Weights::open(path).map(drop)
}
