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
