//! NumPy's `SeedSequence`: spreads an entropy value over many seeds (O'Neill, "Developing a seed_seq alternative").

const INIT_A: u32 = 0x43b0_d7e5;
const MULT_A: u32 = 0x931e_8875;
const INIT_B: u32 = 0x8b51_f9dd;
const MULT_B: u32 = 0x58f3_8ded;
const MIX_LEFT: u32 = 0xca01_f9dd;
const MIX_RIGHT: u32 = 0x4973_f715;
const SHIFT: u32 = 16;

/// The first `count` words that `SeedSequence(entropy, spawn_key, pool_size).generate_state` gives. `pool_size` is at
/// least 1.
pub fn seed_words(entropy: u64, spawn_key: &[u64], pool_size: usize, count: usize) -> Vec<u32> {
    let pool = mixed_pool(&assembled_entropy(entropy, spawn_key, pool_size), pool_size);
    let mut hash_constant = INIT_B;
    let word = |&mixed: &u32| {
        let mut value = mixed ^ hash_constant;
        hash_constant = hash_constant.wrapping_mul(MULT_B);
        value = value.wrapping_mul(hash_constant);
        value ^ (value >> SHIFT)
    };
    pool.iter().cycle().take(count).map(word).collect()
}

/// The entropy's words, lowest first; if a spawn key follows, they are padded to the pool's size.
fn assembled_entropy(entropy: u64, spawn_key: &[u64], pool_size: usize) -> Vec<u32> {
    let mut words = words_of(entropy);
    if !spawn_key.is_empty() && words.len() < pool_size {
        words.resize(pool_size, 0);
    }
    words.extend(spawn_key.iter().flat_map(|&key| words_of(key)));
    words
}

/// A number as 32-bit words, lowest first; 0 is one word.
fn words_of(number: u64) -> Vec<u32> {
    let (low, high) = (number as u32, (number >> 32) as u32);
    if high == 0 { vec![low] } else { vec![low, high] }
}

fn mixed_pool(entropy: &[u32], pool_size: usize) -> Vec<u32> {
    let mut hash_constant = INIT_A;
    let mut hashed = |value: u32| {
        let mut value = value ^ hash_constant;
        hash_constant = hash_constant.wrapping_mul(MULT_A);
        value = value.wrapping_mul(hash_constant);
        value ^ (value >> SHIFT)
    };
    let mut pool: Vec<u32> = (0..pool_size).map(|i| hashed(entropy.get(i).copied().unwrap_or(0))).collect();
    for source in 0..pool_size {
        for target in (0..pool_size).filter(|&target| target != source) {
            pool[target] = mixed(pool[target], hashed(pool[source]));
        }
    }
    for &word in entropy.iter().skip(pool_size) {
        for slot in &mut pool {
            *slot = mixed(*slot, hashed(word));
        }
    }
    pool
}

fn mixed(left: u32, right: u32) -> u32 {
    let value = left.wrapping_mul(MIX_LEFT).wrapping_sub(right.wrapping_mul(MIX_RIGHT));
    value ^ (value >> SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_numpy() {
        assert_eq!(seed_words(42, &[], 24, 3), [387750627, 2536650517, 4078839648]);
        assert_eq!(seed_words(42, &[0, 0], 24, 1), [2102017995]);
    }
}
