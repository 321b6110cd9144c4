//! Gaussian blur.

use tch::Tensor;

/// Masks, N×H×W, blurred with a kernel of `side` pixels, which is odd and at most twice the shorter side of a mask; the edges are reflected.
pub(crate) fn blurred(mask: &Tensor, side: i64, sigma: f64) -> Tensor {
    let half = (side - 1) as f64 * 0.5;
    let places = Tensor::linspace(-half, half, side, (mask.kind(), mask.device()));
    let line = ((places / sigma).square() * -0.5).exp();
    let line = &line / line.sum(None);
    let kernel = line.unsqueeze(1).matmul(&line.unsqueeze(0)).view([1, 1, side, side]);
    let padded = mask.unsqueeze(1).reflection_pad2d([side / 2; 4]);
    padded.conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1).squeeze_dim(1)
}
