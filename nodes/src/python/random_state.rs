//! NumPy's older generator, `numpy.random.RandomState`: the Mersenne Twister, and what it draws from it.

use rand_mt::Mt;

/// `numpy.random.seed(seed % (2**32 - 1))` and what follows it.
pub struct RandomState(Mt);

impl RandomState {
    pub fn seeded(seed: u64) -> Self {
        Self(Mt::new((seed % u64::from(u32::MAX)) as u32))
    }

    /// A number from 0 to `most`: `randint(0, most + 1)`. Numbers of as many bits as `most` has are drawn until one is
    /// small enough. For 0 nothing is drawn.
    pub fn up_to(&mut self, most: u32) -> u32 {
        if most == 0 {
            return 0;
        }
        let mask = u32::MAX >> most.leading_zeros();
        loop {
            let number = self.0.next_u32() & mask;
            if number <= most {
                return number;
            }
        }
    }

    /// `permutation(count)`: from the last element on, each is swapped with one at or before it.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for at in (1..count).rev() {
            let with = self.up_to(u32::try_from(at).unwrap_or(u32::MAX));
            order.swap(at, with as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures from NumPy 2.4.6: `np.random.seed(s)`, `np.random.randint(0, n)` for six n, `np.random.permutation(12)`.
    #[test]
    fn draws_what_numpy_draws() {
        for (seed, numbers, order) in [
            (0, [0, 0, 67, 3, 359, 41993], [11, 1, 9, 8, 10, 0, 6, 7, 4, 2, 5, 3]),
            (1, [1, 3, 12, 8, 767, 50057], [3, 8, 7, 2, 6, 10, 4, 1, 9, 0, 5, 11]),
            (12345, [0, 1, 36, 29, 769, 27766], [10, 4, 8, 5, 3, 11, 2, 0, 6, 7, 9, 1]),
            (u64::MAX, [0, 0, 67, 3, 359, 41993], [11, 1, 9, 8, 10, 0, 6, 7, 4, 2, 5, 3]),
        ] {
            let mut random = RandomState::seeded(seed);
            assert_eq!([2, 5, 100, 33, 1000, 70000].map(|n| random.up_to(n - 1)), numbers, "seed {seed}");
            assert_eq!(random.up_to(0), 0);
            assert_eq!(random.permutation(12), order, "seed {seed}");
        }
        assert!(RandomState::seeded(3).permutation(0).is_empty());
    }
}
