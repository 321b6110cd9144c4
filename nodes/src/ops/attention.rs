//! Scaled dot-product attention (Vaswani et al. 2017, "Attention Is All You Need").
//!
//! On a CPU it is computed with ComfyUI's operations, so that results agree bit for bit. On a GPU libtorch's fused
//! kernels compute it.

use std::cell::Cell;

use tch::{Device, Kind, Tensor};

thread_local! {
    static FUSED_ON_CPU: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with libtorch's fused kernels on a CPU, too, for attention that this thread computes: the same mathematics, rounded
/// otherwise. How far results part then tells how much of them is rounding.
pub fn with_fused_kernels<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            FUSED_ON_CPU.set(self.0);
        }
    }
    let _restore = Restore(FUSED_ON_CPU.replace(true));
    work()
}

/// Whether libtorch's fused kernels compute attention over this tensor.
fn is_fused(q: &Tensor) -> bool {
    q.device() != Device::Cpu || FUSED_ON_CPU.get()
}

/// The number of attention weights that are computed at once on a CPU (4 MiB). So many stay in a core's cache; more are
/// up to three times slower.
const WEIGHTS_AT_ONCE: i64 = 1 << 20;

/// Attention over `heads` heads. `q` is B×N×C, `k` and `v` are B×M×C; the result is B×N×C. If `k` and `v` have a
/// smaller batch, their tokens are divided among the B entries.
///
/// Each head sees C / `heads` channels, so `heads` must divide C. The N×M weights of all heads are never in memory at once.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64) -> Tensor {
    if is_fused(q) {
        return fused(q, k, v, heads, false);
    }
    let batch = q.size()[0];
    let (q, v) = (by_head(q, batch, heads), by_head(v, batch, heads));
    // The keys are transposed before they are copied. Their layout decides which kernel multiplies, and so how sums are
    // rounded.
    let width = k.size()[2] / heads;
    let k = k.view([batch, -1, heads, width]).permute([0, 2, 3, 1]).reshape([batch * heads, width, -1]);
    weighted(&q, &k, &v, heads, None)
}

/// [`attention`] with something added to the weights' logarithms for each key: `bias` is B×1×1×M, or 1 in place of B.
pub fn masked_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64, bias: &Tensor) -> Tensor {
    if is_fused(q) {
        return biased_attention(q, k, v, heads, bias);
    }
    let (batch, width) = (q.size()[0], k.size()[2] / heads);
    let (q, v) = (by_head(q, batch, heads), by_head(v, batch, heads));
    let k = k.view([batch, -1, heads, width]).permute([0, 2, 3, 1]).reshape([batch * heads, width, -1]);
    let keys = k.size()[2];
    let bias = bias.expand([batch, heads, 1, keys], false).reshape([-1, 1, keys]);
    weighted(&q, &k, &v, heads, Some(&bias))
}

/// Attention of (B·heads)×N×D, with the keys transposed: (B·heads)×D×M. `bias`, (B·heads)×1×M, is added to the weights' logarithms.
fn weighted(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64, bias: Option<&Tensor>) -> Tensor {
    let scale = (q.size()[2] as f64).powf(-0.5);
    let attended = in_pieces(q, k.size()[2], |head, heads, row, rows| {
        let (q, k) = (q.narrow(0, head, heads).narrow(1, row, rows), k.narrow(0, head, heads));
        let mut scores = Tensor::empty([1, 1, 1], (q.kind(), q.device())).baddbmm(&q, &k, 0.0, scale);
        if let Some(bias) = bias {
            scores += bias.narrow(0, head, heads);
        }
        scores.softmax(-1, None::<Kind>).bmm(&v.narrow(0, head, heads))
    });
    joined(&attended, heads)
}

/// Assembles (B·heads)×N×C from pieces that are small enough, each row having `keys` weights. `piece` is given its
/// first head and number of heads, and its first row and number of rows.
fn in_pieces(q: &Tensor, keys: i64, piece: impl Fn(i64, i64, i64, i64) -> Tensor) -> Tensor {
    let (heads, rows) = (q.size()[0], q.size()[1]);
    let rows_at_once = (WEIGHTS_AT_ONCE / keys).clamp(1, rows);
    let heads_at_once = (WEIGHTS_AT_ONCE / (keys * rows)).clamp(1, heads);
    let all_rows = |head: i64, heads: i64| {
        let starts = (0..rows).step_by(rows_at_once as usize);
        whole(starts.map(|row| piece(head, heads, row, rows_at_once.min(rows - row))).collect(), 1)
    };
    let starts = (0..heads).step_by(heads_at_once as usize);
    whole(starts.map(|head| all_rows(head, heads_at_once.min(heads - head))).collect(), 0)
}

