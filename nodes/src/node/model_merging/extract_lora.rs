//! Differences of models as LoRAs.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::error::OutOfMemory;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, memory};
use tch::{Device, Kind, Tensor};

use super::save::{location, save};
use crate::files::written::Pending;
use crate::networks::Networks;
use crate::recipes::{Clip, Model};

/// Saves the difference of two models as a LoRA: what ModelMergeSubtract and CLIPMergeSubtract give is approximated by matrices of a
/// low rank, by singular values.
#[derive(Node)]
#[node(
    class = "LoraSave",
    category = "_for_testing",
    display = "Extract and Save Lora",
    output,
    experimental,
    hidden("prompt", "extra_pnginfo")
)]
struct LoraSave {
    /// The prefix of the file's name. It may contain subfolders.
    #[input(default = "loras/ComfyUI_extracted_lora")]
    filename_prefix: String,
    /// How many singular values of each matrix are kept.
    #[input(default = 8, min = 1, max = 4096, step = 1)]
    rank: i64,
    /// Matrices of a low rank, or the whole difference.
    lora_type: LoraType,
    /// Whether differences of biases and of normalisations are saved, too.
    #[input(default = true)]
    bias_diff: bool,
    /// The difference of two models, from ModelMergeSubtract.
    model_diff: Option<Model>,
    /// The difference of two models' text encoders, from CLIPMergeSubtract.
    text_encoder_diff: Option<Clip>,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum LoraType {
    Standard,
    FullDiff,
}

/// The part of all values beyond which they are cut.
const QUANTILE: f64 = 0.99;
/// Of how many numbers libtorch finds a quantile, at most.
const MOST_OF_QUANTILE: u64 = 1 << 24;

impl Run for LoraSave {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        if self.model_diff.is_none() && self.text_encoder_diff.is_none() {
            return Ok(());
        }
        let networks = cx.service::<Networks>()?;
        let place = location(cx, &self.filename_prefix)?;
        let mut differences = Vec::new();
        if let Some(model) = &self.model_diff {
            let named = |tensor: Pending| (format!("diffusion_model.{}", tensor.name), tensor);
            differences.extend(model.pending(networks.numerics())?.into_iter().map(named));
        }
        if let Some(clip) = &self.text_encoder_diff {
            for encoder in clip.pending(networks.numerics())? {
                let named = |tensor: Pending| (format!("text_encoders.{}.{}", encoder.key, tensor.name), tensor);
                differences.extend(encoder.tensors.into_iter().map(named));
            }
        }
        let mut found = Vec::new();
        for (name, tensor) in differences {
            cx.check()?;
            self.extract(cx, &name, tensor, &mut found)?;
        }
        save(cx, &place, &found, |_| HashMap::new())
    }
}

impl LoraSave {
    /// What the file has for a tensor. Whole differences are made when they are written.
    fn extract(&self, cx: &mut Cx, name: &str, tensor: Pending, found: &mut Vec<Pending>) -> Result<()> {
        let whole = |name: String, tensor: Pending| Pending { kind: Kind::Half, ..tensor.named(name) };
        if let Some(layer) = name.strip_suffix(".bias") {
            if self.bias_diff {
                found.push(whole(format!("{layer}.diff_b"), tensor));
            }
            return Ok(());
        }
        let Some(layer) = name.strip_suffix(".weight") else { return Ok(()) };
        if self.lora_type == LoraType::FullDiff || (tensor.shape.len() < 2 && self.bias_diff) {
            found.push(whole(format!("{layer}.diff"), tensor));
        } else if tensor.shape.len() >= 2 {
            memory::ask(memory::product(&tensor.shape, 2 * 4), "the difference of a weight")?;
            match low_rank(&(tensor.make)()?, self.rank) {
                Ok((up, down)) => {
                    let half = |name: &str, tensor: Tensor| {
                        Pending::of(format!("{layer}.{name}.weight"), tensor.to_kind(Kind::Half))
                    };
                    found.extend([half("lora_up", up), half("lora_down", down)]);
                }
                Err(error) if error.is::<OutOfMemory>() => return Err(error),
                Err(error) => {
                    let error = format!("{error:#}");
                    let error = error.lines().next().unwrap_or_default();
                    cx.warn(format!("{name} is left out: {error}"));
                }
            }
        }
        Ok(())
    }
}

