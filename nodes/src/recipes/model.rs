//! MODEL, CLIP and VAE: recipes for networks. Making one is free; the network is built when something uses it.

use std::convert::Infallible;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use indexmap::IndexSet;
use redraft_engine::cx::Cx;
use redraft_engine::memory;
use redraft_engine::names::nearest_mention;
use redraft_engine::schema::Folders;

use crate::diffusion::latent_format::LatentFormat;
use crate::diffusion::parameterisation::Parameterisation;
use crate::files::delta::Delta;
use crate::files::weights::Weights;
use crate::lora::layers::{self, Layer};
use crate::models::autoencoder::{self, Autoencoder};
use crate::models::families::{ModelPart, TextPart};
use crate::networks::Networks;
use crate::sampling::control::ControlParts;
use crate::sampling::hooks::{Hook, Hooks};
use crate::sampling::ready::ReadyModel;
use crate::text::chunks::{Chunk, missing_embeddings};
use crate::text::embeddings::EmbeddingFiles;
use crate::text::encode::{Fill, Prompt, TextEncoder};
use crate::values::{Control, Entry};

/// MODEL: a denoising network, and how it is sampled.
#[derive(Clone)]
pub struct Model {
    /// The network as its file has it.
    pub part: ModelPart,
    /// What nodes have changed about how it is sampled.
    pub hooks: Hooks,
    /// What its network's output means, and on which noise levels it was trained.
    sampling: Rc<Parameterisation>,
    /// The latent space that it works in.
    pub latent_format: &'static LatentFormat,
}

/// CLIP: text encoders, if the file that they were taken from has any.
#[derive(Clone)]
pub struct Clip {
    pub text: Option<TextPart>,
    /// CLIPSetLastLayer's choice: -1 is the last layer; without one the family's default is taken.
    pub last_layer: Option<i64>,
    /// T5TokenizerOptions' choice; without one the family's default is taken.
    pub fill: Option<Fill>,
}

/// VAE: an autoencoder, if the file it was taken from has one.
#[derive(Clone)]
pub struct VaeRecipe {
    pub weights: Option<Weights>,
}

/// ComfyUI's words where a checkpoint had no text encoder.
pub(super) const NO_TEXT_ENCODER: &str = "ERROR: clip input is invalid: None\n\nIf the clip is from a checkpoint loader node your \
                                          checkpoint does not contain a valid clip or text encoder model.";
/// The same where it had no autoencoder.
pub(super) const NO_VAE: &str = "ERROR: VAE is invalid: None\n\nIf the VAE is from a checkpoint loader node your checkpoint does not \
                                 contain a valid VAE.";

/// The longest prompt, in bytes.
const LONGEST_PROMPT: usize = 1 << 22;

