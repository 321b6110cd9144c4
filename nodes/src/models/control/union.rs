//! What ControlNet++ (xinsir 2024) adds to a ControlNet, so that one network takes pictures of several kinds.

use anyhow::{Result, bail};
use redraft_engine::Combo;
use redraft_engine::io::Combo as _;
use tch::{Kind, Tensor};

use crate::files::weights::Weights;
use crate::models::unet::sinusoids;
use crate::ops::attention::attention;
use crate::ops::layers::{LayerNorm, Linear};
use crate::ops::numerics::Placement;

/// The kinds of pictures, in the order of the networks' tables behind the first, which leaves it to the network.
#[derive(Combo, Clone, Copy)]
pub enum UnionType {
    Auto,
    #[combo(name = "openpose")]
    OpenPose,
    Depth,
    #[combo(name = "hed/pidi/scribble/ted")]
    Scribble,
    #[combo(name = "canny/lineart/anime_lineart/mlsd")]
    Lines,
    Normal,
    Segment,
    Tile,
    Repaint,
}

impl UnionType {
    /// Its place in the networks' tables; none of `auto`.
    pub fn number(self) -> Option<i64> {
        Some(self as i64 - 1).filter(|place| *place >= 0)
    }
}

/// The first of these kinds that is not among the `count` that a network knows, by its name and number.
pub(super) fn unknown(types: &[i64], count: i64) -> Option<String> {
    let kind = types.iter().find(|kind| !(0..count).contains(*kind))?;
    let name = usize::try_from(*kind).ok().and_then(|kind| UnionType::names().get(kind + 1).copied());
    Some(name.map_or_else(|| kind.to_string(), |name| format!("'{name}' ({kind})")))
}

/// How wide each kind is spread.
const SPREAD: i64 = 256;
/// Heads of its attention.
const HEADS: i64 = 8;

/// Tells the network what the picture shows.
pub(super) struct Union {
    /// What embeds the kinds, beside the noise level.
    told: [Linear; 2],
    /// A row for each kind, added to the picture's mean.
    tasks: Tensor,
    blocks: Vec<Transformer>,
    projection: Linear,
}

/// A transformer over the pictures' means.
struct Transformer {
    norm: [LayerNorm; 2],
    qkv: Linear,
    out: Linear,
    up: Linear,
    down: Linear,
}

impl Union {
    /// Whether a network takes several kinds of pictures.
    pub(super) fn is_in(w: &Weights) -> bool {
        w.contains("control_add_embedding.linear_1.weight") && w.contains("task_embedding")
    }

    /// `width`: the channels of the picture's states; `embedding`: those of the embedded noise level.
    pub(super) fn load(w: &Weights, width: i64, embedding: i64) -> Result<Self> {
        let kinds = w.dim("task_embedding", 0)?;
        let (told, blocks) = (w.at("control_add_embedding"), w.at("transformer_layes"));
        Ok(Self {
            told: [
                Linear::load(&told.at("linear_1"), SPREAD * kinds, embedding)?,
                Linear::load(&told.at("linear_2"), embedding, embedding)?,
            ],
            tasks: w.tensor("task_embedding", &[kinds, width])?,
            blocks: (0..blocks.children()).map(|i| Transformer::load(&blocks.at(i), width)).collect::<Result<_>>()?,
            projection: Linear::load(&w.at("spatial_ch_projs"), width, width)?,
        })
    }

    /// What is added to the embedded noise level, 1×E.
    pub(super) fn told(&self, types: &[i64], placement: Placement) -> Result<Tensor> {
        let kinds = self.tasks.size()[0];
        if let Some(unknown) = unknown(types, kinds) {
            bail!(
                "the kind of picture {unknown} is not among the {kinds} that the network knows; choose another type, or the ProMax variant \
                 of the network"
            );
        }
        let set = Tensor::zeros([kinds], (Kind::Float, placement.device));
        for kind in types {
            let _ = set.get(*kind).fill_(1.0);
        }
        let spread = sinusoids(&set, SPREAD, placement.device).to_kind(placement.kind).reshape([-1, kinds * SPREAD]);
        Ok(self.told[1].forward(&self.told[0].forward(&spread).silu()))
    }

    /// The picture's states, B×C×h×w, changed by what they show.
    pub(super) fn merged(&self, states: Tensor, kind: i64) -> Tensor {
        let mut mean = states.mean_dim([2i64, 3].as_slice(), false, None::<Kind>);
        mean += self.tasks.get(kind);
        let x = self.blocks.iter().fold(mean.unsqueeze(1), |x, block| block.forward(&x));
        states + self.projection.forward(&x.select(1, 0)).unsqueeze(-1).unsqueeze(-1)
    }
}

impl Transformer {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        Ok(Self {
            norm: [LayerNorm::load(&w.at("ln_1"), width)?, LayerNorm::load(&w.at("ln_2"), width)?],
            qkv: Linear::load(&w.at("attn.in_proj"), width, 3 * width)?,
            out: Linear::load(&w.at("attn.out_proj"), width, width)?,
            up: Linear::load(&w.at("mlp.c_fc"), width, 4 * width)?,
            down: Linear::load(&w.at("mlp.c_proj"), 4 * width, width)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let parts = self.qkv.forward(&self.norm[0].forward(x)).chunk(3, 2);
        let x = x + self.out.forward(&attention(&parts[0], &parts[1], &parts[2], HEADS));
        let h = self.up.forward(&self.norm[1].forward(&x));
        let h = &h * (&h * 1.702).sigmoid();
        &x + self.down.forward(&h)
    }
}
