#![allow(clippy::unwrap_used)]
use super::*;
use crate::models::reference::file;

/// A message's field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 0x80);
    [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
}

fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
    field(1, &[field(1, text.as_bytes()), [&[0x15], &score.to_le_bytes()[..]].concat(), vec![0x18, kind]].concat())
}

/// Figures from SentencePiece 0.2 over the same vocabulary.
#[test]
#[cfg_attr(not(shared), ignore = "needs ../shared")]
fn texts_are_split_as_the_reference_splits_them() {
    let pieces = SentencePieces::load(&file("base/models/text_encoders/umt5-xxl-tiny.safetensors")).unwrap();
    let table: &[(&str, &[u32])] = &[
        (
            "a (lighthouse:1.3) at dusk, [oil] painting, waves",
            &[
                265, 259, 43, 278, 359, 324, 338, 261, 61, 367, 283, 361, 44, 265, 267, 340, 338, 323, 260, 259, 94,
                418, 298, 96, 322, 288, 271, 267, 272, 260, 312, 335,
            ],
        ),
        ("猫 naïve", &[259, 234, 143, 174, 259, 263, 288, 198, 178, 286]),
        (
            "  leading and   double   spaces  ",
            &[411, 292, 266, 272, 265, 263, 266, 340, 418, 273, 415, 278, 261, 268, 339, 288, 325, 262],
        ),
        ("", &[]),
        ("trailing   ", &[259, 354, 278, 272]),
        (
            "\u{2460}\u{2461}\u{2462} \u{bd} ﬁ ｆｕｌｌ",
            &[259, 367, 360, 361, 259, 367, 229, 132, 135, 360, 280, 301, 280, 273, 341],
        ),
        (
            "é Å ﷺ",
            &[
                259, 198, 172, 259, 198, 136, 259, 219, 184, 220, 135, 220, 140, 259, 219, 170, 220, 135, 220, 135,
                220, 138, 259, 219, 188, 220, 135, 220, 141, 220, 138, 259, 220, 139, 219, 182, 220, 135, 220, 136,
            ],
        ),
        (
            "\u{1f600} emoji \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} family",
            &[
                259, 243, 162, 155, 131, 259, 261, 417, 387, 301, 259, 243, 162, 148, 171, 229, 131, 144, 243, 162,
                148, 172, 229, 131, 144, 243, 162, 148, 170, 280, 342, 298, 269,
            ],
        ),
        (
            "</s> <pad> <unk> <0x41> \u{2581} x\u{2581}y",
            &[
                259, 63, 50, 262, 65, 259, 63, 339, 288, 266, 65, 259, 63, 273, 263, 323, 65, 259, 63, 366, 305, 362,
                367, 65, 259, 305, 259, 269,
            ],
        ),
        ("x\ny\t z", &[259, 305, 259, 269, 259, 388]),
        (
            "日本語 テキスト 한국어 العربية",
            &[
                259, 233, 154, 168, 233, 159, 175, 235, 173, 161, 259, 230, 134, 137, 230, 133, 176, 230, 133, 188,
                230, 134, 139, 259, 240, 152, 159, 237, 184, 176, 239, 153, 183, 259, 219, 170, 220, 135, 219, 188,
                219, 180, 219, 171, 220, 141, 219, 172,
            ],
        ),
        (
            "don't I'M  OK\u{2026}\u{2014}\u{2013}\u{201c}quotes\u{201d}",
            &[
                340, 404, 42, 267, 259, 373, 42, 377, 259, 379, 375, 283, 283, 283, 229, 131, 151, 229, 131, 150, 229,
                131, 159, 412, 273, 418, 267, 335, 229, 131, 160,
            ],
        ),
        ("ﾊﾝｶｸ ｶﾞ", &[259, 230, 134, 146, 230, 134, 182, 230, 133, 174, 230, 133, 178, 259, 230, 133, 175]),
        ("a\u{310}éö\u{332}", &[265, 207, 147, 198, 172, 198, 185, 207, 181]),
        (" nbsp\u{3000}ideographic", &[259, 263, 415, 262, 339, 259, 301, 266, 358, 302, 270, 288, 339, 347, 313]),
        (
            "zero\u{200b}width\u{200b} joiner\u{200d}",
            &[259, 388, 261, 281, 293, 266, 304, 259, 387, 418, 271, 356, 229, 131, 144],
        ),
        (
            "\u{1f1e9}\u{1f1ea}\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
            &[
                259, 243, 162, 138, 172, 243, 162, 138, 173, 243, 162, 146, 182, 242, 187, 146, 229, 131, 144, 243,
                162, 143, 139,
            ],
        ),
        ("𝓗𝓮𝓵𝓵𝓸 ℌ \u{338f} \u{3231}", &[259, 372, 261, 278, 343, 259, 372, 259, 323, 302, 259, 43, 233, 163, 173, 44]),
    ];
    for (text, tokens) in table {
        assert_eq!(pieces.tokens(text), *tokens, "{text:?}");
    }
}

