//! From a prompt to conditioning by a language model: the prompt within a template, as one chunk. Weights are text to it.

use std::rc::Rc;

use anyhow::Result;
use tch::{Kind, Tensor};

use super::chunks::{Chunk, Token, pieces};
use super::embeddings::EmbeddingFiles;
use super::encode::{Encoded, Prompt, TextEncoder, from_end, host};
use super::vocabularies;

/// Qwen's token of nothing, in place of an empty text. It and those behind it are seen by no other.
const PAD: u32 = 151_643;
/// Qwen's token in whose place a picture stands.
const PICTURE: u32 = 151_655;

/// A language model.
pub trait LanguageModel {
    /// Number of layers: 36 for Qwen 3 4B.
    fn layers(&self) -> usize;

    /// Token embeddings: int64 of size N to float32 of size N×W.
    fn embed(&self, tokens: &Tensor) -> Result<Tensor>;

    /// A picture as the model reads it.
    ///
    /// # Errors
    /// It has no eyes, or the tensor is not B×H×W×3.
    fn see(&self, picture: &Tensor) -> Result<Seen>;

    /// Runs the model. Gives what leaves the first so many layers, after the final normalisation if it is to be `normed`, or what leaves all
    /// after it: float32 of size B×N×W.
    fn forward(&self, input: &Input, layer: Option<usize>, normed: bool) -> Tensor;

    /// Runs the model. Gives the embeddings and what leaves each layer, the last after the final normalisation: float32 of size
    /// B×(1+layers)×N×W.
    ///
    /// # Errors
    /// If there is no room in memory.
    fn all_layers(&self, input: &Input) -> Result<Tensor>;
}

/// A picture as places of a text, row by row.
#[derive(Debug)]
pub struct Seen {
    /// (rows·columns)×W
    pub embeds: Tensor,
    pub rows: i64,
    pub columns: i64,
}

/// Where a picture stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its first token.
    pub start: i64,
    pub rows: i64,
    pub columns: i64,
}

/// What a language model runs on.
#[derive(Debug)]
pub struct Input {
    /// B×N×W
    pub embeds: Tensor,
    /// The pictures among it, in order.
    pub pictures: Vec<Place>,
    /// 1 for tokens that others see and 0 for those that none does, N or B×N; without it all are seen.
    pub present: Option<Tensor>,
}

/// How a family of models uses a language model.
#[derive(Debug)]
pub struct LanguageUse {
    /// Its name in embedding files and LoRAs: `qwen3_4b`.
    pub key: &'static str,
    /// What goes before and behind a prompt.
    pub template: (&'static str, &'static str),
    /// The same for a prompt with pictures; without it none is looked at.
    pub template_of_pictures: Option<(&'static str, &'static str)>,
    /// A prompt that begins with one of these is whole already.
    pub whole: &'static [&'static str],
    /// The layer whose output is taken, counted from the end; without one, the last.
    pub layer: Option<i64>,
    /// Whether a hidden layer's output goes through the final normalisation.
    pub norms_hidden: bool,
    /// How many states are dropped at the beginning, of the tokens and the number of states. A picture is one token and many states.
    pub dropped: fn(&[u32], usize) -> usize,
}

/// A language model as a family uses it.
pub struct LanguageEncoder<N> {
    /// The network.
    pub network: Rc<N>,
    /// How it is used.
    pub usage: &'static LanguageUse,
}

