//! CLIP's tokenizer: normalisation, splitting into words, byte-pair encoding.
//!
//! Equal to `transformers` 5.23's `CLIPTokenizer`, which ComfyUI uses; compared over every Unicode code point and tens
//! of thousands of random strings. Characters newer than the reference's Unicode tables may differ.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::clip_vocabulary::{END, START, Vocabulary};

const START_MARKER: &str = "<|startoftext|>";
const END_MARKER: &str = "<|endoftext|>";
const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/// Token numbers (0…49407) of a text, without the start and end tokens that a chunk adds.
///
/// `<|startoftext|>` and `<|endoftext|>` inside the text become the control tokens 49406 and 49407. Time is n log n in
/// the text's length, whatever the length of its words.
pub fn tokenize(text: &str) -> Vec<u32> {
    let mut tokens = Vec::new();
    // The end marker is found in the text as given, the start marker in the normalised text: so in any case of letters.
    separated(text, END_MARKER, END, &mut tokens, |part, tokens| {
        separated(&normalise(part), START_MARKER, START, tokens, split_words);
    });
    tokens
}

/// Runs `each` on the parts of `text` between markers, and puts a marker's token in between.
fn separated(text: &str, marker: &str, token: u32, tokens: &mut Vec<u32>, each: impl Fn(&str, &mut Vec<u32>)) {
    for (index, part) in text.split(marker).enumerate() {
        if index > 0 {
            tokens.push(token);
        }
        each(part, tokens);
    }
}

/// NFC, then lower case. Character by character: a final capital sigma becomes σ, as in the reference. Runs of white
/// space need no folding, since they only separate words.
fn normalise(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).collect()
}

fn split_words(text: &str, tokens: &mut Vec<u32>) {
    let vocabulary = Vocabulary::get();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with(END_MARKER) {
            // An end marker that only lower-casing made is three words, set off from the punctuation around it.
            for word in ["<|", "endoftext", "|>"] {
                tokens.extend(vocabulary.word(word));
            }
            rest = &rest[END_MARKER.len()..];
            continue;
        } else if let Some(contraction) = CONTRACTIONS.iter().find(|contraction| rest.starts_with(**contraction)) {
            contraction.len()
        } else if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
            continue;
        } else if is_letter(first) {
            run(rest, is_letter)
        } else if first.is_numeric() {
            first.len_utf8()
        } else {
            run(rest, |c| !c.is_whitespace() && !is_letter(c) && !c.is_numeric())
        };
        tokens.extend(vocabulary.word(&rest[..length]));
        rest = &rest[length..];
    }
}

fn run(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

/// Unicode's general category L. The standard library knows `Alphabetic`, which is L with letter-like numbers, vowel
/// signs and circled letters.
fn is_letter(c: char) -> bool {
    let circled = matches!(c, '\u{24B6}'..='\u{24E9}' | '\u{1F130}'..='\u{1F189}');
    c.is_alphabetic() && !c.is_numeric() && !is_combining_mark(c) && !circled
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures from transformers 5.23's CLIPTokenizer with ComfyUI 0.8.0's vocabulary.
    #[test]
    fn equals_the_reference() {
        let table: &[(&str, &[u32])] = &[
            ("", &[]),
            ("a cat", &[320, 2368]),
            ("A Cat", &[320, 2368]),
            ("it's 12 o'clock!!", &[585, 568, 272, 273, 334, 262, 6716, 748]),
            ("12345", &[272, 273, 274, 275, 276]),
            ("...!!!???", &[3002, 11194, 3824]),
            ("a_b-c", &[320, 318, 321, 268, 322]),
            ("日本語 cat", &[39121, 44353, 34002, 508, 2368]),
            ("x²½ ①", &[343, 41175, 33613, 158, 239, 510]),
            ("naïve ﬁ", &[1097, 35689, 563, 171, 105, 479]),
            ("😀", &[7334]),
            ("\u{200b}", &[9844]),
            ("\u{a0}\u{85}\u{3000}", &[]),
            ("(((", &[33287]),
            ("BREAK", &[2568]),
            // Control characters are ordinary, except those that are white space.
            ("\u{1c}", &[472]),
            ("a\0b", &[320, 444, 321]),
            // Control tokens: the start marker in any case, the end marker only as it is written.
            ("<|startoftext|>", &[49406]),
            ("a<|STARTOFTEXT|>b", &[320, 49406, 321]),
            ("!!<|endoftext|>!!", &[748, 49407, 748]),
            ("<|ENDOFTEXT|>'d", &[27, 347, 40786, 4160, 91, 285, 1896]),
            ("<|end<|endoftext|>oftext|>", &[27, 347, 806, 49407, 684, 4160, 91, 285]),
            // A character that would join the marker's last one by NFC comes too late for the end marker.
            ("<|endoftext|>\u{338}", &[49407, 136, 372]),
            // Lower case is per character: no final sigma, and İ becomes i with a dot above.
            ("ΑΣ", &[138, 109, 139, 481]),
            ("İ", &[328, 16384]),
            // Contractions count at the start of a word only, in any case.
            ("'LL", &[1342]),
            ("don't", &[847, 713]),
            ("I'M'VE", &[328, 880, 1200]),
            ("\u{fffd}", &[39802]),
        ];
        for (text, tokens) in table {
            assert_eq!(tokenize(text), *tokens, "{text:?}");
        }
        assert_eq!(tokenize("cafe\u{301}"), tokenize("café"));
    }

    #[test]
    fn a_megabyte_of_one_letter_takes_no_quadratic_time() {
        // 2^20 letters make 2^20 / 8 tokens; a quadratic method would need hours.
        assert_eq!(tokenize(&"a".repeat(1 << 20)).len(), 131_073);
    }
}
