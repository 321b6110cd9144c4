//! Checkpoints with random weights: for tests and benchmarks that need no trained model.

mod aura_flow;
mod control;
mod gligen;
mod hidream;
mod hunyuan_video;
mod layouts;
mod ltxv;
mod networks;
mod qwen;
mod transformers;
mod video;
mod wan;

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use redraft_engine::aside::Aside;
use tch::{Kind, Tensor};

pub use self::control::Steering;
pub use self::layouts::Layout;

use crate::ops::noise::randn;

/// How large a random checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 32 channels: 17 million parameters, 34 MB.
    Tiny,
    /// For Stable Diffusion 1.x the size to be trained: as [`Size::Tiny`], but with 64 channels at full resolution, so that
    /// normalisation over 32 groups does not take each channel's mean away and with it the colour of a picture.
    Small,
    /// As it was published. Stable Diffusion 1.5: 1.07 billion parameters, 2.1 GB; SDXL: 3.5 billion, 6.9 GB.
    Real,
}

/// Writes a checkpoint with random weights, in half precision; those of transformers of real size in floats of 8 bits.
///
/// The same `layout`, `size` and `seed` give the same bytes; layouts that differ in the UNet's input channels share all other
/// tensors. Weights are scaled so that activations stay in half precision's range and outputs vary. One tensor at a time is in memory. The file is written aside and renamed, so `path` is never half a file.
///
/// # Errors
/// If the file cannot be written, or is there already and is not to be replaced.
pub fn write_random_checkpoint(path: &Path, layout: Layout, size: Size, seed: u64, replace: bool) -> Result<()> {
    ensure!(
        replace || path.symlink_metadata().is_err(),
        "{} exists already: choose another name, or give --force",
        path.display()
    );
    let tensors = layout.tensors(size);
    let aside = Aside::of(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, aside);
    let write = |out: &mut dyn Write| -> Result<()> {
        write_header(out, &tensors, seed, layout.config(size))?;
        for (index, tensor) in tensors.iter().enumerate() {
            // Only the low 32 bits of a seed count; neighbouring seeds must not share tensors.
            out.write_all(&tensor.draw(seed.wrapping_mul(1_000_003).wrapping_add(index as u64)))?;
        }
        out.flush()?;
        Ok(())
    };
    write(&mut out).with_context(|| format!("cannot write {}", path.display()))?;
    let aside = out.into_inner().map_err(|error| error.into_error())?;
    let stands = if replace { aside.stand_over().map(|()| true) } else { aside.stand_new() };
    let stands = stands.with_context(|| format!("cannot write {}", path.display()))?;
    ensure!(stands, "{} exists already: choose another name, or give --force", path.display());
    Ok(())
}

fn write_header(out: &mut dyn Write, tensors: &[Spec], seed: u64, config: Option<String>) -> Result<()> {
    let mut header = serde_json::Map::new();
    let about = format!("random weights, seed {seed}");
    let mut metadata = serde_json::json!({"format": "pt", "made-by": "redraft", "about": about});
    if let Some(config) = config {
        metadata["config"] = config.into();
    }
    header.insert("__metadata__".to_owned(), metadata);
    let mut end = 0;
    for tensor in tensors {
        let start = end;
        let (dtype, bytes) = match tensor.kind {
            Kind::Half => ("F16", 2),
            Kind::Uint8 => ("U8", 1),
            _ => ("F8_E4M3", 1),
        };
        end += bytes * tensor.shape.iter().product::<i64>();
        let entry = serde_json::json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end]});
        header.insert(tensor.name.clone(), entry);
    }
    let mut header = serde_json::to_string(&header)?;
    // Padding keeps the data aligned.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    Ok(())
}

/// One tensor to be drawn.
struct Spec {
    name: String,
    shape: Vec<i64>,
    mean: f64,
    std: f64,
    /// Half precision, a float of 8 bits, or bytes that are given.
    kind: Kind,
    given: Vec<u8>,
}

impl Spec {
    /// Its values as little-endian bytes.
    fn draw(&self, seed: u64) -> Vec<u8> {
        if self.kind == Kind::Uint8 {
            return self.given.clone();
        }
        bytes(&(randn(seed, &self.shape) * self.std + self.mean).to_kind(self.kind))
    }
}

fn bytes(values: &Tensor) -> Vec<u8> {
    let mut bytes = vec![0; values.kind().elt_size_in_bytes() * values.numel()];
    values.copy_data_u8(&mut bytes, values.numel());
    bytes
}

/// Collects tensors below a prefix. Every layer's values are scaled by how many inputs it sums over.
struct Builder {
    tensors: Vec<Spec>,
    prefix: String,
    kind: Kind,
}

impl Builder {
    fn below(&mut self, part: &str, fill: impl FnOnce(&mut Self)) {
        let length = self.prefix.len();
        self.prefix = format!("{}{part}.", self.prefix);
        fill(self);
        self.prefix.truncate(length);
    }

    fn push(&mut self, name: &str, shape: &[i64], mean: f64, std: f64) {
        self.tensors.push(Spec {
            name: format!("{}{name}", self.prefix),
            shape: shape.to_vec(),
            mean,
            std,
            kind: self.kind,
            given: Vec::new(),
        });
    }

    /// A row of bytes.
    fn bytes(&mut self, name: &str, given: Vec<u8>) {
        let (name, shape) = (format!("{}{name}", self.prefix), vec![given.len() as i64]);
        self.tensors.push(Spec { name, shape, mean: 0.0, std: 0.0, kind: Kind::Uint8, given });
    }

    /// Weight and bias. `gain` is the ratio of the output's scale to the input's.
    fn dense(&mut self, name: &str, shape: &[i64], gain: f64) {
        self.matrix(name, shape, gain);
        self.push(&format!("{name}.bias"), &shape[..1], 0.0, 0.05);
    }

    fn matrix(&mut self, name: &str, shape: &[i64], gain: f64) {
        let inputs: i64 = shape[1..].iter().product();
        self.push(&format!("{name}.weight"), shape, 0.0, gain / (inputs as f64).sqrt());
    }

    fn norm(&mut self, name: &str, channels: i64) {
        self.push(&format!("{name}.weight"), &[channels], 1.0, 0.1);
        self.push(&format!("{name}.bias"), &[channels], 0.0, 0.05);
    }
}

#[cfg(test)]
mod tests;
