//! CLIP's byte-pair merges, taken from the vocabulary that `instant-clip-tokenizer` carries.
//!
//! That crate applies merges in a time quadratic in the word's length and keeps them private; what it does give is the
//! text of each token. A token's merge follows from its text: applied to the token's own bytes, the merges learned
//! before it leave exactly the two parts that it joins.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::OnceLock;

use instant_clip_tokenizer::{Token, Tokenizer as Carrier};

/// The token that starts every chunk.
pub(crate) const START: u32 = 49406;
/// The token that ends every chunk; SD1.x pads with it too.
pub(crate) const END: u32 = 49407;
/// Added to a byte's token when the byte ends a word.
const END_OF_WORD: u32 = 256;
const FIRST_MERGED: u32 = 512;

pub(crate) struct Vocabulary {
    byte_token: [u32; 256],
    merges: HashMap<(u32, u32), u32>,
}

impl Vocabulary {
    /// The vocabulary, built on first use (once per process).
    pub(crate) fn get() -> &'static Self {
        static VOCABULARY: OnceLock<Vocabulary> = OnceLock::new();
        VOCABULARY.get_or_init(Self::recover)
    }

    fn recover() -> Self {
        let carrier = Carrier::new();
        let mut vocabulary = Self { byte_token: byte_tokens(), merges: HashMap::with_capacity(START as usize) };
        for token in FIRST_MERGED..START {
            let (bytes, ends_word) = vocabulary.spelling(&carrier, token);
            if let [first, second] = vocabulary.merged(&bytes, ends_word)[..] {
                vocabulary.merges.insert((first, second), token);
            }
        }
        vocabulary
    }

    /// The tokens of one word (a piece between which merges never reach), the last carrying the end-of-word mark.
    pub(crate) fn word(&self, word: &str) -> Vec<u32> {
        self.merged(word.as_bytes(), true)
    }

    /// Byte-pair encoding (Sennrich et al. 2016): joins the pair with the lowest rank first, the leftmost among equals.
    /// A token's number is its rank. Time n log n in the word's length.
    fn merged(&self, bytes: &[u8], ends_word: bool) -> Vec<u32> {
        let mut tokens: Vec<u32> = bytes.iter().map(|&byte| self.byte_token[usize::from(byte)]).collect();
        if let (true, Some(last)) = (ends_word, tokens.last_mut()) {
            *last += END_OF_WORD;
        }
        let end = tokens.len();
        // A linked list over the positions that still hold a token.
        let mut next: Vec<usize> = (1..=end).collect();
        let mut previous: Vec<usize> = (0..end).map(|at| at.wrapping_sub(1)).collect();
        let mut alive = vec![true; end];
        let pair =
            |tokens: &[u32], at: usize, follower: usize| self.merges.get(&(tokens[at], tokens[follower])).copied();
        let mut queue: BinaryHeap<_> =
            (1..end).filter_map(|at| Some(Reverse((pair(&tokens, at - 1, at)?, at - 1)))).collect();
        while let Some(Reverse((merged, at))) = queue.pop() {
            let follower = next[at];
            if !alive[at] || follower >= end || pair(&tokens, at, follower) != Some(merged) {
                continue;
            }
            tokens[at] = merged;
            alive[follower] = false;
            next[at] = next[follower];
            if next[at] < end {
                previous[next[at]] = at;
                queue.extend(pair(&tokens, at, next[at]).map(|rank| Reverse((rank, at))));
            }
            let before = previous[at];
            if before < end {
                queue.extend(pair(&tokens, before, at).map(|rank| Reverse((rank, before))));
            }
        }
        tokens.into_iter().zip(alive).filter_map(|(token, alive)| alive.then_some(token)).collect()
    }

    /// The bytes that a token stands for, and whether it ends a word.
    ///
    /// The carrier gives text with U+FFFD where a token is only part of a character, so such a token is read between
    /// bytes that complete the character.
    fn spelling(&self, carrier: &Carrier, token: u32) -> (Vec<u8>, bool) {
        const BEFORE: [&[u8]; 4] = [&[], &[0xC3], &[0xE1], &[0xF1]];
        const AFTER: [&[u8]; 9] = [
            &[],
            &[0x80],
            &[0x80, 0x80],
            &[0x80, 0x80, 0x80],
            &[0xA0],
            &[0xA0, 0x80],
            &[0x90],
            &[0x90, 0x80],
            &[0x90, 0x80, 0x80],
        ];
        let read = |before: &[u8], after: &[u8]| {
            let around =
                |bytes: &[u8]| bytes.iter().map(|&byte| self.byte_token[usize::from(byte)]).collect::<Vec<_>>();
            let tokens = [around(before), vec![token], around(after)].concat();
            carrier.decode(tokens.into_iter().filter_map(|token| Token::from_u16(token as u16, carrier)))
        };
        let (text, before, after) = BEFORE
            .iter()
            .flat_map(|before| AFTER.iter().map(move |after| (*before, *after)))
            .map(|(before, after)| (read(before, after), before.len(), after.len()))
            .find(|(text, ..)| !text.contains(char::REPLACEMENT_CHARACTER))
            // What cannot be completed is the token of U+FFFD itself.
            .unwrap_or_else(|| (read(&[], &[]), 0, 0));
        let bytes = &text.as_bytes()[before..text.len() - after];
        // The carrier writes the end of a word as a space, which no token holds otherwise.
        bytes.strip_suffix(b" ").map_or_else(|| (bytes.to_vec(), false), |word| (word.to_vec(), true))
    }
}

/// Tokens of the single bytes: the printable ones of Latin-1 come first, the others follow in order (GPT-2's alphabet).
fn byte_tokens() -> [u32; 256] {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=u8::MAX).filter(|byte| !printable(byte));
    let mut tokens = [0; 256];
    for (token, byte) in (0..).zip((0..=u8::MAX).filter(printable).chain(others)) {
        tokens[usize::from(byte)] = token;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_merge_is_recovered() {
        assert_eq!(Vocabulary::get().merges.len(), (START - FIRST_MERGED) as usize);
    }

    #[test]
    fn words_equal_the_carrier() {
        let carrier = Carrier::new();
        for token in FIRST_MERGED..START {
            let (bytes, _) = Vocabulary::get().spelling(&carrier, token);
            let Ok(text) = String::from_utf8(bytes) else { continue };
            // Only texts that are one word for both.
            if !text.chars().all(|c| c.is_ascii_lowercase()) {
                continue;
            }
            let mut expected = Vec::new();
            carrier.encode(&text, &mut expected);
            let expected: Vec<u32> = expected.into_iter().map(|token| u32::from(token.to_u16())).collect();
            assert_eq!(Vocabulary::get().word(&text), expected, "{text}");
        }
    }
}
