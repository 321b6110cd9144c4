//! What lies where, in a sampling run: a GLIGEN model between the attentions of a UNet.

use std::fmt;
use std::rc::Rc;

use anyhow::{Result, bail};
use tch::Tensor;

use crate::diffusion::patch::Patch;
use crate::models::gligen::Gligen;
use crate::values::Grounding;

/// Takes the networks of groundings into memory.
pub type GroundersOf = dyn Fn(&Grounding) -> Result<Rc<Gligen>>;

/// A grounding in a run.
pub struct ReadyGrounding {
    /// The network.
    pub network: Rc<Gligen>,
    /// What lies where.
    pub given: Rc<Grounding>,
}

impl ReadyGrounding {
    /// What it does inside of a UNet that looks at these latents, B×C×h×w.
    ///
    /// # Errors
    /// If the latents are no pictures, or the texts do not fit the network.
    pub(super) fn patch(&self, latents: &Tensor) -> Result<Grounded> {
        let size = latents.size();
        let Ok(size) = <[i64; 4]>::try_from(size.as_slice()) else {
            bail!(
                "a GLIGEN model was applied to a model whose latents are shaped {size:?}; it is for Stable Diffusion's pictures"
            )
        };
        let objects = self.network.objects(&self.given.boxes, size)?;
        Ok(Grounded { network: self.network.clone(), objects })
    }
}

impl fmt::Debug for ReadyGrounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.given.fmt(f)
    }
}

/// Things in places, for one call of a UNet.
pub(super) struct Grounded {
    network: Rc<Gligen>,
    /// B×30×W.
    objects: Tensor,
}

impl fmt::Debug for Grounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "things in places, {:?}", self.objects.size())
    }
}

impl Patch for Grounded {
    fn between_attentions(&self, x: Tensor, transformer: usize) -> Tensor {
        self.network.between_attentions(x, &self.objects, transformer)
    }
}
