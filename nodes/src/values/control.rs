//! What a prompt carries of a ControlNet: the network's recipe, and the picture that it goes by.

use std::fmt;
use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::Tensor;

use crate::recipes::{ControlNet, VaeRecipe};

/// The most networks that may follow each other.
const LONGEST_CHAIN: usize = 256;

/// A network that steers the denoising, and what it goes by. Prompts that share one share calls of the model.
pub struct Control {
    /// The network.
    pub net: ControlNet,
    /// The pictures, N×C×H×W of any size, 0 to 1.
    pub hint: Tensor,
    /// What the network's output is multiplied by.
    pub strength: f64,
    /// Where in the schedule it begins to act, 0 (noise) to 1 (clean).
    pub start_percent: f64,
    /// Where in the schedule it ceases to act, 0 to 1.
    pub end_percent: f64,
    /// What encodes the pictures, for networks that take latents.
    pub vae: Option<VaeRecipe>,
    /// Masks that networks for inpainting take beside them, N×1×H×W.
    pub masks: Vec<Tensor>,
    /// The network whose output is added to this one's.
    previous: Option<Rc<Control>>,
    /// How many networks follow each other.
    length: usize,
}

impl Control {
    /// A network that acts with strength 1 in the whole schedule. `hint` is N×C×H×W.
    pub fn new(net: ControlNet, hint: Tensor) -> Control {
        let (vae, masks) = (None, Vec::new());
        Control {
            net,
            hint,
            strength: 1.0,
            start_percent: 0.0,
            end_percent: 1.0,
            vae,
            masks,
            previous: None,
            length: 1,
        }
    }

    /// The network whose output is added to this one's.
    pub fn previous(&self) -> Option<&Rc<Control>> {
        self.previous.as_ref()
    }

    /// The same behind another one.
    ///
    /// # Errors
    /// If too many follow each other.
    pub fn behind(self, previous: Option<Rc<Control>>) -> Result<Control> {
        let length = 1 + previous.as_ref().map_or(0, |previous| previous.length);
        ensure!(length <= LONGEST_CHAIN, "{length} ControlNets follow each other; use at most {LONGEST_CHAIN}");
        Ok(Control { previous, length, ..self })
    }

    /// Every tensor of it and of those before it.
    pub fn tensors(&self) -> Vec<&Tensor> {
        let chain = std::iter::successors(Some(self), |control| control.previous.as_deref());
        chain.flat_map(|control| std::iter::once(&control.hint).chain(&control.masks)).collect()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} by a picture of {:?}", self.net, self.hint.size())
    }
}
