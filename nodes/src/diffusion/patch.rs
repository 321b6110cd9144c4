//! What may be changed inside of a network while it computes.

use std::fmt::Debug;

use tch::Tensor;

/// A change, at the sites that it overrides.
pub trait Patch: Debug {
    /// What a self-attention makes its queries, keys and values from: B×N×W each.
    fn before_self_attention(&self, inputs: [Tensor; 3], _site: &Site) -> [Tensor; 3] {
        inputs
    }

    /// What a cross-attention makes its queries, keys and values from: B×N×W, B×T×V and B×T×V.
    fn before_cross_attention(&self, inputs: [Tensor; 3], _site: &Site) -> [Tensor; 3] {
        inputs
    }

    /// Takes the place of a self-attention over queries, keys and values, B×N×W each, split into so many heads.
    fn self_attention(&self, _qkv: [&Tensor; 3], _heads: i64, _site: &Site) -> Option<Tensor> {
        None
    }

    /// What a self-attention gives, B×N×W, before it is added to its input.
    fn after_self_attention(&self, output: Tensor, _site: &Site) -> Tensor {
        output
    }

    /// The states behind a self-attention, B×N×W, between which the transformer that is number `transformer` of the network goes on.
    fn between_attentions(&self, x: Tensor, _transformer: usize) -> Tensor {
        x
    }

    /// What an input block gives, B×C×H×W; the next block and the skip connection take it.
    fn after_input_block(&self, h: Tensor, _site: &Site) -> Tensor {
        h
    }

    /// The same for the next block alone.
    fn after_skip(&self, h: Tensor, _site: &Site) -> Tensor {
        h
    }

    /// What an output block takes from the block before, and from its skip connection.
    fn before_output_block(&self, h: Tensor, skip: Tensor, _site: &Site) -> (Tensor, Tensor) {
        (h, skip)
    }

    /// Whether a block of a transformer is left out: what enters it leaves it.
    fn skips(&self, _block: TransformerBlock) -> bool {
        false
    }
}

/// A block of a transformer, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransformerBlock {
    /// One in which text and picture have weights of their own.
    Double(usize),
    /// One in which they share them.
    Single(usize),
}

/// A part of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UNetPart {
    Input,
    Middle,
    Output,
}

/// One call of the network.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The noise level.
    pub sigma: f64,
    /// For each equal share of the batch the list of prompts that it belongs to: 0 what to show, 1 what to avoid.
    pub lists: &'a [usize],
    /// Height and width of the latent.
    pub size: (i64, i64),
    /// The changes, first ones first.
    pub patches: &'a [&'a dyn Patch],
}

/// Where in the network a patch is called.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    pub call: &'a Call<'a>,
    pub part: UNetPart,
    /// The number of the block within its part.
    pub block: usize,
    /// How many channels the narrowest blocks have.
    pub model_channels: i64,
}

impl Call<'_> {
    /// A call without patches.
    pub fn plain() -> Call<'static> {
        Call { sigma: 0.0, lists: &[], size: (0, 0), patches: &[] }
    }
}

impl Call<'_> {
    pub(crate) fn skips(&self, block: TransformerBlock) -> bool {
        self.patches.iter().any(|patch| patch.skips(block))
    }
}

impl Site<'_> {
    pub(crate) fn before_self_attention(&self, n: &Tensor) -> [Tensor; 3] {
        let inputs = [0; 3].map(|_| n.shallow_clone());
        self.call.patches.iter().fold(inputs, |inputs, patch| patch.before_self_attention(inputs, self))
    }

    pub(crate) fn before_cross_attention(&self, n: &Tensor, context: &Tensor) -> [Tensor; 3] {
        let inputs = [n, context, context].map(Tensor::shallow_clone);
        self.call.patches.iter().fold(inputs, |inputs, patch| patch.before_cross_attention(inputs, self))
    }

    pub(crate) fn self_attention(&self, qkv: [&Tensor; 3], heads: i64) -> Option<Tensor> {
        self.call.patches.iter().find_map(|patch| patch.self_attention(qkv, heads, self))
    }

    pub(crate) fn after_self_attention(&self, output: Tensor) -> Tensor {
        self.call.patches.iter().fold(output, |output, patch| patch.after_self_attention(output, self))
    }

    pub(crate) fn between_attentions(&self, x: Tensor, transformer: usize) -> Tensor {
        self.call.patches.iter().fold(x, |x, patch| patch.between_attentions(x, transformer))
    }

    pub(crate) fn after_input_block(&self, h: Tensor) -> Tensor {
        self.call.patches.iter().fold(h, |h, patch| patch.after_input_block(h, self))
    }

    pub(crate) fn after_skip(&self, h: Tensor) -> Tensor {
        self.call.patches.iter().fold(h, |h, patch| patch.after_skip(h, self))
    }

    pub(crate) fn before_output_block(&self, h: Tensor, skip: Tensor) -> (Tensor, Tensor) {
        self.call.patches.iter().fold((h, skip), |(h, skip), patch| patch.before_output_block(h, skip, self))
    }
}
