//! The embeddings of a text encoder's tokens.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::files::weights::Weights;
use crate::ops::numerics::{Numerics, Placement};

/// A row for each token of the vocabulary, as the file has it or as it is placed.
pub(super) struct TokenTable {
    table: Tensor,
}

impl TokenTable {
    /// The tensor `name`, vocabulary×width.
    pub(super) fn load(w: &Weights, name: &str) -> Result<Self> {
        Ok(Self { table: w.tensor(name, &[w.dim(name, 0)?, w.dim(name, 1)?])? })
    }

    /// How wide an embedding is.
    pub(super) fn width(&self) -> i64 {
        self.table.size()[1]
    }

    pub(super) fn device(&self) -> Device {
        self.table.device()
    }

    #[cfg(test)]
    pub(super) fn kind(&self) -> Kind {
        self.table.kind()
    }

    /// The embeddings of tokens of any shape, …×width in float32. An error if one is not in the vocabulary.
    pub(super) fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
        let vocabulary = self.table.size()[0];
        if tokens.numel() > 0 {
            let (low, high) = (tokens.min().int64_value(&[]), tokens.max().int64_value(&[]));
            ensure!(
                low >= 0 && high < vocabulary,
                "tokens {low} to {high} do not all lie in this text encoder's vocabulary of {vocabulary}"
            );
        }
        Ok(self.embed_known(tokens))
    }

    /// The same of tokens that are known to lie in the vocabulary.
    pub(super) fn embed_known(&self, tokens: &Tensor) -> Tensor {
        let rows = tokens.to_device_(self.device(), Kind::Int64, false, false).flatten(0, -1);
        let size = [tokens.size(), vec![self.width()]].concat();
        // Unlike `embedding`, this knows 8-bit floats, too.
        self.table.index_select(0, &rows).to_kind(Kind::Float).view(size.as_slice())
    }
}

/// Where the weights of a language model go: as the file has them if that is bfloat16 or 8 bits, else as those of every text encoder.
/// `name` is its token table.
pub(super) fn placement(weights: &Weights, name: &str, numerics: &Numerics) -> Result<Placement> {
    let kind = match weights.kind(name)? {
        kind @ (Kind::BFloat16 | Kind::Float8e4m3fn | Kind::Float8e5m2) => kind,
        _ => numerics.text().kind,
    };
    Ok(Placement { kind, ..numerics.text() })
}
