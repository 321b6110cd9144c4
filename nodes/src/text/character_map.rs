//! SentencePiece's map of characters to others, by which texts are normalised: a trie of byte strings, and texts behind it.

/// The map as model files hold it: the size of the trie in bytes, its units, and the texts, each with a zero behind it.
#[derive(Debug, Default)]
pub(super) struct CharacterMap {
    units: Vec<u32>,
    texts: Vec<u8>,
}

impl CharacterMap {
    /// A map from a file's bytes, which may be anything: what does not fit maps nothing.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let word = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).ok();
        let Some((size, rest)) = bytes.split_at_checked(4) else { return Self::default() };
        let size = word(size).and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
        let Some((trie, texts)) = rest.split_at_checked(size) else { return Self::default() };
        Self { units: trie.chunks_exact(4).filter_map(word).collect(), texts: texts.to_vec() }
    }

    /// The longest beginning of `text` that the map knows, in bytes, and what stands for it.
    pub(super) fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let mut found = None;
        let mut place = offset(self.unit(0)?);
        for (at, &byte) in text.as_bytes().iter().enumerate() {
            place ^= usize::from(byte);
            let Some(unit) = self.unit(place).filter(|&unit| label(unit) == u32::from(byte)) else { break };
            place ^= offset(unit);
            if has_value(unit) {
                found = Some((at + 1, self.unit(place)? & 0x7fff_ffff));
            }
        }
        let (length, value) = found?;
        let text = self.texts.get(usize::try_from(value).ok()?..)?.split(|&byte| byte == 0).next()?;
        Some((length, std::str::from_utf8(text).ok()?))
    }

    fn unit(&self, place: usize) -> Option<u32> {
        self.units.get(place).copied()
    }
}

/// Of a unit of the trie (darts-clone's layout): the byte that leads to it.
fn label(unit: u32) -> u32 {
    unit & 0x8000_00ff
}

/// Whether a string ends here.
fn has_value(unit: u32) -> bool {
    unit >> 8 & 1 == 1
}

/// How far away its children are.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_maps_map_nothing() {
        for bytes in [&[][..], &[9, 0, 0, 0, 1], &[255; 40], &[4, 0, 0, 0, 255, 255, 255, 255, b'x']] {
            assert_eq!(CharacterMap::of(bytes).longest("x"), None);
        }
    }

    #[test]
    fn the_longest_beginning_counts() {
        // "a" is "1" and "ab" is "2". Children of a unit lie at its place, xor its offset, xor their byte.
        let mut units = vec![0u32; 1024];
        units[0] = 256 << 10;
        let (a, ab) = (256 ^ usize::from(b'a'), 512 ^ usize::from(b'b'));
        units[a] = u32::from(b'a') | 1 << 8 | ((a ^ 512) as u32) << 10;
        units[512] = 0;
        units[ab] = u32::from(b'b') | 1 << 8 | ((ab ^ 768) as u32) << 10;
        units[768] = 2;
        let trie: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let bytes = [&(trie.len() as u32).to_le_bytes()[..], &trie, b"1\x002\x00"].concat();
        let map = CharacterMap::of(&bytes);
        assert_eq!([map.longest("abc"), map.longest("ac"), map.longest("c")], [Some((2, "2")), Some((1, "1")), None]);
    }
}