/// A text to be encoded.
#[derive(Clone, Copy)]
pub enum Text<'a> {
    /// By all encoders.
    Same(&'a str),
    /// By all encoders, with pictures that some of them look at.
    Shown(Prompt<'a>),
    /// By each encoder its own, under the encoders' keys (`clip_l`), or none. Shorter ones are filled up with chunks of the empty text.
    Each(&'a [(&'static str, Option<&'a str>)]),
}

impl Model {
    /// A model as its file has it.
    pub fn new(part: ModelPart) -> Model {
        let (sampling, latent_format) = (part.parameterisation.clone(), part.latent_format);
        Model { part, hooks: Hooks::default(), sampling, latent_format }
    }

    /// The model with its network in memory.
    pub fn ready(&self, networks: &Rc<Networks>) -> Result<ReadyModel> {
        let (part, steered, networks) = (self.part.clone(), self.part.clone(), networks.clone());
        Ok(ReadyModel {
            network: networks.get(&part.weights, part.family.load)?,
            sampling: self.sampling.clone(),
            latent_format: self.latent_format,
            hooks: self.hooks.clone(),
            extra_conds: Box::new(move |prompt| (part.family.extra_conds)(&part, prompt)),
            grounders: Box::new({
                let (networks, grounded) = (networks.clone(), steered.clone());
                move |grounding| grounding.net.network(&networks, &grounded.weights)
            }),
            controls: Box::new(move |control| control_parts(control, &networks, &steered)),
        })
    }

    /// The same with a delta over its weights.
    pub fn changed(mut self, delta: Delta) -> Model {
        self.part.weights = self.part.weights.changed(delta);
        self
    }

    /// What its network's output means, and on which noise levels it was trained.
    pub fn sampling(&self) -> &Parameterisation {
        &self.sampling
    }

    /// The same, its network's output read in another way.
    pub fn with_sampling(self, sampling: Parameterisation) -> Model {
        Model { sampling: Rc::new(sampling), ..self }
    }

    /// The same with one more change to how it is sampled.
    pub fn with_hook(self, hook: impl Hook + 'static) -> Model {
        Model { hooks: self.hooks.with(hook), ..self }
    }
}

/// The network of a control, and what encodes its pictures, in memory.
fn control_parts(control: &Control, networks: &Networks, steered: &ModelPart) -> Result<ControlParts> {
    let file = &control.net.file;
    let hint = file.hint()?;
    let vae = control.vae.as_ref().filter(|_| hint.latent.is_some());
    let vae = vae.map(|vae| vae.network(networks)).transpose()?;
    Ok(ControlParts { steerer: file.ready(networks, steered)?, hint, vae })
}

impl Clip {
    /// Text encoders as their file has them.
    pub fn new(text: Option<TextPart>) -> Clip {
        Clip { text, last_layer: None, fill: None }
    }

    /// The tensors of its encoders.
    pub fn layers(&self) -> Vec<Layer> {
        let Some(TextPart { recipe, encoders }) = &self.text else { return Vec::new() };
        let present =
            || recipe.encoders.iter().zip(encoders).filter_map(|(usage, weights)| Some((usage.key, weights.as_ref()?)));
        let beside_clip_l = present().any(|(key, _)| key == "clip_l");
        present().flat_map(|(key, weights)| layers::encoder(key, beside_clip_l, weights)).collect()
    }

    /// The same with a delta over each of its encoders: `delta` is told the encoder's key (`clip_l`) and weights.
    pub fn changed(self, mut delta: impl FnMut(&str, &Weights) -> Delta) -> Clip {
        let Ok(changed) = self.try_changed(|key, weights| Ok::<_, Infallible>(delta(key, weights)));
        changed
    }

    /// The same with deltas that may fail.
    pub(super) fn try_changed<E>(
        mut self,
        mut delta: impl FnMut(&str, &Weights) -> Result<Delta, E>,
    ) -> Result<Clip, E> {
        if let Some(text) = &mut self.text {
            for (usage, encoder) in text.recipe.encoders.iter().zip(&mut text.encoders) {
                if let Some(weights) = encoder {
                    *weights = weights.changed(delta(usage.key, weights)?);
                }
            }
        }
        Ok(self)
    }

    /// Encodes a prompt.
    ///
    /// # Errors
    /// With ComfyUI's words where the checkpoint had no text encoder; if it lacks one of several; if a text is for an encoder that
    /// is not among them; `embedding:` without a name.
    pub fn encode(&self, text: Text, cx: &mut Cx) -> Result<Entry> {
        self.encode_by(text, cx, |encoder| encoder)
    }

    /// The same, with pooled vectors that are not projected.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode).
    pub fn encode_unprojected(&self, text: Text, cx: &mut Cx) -> Result<Entry> {
        self.encode_by(text, cx, |encoder| encoder.unprojected().unwrap_or(encoder))
    }

    fn encode_by(
        &self,
        text: Text,
        cx: &mut Cx,
        used: impl Fn(Rc<dyn TextEncoder>) -> Rc<dyn TextEncoder>,
    ) -> Result<Entry> {
        let TextPart { recipe, encoders } = self.text.as_ref().context(NO_TEXT_ENCODER)?;
        let networks = cx.service::<Networks>()?;
        let embeddings = EmbeddingFiles::new(cx.folders.directories("embeddings").to_vec());
        if let Text::Each(texts) = text {
            let has = |key: &str| recipe.encoders.iter().any(|usage| usage.key == key);
            let keys = |keys: Vec<&str>| keys.join(" and ");
            ensure!(
                texts.iter().all(|(key, _)| has(key)),
                "the texts are for the encoders {}, and these are {}: take the CLIP of a model that the node is for",
                keys(texts.iter().map(|(key, _)| *key).collect()),
                keys(recipe.encoders.iter().map(|usage| usage.key).collect())
            );
        }
        let longest = match text {
            Text::Same(text) | Text::Shown(Prompt { text, .. }) => text.len(),
            Text::Each(texts) => texts.iter().filter_map(|(_, text)| Some((*text)?.len())).max().unwrap_or(0),
        };
        ensure!(
            longest <= LONGEST_PROMPT,
            "the prompt is {longest} bytes long, and every 300 are an evaluation of the text encoder; use at most {LONGEST_PROMPT}"
        );
        // Its tokens with their weights, and what the encoder makes of them.
        memory::ask(longest.saturating_mul(1024), "the prompt")?;
        let mut opened = Vec::new();
        let mut chunks: Vec<Vec<Chunk>> = Vec::new();
        for (usage, weights) in recipe.encoders.iter().zip(encoders) {
            let Some(weights) = weights else {
                ensure!(
                    recipe.optional,
                    "the checkpoint lacks the text encoder {}; load all of them with DualCLIPLoader",
                    usage.key
                );
                continue;
            };
            let encoder = used((usage.open)(&networks, weights, cx.folders)?);
            let own = match text {
                Text::Same(text) => Some(text.into()),
                Text::Shown(prompt) => Some(prompt),
                Text::Each(texts) => {
                    let own = texts.iter().find(|(key, _)| *key == usage.key).map_or(Some(""), |(_, text)| *text);
                    own.map(Prompt::from)
                }
            };
            cx.check()?;
            let own = own.map(|own| Prompt { fill: self.fill, ..own });
            chunks.push(own.map(|own| encoder.chunks(own, &embeddings)).transpose()?.unwrap_or_default());
            opened.push(encoder);
        }
        if opened.iter().any(|encoder| encoder.takes_embeddings()) {
            warn_of_missing(text, &embeddings, cx);
        }
        if let Text::Each(_) = text {
            let mut chunked: Vec<_> =
                opened.iter().zip(&mut chunks).filter(|(encoder, _)| encoder.is_chunked()).collect();
            let longest = chunked.iter().map(|(_, chunks)| chunks.len()).max().unwrap_or(0);
            for (encoder, chunks) in &mut chunked {
                while chunks.len() < longest {
                    chunks.extend(encoder.chunks("".into(), &embeddings)?);
                }
            }
        }
        let mut encoded = Vec::with_capacity(recipe.encoders.len());
        let mut each = opened.iter().zip(chunks);
        for weights in encoders {
            encoded.push(match weights.as_ref().and_then(|_| each.next()) {
                Some((encoder, chunks)) if !chunks.is_empty() || !encoder.is_chunked() => {
                    Some(encoder.encode(chunks, self.last_layer)?)
                }
                _ => None,
            });
        }
        Ok((recipe.joined)(encoded)?.into())
    }
}

/// Says which embeddings a text mentions that are not there.
fn warn_of_missing(text: Text, embeddings: &EmbeddingFiles, cx: &mut Cx) {
    let texts = match text {
        Text::Same(text) | Text::Shown(Prompt { text, .. }) => vec![text],
        Text::Each(texts) => texts.iter().filter_map(|(_, text)| *text).collect(),
    };
    let missing: IndexSet<_> = texts.into_iter().flat_map(|text| missing_embeddings(text, embeddings)).collect();
    for name in missing {
        let list = cx.folders.list("embeddings");
        let near = nearest_mention(&name, &list).map(|near| format!(" (there is '{near}')")).unwrap_or_default();
        cx.warn(format!("embedding:{name} does not exist{near} and counts for nothing; put it among the embeddings"));
    }
}

impl VaeRecipe {
    /// The network. Fails, with ComfyUI's words, where the checkpoint had none.
    pub fn network(&self, networks: &Networks) -> Result<Rc<dyn Autoencoder>> {
        networks.get(self.weights.as_ref().context(NO_VAE)?, autoencoder::load)
    }
}
