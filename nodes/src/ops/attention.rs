//! Scaled dot-product attention (Vaswani et al. 2017, "Attention Is All You Need").

use tch::Tensor;

/// Which keys a query may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Every key.
    None,
    /// Only keys at its own position or before it.
    Causal,
}

/// Attention over `heads` heads. `q` is B×N×C, `k` and `v` are B×M×C; the result is B×N×C.
///
/// Each head sees C / `heads` channels, so `heads` must divide C. libtorch picks the kernel; none of them keeps the
/// N×M weights of all heads in memory at once.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64, mask: Mask) -> Tensor {
    let (batch, length, width) = (q.size()[0], q.size()[1], q.size()[2]);
    let each = width / heads;
    let scale = (each as f64).powf(-0.5);
    let split = |t: &Tensor| t.view([batch, -1, heads, each]).permute([0, 2, 1, 3]).reshape([batch * heads, -1, each]);
    let v = split(v);
    let scores = if mask == Mask::Causal {
        let hidden = Tensor::full([length, length], -f64::from(f32::MAX), (q.kind(), q.device())).triu(1);
        let (q, k) = (split(q).contiguous(), split(k).contiguous());
        let mut scores = q.bmm(&k.transpose(1, 2)) * scale;
        scores += hidden;
        scores
    } else {
        let k = k.view([batch, -1, heads, each]).permute([0, 2, 3, 1]).reshape([batch * heads, each, -1]);
        Tensor::empty([1, 1, 1], (q.kind(), q.device())).baddbmm(&split(q), &k, 0.0, scale)
    };
    let out = scores.softmax(-1, scores.kind()).bmm(&v);
    out.unflatten(0, [-1, heads]).transpose(1, 2).flatten(2, -1)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::ops::noise::randn;

    /// The definition, head by head.
    fn plain(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64, mask: Mask) -> Tensor {
        let width = q.size()[2] / heads;
        let parts: Vec<Tensor> = (0..heads)
            .map(|h| {
                let [q, k, v] = [q, k, v].map(|t| t.narrow(2, h * width, width));
                let mut scores = q.matmul(&k.transpose(1, 2)) / (width as f64).sqrt();
                if mask == Mask::Causal {
                    let later = Tensor::ones([q.size()[1], k.size()[1]], (Kind::Bool, Device::Cpu)).triu(1);
                    scores = scores.masked_fill(&later, f64::NEG_INFINITY);
                }
                scores.softmax(-1, Kind::Float).matmul(&v)
            })
            .collect();
        Tensor::cat(&parts, 2)
    }

    #[test]
    fn agrees_with_the_definition() {
        for (n, m, heads, mask) in [(9, 9, 8, Mask::None), (9, 5, 2, Mask::None), (7, 7, 1, Mask::Causal)] {
            let (q, k, v) = (randn(1, &[2, n, 32]), randn(2, &[2, m, 32]), randn(3, &[2, m, 32]));
            let difference = (attention(&q, &k, &v, heads, mask) - plain(&q, &k, &v, heads, mask)).abs().max();
            assert!(difference.double_value(&[]) < 1e-5, "{n} {m} {heads} {mask:?}: {difference:?}");
        }
    }
}
