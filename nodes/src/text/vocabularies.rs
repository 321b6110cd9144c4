//! Vocabularies that come with redraft: `scripts/vocabularies.py` makes them. T5's and Qwen's were published under the Apache licence 2.0.

use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};
use redraft_engine::files;
use serde_json::{Map, Value as Json, json};
use tokenizers::{AddedToken, Tokenizer};

use super::sentence_pieces::SentencePieces;

/// T5's: a unigram model of 32,100 pieces, as a `tokenizer.json`.
static T5: &[u8] = include_bytes!("vocabularies/t5.json.gz");
/// Qwen 2's: the merges of its byte pair encoding, first ones first.
static QWEN2: &[u8] = include_bytes!("vocabularies/qwen2.merges.gz");

/// How Qwen 2 splits a text before pairs are merged.
const QWEN2_WORDS: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's tokens that are written out in prompts, behind the pieces.
const QWEN2_SPECIAL: [&str; 26] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
];

/// A vocabulary that is ready to split texts.
pub(crate) struct Vocabulary(Tokenizer);

impl Vocabulary {
    fn of_json(json: &[u8]) -> Result<Self> {
        Tokenizer::from_bytes(json).map(Self).map_err(|error| anyhow!("{error}"))
    }

    /// The numbers of a text's tokens, without those that mark its beginning or end.
    pub(crate) fn tokens(&self, text: &str) -> Vec<u32> {
        // It fails only for a model that cannot be; the ones here are tested.
        self.0.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }
}

/// A vocabulary that is read once.
type Opened = OnceLock<std::result::Result<Vocabulary, String>>;

fn opened(
    place: &'static Opened,
    name: &str,
    open: impl FnOnce() -> Result<Vocabulary>,
) -> Result<&'static Vocabulary> {
    let opened = place.get_or_init(|| open().map_err(|error| format!("{error:#}")));
    opened.as_ref().map_err(|why| anyhow!("the vocabulary of {name} cannot be read: {why}; this is a bug"))
}

fn unpacked(packed: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// T5's vocabulary.
pub(crate) fn t5() -> Result<&'static Vocabulary> {
    static OPENED: Opened = OnceLock::new();
    opened(&OPENED, "T5", || Vocabulary::of_json(&unpacked(T5)?))
}

/// Qwen 2's vocabulary, which Qwen 2.5 and 3 have, too.
pub(crate) fn qwen2() -> Result<&'static Vocabulary> {
    static OPENED: Opened = OnceLock::new();
    opened(&OPENED, "Qwen 2", || {
        let text = String::from_utf8(unpacked(QWEN2)?).context("it is no text")?;
        Vocabulary::of_json(byte_pairs(&text, QWEN2_WORDS, &QWEN2_SPECIAL).to_string().as_bytes())
    })
}

/// A `tokenizer.json` of a byte pair encoding: the 256 bytes are its first pieces, then each merge gives one, then come the special ones.
fn byte_pairs(merges: &str, words: &str, special: &[&str]) -> Json {
    let merges: Vec<&str> = merges.lines().filter(|line| !line.is_empty()).collect();
    let mut vocabulary = Map::new();
    let pieces =
        bytes_as_characters().into_iter().map(String::from).chain(merges.iter().map(|pair| pair.replace(' ', "")));
    for piece in pieces {
        let next = vocabulary.len();
        vocabulary.entry(piece).or_insert(json!(next));
    }
    let added = special.iter().zip(vocabulary.len()..).map(|(content, id)| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        })
    });
    json!({
        "version": "1.0",
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": { "type": "NFC" },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": words }, "behavior": "Isolated", "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
        ] },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": merges },
    })
}

/// Llama 3's vocabulary, of a `tokenizer.json` that the user has, with three tokens more that HunyuanVideo has given it.
///
/// # Errors
/// It cannot be read, or is another vocabulary.
pub(crate) fn llama3(path: &Path) -> Result<Vocabulary> {
    let read = || -> Result<Vocabulary> {
        let mut tokenizer = Tokenizer::from_bytes(files::read(path, LONGEST)?).map_err(|error| {
            tracing::debug!("{}: {error}", path.display());
            anyhow!("it is no vocabulary in that form")
        })?;
        let added = LLAMA3_ADDED.map(|(_, content)| AddedToken::from(content, true));
        tokenizer.add_special_tokens(&added);
        for (id, content) in LLAMA3_KNOWN.into_iter().chain(LLAMA3_ADDED) {
            ensure!(tokenizer.token_to_id(content) == Some(id), "it has no token {id} {content:?}");
        }
        Ok(Vocabulary(tokenizer))
    };
    let not = || {
        format!(
            "{} is not the vocabulary of Llama 3: take that of Llama 3 or 3.1 in Hugging Face's form",
            path.display()
        )
    };
    read().with_context(not)
}

/// Pile-T5's vocabulary, of a `tokenizer.model` that the user has.
///
/// # Errors
/// It cannot be read, or is another vocabulary.
pub(crate) fn pile_t5(path: &Path) -> Result<SentencePieces> {
    let not = || {
        format!(
            "{} is not the vocabulary of Pile-T5: take the tokenizer.model that ComfyUI has in comfy/text_encoders/t5_pile_tokenizer",
            path.display()
        )
    };
    SentencePieces::open(path, &[(0, "<unk>"), (1, "<s>"), (2, "</s>")]).with_context(not)
}