/// Causal attention: each token attends to itself and to those before it, as in a text encoder. Otherwise as
/// [`attention`].
pub fn causal_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64) -> Tensor {
    if is_fused(q) {
        return fused(q, k, v, heads, true);
    }
    let [q, k, v] = [q, k, v].map(|t| by_head(t, t.size()[0], heads).contiguous());
    let (length, options) = (q.size()[1], (q.kind(), q.device()));
    let scale = (q.size()[2] as f64).powf(-0.5);
    let later = Tensor::full([length, length], -f64::from(f32::MAX), options).triu(1);
    let scores = q.bmm(&k.transpose(1, 2)) * scale + later;
    joined(&scores.softmax(-1, None::<Kind>).bmm(&v), heads)
}

/// Attention whose inputs are split into heads already: B×H×N×D and B×H×M×D, in any memory layout. The result is B×N×(H·D).
pub fn attention_of_heads(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    let (batch, heads, width) = (q.size()[0], q.size()[1], q.size()[3]);
    if is_fused(q) {
        let out = Tensor::scaled_dot_product_attention(q, k, v, None::<&Tensor>, 0.0, false, None, false);
        return out.transpose(1, 2).reshape([batch, -1, heads * width]);
    }
    let [q, k, v] = [q, k, v].map(|t| t.reshape([batch * heads, -1, width]));
    // Here the transposed keys are not copied, unlike in [`attention`]: another kernel multiplies.
    let k = k.movedim_int(1, 2);
    weighted(&q, &k, &v, heads, None)
}

/// [`attention_of_heads`] as the reference computes it for short inputs: all the weights of some heads at once.
pub fn short_attention_of_heads(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    let (batch, heads, width) = (q.size()[0], q.size()[1], q.size()[3]);
    if is_fused(q) {
        return attention_of_heads(q, k, v);
    }
    let [q, k, v] = [q, k, v].map(|t| t.reshape([batch * heads, -1, width]));
    let scale = (width as f64).powf(-0.5);
    let all = q.size()[0];
    let at_once = (WEIGHTS_AT_ONCE / (q.size()[1] * k.size()[1])).clamp(1, all);
    let piece = |head: i64| {
        let [q, k, v] = [&q, &k, &v].map(|t| t.narrow(0, head, at_once.min(all - head)));
        (q.bmm(&k.transpose(1, 2)) * scale).softmax(-1, None::<Kind>).bmm(&v)
    };
    joined(&whole((0..all).step_by(at_once as usize).map(piece).collect(), 0), heads)
}

/// [`biased_attention`] whose inputs are split into heads already, as those of [`attention_of_heads`].
pub fn biased_attention_of_heads(q: &Tensor, k: &Tensor, v: &Tensor, bias: &Tensor) -> Tensor {
    let (batch, heads, width) = (q.size()[0], q.size()[1], q.size()[3]);
    if is_fused(q) {
        let out = Tensor::scaled_dot_product_attention(q, k, v, Some(bias), 0.0, false, None, false);
        return out.transpose(1, 2).reshape([batch, -1, heads * width]);
    }
    let [q, k, v] = [q, k, v].map(|t| t.reshape([batch * heads, -1, width]));
    biased(&q, &k, &v, heads, bias)
}

/// Attention with something added to the weights' logarithms: `bias` is B×H×N×M, or 1 in place of B and H. `q`, `k`, `v` and the result are
/// as in [`attention`].
pub fn biased_attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64, bias: &Tensor) -> Tensor {
    if is_fused(q) {
        let (batch, width) = (q.size()[0], q.size()[2]);
        let split = |t: &Tensor| t.view([batch, -1, heads, width / heads]).transpose(1, 2);
        let out =
            Tensor::scaled_dot_product_attention(&split(q), &split(k), &split(v), Some(bias), 0.0, false, None, false);
        return out.transpose(1, 2).reshape([batch, -1, width]);
    }
    let batch = q.size()[0];
    let [q, k, v] = [q, k, v].map(|t| by_head(t, batch, heads).contiguous());
    biased(&q, &k, &v, heads, bias)
}

/// The same for (B·heads)×N×D.
fn biased(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64, bias: &Tensor) -> Tensor {
    let scale = (q.size()[2] as f64).powf(-0.5);
    let (batch, n, m) = (q.size()[0] / heads, q.size()[1], k.size()[1]);
    let bias = bias.expand([batch, heads, n, m], false).reshape([-1, n, m]);
    let scores = q.bmm(&k.transpose(1, 2)) * scale + bias;
    joined(&scores.softmax(-1, None::<Kind>).bmm(v), heads)
}

