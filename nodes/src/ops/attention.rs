//! Scaled dot-product attention (Vaswani et al. 2017, "Attention Is All You Need").
//!
//! On a CPU most of it is computed with the reference's operations in its order, so that results agree bit for bit.

use tch::{Device, Kind, Tensor};

/// With up to so many pairs of query and key (1024 tokens among themselves), libtorch's own kernel gains next to nothing
/// on a CPU.
const FEW_PAIRS: i64 = 1 << 20;
/// How many attention weights are kept in memory at once (16 MiB). More at once are slower, too.
const WEIGHTS_AT_ONCE: i64 = 1 << 22;

/// Attention over `heads` heads. `q` is B×N×C, `k` and `v` are B×M×C; the result is B×N×C. Keys and values of a smaller
/// batch are dealt out, M/B of them to each.
///
/// Each head sees C / `heads` channels, so `heads` must divide C. On a CPU, few tokens (and with `exact` any number) are
/// attended to with the reference's operations; otherwise libtorch picks the kernel. None of the ways keeps the N×M
/// weights of all heads in memory at once.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64, exact: bool) -> Tensor {
    let pairs = q.size()[1] * k.size()[1];
    if q.device() != Device::Cpu || (pairs > FEW_PAIRS && !exact) {
        return fused(q, k, v, heads, false);
    }
    let batch = q.size()[0];
    let (q, v) = (by_head(q, batch, heads), by_head(v, batch, heads));
    // The keys transposed before they are copied: the layout decides which kernel multiplies, and so how sums are rounded.
    let width = k.size()[2] / heads;
    let k = k.view([batch, -1, heads, width]).permute([0, 2, 3, 1]).reshape([batch * heads, width, -1]);
    let scale = (q.size()[2] as f64).powf(-0.5);
    let rows = (WEIGHTS_AT_ONCE / (k.size()[0] * k.size()[2])).max(1);
    let parts: Vec<Tensor> = (0..q.size()[1])
        .step_by(rows as usize)
        .map(|start| {
            let q = q.narrow(1, start, rows.min(q.size()[1] - start));
            let scores = Tensor::empty([1, 1, 1], (q.kind(), q.device())).baddbmm(&q, &k, 0.0, scale);
            scores.softmax(-1, None::<Kind>).bmm(&v)
        })
        .collect();
    joined(&whole(parts, 1), heads)
}

/// Attention of tokens to those at their own place or before it, as in a text encoder; as [`attention`] otherwise.
pub fn causal_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64) -> Tensor {
    if q.device() != Device::Cpu {
        return fused(q, k, v, heads, true);
    }
    let [q, k, v] = [q, k, v].map(|t| by_head(t, t.size()[0], heads).contiguous());
    let (length, options) = (q.size()[1], (q.kind(), q.device()));
    let scale = (q.size()[2] as f64).powf(-0.5);
    let later = Tensor::full([length, length], -f64::from(f32::MAX), options).triu(1);
    let scores = q.bmm(&k.transpose(1, 2)) * scale + later;
    joined(&scores.softmax(-1, None::<Kind>).bmm(&v), heads)
}

/// Attention of all pixels to all with one head, as in an autoencoder: `q`, `k` and `v` are B×C×N, as is the result.
pub fn pixel_attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    let q = q.transpose(1, 2);
    if q.device() != Device::Cpu {
        let [q, k, v] = [&q, &k.transpose(1, 2), &v.transpose(1, 2)].map(|t| t.contiguous());
        return fused(&q, &k, &v, 1, false).transpose(1, 2);
    }
    let scale = (q.size()[2] as f64).powf(-0.5);
    let rows = (WEIGHTS_AT_ONCE / (k.size()[0] * k.size()[2])).max(1);
    let parts: Vec<Tensor> = (0..q.size()[1])
        .step_by(rows as usize)
        .map(|start| {
            let scores = q.narrow(1, start, rows.min(q.size()[1] - start)).bmm(k) * scale;
            v.bmm(&scores.softmax(-1, None::<Kind>).transpose(1, 2))
        })
        .collect();
    whole(parts, 2)
}

