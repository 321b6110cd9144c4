//! CLIP's text encoders (Radford et al. 2021): CLIP-L, and OpenCLIP's H and bigG.

use std::fmt;

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use super::clip_names::{Spelled, Spelling};
use super::token_table::TokenTable;
use crate::files::weights::Weights;
use crate::ops::attention::causal_attention;
use crate::ops::layers::{LayerNorm, Linear, added};
use crate::ops::numerics::Numerics;
use crate::text::encode::{ClipNetwork, HiddenLayer};

/// The text encoder: token embeddings, learned positions, layers of causal self-attention.
///
/// Weights are held as [`Numerics::text`] says (half precision unless forced) and computed with in float32, so on a CPU they
/// stay mapped pages of the file. Sizes are read off the weights; a head is 64 wide, 16 in networks narrower than that.
pub struct ClipText {
    tokens: TokenTable,
    positions: Tensor,
    blocks: Vec<Block>,
    /// How many layers the network has; files of diffusers leave out OpenCLIP-H's last, of which nothing is used.
    layers: usize,
    norm: LayerNorm,
    projection: Option<Linear>,
    heads: i64,
    activation: Activation,
}

/// The three networks, told apart by their depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClipKind {
    /// OpenAI's ViT-L/14: 12 layers.
    L,
    /// OpenCLIP's ViT-H/14: 24 layers.
    H,
    /// OpenCLIP's ViT-bigG/14: 32 layers.
    G,
}

impl fmt::Display for ClipKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            ClipKind::L => "CLIP-L",
            ClipKind::H => "OpenCLIP-H",
            ClipKind::G => "OpenCLIP-bigG",
        })
    }
}

impl ClipKind {
    /// What the text encoder below `weights` is, if it is one of CLIP's.
    pub fn of(weights: &Weights) -> Option<ClipKind> {
        let names = Spelled::of(weights)?;
        let has = |layer: usize| !names.layer(layer).is_empty();
        Some(if has(30) {
            ClipKind::G
        } else if has(22) {
            ClipKind::H
        } else {
            ClipKind::L
        })
    }
}

/// What lies between the two matrices of a block's second half.
#[derive(Clone, Copy)]
pub(super) enum Activation {
    /// x·σ(1.702·x), an approximation that CLIP-L was trained with.
    QuickGelu,
    Gelu,
    /// GELU's approximation by the hyperbolic tangent, in SigLIP.
    TanhGelu,
}

impl Activation {
    fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Activation::QuickGelu => x * (x * 1.702).sigmoid(),
            Activation::Gelu => x.gelu("none"),
            Activation::TanhGelu => x.gelu("tanh"),
        }
    }
}

impl ClipText {
    /// Builds the encoder from what lies below `weights`, in Hugging Face's or OpenCLIP's names.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let weights = &weights.placed(numerics.text());
        let names = Spelled::of(weights).unwrap_or_else(|| Spelled {
            model: weights.at("text_model"),
            outer: weights.clone(),
            spelling: Spelling::HuggingFace,
        });
        let activation = match ClipKind::of(weights) {
            Some(ClipKind::H | ClipKind::G) => Activation::Gelu,
            _ => Activation::QuickGelu,
        };
        let w = &names.model;
        let tokens = names.name("embeddings.token_embedding.weight", "token_embedding.weight");
        let positions = names.name("embeddings.position_embedding.weight", "positional_embedding");
        let (tokens, length) = (TokenTable::load(w, tokens)?, w.dim(positions, 0)?);
        let width = tokens.width();
        let heads = if width >= 64 { width / 64 } else { (width / 16).max(1) };
        ensure!(
            width % heads == 0,
            "the text encoder in {} is {width} wide, which {heads} heads cannot share; the file is of another kind",
            w.path().display()
        );
        let layers = names.layers();
        ensure!(layers.children() > 0, "{} holds a text encoder without layers; it is incomplete", w.path().display());
        Ok(Self {
            tokens,
            positions: w.tensor(positions, &[length, width])?.to_kind(Kind::Float),
            blocks: (0..layers.children())
                .map(|i| Block::load(&layers.at(i), names.spelling, width))
                .collect::<Result<_>>()?,
            layers: layers.children().max(if ClipKind::of(weights) == Some(ClipKind::H) { 24 } else { 0 }),
            norm: LayerNorm::load_as(&w.at(names.name("final_layer_norm", "ln_final")), width, Kind::Float)?,
            projection: names.projection(width)?,
            heads,
            activation,
        })
    }

    /// The embeddings of tokens of any shape that are known to lie in the vocabulary, …×width in float32.
    pub fn embed_known(&self, tokens: &Tensor) -> Tensor {
        self.tokens.embed_known(tokens)
    }

    /// How many tokens a chunk has: 77.
    pub fn length(&self) -> i64 {
        self.positions.size()[0]
    }
}

