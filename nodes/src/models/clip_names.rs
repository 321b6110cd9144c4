//! How files spell the tensors of CLIP's text encoders.

use anyhow::Result;

use crate::files::delta::Slot;
use crate::files::weights::Weights;
use crate::ops::layers::Linear;

/// How a file spells the tensors of the encoder.
pub(super) struct Spelled {
    /// Where the encoder's parts lie.
    pub(super) model: Weights,
    /// Where the projection lies.
    pub(super) outer: Weights,
    pub(super) spelling: Spelling,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Hugging Face's: queries, keys and values are matrices of their own.
    HuggingFace,
    /// OpenCLIP's: they are one matrix, stacked by rows.
    OpenClip,
}

impl Spelled {
    /// Reads the spelling off the tensors: Hugging Face's below `text_model` or without that part, or OpenCLIP's.
    pub(super) fn of(weights: &Weights) -> Option<Spelled> {
        let found = |model: Weights, spelling| Some(Spelled { model, outer: weights.clone(), spelling });
        let below = weights.at("text_model");
        if below.contains("embeddings.token_embedding.weight") {
            found(below, Spelling::HuggingFace)
        } else if weights.contains("embeddings.token_embedding.weight") {
            found(weights.clone(), Spelling::HuggingFace)
        } else if weights.contains("token_embedding.weight") && !weights.at("transformer.resblocks").is_empty() {
            found(weights.clone(), Spelling::OpenClip)
        } else {
            None
        }
    }

    pub(super) fn name(&self, hugging_face: &'static str, open_clip: &'static str) -> &'static str {
        if self.spelling == Spelling::HuggingFace { hugging_face } else { open_clip }
    }

    pub(super) fn layers(&self) -> Weights {
        self.model.at(self.name("encoder.layers", "transformer.resblocks"))
    }

    pub(super) fn layer(&self, index: usize) -> Weights {
        self.layers().at(index)
    }

    /// The projection of pooled vectors, if the file has one. OpenCLIP and older files hold it transposed, as a bare matrix.
    pub(super) fn projection(&self, width: i64) -> Result<Option<Linear>> {
        let projection = self.outer.at("text_projection");
        if projection.contains("weight") {
            return Linear::load(&projection, width, width).map(Some);
        }
        if !self.outer.contains("text_projection") {
            return Ok(None);
        }
        let bare = self.outer.tensor("text_projection", &[width, width])?;
        Ok(Some(Linear::new(bare.transpose(0, 1).contiguous(), None)))
    }
}

/// OpenCLIP's names of a layer's parts, and Hugging Face's.
const LAYER_PARTS: [(&str, &str); 5] = [
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("attn.out_proj", "self_attn.out_proj"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
];

/// The tensors of the text encoder below `weights`: their names in Hugging Face's spelling (`text_model.…`,
/// `text_projection.weight`), and where the file holds them. None if it is no CLIP text encoder.
pub fn slots(weights: &Weights) -> Vec<(String, Slot)> {
    let Some(names) = Spelled::of(weights) else {
        let names = weights.names().into_iter();
        return names.map(|name| (name.clone(), Slot::whole(weights.full_name(&name)))).collect();
    };
    let mut found = Vec::new();
    for name in names.model.names() {
        if name.starts_with("text_projection") {
            continue;
        }
        let slot = Slot::whole(names.model.full_name(&name));
        match names.spelling {
            Spelling::HuggingFace => found.push((format!("text_model.{name}"), slot)),
            Spelling::OpenClip => found.extend(open_clip_slots(&names.model, &name, slot)),
        }
    }
    let whole = |name: &str| Slot::whole(names.outer.full_name(name));
    let projection = if names.outer.contains("text_projection.weight") {
        Some(whole("text_projection.weight"))
    } else {
        names.outer.contains("text_projection").then(|| Slot { transposed: true, ..whole("text_projection") })
    };
    found.extend(projection.map(|slot| ("text_projection.weight".to_owned(), slot)));
    found
}

/// How OpenCLIP has a tensor of Hugging Face's spelling.
#[derive(Debug, PartialEq, Eq)]
pub enum InOpenClip {
    /// Under another name.
    Named(String),
    /// Under another name, transposed.
    Transposed(String),
    /// As a third of a tensor of this name: 0 queries, 1 keys, 2 values.
    Third(String, usize),
}

/// How OpenCLIP has the tensor `name` (`text_model.…`, `text_projection.weight`); none if it has no such tensor.
pub fn in_open_clip(name: &str) -> Option<InOpenClip> {
    let named = |name: &str| Some(InOpenClip::Named(name.to_owned()));
    match name {
        "text_projection.weight" => return Some(InOpenClip::Transposed("text_projection".to_owned())),
        "text_model.embeddings.token_embedding.weight" => return named("token_embedding.weight"),
        "text_model.embeddings.position_embedding.weight" => return named("positional_embedding"),
        _ => {}
    }
    if let Some(of) = name.strip_prefix("text_model.final_layer_norm.") {
        return named(&format!("ln_final.{of}"));
    }
    let (layer, part) = name.strip_prefix("text_model.encoder.layers.")?.split_once('.')?;
    let place = format!("transformer.resblocks.{layer}");
    for (third, letter) in ["q", "k", "v"].into_iter().enumerate() {
        if let Some(of) = part.strip_prefix(&format!("self_attn.{letter}_proj.")) {
            return Some(InOpenClip::Third(format!("{place}.attn.in_proj_{of}"), third));
        }
    }
    LAYER_PARTS.iter().find_map(|(theirs, ours)| {
        let of = part.strip_prefix(ours)?.strip_prefix('.')?;
        named(&format!("{place}.{theirs}.{of}"))
    })
}

/// What Hugging Face's spelling knows a tensor of OpenCLIP's as: queries, keys and values are thirds of one.
fn open_clip_slots(model: &Weights, name: &str, slot: Slot) -> Vec<(String, Slot)> {
    let one = |name: String| vec![(name, slot.clone())];
    let Some((layer, part)) = name.strip_prefix("transformer.resblocks.").and_then(|rest| rest.split_once('.')) else {
        return match name {
            "token_embedding.weight" => one("text_model.embeddings.token_embedding.weight".to_owned()),
            "positional_embedding" => one("text_model.embeddings.position_embedding.weight".to_owned()),
            _ => name
                .strip_prefix("ln_final.")
                .map_or_else(Vec::new, |of| one(format!("text_model.final_layer_norm.{of}"))),
        };
    };
    let layer = format!("text_model.encoder.layers.{layer}");
    if let Some(of) = part.strip_prefix("attn.in_proj_") {
        let rows = model.dim(name, 0).unwrap_or(0) / 3;
        let third = |(i, part): (i64, &str)| {
            let rows = Some(i * rows..(i + 1) * rows);
            (format!("{layer}.self_attn.{part}_proj.{of}"), Slot { rows, ..slot.clone() })
        };
        return [(0, "q"), (1, "k"), (2, "v")].map(third).into();
    }
    let of = |theirs: &str| part.strip_prefix(theirs).and_then(|rest| rest.strip_prefix('.'));
    LAYER_PARTS
        .iter()
        .find_map(|(theirs, ours)| Some(one(format!("{layer}.{ours}.{}", of(theirs)?))))
        .unwrap_or_default()
}
