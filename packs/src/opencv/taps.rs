//! Which old pixels a new one is made of, and how much of each.

/// For each new pixel along one side `N` old ones and their weights.
pub(super) struct Taps<W, const N: usize>(pub(super) Vec<([usize; N], [W; N])>);

/// How many old pixels a new one is wide, as OpenCV computes it.
pub(super) fn scale(old: usize, new: usize) -> f64 {
    1.0 / (new as f64 / old as f64)
}

/// Where the middle of a new pixel lies among the old ones' middles.
pub(super) fn middle(at: usize, scale: f64) -> f64 {
    (at as f64 + 0.5) * scale - 0.5
}

/// `N` neighbours from `first` on; beyond an edge the pixel at the edge.
pub(super) fn neighbours<const N: usize>(first: i64, old: usize) -> [usize; N] {
    let last = old.saturating_sub(1) as i64;
    std::array::from_fn(|at| (first + at as i64).clamp(0, last) as usize)
}

impl<W: Copy, const N: usize> Taps<W, N> {
    /// `tap` gives the first neighbour of a new pixel and the weights.
    pub(super) fn of(old: usize, new: usize, tap: impl Fn(usize) -> (i64, [W; N])) -> Self {
        let taps = (0..new).map(|at| {
            let (first, weights) = tap(at);
            (neighbours(first, old), weights)
        });
        Self(taps.collect())
    }
}

/// `N` neighbours around where the middle of each new pixel lies; `weights` is given how far behind the one before it lies.
pub(super) fn around<W: Copy, const N: usize>(old: usize, new: usize, weights: impl Fn(f32) -> [W; N]) -> Taps<W, N> {
    let scale = scale(old, new);
    Taps::of(old, new, |at| {
        let middle = middle(at, scale) as f32;
        let first = middle.floor();
        (first as i64 - (N as i64 / 2 - 1), weights(middle - first))
    })
}

/// OpenCV's own weights of four neighbours (a = -0.75).
pub(super) fn cubic_weights(x: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let outer = ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
    let inner = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let (second, third) = (inner(x), inner(1.0 - x));
    [outer, second, third, 1.0 - outer - second - third]
}
