//! The networks in memory. A recipe asks for its network; one that was used lately is still here.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;

use crate::diffusion::network::Network;
use crate::files::weights::Weights;
use crate::models::clip_text::ClipText;
use crate::models::esrgan::Esrgan;
use crate::models::families::Family;
use crate::models::vae::Vae;
use crate::ops::numerics::Numerics;

/// Factors on the projections of attentions, a set for each change: query, key, value, output.
type Factors = Vec<[f64; 4]>;

/// Networks by the weights they were built from: one UNet, and two each of the small ones.
pub struct Networks {
    numerics: Numerics,
    models: Recent<Rc<dyn Network>, 1>,
    clips: Recent<ClipText, 2, Factors>,
    vaes: Recent<Vae, 2>,
    upscalers: Recent<Esrgan, 1>,
}

impl Networks {
    pub fn new(numerics: Numerics) -> Self {
        Self {
            numerics,
            models: Recent::default(),
            clips: Recent::default(),
            vaes: Recent::default(),
            upscalers: Recent::default(),
        }
    }

    pub fn model(&self, family: &Family, weights: &Weights) -> Result<Rc<dyn Network>> {
        Ok((*self.models.get(weights, |weights| (family.load)(weights, &self.numerics))?).clone())
    }

    /// A text encoder with factors on its attentions' projections, one set after the other.
    pub fn clip(&self, weights: &Weights, factors: &Factors) -> Result<Rc<ClipText>> {
        self.clips.changed(weights, factors, |weights| {
            let clip = ClipText::load(weights, &self.numerics)?;
            Ok(clip.with_attention_multiplied(factors))
        })
    }

    pub fn vae(&self, weights: &Weights) -> Result<Rc<Vae>> {
        self.vaes.get(weights, |weights| Vae::load(weights, &self.numerics))
    }

    pub fn upscaler(&self, weights: &Weights) -> Result<Rc<Esrgan>> {
        self.upscalers.get(weights, |weights| Esrgan::load(weights, &self.numerics))
    }
}

/// The last `N` networks of a kind, the most recent first, by their weights and how these are changed.
struct Recent<T, const N: usize, C = ()>(RefCell<Vec<Held<T, C>>>);

struct Held<T, C> {
    weights: Weights,
    change: C,
    network: Rc<T>,
}

impl<T, const N: usize, C> Default for Recent<T, N, C> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T, const N: usize> Recent<T, N> {
    fn get(&self, weights: &Weights, load: impl FnOnce(&Weights) -> Result<T>) -> Result<Rc<T>> {
        self.changed(weights, &(), load)
    }
}

impl<T, const N: usize, C: Clone + PartialEq> Recent<T, N, C> {
    fn changed(&self, weights: &Weights, change: &C, load: impl FnOnce(&Weights) -> Result<T>) -> Result<Rc<T>> {
        let mut kept = self.0.borrow_mut();
        if let Some(at) = kept.iter().position(|held| held.weights.is_same_view(weights) && held.change == *change) {
            kept[..=at].rotate_right(1);
        } else {
            // Room first: two UNets of the real size do not fit into every memory.
            kept.truncate(N - 1);
            let network = Rc::new(load(weights)?);
            kept.insert(0, Held { weights: weights.clone(), change: change.clone(), network });
        }
        Ok(kept[0].network.clone())
    }
}
