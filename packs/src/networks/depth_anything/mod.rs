//! Depth Anything V2 (Yang et al. 2024, arXiv:2406.09414): how near things in a picture are, told by a DINOv2 and a head over four of its
//! layers.

mod dino;
mod head;

use anyhow::{Result, ensure};
use redraft_engine::memory;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::ops::numerics::Numerics;
use tch::{Device, Tensor};

use self::dino::Dino;
use self::head::Head;

/// Pixels of a patch along a side.
pub(crate) const PATCH: i64 = 14;
/// The mean and the spread of red, green and blue that it was trained with.
pub(crate) const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
pub(crate) const SPREAD: [f64; 3] = [0.229, 0.224, 0.225];

/// The network. Sizes are read off the weights.
pub(crate) struct DepthAnything {
    dino: Dino,
    head: Head,
}

impl DepthAnything {
    /// Makes sure that a file holds such a network.
    ///
    /// # Errors
    /// If it does not, with what to do.
    pub(crate) fn recognise(file: &Weights) -> Result<()> {
        ensure!(
            file.contains("pretrained.patch_embed.proj.weight") && file.contains("depth_head.projects.0.weight"),
            "{} holds no Depth Anything V2; choose a file such as depth_anything_v2_vitl.pth",
            file.path().display()
        );
        Ok(())
    }

    /// Builds the network from a whole file.
    ///
    /// # Errors
    /// If it holds none, a tensor is missing or has another shape than its neighbours call for, or the network has another number of layers than those
    /// that there are.
    pub(crate) fn load(file: &Weights, numerics: &Numerics) -> Result<Self> {
        Self::recognise(file)?;
        let file = file.placed(numerics.vae());
        let dino = Dino::load(&file.at("pretrained"))?;
        let head = Head::load(&file.at("depth_head"), dino.width())?;
        Ok(Self { dino, head })
    }

    /// Where it computes.
    pub(crate) fn device(&self) -> Device {
        self.dino.device()
    }

    /// Nearness without a unit, 1×H×W, of a picture 1×3×H×W that [`MEAN`] and [`SPREAD`] were taken out of. Both sides must be
    /// multiples of [`PATCH`].
    ///
    /// # Errors
    /// If there is not enough memory.
    pub(crate) fn nearness(&self, picture: &Tensor) -> Result<Tensor> {
        let size = picture.size();
        let (rows, columns) = (size[2] / PATCH, size[3] / PATCH);
        let tokens = rows * columns + 1;
        // The weights of attention twice over: before and behind softmax.
        let attention = memory::product(&[self.dino.heads(), tokens, tokens], 2 * 4);
        memory::ask(attention, "what Depth Anything sees in the picture; use a picture that is less long")?;
        let seen = self.dino.forward(picture)?;
        Ok(self.head.forward(&seen, rows, columns).squeeze_dim(1))
    }
}

#[cfg(test)]
pub(crate) mod tests;
