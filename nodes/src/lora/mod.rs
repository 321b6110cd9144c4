//! LoRA (Hu et al. 2021, arXiv:2106.09685) and its relatives: files of small tensors that change a model's weights.
//!
//! A file's keys are a layer's name in one of many spellings, and behind it what the tensor is: `lora_unet_out_2.lora_up.weight`.
//! [`spellings`] has the names, [`kinds`] what can lie behind them and what it makes of a weight.

mod adapter;
pub mod diffusers;
mod file;
pub mod kinds;
pub mod layers;
pub mod spellings;
mod transformers;

use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use indexmap::{IndexMap, IndexSet};
use tracing::{debug, warn};

use self::adapter::{Adapter, AtStrength};
use self::file::LoraFile;
use self::layers::Layer;
use self::spellings::Key;
use crate::files::delta::{Change, Delta, Slot, hash_slot};

#[cfg(test)]
mod tests;

/// Names in a warning at most.
const NAMED: usize = 5;

/// A LoRA file. Its tensors are read when a network is built over them.
pub struct Lora {
    file: Rc<LoraFile>,
}

/// What a LoRA has for the layers of a model, by the layers' names in ComfyUI.
pub struct Fitted {
    file: Rc<LoraFile>,
    adapters: IndexMap<String, (Slot, Rc<dyn Adapter>)>,
}

impl Lora {
    /// Opens a file: `.safetensors`, or an archive of `torch.save`, of which nothing is executed.
    ///
    /// # Errors
    /// The file is damaged or of another format.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: Rc::new(LoraFile::open(path)?) })
    }

    /// Finds what the file has for these layers. Warns, once for the file, of keys that belong to none of them and of what cannot
    /// be read.
    pub fn fit(&self, layers: &[Layer]) -> Fitted {
        let mut adapters = IndexMap::new();
        let slots: IndexMap<&str, &Slot> = layers.iter().map(|layer| (layer.name.as_str(), &layer.slot)).collect();
        let mut met = IndexSet::new();
        for Key { key, of, layer } in spellings::keys(layers) {
            for (name, adapter) in kinds::read(&self.file, &key, &layer.name) {
                met.insert(of);
                match slots.get(name.as_str()) {
                    Some(slot) => drop(adapters.insert(name, ((*slot).clone(), adapter))),
                    None => warn!("{}: the model has no {name}, for which {key} has a change", self.file),
                }
            }
        }
        debug!("{}: {} changes, spelled as by {met:?}", self.file, adapters.len());
        let unused = self.file.unused();
        let some = unused.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = if unused.len() > NAMED { ", …" } else { "" };
        if adapters.is_empty() {
            warn!("nothing in {} fits this model, and it changes nothing; its keys are {some}{more}", self.file);
        } else if !unused.is_empty() {
            warn!(
                "{} keys of {} were not loaded, as they belong to no layer of this model: {some}{more}",
                unused.len(),
                self.file
            );
        }
        Fitted { file: self.file.clone(), adapters }
    }
}

impl Fitted {
    /// What changes those of the layers that are given, at a strength.
    pub fn delta(&self, layers: &[Layer], strength: f64) -> Delta {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"lora");
        self.file.id().add_to(&mut hasher);
        hasher.update(&strength.to_le_bytes());
        let mut changes: Vec<(Slot, Rc<dyn Change>)> = Vec::new();
        let mut met = IndexSet::new();
        for layer in layers {
            let Some((slot, adapter)) = self.adapters.get(&layer.name) else { continue };
            // Some layers have two names.
            if !met.insert(&layer.name) {
                continue;
            }
            if strength != 0.0 || adapter.counts_at_zero() {
                hash_slot(&mut hasher, slot);
                changes.push((slot.clone(), Rc::new(AtStrength { adapter: adapter.clone(), strength })));
            }
        }
        Delta::new(*hasher.finalize().as_bytes(), changes)
    }
}
