//! The files of a training data set: latents and prompts as `torch.save` writes them.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value as Json, json};
use tch::Tensor;

use crate::files::TorchFile;
use crate::files::pickle::Value;
use crate::files::torch_archive::{Saved, to_bytes};
use crate::values::extras::Extra;
use crate::values::parts::options;
use crate::values::{Area, Conditioning, Entry, Latent};

/// The most bytes of tensor data that one file may hold.
const MAX_SHARD: u64 = 64 << 30;

/// The bytes of a file with these latents and conditionings.
pub(super) fn shard(latents: &[Latent], conditioning: &[Conditioning]) -> Result<Vec<u8>> {
    ensure!(
        conditioning.iter().flat_map(|prompts| &prompts.0).all(|entry| entry.control.is_none()),
        "a prompt is steered by a ControlNet, which a data set cannot hold; connect the prompt as it was before"
    );
    to_bytes(&Saved::Dict(vec![
        ("latents".to_owned(), Saved::List(latents.iter().map(saved_latent).collect())),
        ("conditioning".to_owned(), Saved::List(conditioning.iter().map(saved_prompts).collect())),
    ]))
}

fn saved_latent(latent: &Latent) -> Saved {
    let mut entries = vec![("samples".to_owned(), Saved::Tensor(latent.samples.shallow_clone()))];
    if let Some(mask) = &latent.noise_mask {
        entries.push(("noise_mask".to_owned(), Saved::Tensor(mask.shallow_clone())));
    }
    if let Some(places) = &latent.batch_index {
        let places = places.iter().map(|place| Saved::Plain(json!(place))).collect();
        entries.push(("batch_index".to_owned(), Saved::List(places)));
    }
    Saved::Dict(entries)
}

fn saved_prompts(conditioning: &Conditioning) -> Saved {
    Saved::List(conditioning.0.iter().map(saved_prompt).collect())
}

fn saved_prompt(entry: &Entry) -> Saved {
    let saved = |tensor: &Tensor| Saved::Tensor(tensor.shallow_clone());
    let mut prompt: Vec<(String, Saved)> = Vec::new();
    prompt.extend(entry.mask.iter().map(|mask| ("mask".to_owned(), saved(mask))));
    for (name, extra) in entry.extras.iter() {
        match extra {
            Extra::Tensor(tensor) => prompt.push((name.to_owned(), saved(tensor))),
            Extra::Tensors(all) => prompt.push((name.to_owned(), Saved::List(all.iter().map(saved).collect()))),
            Extra::Plain(_) => {}
        }
    }
    prompt.extend(options(entry).into_iter().map(|(name, value)| (name, Saved::Plain(value))));
    let prompt = Saved::Dict(prompt);
    Saved::List(vec![Saved::Tensor(entry.cond.shallow_clone()), prompt])
}

/// The latents and conditionings of a file. Nothing in it is executed.
pub(super) fn read(path: &Path) -> Result<(Vec<Latent>, Vec<Conditioning>)> {
    let shard = Shard(TorchFile::open(path, MAX_SHARD)?);
    let stranger = || format!("{} is no part of a training data set", path.display());
    let root = shard.0.pickle().root();
    let list = |name: &str| {
        let items = shard.entry(root, name).and_then(|list| shard.0.pickle().items(list));
        items.ok_or_else(|| anyhow!("it has no list of {name}"))
    };
    let latents = list("latents").and_then(|all| all.iter().map(|one| shard.latent(one)).collect());
    let prompts = list("conditioning").and_then(|all| all.iter().map(|one| shard.prompts(one)).collect());
    Ok((latents.with_context(stranger)?, prompts.with_context(stranger)?))
}

struct Shard(TorchFile);