/// libtorch's own kernels. They keep no weights in memory.
fn fused(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64, causal: bool) -> Tensor {
    let (batch, length, width) = (q.size()[0], q.size()[1], q.size()[2]);
    let split = |t: &Tensor| t.view([batch, -1, heads, width / heads]).transpose(1, 2);
    let (q, k, v) = (split(q), split(k), split(v));
    let out = Tensor::scaled_dot_product_attention(&q, &k, &v, None::<&Tensor>, 0.0, causal, None, false);
    out.transpose(1, 2).reshape([batch, length, width])
}

/// B×N×C as (B·heads)×N×(C/heads). If the tokens of a picture are spread over a larger batch, they are dealt out.
fn by_head(t: &Tensor, batch: i64, heads: i64) -> Tensor {
    let width = t.size()[2] / heads;
    t.view([batch, -1, heads, width]).transpose(1, 2).reshape([batch * heads, -1, width])
}

/// The way back.
fn joined(t: &Tensor, heads: i64) -> Tensor {
    t.unflatten(0, [-1, heads]).transpose(1, 2).flatten(2, -1)
}

fn whole(mut parts: Vec<Tensor>, dim: i64) -> Tensor {
    if parts.len() == 1 { parts.swap_remove(0) } else { Tensor::cat(&parts, dim) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::noise::randn;

    /// The definition, head by head.
    fn plain(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64, causal: bool) -> Tensor {
        let width = q.size()[2] / heads;
        let parts: Vec<Tensor> = (0..heads)
            .map(|h| {
                let [q, k, v] = [q, k, v].map(|t| t.narrow(2, h * width, width));
                let mut scores = q.matmul(&k.transpose(1, 2)) / (width as f64).sqrt();
                if causal {
                    let later = Tensor::ones([q.size()[1], k.size()[1]], (Kind::Bool, Device::Cpu)).triu(1);
                    scores = scores.masked_fill(&later, f64::NEG_INFINITY);
                }
                scores.softmax(-1, Kind::Float).matmul(&v)
            })
            .collect();
        Tensor::cat(&parts, 2)
    }

    fn near(one: &Tensor, other: &Tensor) -> bool {
        one.size() == other.size() && (one - other).abs().max().double_value(&[]) < 1e-5
    }

    #[test]
    fn agrees_with_the_definition() {
        for (batch, n, m, heads) in [(2, 9, 9, 8), (1, 9, 5, 2), (2, 7, 7, 1), (1, 1100, 1100, 8)] {
            let [q, k, v] = [(1, n), (2, m), (3, m)].map(|(seed, length)| randn(seed, &[batch, length, 32]));
            let expected = plain(&q, &k, &v, heads, false);
            for exact in [false, true] {
                assert!(near(&attention(&q, &k, &v, heads, exact), &expected), "{batch} {n} {m} {heads} {exact}");
            }
            assert!(near(&fused(&q, &k, &v, heads, false), &expected));
        }
        let [q, k, v] = [1, 2, 3].map(|seed| randn(seed, &[2, 7, 32]));
        assert!(near(&causal_attention(&q, &k, &v, 4), &plain(&q, &k, &v, 4, true)));
        assert!(near(&fused(&q, &k, &v, 4, true), &plain(&q, &k, &v, 4, true)));
    }

    #[test]
    fn attention_over_pixels_is_that_of_one_head() {
        for n in [9, 2100] {
            let [q, k, v] = [1, 2, 3].map(|seed| randn(seed, &[1, n, 16]));
            let [tq, tk, tv] = [&q, &k, &v].map(|t| t.transpose(1, 2).contiguous());
            assert!(near(&pixel_attention(&tq, &tk, &tv).transpose(1, 2), &plain(&q, &k, &v, 1, false)), "{n}");
        }
    }
}
