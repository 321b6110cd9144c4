//! Vocabularies that come with redraft: `scripts/vocabularies.py` makes them. T5's and Qwen's were published under the Apache licence 2.0.

use std::io::Read;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use tokenizers::Tokenizer;

/// T5's: a unigram model of 32,100 pieces.
static T5: &[u8] = include_bytes!("vocabularies/t5.json.gz");

/// A vocabulary that is ready to split texts.
pub(super) struct Vocabulary(Tokenizer);

impl Vocabulary {
    /// The numbers of a text's tokens, without those that mark its beginning or end.
    pub(super) fn tokens(&self, text: &str) -> Vec<u32> {
        // It fails only for a model that cannot be; the ones here are tested.
        self.0.encode_fast(text, false).map(|encoding| encoding.get_ids().to_vec()).unwrap_or_default()
    }
}

/// T5's vocabulary.
pub(super) fn t5() -> Result<&'static Vocabulary> {
    static OPENED: OnceLock<std::result::Result<Vocabulary, String>> = OnceLock::new();
    let opened = OPENED.get_or_init(|| {
        let mut json = Vec::new();
        flate2::read::GzDecoder::new(T5).read_to_end(&mut json).map_err(|error| error.to_string())?;
        Tokenizer::from_bytes(&json).map(Vocabulary).map_err(|error| error.to_string())
    });
    opened.as_ref().map_err(|why| anyhow!("the vocabulary of T5 cannot be read: {why}; this is a bug"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Figures from ComfyUI 0.8.0's tokenizer.
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
}