impl<N: LanguageModel> TextEncoder for LanguageEncoder<N> {
    fn key(&self) -> &'static str {
        self.usage.key
    }

    fn chunks(&self, prompt: Prompt, _: &EmbeddingFiles) -> Result<Vec<Chunk>> {
        let pictures = if self.usage.template_of_pictures.is_some() { prompt.pictures } else { &[] };
        let ids = tokens(&self.usage.text(prompt))?;
        let mut pictures = pictures.iter();
        let mut token = |id: u32| {
            let picture = if id == PICTURE { pictures.next() } else { None };
            picture.map_or(Token::Id(id), |picture| Token::Picture(picture.shallow_clone()))
        };
        Ok(vec![ids.into_iter().map(|id| (token(id), 1.0)).collect()])
    }

    fn is_chunked(&self) -> bool {
        false
    }

    fn takes_embeddings(&self) -> bool {
        false
    }

    fn encode(&self, chunks: Vec<Chunk>, last_layer: Option<i64>) -> Result<Encoded> {
        let network = &*self.network;
        let layer = from_end(network.layers(), last_layer.or(self.usage.layer))?;
        let mut rows = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            let states = host(&network.forward(&input(network, chunk)?, layer, self.usage.norms_hidden));
            let count = states.size()[1];
            let dropped = (self.usage.dropped)(&ids(chunk), count as usize) as i64;
            let dropped = dropped.min(count);
            rows.push(states.narrow(1, dropped, count - dropped));
        }
        Ok(Encoded::of(Tensor::cat(&rows, 1)))
    }
}

impl LanguageUse {
    /// A prompt within its template.
    fn text(&self, prompt: Prompt) -> String {
        let Prompt { text, pictures, template, .. } = prompt;
        if self.whole.iter().any(|beginning| text.starts_with(beginning)) {
            return text.to_owned();
        }
        let own = if pictures.is_empty() { None } else { self.template_of_pictures };
        let (before, behind) = template.or(own).unwrap_or(self.template);
        format!("{before}{text}{behind}")
    }
}

/// The tokens of a text; at least one. As where weights count, a backslash before a parenthesis is dropped, and so is what separates
/// `embedding:` from the text before it, which is split there.
fn tokens(text: &str) -> Result<Vec<u32>> {
    let vocabulary = vocabularies::qwen2()?;
    let text = text.replace("\\)", ")").replace("\\(", "(");
    let mut ids: Vec<u32> = pieces(&text).into_iter().flat_map(|piece| vocabulary.tokens(piece)).collect();
    if ids.is_empty() {
        ids.push(PAD);
    }
    Ok(ids)
}

/// A chunk's tokens, with [`PICTURE`] in a picture's place.
fn ids(chunk: &Chunk) -> Vec<u32> {
    chunk.iter().map(|(token, _)| if let Token::Id(id) = token { *id } else { PICTURE }).collect()
}