/// The longest file of a vocabulary, in bytes: Llama 3's has 9 million.
const LONGEST: u64 = 1 << 26;
/// Tokens by which Llama 3's vocabulary is known.
const LLAMA3_KNOWN: [(u32, &str); 5] = [
    (128_000, "<|begin_of_text|>"),
    (128_006, "<|start_header_id|>"),
    (128_007, "<|end_header_id|>"),
    (128_009, "<|eot_id|>"),
    (882, "user"),
];
/// The tokens of HunyuanVideo's copy of it.
const LLAMA3_ADDED: [(u32, &str); 3] = [(128_256, "<unk>"), (128_257, "<image>"), (128_258, "<pad>")];

/// The characters that stand for bytes in such vocabularies, in the order in which they are numbered: those that can be seen stand for
/// themselves and come first, the others are counted from U+0100.
fn bytes_as_characters() -> Vec<char> {
    let seen = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let (seen, others): (Vec<u8>, Vec<u8>) = (0..=u8::MAX).partition(seen);
    seen.into_iter().map(char::from).chain((0x100..).zip(others).filter_map(|(code, _)| char::from_u32(code))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Figures from ComfyUI 0.8.0's tokenizers.
    #[test]
    fn t5_splits_texts_as_the_reference() {
        let table: &[(&str, &[u32])] = &[
            ("", &[]),
            ("a cat", &[3, 9, 1712]),
            (" a  cat ", &[3, 9, 1712]),
            (
                "A photo of a cat, 50mm; \"bokeh\"!",
                &[71, 1202, 13, 3, 9, 1712, 6, 943, 635, 117, 96, 22483, 15, 107, 121, 55],
            ),
            ("naïve café — 日本語", &[3, 29, 9, 2, 162, 11949, 3, 318, 3, 2]),
            ("x\ny\t z", &[3, 226, 3, 63, 3, 172]),
            ("<extra_id_0> </s> end", &[32099, 1, 414]),
            ("  leading", &[1374]),
            ("trailing   ", &[5032, 53]),
            ("①②³ ½", &[3, 14574, 209, 2, 357]),
            ("e\u{301}", &[3, 154]),
            ("😀 emoji", &[3, 2, 3, 15, 51, 21892]),
            ("under_score/slash\\back", &[365, 834, 7, 9022, 87, 7, 8058, 2, 1549]),
        ];
        for (text, tokens) in table {
            assert_eq!(t5().unwrap().tokens(text), *tokens, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_vocabulary_of_llama_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, why) in [
            ("{", "it is no vocabulary in that form"),
            (r#"{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}"#, "it has no token"),
        ] {
            std::fs::write(file.path(), content).unwrap();
            let message = format!("{:#}", llama3(file.path()).err().unwrap());
            assert!(message.contains("is not the vocabulary of Llama 3") && message.contains(why), "{message}");
            assert!(!message.contains("line 1"), "{message}");
        }
        file.as_file().set_len(LONGEST + 1).unwrap();
        let message = format!("{:#}", llama3(file.path()).err().unwrap());
        assert!(message.contains("is longer than"), "{message}");
    }

    #[test]
    fn a_file_that_is_no_vocabulary_of_pile_t5_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let other: &[u8] = &[0x0a, 7, 0x0a, 3, b'<', b's', b'>', 0x18, 2];
        for (content, why) in
            [(&b"\x0a\xc8"[..], "ends early"), (b"", "its piece 0 is not"), (other, "its piece 0 is not")]
        {
            std::fs::write(file.path(), content).unwrap();
            let message = format!("{:#}", pile_t5(file.path()).err().unwrap());
            assert!(message.contains("is not the vocabulary of Pile-T5") && message.contains(why), "{message}");
        }
    }

    #[test]
    fn qwen_splits_texts_as_the_reference() {
        let table: &[(&str, &[u32])] = &[
            ("", &[]),
            ("a cat", &[64, 8251]),
            (
                "<|im_start|>user\na (cat:1.2) ball<|im_end|>\n<|im_start|>assistant\n",
                &[151644, 872, 198, 64, 320, 4616, 25, 16, 13, 17, 8, 4935, 151645, 198, 151644, 77091, 198],
            ),
            (
                "naïve café — 日本語 12345",
                &[3376, 37572, 586, 51950, 1959, 75402, 21894, 102819, 220, 16, 17, 18, 19, 20],
            ),
            ("x\n\n y\t z  ", &[87, 271, 379, 197, 1147, 256]),
            ("don't I'M", &[15007, 944, 358, 27603]),
            ("<|vision_start|><|image_pad|><|vision_end|>", &[151652, 151655, 151653]),
            ("😀 e\u{301} ½", &[141334, 3958, 220, 26062]),
            ("  two  spaces", &[220, 1378, 220, 12621]),
            ("a<|endoftext|>b", &[64, 151643, 65]),
            ("<tool_call> </tool_call>", &[151657, 220, 151658]),
        ];
        for (text, tokens) in table {
            assert_eq!(qwen2().unwrap().tokens(text), *tokens, "{text:?}");
        }
    }
}
