//! The networks in memory. A recipe asks for its network; one that was used lately is still here.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;

use crate::models::clip_text::ClipText;
use crate::models::esrgan::Esrgan;
use crate::models::unet::UNet;
use crate::models::vae::Vae;
use crate::ops::numerics::Numerics;
use crate::ops::weights::Weights;

/// Networks by the weights they were built from: one UNet, and two each of the small ones.
pub struct Networks {
    numerics: Numerics,
    unets: Recent<UNet, 1>,
    clips: Recent<ClipText, 2>,
    vaes: Recent<Vae, 2>,
    upscalers: Recent<Esrgan, 1>,
}

impl Networks {
    pub fn new(numerics: Numerics) -> Self {
        Self {
            numerics,
            unets: Recent::default(),
            clips: Recent::default(),
            vaes: Recent::default(),
            upscalers: Recent::default(),
        }
    }

    pub fn unet(&self, weights: &Weights) -> Result<Rc<UNet>> {
        self.unets.get(weights, |weights| UNet::load(weights, &self.numerics))
    }

    pub fn clip(&self, weights: &Weights) -> Result<Rc<ClipText>> {
        self.clips.get(weights, |weights| ClipText::load(weights, &self.numerics))
    }

    pub fn vae(&self, weights: &Weights) -> Result<Rc<Vae>> {
        self.vaes.get(weights, |weights| Vae::load(weights, &self.numerics))
    }

    pub fn upscaler(&self, weights: &Weights) -> Result<Rc<Esrgan>> {
        self.upscalers.get(weights, |weights| Esrgan::load(weights, &self.numerics))
    }
}

/// The last `N` networks of a kind, the most recent first.
struct Recent<T, const N: usize>(RefCell<Vec<(Weights, Rc<T>)>>);

impl<T, const N: usize> Default for Recent<T, N> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T, const N: usize> Recent<T, N> {
    fn get(&self, weights: &Weights, load: impl FnOnce(&Weights) -> Result<T>) -> Result<Rc<T>> {
        let mut kept = self.0.borrow_mut();
        if let Some(at) = kept.iter().position(|(known, _)| known.is_same_view(weights)) {
            kept[..=at].rotate_right(1);
        } else {
            // Room first: two UNets of the real size do not fit into every memory.
            kept.truncate(N - 1);
            kept.insert(0, (weights.clone(), Rc::new(load(weights)?)));
        }
        Ok(kept[0].1.clone())
    }
}