#[test]
fn a_vocabulary_of_its_own() {
    let all = [
        piece("<unk>", 0.0, 2),
        piece("</s>", 0.0, 3),
        piece("\u{2581}ab", -1.0, 1),
        piece("\u{2581}", -2.0, 1),
        piece("a", -2.0, 1),
        piece("b", -2.5, 1),
        piece("<x>", 0.0, 4),
    ];
    let pieces = SentencePieces::of(&all.concat()).unwrap();
    assert_eq!(pieces.tokens("  ab   ab "), [2, 2]);
    assert_eq!(pieces.tokens("ba"), [3, 5, 4]);
    // A fixed piece is taken whole, what marks an end is not looked for, and all that is unknown in a row is one token.
    assert_eq!(pieces.tokens("a<x>"), [3, 4, 6]);
    assert_eq!(pieces.tokens("a</s>"), [3, 4, 0]);
    assert!(pieces.tokens("   ").is_empty());
}

/// Figures from SentencePiece 0.2 over the same vocabulary.
#[test]
fn pairs_are_merged_as_the_reference_merges_them() {
    let vocabulary = |falls_back: bool, fixed: &[&str]| {
        let mut all = vec![piece("<unk>", 0.0, 2), piece("<s>", 0.0, 3), piece("</s>", 0.0, 3)];
        if falls_back {
            all.extend((0..=u8::MAX).map(|byte| piece(&format!("<0x{byte:02X}>"), 0.0, 6)));
        }
        all.extend(fixed.iter().map(|fixed| piece(fixed, 0.0, 4)));
        let words = ["▁a", "re", "red", "▁red", "al", "▁b", "▁bal", "▁ball", "ll", "aa", "aaa", "aaaa"];
        let letters = ["a", "b", "c", "d", "e", "f", "g", "h", "l", "r", "▁"];
        // Of equally good pairs the first counts.
        let score = |word: &str, rank: u8| if word.starts_with("aa") { -1.0 } else { -f32::from(rank) };
        all.extend((1..).zip(words.iter().chain(&letters)).map(|(rank, word)| piece(word, score(word, rank), 1)));
        all.push(field(2, &[0x18, 2, 0x98, 0x02, u8::from(falls_back)]));
        all.push(field(3, &[0x18, 1, 0x20, 0]));
        SentencePieces::of(&all.concat()).unwrap()
    };
    type Table<'a> = &'a [(&'a str, &'a [u32])];
    let bytes: Table = &[
        ("a red ball", &[259, 262, 266]),
        ("  red  ball ", &[281, 281, 262, 281, 266, 281]),
        ("aaaaa aaaa", &[259, 270, 259, 269]),
        ("aaaaaaa", &[259, 270, 268]),
        ("redre", &[262, 260]),
        ("ballball", &[266, 272, 263, 279]),
        ("", &[]),
        ("xred猫猫 é", &[281, 123, 261, 234, 143, 174, 234, 143, 174, 281, 198, 172]),
        ("a<x>red<x><xx>b", &[259, 63, 123, 65, 261, 63, 123, 65, 63, 123, 123, 65, 272]),
        ("\n\ta", &[281, 13, 12, 271]),
        ("▁a ▁▁", &[281, 259, 281, 281, 281]),
        ("allreall", &[259, 267, 260, 263, 279]),
    ];
    let unknown: Table = &[
        ("aaaaa aaaa", &[5, 16, 5, 15]),
        ("xred猫猫 é", &[27, 0, 7, 0, 27, 0]),
        ("a<x>red<x><xx>b", &[5, 3, 7, 3, 4, 18]),
        ("\n\ta", &[27, 0, 17]),
    ];
    for (pieces, table) in [(vocabulary(true, &[]), bytes), (vocabulary(false, &["<x>", "<xx>"]), unknown)] {
        for (text, tokens) in table {
            assert_eq!(pieces.tokens(text), *tokens, "{text:?}");
        }
    }
}

#[test]
fn what_is_no_vocabulary_is_an_error() {
    let message = |bytes: &[u8]| format!("{:#}", SentencePieces::of(bytes).err().unwrap());
    assert!(message(b"").contains("no piece for the unknown"));
    assert!(message(&[0x0a, 200]).contains("ends early") || message(&[0x0a, 200]).contains("too long"));
    assert!(message(&field(2, &[0x18, 3])).contains("neither a unigram model nor"));
    assert!(message(&field(2, &[0x18, 2])).contains("no piece for the unknown"));
    assert!(message(&piece("<unk>", 0.0, 2)).contains("no pieces"));
    assert!(message(&piece("a", f32::NAN, 1)).contains("finite"));
}

proptest::proptest! {
    #[test]
    fn damage_never_panics(bytes in proptest::collection::vec(0u8..=255, 0..200), text: String) {
        for kind in [1, 2] {
            let begin = [piece("<unk>", 0.0, 2), piece("a", -1.0, 1), field(2, &[0x18, kind])].concat();
            if let Ok(pieces) = SentencePieces::of(&[begin, bytes.clone()].concat()) {
                pieces.tokens(&text);
            }
        }
    }
}