/// Two narrow matrices whose product is near a weight's difference, by its largest singular values; the largest hundredth of all values
/// is cut.
///
/// # Errors
/// If the difference is no matrix and no convolution of pictures; if the narrow matrices are too large for that; if there is no room for
/// the singular values in memory.
fn low_rank(difference: &Tensor, rank: i64) -> Result<(Tensor, Tensor)> {
    let size = difference.size();
    ensure!(matches!(size.len(), 2 | 4), "it has {} dimensions", size.len());
    let (outputs, inputs) = (size[0], size[1]);
    let rank = rank.min(inputs).min(outputs);
    let columns = size[1..].iter().product::<i64>();
    let numbers = memory::product(&[rank, outputs.saturating_add(columns)], 1);
    ensure!(
        numbers <= MOST_OF_QUANTILE,
        "at rank {rank} it becomes {numbers} numbers, of which the largest are cut, and {MOST_OF_QUANTILE} are the most; choose a lower rank"
    );
    // The matrix as it is decomposed, both of its factors, and what LAPACK works in: some squares of the shorter side.
    let short = outputs.min(columns);
    let sizes = [(outputs, columns, 2), (outputs, short, 1), (columns, short, 1), (short, short, 5)];
    let bytes = sizes.map(|(rows, columns, times)| memory::product(&[rows, columns, times], 4));
    memory::ask(bytes.into_iter().fold(0, u64::saturating_add), "the singular values of a difference")?;
    let matrix = match size[..] {
        [_, _, 1, 1] => difference.squeeze(),
        [_, _, _, _] => difference.flatten(1, -1),
        _ => difference.shallow_clone(),
    };
    let matrix = matrix.to_device(Device::Cpu).to_kind(Kind::Float);
    // ComfyUI makes U and V square, of which the leading columns are taken: for a table of tokens that would be 10 GB.
    let (u, s, v) = matrix.f_svd(true, true)?;
    let vh = v.f_transpose(0, 1)?;
    let up = u.f_narrow(1, 0, rank)?.f_matmul(&s.f_narrow(0, 0, rank)?.f_diag(0)?)?;
    let down = vh.f_narrow(0, 0, rank)?;
    let all = Tensor::f_cat(&[up.flatten(0, -1), down.flatten(0, -1)], 0)?;
    let high = all.f_quantile_scalar(QUANTILE, None, false, "linear")?;
    let low = -&high;
    let cut = |tensor: &Tensor| tensor.f_clamp_tensor(Some(&low), Some(&high));
    let (up, down) = (cut(&up)?, cut(&down)?);
    Ok(match size[..] {
        [_, _, height, width] => (up.f_reshape([outputs, rank, 1, 1])?, down.f_reshape([rank, inputs, height, width])?),
        _ => (up, down),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A matrix of rank 1 whose factors have both signs comes back whole: what is cut off is the largest hundredth of all values.
    #[test]
    fn a_difference_of_rank_1_is_found() {
        let signs = |count: i64| {
            Tensor::ones([count], (Kind::Float, Device::Cpu))
                - Tensor::arange(count, (Kind::Float, Device::Cpu)).remainder(2.0) * 2.0
        };
        let difference = signs(6).outer(&signs(5)) * 0.25;
        let (up, down) = low_rank(&difference, 1).unwrap();
        assert_eq!((up.size(), down.size()), (vec![6, 1], vec![1, 5]));
        assert!((up.matmul(&down) - &difference).abs().max().double_value(&[]) < 0.01);
        let (up, down) = low_rank(&difference.view([6, 5, 1, 1]), 4).unwrap();
        assert_eq!((up.size(), down.size()), (vec![6, 4, 1, 1], vec![4, 5, 1, 1]));
        assert!(low_rank(&difference.view([6, 5, 1]), 4).is_err());
    }

    #[test]
    fn what_has_no_quantile_is_refused_before_it_is_decomposed() {
        // It has no memory: all of its rows are one.
        let difference = Tensor::zeros([1, 1], (Kind::Float, Device::Cpu)).expand([1 << 22, 5], false);
        let error = low_rank(&difference, 4).unwrap_err().to_string();
        assert!(error.contains("at rank 4 it becomes 16777236 numbers") && error.contains("a lower rank"), "{error}");
    }
}
