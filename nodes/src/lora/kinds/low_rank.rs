//! LoRA: a product of two narrow matrices; LoCon: the same for convolutions, with a core between them (Tucker decomposition).

use std::rc::Rc;

use anyhow::{Result, ensure};
use tch::Tensor;

use super::super::adapter::{Adapter, Added, Difference, bounded, fits};
use super::super::file::Stored;
use super::Entry;

/// How files name the second and the first matrix. The first pair that is there counts.
const NAMES: [(&str, &str); 7] = [
    ("lora_up.weight", "lora_down.weight"),
    ("_lora.up.weight", "_lora.down.weight"),
    ("lora_B.weight", "lora_A.weight"),
    ("lora.up.weight", "lora.down.weight"),
    ("lora_B", "lora_A"),
    ("lora_linear_layer.up.weight", "lora_linear_layer.down.weight"),
    ("lora_B.default.weight", "lora_A.default.weight"),
];

struct LowRank {
    /// O×R.
    up: Stored,
    /// R×I.
    down: Stored,
    /// R×R×H×W; kohya's files alone have it.
    mid: Option<Stored>,
}

pub(super) fn read(entry: &Entry) -> Result<Option<Rc<dyn Adapter>>> {
    let Some((up, down, kohya)) =
        NAMES.iter().enumerate().find_map(|(at, (up, down))| Some((entry.take(up)?, down, at == 0)))
    else {
        return Ok(None);
    };
    let down = entry.need(down)?;
    let mid = if kohya { entry.take("lora_mid.weight") } else { None };
    let padded = entry.take("reshape_weight").and_then(|shape| shape.numbers().ok());
    let padded = padded.map(|shape| shape.into_iter().map(|size| size as i64).collect());
    let (alpha, lengths) = (entry.alpha()?, entry.take("dora_scale"));
    Ok(Some(Rc::new(Added { difference: LowRank { up, down, mid }, alpha, lengths, padded })))
}

impl Difference for LowRank {
    fn rank(&self, _: &[i64]) -> Option<i64> {
        self.down.shape.first().copied()
    }

    fn of(&self, weight: &Tensor, _: f64) -> Result<Tensor> {
        let Self { up, down, mid } = self;
        let ([outputs, columns], [rows, mut inputs]) = (up.flat()?, down.flat()?);
        let device = weight.device();
        if let Some(mid) = mid {
            let shape = &mid.shape;
            ensure!(
                shape.len() == 4 && inputs == down.dim(1)? && shape[0] == rows && shape[1] == rows,
                "{} has shape {shape:?}, and {} {:?}",
                mid.name,
                down.name,
                down.shape
            );
            inputs = inputs.saturating_mul(shape[2]).saturating_mul(shape[3]);
            bounded(weight, &[rows, inputs], &mid.name)?;
        }
        ensure!(columns == rows, "{} has shape {:?}, and {} {:?}", up.name, up.shape, down.name, down.shape);
        fits(weight, outputs.saturating_mul(inputs), &up.name)?;
        let mut second = down.read(device)?;
        if let Some(mid) = mid {
            let core = mid.read(device)?.f_transpose(0, 1)?.f_flatten(1, -1)?;
            let shape = [down.shape[1], rows, mid.shape[2], mid.shape[3]];
            second = second.f_transpose(0, 1)?.f_flatten(1, -1)?.f_mm(&core)?.f_reshape(shape)?.f_transpose(0, 1)?;
        }
        Ok(up.read(device)?.f_flatten(1, -1)?.f_mm(&second.f_flatten(1, -1)?)?)
    }
}
