//! CONDITIONING: what guides the denoising, and where and when.

use std::rc::Rc;

use redraft_engine::error::OutOfMemory;
use redraft_engine::memory;
use tch::Tensor;

use super::control::Control;
use super::extras::Extras;
use super::grounding::Grounding;

/// A list of prompts, each with the region and the part of the schedule where it acts. Their predictions are averaged
/// by weight. A clone shares the tensors.
#[derive(Debug, Clone, Default)]
pub struct Conditioning(pub Vec<Entry>);

/// One prompt of a [`Conditioning`]: its text, the area, mask and range of steps in which it acts, and what only some families read.
#[derive(Debug)]
pub struct Entry {
    /// The text embedding: 1×T×W, float32 (T tokens, W the encoder's width).
    pub cond: Tensor,
    /// The rectangle that the prompt acts in; the whole latent without one.
    pub area: Option<Area>,
    /// Weight of the entry's prediction in the average; 1 if not set.
    pub strength: Option<f64>,
    /// Weight of each point: H×W or N×H×W, resized to the latent.
    pub mask: Option<Tensor>,
    /// Factor on the mask; 1 if not set.
    pub mask_strength: Option<f64>,
    /// Whether only the mask's bounding box is evaluated; it then replaces the area. Not if not set.
    pub set_area_to_bounds: Option<bool>,
    /// Where in the schedule the prompt begins to act, 0 (noise) to 1 (clean).
    pub start_percent: Option<f64>,
    /// Where in the schedule it ceases to act, 0 to 1.
    pub end_percent: Option<f64>,
    /// Whether it fills what the list's other entries leave uncovered.
    pub default: bool,
    /// The network that steers the denoising under this prompt. An entry with one is never written.
    pub control: Option<Rc<Control>>,
    /// Whether prompts of other lists are steered by it, too, if they bring none of their own.
    pub control_for_others: bool,
    /// What lies where in the picture, for a GLIGEN model. An entry with it is never written.
    pub grounding: Option<Rc<Grounding>>,
    /// What only some families of models read.
    pub extras: Extras,
}

/// A rectangle of the latent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Area {
    /// In latent units (pixels / 8).
    Latent { height: i64, width: i64, y: i64, x: i64 },
    /// As fractions of the latent's size, 0 to 1.
    Fraction { height: f64, width: f64, y: f64, x: f64 },
}

impl Entry {
    /// A prompt that acts everywhere and always, with strength 1. `cond` is 1×T×W.
    pub fn new(cond: Tensor) -> Entry {
        Entry {
            cond,
            area: None,
            strength: None,
            mask: None,
            mask_strength: None,
            set_area_to_bounds: None,
            start_percent: None,
            end_percent: None,
            default: false,
            control: None,
            control_for_others: false,
            grounding: None,
            extras: Extras::default(),
        }
    }
}

impl Clone for Entry {
    fn clone(&self) -> Entry {
        let share = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::shallow_clone);
        Entry {
            cond: self.cond.shallow_clone(),
            area: self.area,
            strength: self.strength,
            mask: share(&self.mask),
            mask_strength: self.mask_strength,
            set_area_to_bounds: self.set_area_to_bounds,
            start_percent: self.start_percent,
            end_percent: self.end_percent,
            default: self.default,
            control: self.control.clone(),
            control_for_others: self.control_for_others,
            grounding: self.grounding.clone(),
            extras: self.extras.clone(),
        }
    }
}

impl Entry {
    /// Every tensor of it.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let control = self.control.iter().flat_map(|control| control.tensors());
        let grounding = self.grounding.iter().flat_map(|grounding| grounding.boxes.iter().map(|place| &place.text));
        std::iter::once(&self.cond).chain(&self.mask).chain(self.extras.tensors()).chain(control).chain(grounding)
    }
}

/// About how many bytes an entry takes beside its tensors' numbers.
const ENTRY_BYTES: usize = 1024;
/// The most prompts of a conditioning: each is an evaluation of the model in every step.
const MOST_ENTRIES: usize = 1 << 18;

impl Conditioning {
    /// How many bytes it takes, beside its tensors' numbers.
    pub(super) fn entry_bytes(&self) -> usize {
        self.0.len().saturating_mul(ENTRY_BYTES)
    }

    /// Whether it can be written: a network that steers a prompt is made again in each process.
    pub(super) fn is_data(&self) -> bool {
        self.0.iter().all(|entry| entry.control.is_none() && entry.grounding.is_none())
    }

    /// The prompts of both.
    ///
    /// # Errors
    /// If these are more than memory or any patience holds.
    pub fn joined(mut self, other: Conditioning) -> Result<Conditioning, OutOfMemory> {
        let count = self.0.len().saturating_add(other.0.len());
        if count > MOST_ENTRIES {
            let text = format!("out of memory: a conditioning of {count} prompts; join at most {MOST_ENTRIES}");
            return Err(OutOfMemory(text));
        }
        memory::ask(count * ENTRY_BYTES, "the conditioning")?;
        self.0.extend(other.0);
        Ok(self)
    }

    /// The same prompts, each changed.
    pub fn map(self, change: impl Fn(&mut Entry)) -> Conditioning {
        Conditioning(
            self.0
                .into_iter()
                .map(|mut entry| {
                    change(&mut entry);
                    entry
                })
                .collect(),
        )
    }
}

impl From<Tensor> for Conditioning {
    /// One prompt that acts everywhere and always.
    fn from(cond: Tensor) -> Conditioning {
        Conditioning(vec![Entry::new(cond)])
    }
}
