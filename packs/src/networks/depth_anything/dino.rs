//! DINOv2 (Oquab et al. 2023, arXiv:2304.07193): a transformer over the patches of a picture.

use anyhow::{Result, bail, ensure};
use redraft_nodes::files::weights::Weights;
use redraft_nodes::ops::layers::{Conv2d, LayerNorm, Linear};
use tch::{Device, Kind, Tensor};

use super::PATCH;

/// The width of a head.
const HEAD: i64 = 64;
const EPS: f64 = 1e-6;
/// Added to the number of patches along a side before positions are enlarged, as in training.
const OFFSET: f64 = 0.1;

/// The network.
pub(super) struct Dino {
    patches: Conv2d,
    /// The token of the whole picture, 1×1×W.
    class: Tensor,
    /// Of the whole picture and of the patches of a square one, 1×(1+N²)×W.
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    /// The blocks whose results are handed out.
    taken: [usize; 4],
    width: i64,
}

impl Dino {
    pub(super) fn load(w: &Weights) -> Result<Self> {
        let path = w.path().display();
        let width = w.dim("patch_embed.proj.weight", 0)?;
        let places = w.dim("pos_embed", 1)?;
        let along = (places.saturating_sub(1) as f64).sqrt().round() as i64;
        ensure!(
            width > 0 && width % HEAD == 0 && along > 0 && along.checked_mul(along) == Some(places - 1),
            "the DINOv2 in {path} is {width} wide and has {places} places, which fit no heads of {HEAD} and no square picture; it is damaged"
        );
        let blocks = w.at("blocks");
        let taken = match blocks.children() {
            12 => [2, 5, 8, 11],
            24 => [4, 11, 17, 23],
            40 => [9, 19, 29, 39],
            count => bail!(
                "the DINOv2 in {path} has {count} blocks, and 12, 24 or 40 are known; it is of another kind, or incomplete"
            ),
        };
        Ok(Self {
            patches: Conv2d::strided(&w.at("patch_embed.proj"), 3, width, PATCH, PATCH, 0)?,
            class: w.tensor("cls_token", &[1, 1, width])?,
            positions: w.tensor("pos_embed", &[1, places, width])?,
            blocks: (0..blocks.children()).map(|i| Block::load(&blocks.at(i), width)).collect::<Result<_>>()?,
            norm: LayerNorm::load(&w.at("norm"), width)?.with_eps(EPS),
            taken,
            width,
        })
    }

    /// The width of the states.
    pub(super) fn width(&self) -> i64 {
        self.width
    }

    pub(super) fn device(&self) -> Device {
        self.class.device()
    }

    pub(super) fn heads(&self) -> i64 {
        self.width / HEAD
    }

    /// The states of the patches behind four of the blocks, each 1×N×W, of a picture 1×3×H×W.
    pub(super) fn forward(&self, picture: &Tensor) -> Result<Vec<Tensor>> {
        let patches = self.patches.forward(picture);
        let (rows, columns) = (patches.size()[2], patches.size()[3]);
        let patches = patches.flatten(2, 3).transpose(1, 2);
        let mut x = Tensor::cat(&[&self.class, &patches], 1) + self.positions_of(rows, columns);
        let mut seen = Vec::with_capacity(self.taken.len());
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x);
            if self.taken.contains(&i) {
                seen.push(self.norm.forward(&x).narrow(1, 1, rows * columns));
            }
        }
        Ok(seen)
    }

    /// The positions for so many patches.
    fn positions_of(&self, rows: i64, columns: i64) -> Tensor {
        let count = self.positions.size()[1] - 1;
        let along = (count as f64).sqrt().round() as i64;
        if (rows, columns) == (along, along) {
            return self.positions.shallow_clone();
        }
        let square = self.positions.narrow(1, 1, count).reshape([1, along, along, self.width]).permute([0, 3, 1, 2]);
        let scale = |patches: i64| (patches as f64 + OFFSET) / along as f64;
        let resized = square.upsample_bicubic2d([rows, columns], false, scale(rows), scale(columns));
        let resized = resized.permute([0, 2, 3, 1]).reshape([1, -1, self.width]);
        Tensor::cat(&[self.positions.narrow(1, 0, 1), resized], 1)
    }
}

/// Attention and a perceptron, each of which adds to the states by a factor for each channel.
struct Block {
    norm1: LayerNorm,
    qkv: Linear,
    out: Linear,
    scale1: Tensor,
    norm2: LayerNorm,
    mlp: Mlp,
    scale2: Tensor,
    heads: i64,
}

enum Mlp {
    /// GELU between two layers.
    Plain(Linear, Linear),
    /// SwiGLU (Shazeer 2020, arXiv:2002.05202): both halves of a layer, and what follows their product.
    Gated(Linear, Linear),
}

impl Block {
    fn load(w: &Weights, width: i64) -> Result<Self> {
        let norm = |name: &str| Ok::<_, anyhow::Error>(LayerNorm::load(&w.at(name), width)?.with_eps(EPS));
        let mlp = w.at("mlp");
        let mlp = if mlp.contains("w12.weight") {
            let hidden = mlp.dim("w3.weight", 1)?;
            Mlp::Gated(Linear::load(&mlp.at("w12"), width, 2 * hidden)?, Linear::load(&mlp.at("w3"), hidden, width)?)
        } else {
            let hidden = mlp.dim("fc1.weight", 0)?;
            Mlp::Plain(Linear::load(&mlp.at("fc1"), width, hidden)?, Linear::load(&mlp.at("fc2"), hidden, width)?)
        };
        Ok(Self {
            norm1: norm("norm1")?,
            qkv: Linear::load(&w.at("attn.qkv"), width, 3 * width)?,
            out: Linear::load(&w.at("attn.proj"), width, width)?,
            scale1: w.tensor("ls1.gamma", &[width])?,
            norm2: norm("norm2")?,
            mlp,
            scale2: w.tensor("ls2.gamma", &[width])?,
            heads: width / HEAD,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = x + self.attention(&self.norm1.forward(x)) * &self.scale1;
        let y = self.norm2.forward(&x);
        let y = match &self.mlp {
            Mlp::Plain(first, second) => second.forward(&first.forward(&y).gelu("none")),
            Mlp::Gated(both, out) => {
                let halves = both.forward(&y).chunk(2, -1);
                out.forward(&(halves[0].silu() * &halves[1]))
            }
        };
        x + y * &self.scale2
    }

    fn attention(&self, x: &Tensor) -> Tensor {
        let (batch, tokens, width) = (x.size()[0], x.size()[1], x.size()[2]);
        let qkv = self.qkv.forward(x).reshape([batch, tokens, 3, self.heads, HEAD]).permute([2, 0, 3, 1, 4]);
        let (q, k, v) = (qkv.get(0) * (HEAD as f64).powf(-0.5), qkv.get(1), qkv.get(2));
        let weights = q.matmul(&k.transpose(-2, -1)).softmax(-1, None::<Kind>);
        self.out.forward(&weights.matmul(&v).transpose(1, 2).reshape([batch, tokens, width]))
    }
}