impl Shard {
    fn entry<'s>(&'s self, dict: &Value, name: &str) -> Option<&'s Value> {
        self.0.pickle().entries(dict)?.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn tensor(&self, value: &Value) -> Result<Tensor> {
        match value {
            // Copied, so that no two share a storage of the file.
            Value::Tensor(view) => Ok(self.0.tensor(view)?.copy()),
            other => Err(anyhow!("{} stands where a tensor belongs", other.what())),
        }
    }

    fn latent(&self, value: &Value) -> Result<Latent> {
        let samples = self.entry(value, "samples").context("a latent has no samples")?;
        let mask = self.entry(value, "noise_mask").filter(|mask| !matches!(mask, Value::None));
        let places = self.entry(value, "batch_index").and_then(|list| self.0.pickle().items(list));
        let place = |value: &Value| if let Value::Int(place) = value { Some(*place) } else { None };
        Ok(Latent {
            noise_mask: mask.map(|mask| self.tensor(mask)).transpose()?,
            batch_index: places.and_then(|places| places.iter().map(place).collect()),
            ..Latent::new(self.tensor(samples)?)
        })
    }

    fn prompts(&self, value: &Value) -> Result<Conditioning> {
        let prompts = self.0.pickle().items(value).context("a conditioning is no list")?;
        prompts.iter().map(|prompt| self.prompt(prompt)).collect::<Result<_>>().map(Conditioning)
    }

    fn prompt(&self, value: &Value) -> Result<Entry> {
        let pair = self.0.pickle().items(value).unwrap_or_default();
        ensure!(pair.len() == 2, "a prompt is no pair of a tensor and its options");
        let mut entry = Entry::new(self.tensor(&pair[0])?);
        for (name, value) in self.0.pickle().entries(&pair[1]).into_iter().flatten() {
            self.set(&mut entry, name, value).with_context(|| format!("a prompt's {name}"))?;
        }
        Ok(entry)
    }

    /// Sets an option of a prompt; `None`, and what no option can be, is passed over.
    fn set(&self, entry: &mut Entry, name: &str, value: &Value) -> Result<()> {
        let number = || match value {
            Value::Float(number) => Ok(Some(*number)),
            Value::Int(number) => Ok(Some(*number as f64)),
            other => Err(anyhow!("{} stands where a number belongs", other.what())),
        };
        match (name, value) {
            (_, Value::None) => {}
            ("mask", _) => entry.mask = Some(self.tensor(value)?),
            ("strength", _) => entry.strength = number()?,
            ("mask_strength", _) => entry.mask_strength = number()?,
            ("start_percent", _) => entry.start_percent = number()?,
            ("end_percent", _) => entry.end_percent = number()?,
            ("set_area_to_bounds", Value::Bool(truth)) => entry.set_area_to_bounds = Some(*truth),
            ("area", _) => entry.area = Some(self.area(value)?),
            (_, Value::Int(_) | Value::Float(_) | Value::Bool(_)) => {
                entry.extras.insert(name, Extra::Plain(plain(value)));
            }
            (_, Value::List(_)) => {
                let all = self.0.pickle().items(value).unwrap_or_default();
                let all = all.iter().map(|tensor| self.tensor(tensor)).collect::<Result<_>>()?;
                entry.extras.insert(name, Extra::Tensors(all));
            }
            (_, Value::Tensor(_)) => entry.extras.insert(name, Extra::Tensor(self.tensor(value)?)),
            _ => {}
        }
        Ok(())
    }

    fn area(&self, value: &Value) -> Result<Area> {
        let sides: Vec<Json> = self.0.pickle().items(value).unwrap_or_default().iter().map(plain).collect();
        let int = |at: usize| sides[at].as_i64().context("a side is no whole number");
        let share = |at: usize| sides[at].as_f64().context("a side is no number");
        match sides.len() {
            4 => Ok(Area::Latent { height: int(0)?, width: int(1)?, y: int(2)?, x: int(3)? }),
            5 => Ok(Area::Fraction { height: share(1)?, width: share(2)?, y: share(3)?, x: share(4)? }),
            count => Err(anyhow!("it has {count} parts where four or five belong")),
        }
    }
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Int(int) => json!(int),
        Value::Float(float) => json!(float),
        Value::Bool(truth) => json!(truth),
        Value::Str(text) => json!(&**text),
        _ => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::values::extras::{Extras, POOLED, WIDTH};

    #[test]
    fn everything_of_a_prompt_comes_back() {
        let tensor = |value: f32| Tensor::from_slice(&[value, -1.0]).view([1, 2]);
        let entry = Entry {
            extras: Extras::default().with(POOLED, tensor(2.0)).with(WIDTH, 640),
            area: Some(Area::Fraction { height: 0.5, width: 1.0, y: 0.25, x: 0.0 }),
            strength: Some(1.5),
            mask: Some(tensor(3.0)),
            set_area_to_bounds: Some(false),
            start_percent: Some(0.0),
            end_percent: Some(0.75),
            ..Entry::new(tensor(1.0))
        };
        let boxed = Entry { area: Some(Area::Latent { height: 8, width: 9, y: 1, x: 2 }), ..Entry::new(tensor(4.0)) };
        let latent = Latent { noise_mask: Some(tensor(6.0)), batch_index: Some(vec![3]), ..Latent::new(tensor(5.0)) };
        let bytes = shard(&[latent], &[Conditioning(vec![entry, boxed])]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let (latents, prompts) = read(file.path()).unwrap();
        assert_eq!(latents[0].samples, tensor(5.0));
        assert_eq!((latents[0].noise_mask.as_ref().unwrap(), &latents[0].batch_index), (&tensor(6.0), &Some(vec![3])));
        let [first, second] = &prompts[0].0[..] else { panic!("{prompts:?}") };
        assert_eq!(
            (&first.cond, first.extras.get(POOLED), first.extras.get(WIDTH)),
            (&tensor(1.0), Some(tensor(2.0)), Some(640))
        );
        assert_eq!(first.mask.as_ref().unwrap(), &tensor(3.0));
        assert_eq!(first.area, Some(Area::Fraction { height: 0.5, width: 1.0, y: 0.25, x: 0.0 }));
        assert_eq!((first.strength, first.start_percent, first.end_percent), (Some(1.5), Some(0.0), Some(0.75)));
        assert_eq!((first.set_area_to_bounds, first.mask_strength), (Some(false), None));
        assert_eq!(second.area, Some(Area::Latent { height: 8, width: 9, y: 1, x: 2 }));
        std::fs::write(file.path(), to_bytes(&Saved::List(vec![])).unwrap()).unwrap();
        let error = format!("{:#}", read(file.path()).unwrap_err());
        assert!(error.ends_with("is no part of a training data set: it has no list of latents"), "{error}");
    }
}
