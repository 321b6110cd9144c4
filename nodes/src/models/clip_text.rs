//! CLIP's text encoder (Radford et al. 2021), as Stable Diffusion 1.x uses it.

use anyhow::{Result, ensure};
use tch::{Kind, Tensor};

use crate::files::weights::Weights;
use crate::ops::attention::causal_attention;
use crate::ops::layers::{LayerNorm, Linear};
use crate::ops::numerics::Numerics;
use crate::text::encode::TextModel;

/// The text encoder: token embeddings, learned positions, layers of causal self-attention.
///
/// Weights are held as [`Numerics::text`] says (half precision unless forced) and computed with in float32, so on a CPU they
/// stay mapped pages of the file. Sizes are read off the weights; there is one head per 64 channels.
pub struct ClipText {
    tokens: Tensor,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    heads: i64,
}

impl ClipText {
    /// Builds the encoder from `text_model.*` below `weights`, or from what lies directly below it.
    ///
    /// Errors name the tensor that is missing or has another shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let below = weights.at("text_model");
        let w = if below.is_empty() { weights } else { &below };
        let w = &w.placed(numerics.text());
        let (vocabulary, width) =
            (w.dim("embeddings.token_embedding.weight", 0)?, w.dim("embeddings.token_embedding.weight", 1)?);
        let length = w.dim("embeddings.position_embedding.weight", 0)?;
        let heads = (width / 64).max(1);
        ensure!(
            width % heads == 0,
            "the text encoder in {} is {width} wide, which {heads} heads cannot share; the file is of another kind",
            w.path().display()
        );
        let layers = w.at("encoder.layers");
        ensure!(layers.children() > 0, "{} holds a text encoder without layers; it is incomplete", w.path().display());
        Ok(Self {
            tokens: w.tensor("embeddings.token_embedding.weight", &[vocabulary, width])?,
            positions: w.tensor("embeddings.position_embedding.weight", &[length, width])?.to_kind(Kind::Float),
            layers: (0..layers.children()).map(|i| Layer::load(&layers.at(i), width)).collect::<Result<_>>()?,
            norm: LayerNorm::load_as(&w.at("final_layer_norm"), width, Kind::Float)?,
            heads,
        })
    }

    /// The encoder with the projections of all its attentions multiplied, by each set of factors: query, key, value, output.
    pub fn with_attention_multiplied(self, factors: &[[f64; 4]]) -> Self {
        let layers = self.layers.into_iter().map(|layer| layer.with_attention_multiplied(factors)).collect();
        Self { layers, ..self }
    }

    /// Width of its vectors: 768 in SD1.x.
    pub fn width(&self) -> i64 {
        self.tokens.size()[1]
    }

    /// How many layers it has: 12 in SD1.x.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// How many tokens a chunk has: 77.
    pub fn length(&self) -> i64 {
        self.positions.size()[0]
    }

    /// Looks tokens up. `tokens` is int64 of any shape S; the result is S×W in float32, without positions.
    ///
    /// An error if a token is not in the vocabulary of this file.
    pub fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
        let vocabulary = self.tokens.size()[0];
        if tokens.numel() > 0 {
            let (low, high) = (tokens.min().int64_value(&[]), tokens.max().int64_value(&[]));
            ensure!(
                low >= 0 && high < vocabulary,
                "tokens {low} to {high} do not all lie in this text encoder's vocabulary of {vocabulary}"
            );
        }
        let tokens = tokens.to_device_(self.tokens.device(), Kind::Int64, false, false);
        Ok(Tensor::embedding(&self.tokens, &tokens, -1, false, false).to_kind(Kind::Float))
    }

    /// Encodes B chunks. `embeds` is B×77×W in float32 without positions; `layer` is in 1…[`ClipText::layers`].
    ///
    /// Returns the output of the first `layer` layers and that of all layers, each after the final normalisation, B×77×W in
    /// float32. An error if the shape or `layer` does not fit.
    pub fn forward(&self, embeds: &Tensor, layer: usize) -> Result<(Tensor, Tensor)> {
        let size = embeds.size();
        ensure!(
            size.len() == 3 && size[1] == self.length() && size[2] == self.width(),
            "embeddings have shape {size:?}; batch, {} tokens and width {} are needed",
            self.length(),
            self.width()
        );
        ensure!(
            (1..=self.layers()).contains(&layer),
            "the text encoder has layers 1 to {}, and layer {layer} was asked for",
            self.layers()
        );
        let mut x = embeds.to_device_(self.positions.device(), Kind::Float, false, false) + &self.positions;
        let mut hidden = None;
        for (i, block) in self.layers.iter().enumerate() {
            x = block.forward(x, self.heads);
            if i + 1 == layer {
                hidden = Some(self.norm.forward(&x));
            }
        }
        let last = if layer == self.layers() { None } else { Some(self.norm.forward(&x)) };
        let hidden = hidden.unwrap_or_else(|| self.norm.forward(&x));
        let last = last.unwrap_or_else(|| hidden.shallow_clone());
        Ok((hidden, last))
    }
}

impl TextModel for ClipText {
    fn width(&self) -> i64 {
        self.width()
    }

    fn layers(&self) -> usize {
        self.layers()
    }

    fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
        self.embed(tokens)
    }

    fn forward(&self, embeds: &Tensor, layer: usize) -> Result<(Tensor, Tensor)> {
        self.forward(embeds, layer)
    }
}

struct Layer {
    norm1: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    out: Linear,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
}

impl Layer {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        let hidden = w.dim("mlp.fc1.weight", 0)?;
        let attention = |name: &str| Linear::load(&w.at("self_attn").at(name), width, width);
        Ok(Self {
            norm1: LayerNorm::load_as(&w.at("layer_norm1"), width, Kind::Float)?,
            q: attention("q_proj")?,
            k: attention("k_proj")?,
            v: attention("v_proj")?,
            out: attention("out_proj")?,
            norm2: LayerNorm::load_as(&w.at("layer_norm2"), width, Kind::Float)?,
            up: Linear::load(&w.at("mlp.fc1"), width, hidden)?,
            down: Linear::load(&w.at("mlp.fc2"), hidden, width)?,
        })
    }

    fn with_attention_multiplied(self, factors: &[[f64; 4]]) -> Self {
        let of = |part: usize| factors.iter().map(|set| set[part]).collect::<Vec<_>>();
        Self {
            q: self.q.multiplied(&of(0)),
            k: self.k.multiplied(&of(1)),
            v: self.v.multiplied(&of(2)),
            out: self.out.multiplied(&of(3)),
            ..self
        }
    }

    /// `x` is nobody else's: the sums are made in place.
    fn forward(&self, mut x: Tensor, heads: i64) -> Tensor {
        let n = self.norm1.forward(&x);
        let (q, k, v) = (self.q.forward(&n), self.k.forward(&n), self.v.forward(&n));
        x += self.out.forward(&causal_attention(&q, &k, &v, heads));
        let h = self.up.forward(&self.norm2.forward(&x));
        // quick-GELU: an approximation that this model was trained with.
        let h = &h * (&h * 1.702).sigmoid();
        x += self.down.forward(&h);
        x
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
            let (hidden, last) = clip.forward(&embeds, i + 1).unwrap();
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
        assert!(clip.forward(&embeds, 0).is_err());
        assert!(clip.forward(&embeds, 4).unwrap_err().to_string().contains("layers 1 to 3"));
        assert!(clip.forward(&embeds.narrow(1, 0, 76), 1).unwrap_err().to_string().contains("77 tokens"));
    }
}
