//! Mutated seeds for the tests that run the fuzz targets' harness for some seconds.

/// A seed's own random numbers: a failure is found again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX constants; only the high bits are any good.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// Changes, takes out, doubles or cuts off a few bytes, or puts in one of `words`, if there are any.
pub(crate) fn mutate(bytes: &mut Vec<u8>, words: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(40)).min(bytes.len());
    match random.below(if words.is_empty() { 5 } else { 7 }) {
        0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
        1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let part = bytes[at..end].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, part);
        }
        5 => drop(bytes.splice(at..at, words[random.below(words.len())].iter().copied())),
        6 => {
            let word = &words[random.below(words.len())];
            let end = (at + word.len()).min(bytes.len());
            bytes.splice(at..end, word.iter().copied());
        }
        _ => bytes.truncate(end),
    }
}