impl ClipNetwork for ClipText {
    fn width(&self) -> i64 {
        self.tokens.width()
    }

    fn layers(&self) -> usize {
        self.layers
    }

    /// An error if a token is not in the vocabulary of this file.
    fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
        self.tokens.embed(tokens)
    }

    /// An error if the shape or `layer` does not fit.
    fn forward(&self, embeds: &Tensor, layer: HiddenLayer) -> Result<(Tensor, Tensor)> {
        let size = embeds.size();
        ensure!(
            size.len() == 3 && size[1] == self.length() && size[2] == self.width(),
            "embeddings have shape {size:?}; batch, {} tokens and width {} are needed",
            self.length(),
            self.width()
        );
        if let HiddenLayer::Hidden { count, .. } = layer {
            ensure!(
                (1..=self.layers()).contains(&count),
                "the text encoder has layers 1 to {}, and layer {count} was asked for",
                self.layers()
            );
        }
        let mut x = embeds.to_device_(self.positions.device(), Kind::Float, false, false) + &self.positions;
        let mut hidden = None;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, self.heads, self.activation);
            if let HiddenLayer::Hidden { count, normed } = layer
                && count == i + 1
            {
                // Blocks add to their input in place.
                hidden = Some(if normed { self.norm.forward(&x) } else { x.copy() });
            }
        }
        let last = self.norm.forward(&x);
        Ok((hidden.unwrap_or_else(|| last.shallow_clone()), last))
    }

    /// The pooled vector as it is where the file has no projection.
    fn project(&self, pooled: &Tensor) -> Tensor {
        self.projection.as_ref().map_or_else(|| pooled.shallow_clone(), |projection| projection.forward(pooled))
    }
}

/// A layer of self-attention and what follows it, of a text or a picture.
pub(super) struct Block {
    norm1: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
}

impl Block {
    pub(super) fn load(w: &Weights, spelling: Spelling, width: i64) -> Result<Self> {
        let norm = |name: &str| LayerNorm::load_as(&w.at(name), width, Kind::Float);
        let (attention, up, down, norms) = match spelling {
            Spelling::HuggingFace => ("self_attn", "mlp.fc1", "mlp.fc2", ["layer_norm1", "layer_norm2"]),
            Spelling::OpenClip => ("attn", "mlp.c_fc", "mlp.c_proj", ["ln_1", "ln_2"]),
        };
        let attention = w.at(attention);
        let [q, k, v] = match spelling {
            Spelling::HuggingFace => {
                let matrix = |name: &str| Linear::load(&attention.at(name), width, width);
                [matrix("q_proj")?, matrix("k_proj")?, matrix("v_proj")?]
            }
            Spelling::OpenClip => {
                let weight = attention.tensor("in_proj_weight", &[3 * width, width])?;
                let bias = attention.tensor("in_proj_bias", &[3 * width])?;
                [0, 1, 2]
                    .map(|i| Linear::new(weight.narrow(0, i * width, width), Some(bias.narrow(0, i * width, width))))
            }
        };
        let hidden = w.dim(&format!("{up}.weight"), 0)?;
        Ok(Self {
            norm1: norm(norms[0])?,
            q,
            k,
            v,
            out: Linear::load(&attention.at("out_proj"), width, width)?,
            norm2: norm(norms[1])?,
            up: Linear::load(&w.at(up), width, hidden)?,
            down: Linear::load(&w.at(down), hidden, width)?,
        })
    }

    /// `x` is nobody else's: the sums are made in place.
    fn forward(&self, x: Tensor, heads: i64, activation: Activation) -> Tensor {
        self.forward_by(x, activation, |q, k, v| causal_attention(q, k, v, heads))
    }