/// What a network runs on for a chunk.
fn input(network: &impl LanguageModel, chunk: &Chunk) -> Result<Input> {
    let all: Vec<i64> = ids(chunk).into_iter().map(i64::from).collect();
    let embeds = network.embed(&Tensor::from_slice(&all))?;
    let (mut parts, mut pictures, mut present) = (Vec::new(), Vec::new(), Vec::new());
    let mut seen = 1f32;
    for (at, (token, _)) in (0..).zip(chunk) {
        match token {
            Token::Picture(picture) => {
                let Seen { embeds, rows, columns } = network.see(picture)?;
                pictures.push(Place { start: present.len() as i64, rows, columns });
                present.resize(present.len() + embeds.size()[0] as usize, 1.0);
                parts.push(embeds);
            }
            token => {
                if matches!(token, Token::Id(PAD)) {
                    seen = 0.0;
                }
                present.push(seen);
                parts.push(embeds.narrow(0, at, 1));
            }
        }
    }
    let hides = present.contains(&0.0);
    let embeds = Tensor::cat(&parts, 0).to_kind(Kind::Float).unsqueeze(0);
    Ok(Input { embeds, pictures, present: hides.then(|| Tensor::from_slice(&present)) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::Device;

    use super::*;
    use crate::models::qwen_templates::{QWEN_IMAGE, QWEN_IMAGE_EDIT, Z_IMAGE};

    /// Whose embeddings are the tokens' numbers; a picture is six places of -1.
    struct Toy;

    impl LanguageModel for Toy {
        fn layers(&self) -> usize {
            1
        }

        fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
            Ok(tokens.to_kind(Kind::Float).unsqueeze(1))
        }

        fn see(&self, _: &Tensor) -> Result<Seen> {
            Ok(Seen { embeds: Tensor::full([6, 1], -1.0, (Kind::Float, Device::Cpu)), rows: 2, columns: 3 })
        }

        fn forward(&self, input: &Input, _: Option<usize>, _: bool) -> Tensor {
            input.embeds.shallow_clone()
        }

        fn all_layers(&self, input: &Input) -> Result<Tensor> {
            Ok(Tensor::stack(&[&input.embeds, &input.embeds], 1))
        }
    }

    fn chunk(usage: &'static LanguageUse, prompt: Prompt) -> Chunk {
        let encoder = LanguageEncoder { network: Rc::new(Toy), usage };
        encoder.chunks(prompt, &EmbeddingFiles::default()).unwrap().remove(0)
    }

    /// What is left of a prompt's states.
    fn left(usage: &'static LanguageUse, prompt: Prompt) -> Vec<i64> {
        let encoder = LanguageEncoder { network: Rc::new(Toy), usage };
        let encoded = encoder.encode(vec![chunk(usage, prompt)], None).unwrap().cond;
        Vec::try_from(encoded.flatten(0, 2).to_kind(Kind::Int64)).unwrap()
    }

    static QWEN: LanguageUse = QWEN_IMAGE;
    static Z: LanguageUse = Z_IMAGE;
    /// What stands behind the words of a user.
    const ANSWER: [i64; 5] = [151_645, 198, 151_644, 77091, 198];

    /// Figures from ComfyUI 0.8.0's tokenizers.
    #[test]
    fn prompts_are_split_as_the_reference_splits_them() {
        let user = [151_644, 872, 198];
        for (text, words) in [
            ("a \\(b\\) c", &[64, 320, 65, 8, 272][..]),
            ("a embedding:b", &[64, 94611, 43973]),
            ("x\nembedding:y z", &[87, 94611, 69203, 1147]),
            ("<|endoftext|>b", &[151_643, 65]),
        ] {
            assert_eq!(left(&QWEN, text.into()), [words, &ANSWER].concat(), "{text:?}");
            assert_eq!(left(&Z, text.into()), [&user, words, &ANSWER].concat(), "{text:?}");
        }
        // Whole for one, text like any other to the other.
        let whole = "<|im_start|>user\nhi";
        assert_eq!(left(&QWEN, whole.into()), [6023]);
        assert_eq!(left(&Z, whole.into()), [&user[..], &user, &[6023], &ANSWER].concat());
    }

    #[test]
    fn pictures_stand_where_the_text_has_them() {
        let pictures = [Tensor::zeros([1, 1, 1, 3], (Kind::Float, Device::Cpu))];
        let prompt = Prompt { pictures: &pictures, .."x".into() };
        let picture = [-1; 6];
        let expected = [&[151_652][..], &picture, &[151_653, 87], &ANSWER].concat();
        assert_eq!(left(&QWEN, prompt), expected);
        let template = Some(QWEN_IMAGE_EDIT);
        let named = Prompt { text: "<|image_pad|>x<|image_pad|>", template, ..prompt };
        assert_eq!(left(&QWEN, named), [&picture[..], &[87, 151_655], &ANSWER].concat());
        // Who sees none takes them for text.
        assert!(left(&Z, named).contains(&151_655) && !left(&Z, named).contains(&-1));
        let input = input(&Toy, &chunk(&QWEN, Prompt { text: "<|endoftext|><|image_pad|>x", ..named })).unwrap();
        let hidden: Vec<f32> = Vec::try_from(input.present.unwrap()).unwrap();
        let at = hidden.iter().position(|seen| *seen == 0.0).unwrap();
        assert_eq!(input.pictures, [Place { start: at as i64 + 1, rows: 2, columns: 3 }]);
        assert_eq!(hidden[at..at + 8], [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    }
}
