//! CLIP_VISION and STYLE_MODEL: networks that look at pictures, and what makes prompts of what they see.

use std::rc::Rc;

use anyhow::{Context, Result};

use crate::files::weights::Weights;
use crate::models::clip_vision;
use crate::networks::Networks;

/// An image encoder, if the file that it was taken from has one: the network is built when it is used. A clone shares the file.
#[derive(Clone)]
pub struct ClipVision {
    pub weights: Option<Weights>,
}

impl ClipVision {
    /// The network.
    ///
    /// # Errors
    /// If the checkpoint has none, and those of [`clip_vision::ClipVision::load`].
    pub fn network(&self, networks: &Networks) -> Result<Rc<clip_vision::ClipVision>> {
        let weights = self
            .weights
            .as_ref()
            .context("the checkpoint holds no image encoder; load one with CLIPVisionLoader, and connect that one")?;
        networks.get(weights, |w, n| clip_vision::ClipVision::load(w, n).map(Rc::new))
    }
}

/// What makes tokens of a prompt of what an image encoder sees. A clone shares the file.
#[derive(Clone)]
pub struct StyleModel {
    pub weights: Weights,
}