/// Self-attention of pixels with one head, as in an autoencoder. `q`, `k`, `v` and the result are B×C×N.
pub fn pixel_attention(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    let q = q.transpose(1, 2);
    if is_fused(&q) {
        let [q, k, v] = [&q, &k.transpose(1, 2), &v.transpose(1, 2)].map(|t| t.contiguous());
        return fused(&q, &k, &v, 1, false).transpose(1, 2);
    }
    let scale = (q.size()[2] as f64).powf(-0.5);
    let attended = in_pieces(&q, k.size()[2], |head, heads, row, rows| {
        let scores = q.narrow(0, head, heads).narrow(1, row, rows).bmm(&k.narrow(0, head, heads)) * scale;
        v.narrow(0, head, heads).bmm(&scores.softmax(-1, None::<Kind>).transpose(1, 2)).transpose(1, 2)
    });
    attended.transpose(1, 2).contiguous()
}

/// libtorch's fused kernels, which keep no attention weights in memory.
fn fused(q: &Tensor, k: &Tensor, v: &Tensor, heads: i64, causal: bool) -> Tensor {
    let (batch, length, width) = (q.size()[0], q.size()[1], q.size()[2]);
    let split = |t: &Tensor| t.view([batch, -1, heads, width / heads]).transpose(1, 2);
    let (q, k, v) = (split(q), split(k), split(v));
    let out = Tensor::scaled_dot_product_attention(&q, &k, &v, None::<&Tensor>, 0.0, causal, None, false);
    out.transpose(1, 2).reshape([batch, length, width])
}

/// B×N×C as (B·heads)×N×(C/heads). If `batch` is larger than B, the tokens are divided among its entries.
fn by_head(t: &Tensor, batch: i64, heads: i64) -> Tensor {
    let width = t.size()[2] / heads;
    t.view([batch, -1, heads, width]).transpose(1, 2).reshape([batch * heads, -1, width])
}

/// The inverse of [`by_head`].
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
            assert!(near(&attention(&q, &k, &v, heads), &expected), "{batch} {n} {m} {heads}");
            assert!(near(&fused(&q, &k, &v, heads, false), &expected));
        }
        let [q, k, v] = [1, 2, 3].map(|seed| randn(seed, &[2, 7, 32]));
        assert!(near(&causal_attention(&q, &k, &v, 4), &plain(&q, &k, &v, 4, true)));
        assert!(near(&fused(&q, &k, &v, 4, true), &plain(&q, &k, &v, 4, true)));
    }

    #[test]
    fn split_and_biased_attention_agree_with_the_definition() {
        let [q, k, v] = [1, 2, 3].map(|seed| randn(seed, &[2, 9, 32]));
        let expected = plain(&q, &k, &v, 4, false);
        let split = |t: &Tensor| t.view([2, 9, 4, 8]).transpose(1, 2);
        assert!(near(&attention_of_heads(&split(&q), &split(&k), &split(&v)), &expected));
        assert!(near(&short_attention_of_heads(&split(&q), &split(&k), &split(&v)), &expected));
        assert!(near(
            &biased_attention(&q, &k, &v, 4, &Tensor::zeros([1, 1, 1, 1], (Kind::Float, Device::Cpu))),
            &expected
        ));
        let hidden = Tensor::zeros([2, 1, 1, 9], (Kind::Float, Device::Cpu));
        let _ = hidden.narrow(3, 6, 3).fill_(-1e9);
        let seen = |t: &Tensor| t.narrow(1, 0, 6);
        let expected = plain(&q, &seen(&k), &seen(&v), 4, false);
        assert!(near(&masked_attention(&q, &k, &v, 4, &hidden), &expected));
        let later = Tensor::full([9, 9], -1e9, (Kind::Float, Device::Cpu)).triu(1).view([1, 1, 9, 9]);
        assert!(near(&biased_attention(&q, &k, &v, 4, &later), &plain(&q, &k, &v, 4, true)));
    }

    #[test]
    fn fused_kernels_agree_up_to_rounding_and_only_where_they_are_asked_for() {
        let [q, k, v] = [1, 2, 3].map(|seed| randn(seed, &[2, 300, 64]));
        let all = || {
            let [tq, tk, tv] = [&q, &k, &v].map(|t| t.transpose(1, 2).contiguous());
            [attention(&q, &k, &v, 4), causal_attention(&q, &k, &v, 4), pixel_attention(&tq, &tk, &tv)]
        };
        let (usual, fused, again) = (all(), with_fused_kernels(all), all());
        assert!(usual.iter().zip(&fused).all(|(one, other)| near(one, other)));
        assert!(usual.iter().zip(&fused).any(|(one, other)| one != other), "the same kernels computed both");
        assert_eq!(usual, again);
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
