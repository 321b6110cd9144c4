//! A weight as a product of two factors, for convolutions with a core between them (Tucker decomposition).

use anyhow::{Result, ensure};
use tch::Tensor;

use super::super::adapter::bounded;
use super::super::file::Stored;

pub(super) struct Factors {
    /// O×R, with a core R×O.
    pub(super) a: Stored,
    /// R×I.
    pub(super) b: Stored,
    /// R×R×H×W.
    pub(super) core: Option<Stored>,
}

impl Factors {
    /// The shape of the product: O×I, with a core O×I×H×W. An error if the factors do not belong together.
    pub(super) fn shape(&self) -> Result<Vec<i64>> {
        let ([a0, a1], [b0, b1]) = (self.a.matrix()?, self.b.matrix()?);
        let (fits, shape) = match self.core.as_ref().map(|core| core.shape.as_slice()) {
            None => (a1 == b0, vec![a0, b1]),
            Some(&[t0, t1, height, width]) => (a0 == t0 && b0 == t1, vec![a1, b1, height, width]),
            Some(_) => (false, Vec::new()),
        };
        let core = self.core.as_ref().map(|core| format!(" around {:?}", core.shape)).unwrap_or_default();
        ensure!(
            fits,
            "{} and {} have shapes {:?} and {:?}{core}",
            self.a.name,
            self.b.name,
            self.a.shape,
            self.b.shape
        );
        Ok(shape)
    }

    /// The product, in float32 on the weight's device.
    pub(super) fn product(&self, weight: &Tensor) -> Result<Tensor> {
        let (a, b) = (self.a.read(weight.device())?, self.b.read(weight.device())?);
        let Some(core) = &self.core else { return Ok(a.f_mm(&b)?) };
        bounded(weight, &[core.shape[0], self.b.shape[1], core.shape[2], core.shape[3]], &core.name)?;
        let core = core.read(weight.device())?;
        Ok(Tensor::f_einsum("i j k l, j r, i p -> p r k l", &[core, b, a], None::<&[i64]>)?)
    }
}