    /// The same with another attention.
    pub(super) fn forward_by(
        &self,
        x: Tensor,
        activation: Activation,
        attention: impl Fn(&Tensor, &Tensor, &Tensor) -> Tensor,
    ) -> Tensor {
        let n = self.norm1.forward(&x);
        let (q, k, v) = (self.q.forward(&n), self.k.forward(&n), self.v.forward(&n));
        let x = added(x, &self.out.forward(&attention(&q, &k, &v)));
        let h = activation.apply(&self.up.forward(&self.norm2.forward(&x)));
        added(x, &self.down.forward(&h))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::Device;

    use super::*;
    use crate::models::reference::{checkpoint, figures};

    fn tiny() -> ClipText {
        let weights = checkpoint("sd15-tiny-random");
        ClipText::load(&weights.at("cond_stage_model.transformer"), &Numerics::cpu()).unwrap()
    }

    fn hidden(count: usize) -> HiddenLayer {
        HiddenLayer::Hidden { count, normed: true }
    }

    fn a_cat() -> Tensor {
        let mut tokens = vec![49407i64; 77];
        tokens[..3].copy_from_slice(&[49406, 320, 2368]);
        Tensor::from_slice(&tokens)
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn every_layer_agrees_with_the_reference() {
        let _guard = tch::no_grad_guard();
        let clip = tiny();
        assert_eq!((clip.width(), clip.layers(), clip.length()), (64, 3, 77));
        let embeds = clip.embed(&a_cat()).unwrap().unsqueeze(0);
        figures(
            &embeds,
            -0.019_653_911_5,
            0.423_715_965,
            &[0.546_386_72, -0.092_590_332, -0.356_689_45, 0.302_978_52, -0.469_970_7, -0.567_382_81],
        );
        let expected = [
            (
                -0.011_334_656_9,
                1.024_526_08,
                [1.057_321_9, 1.691_961_2, -1.753_044_1, 0.372_145_47, -0.067_370_005, -0.871_530_18],
            ),
            (
                -0.008_648_451_28,
                1.007_160_57,
                [1.690_715_8, 1.450_585, -1.300_881, 0.254_767_81, 0.092_312_53, -0.045_618_877],
            ),
            (
                -0.007_103_824_94,
                1.004_493_39,
                [1.390_637_3, 1.443_166, -0.862_614_57, -0.269_646_73, -0.158_007_88, -0.122_882_71],
            ),
        ];
        for (i, (mean, std, values)) in expected.iter().enumerate() {
            let (hidden, last) = clip.forward(&embeds, hidden(i + 1)).unwrap();
            figures(&hidden, *mean, *std, values);
            figures(&last, expected[2].0, expected[2].1, &expected[2].2);
        }
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn weights_stay_in_the_file() {
        let clip = tiny();
        assert_eq!(clip.tokens.kind(), Kind::Half);
        let weights = checkpoint("sd15-tiny-random");
        let float = Numerics::float32(Device::Cpu);
        let clip = ClipText::load(&weights.at("cond_stage_model.transformer.text_model"), &float).unwrap();
        assert_eq!(clip.tokens.kind(), Kind::Float);
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn unusable_input_is_an_error_not_a_panic() {
        let _guard = tch::no_grad_guard();
        let clip = tiny();
        let message = clip.embed(&Tensor::from_slice(&[0i64, 49408])).unwrap_err().to_string();
        assert!(message.contains("49408"), "{message}");
        assert!(clip.embed(&Tensor::from_slice(&[-1i64])).is_err());
        assert_eq!(clip.embed(&Tensor::from_slice::<i64>(&[])).unwrap().size(), [0, 64]);
        let embeds = clip.embed(&a_cat()).unwrap().unsqueeze(0);
        assert!(clip.forward(&embeds, hidden(0)).is_err());
        assert!(clip.forward(&embeds, hidden(4)).unwrap_err().to_string().contains("layers 1 to 3"));
        assert!(
            clip.forward(&embeds.narrow(1, 0, 76), HiddenLayer::Last).unwrap_err().to_string().contains("77 tokens")
        );
    }
}
