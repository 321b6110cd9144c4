//! Flux Redux: what SigLIP sees in a picture as tokens of a prompt.

use anyhow::{Result, bail, ensure};
use redraft_engine::error::Unsupported;
use redraft_engine::memory;
use tch::{Kind, Tensor};

use crate::files::weights::Weights;
use crate::ops::layers::Linear;
use crate::ops::numerics::{Numerics, Placement};

/// Two matrices with SiLU between them, from the width of an image encoder to that of a text encoder.
pub struct StyleModel {
    up: Linear,
    down: Linear,
}

/// Makes sure that a file holds such a network.
///
/// # Errors
/// If it does not, with what to do.
pub fn recognise(file: &Weights) -> Result<()> {
    let path = file.path().display();
    if file.contains("style_embedding") {
        let what = format!(
            "{path} is a T2I style adapter of Stable Diffusion 1.x, which is not supported yet; use Flux Redux"
        );
        return Err(Unsupported(what).into());
    }
    if !file.contains("redux_down.weight") || !file.contains("redux_up.weight") {
        bail!("{path} is no style model; choose Flux Redux (flux1-redux-dev.safetensors)");
    }
    Ok(())
}

impl StyleModel {
    /// Builds the network from a whole file.
    ///
    /// # Errors
    /// Those of [`recognise`], and matrices that do not fit together.
    pub fn load(file: &Weights, numerics: &Numerics) -> Result<Self> {
        recognise(file)?;
        let w = file.placed(Placement { kind: Kind::Float, ..numerics.text() });
        let (up, down) = (w.at("redux_up"), w.at("redux_down"));
        let (seen, between) = (up.dim("weight", 1)?, up.dim("weight", 0)?);
        Ok(Self { up: Linear::load(&up, seen, between)?, down: Linear::load(&down, between, down.dim("weight", 0)?)? })
    }

    /// Tokens of a prompt, B×N×W, from the last states of an image encoder, B×N×w.
    ///
    /// # Errors
    /// If these are of another width, or there is no room in memory.
    pub fn tokens(&self, seen: &Tensor) -> Result<Tensor> {
        let (width, wanted) = (seen.size().last().copied().unwrap_or(0), self.up.inputs());
        ensure!(
            width == wanted,
            "the style model takes what an image encoder of width {wanted} sees, and was given a width of {width}; use SigLIP (sigclip_vision_patch14_384)"
        );
        // What lies between, before and behind SiLU, and the tokens.
        let rows = &seen.size()[..seen.dim() - 1];
        let columns = self.up.outputs().saturating_mul(2).saturating_add(self.down.outputs());
        memory::ask(memory::product(rows, 4).saturating_mul(columns.unsigned_abs()), "the tokens of a picture")?;
        Ok(self.down.forward(&self.up.forward(seen).silu()))
    }
}
