use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer};
use serde_json::Value as Json;

use crate::text::{EmbeddingFiles, missing_embeddings};

/// The embeddings that texts mention and that are not there.
pub(super) fn missing(offer: &Offer, folders: &FolderPaths, inputs: &[&str]) -> Vec<Flaw> {
    let embeddings = EmbeddingFiles::new(folders.directories("embeddings").to_vec());
    let texts = inputs.iter().filter_map(|input| Some((*input, offer.constant(input).and_then(Json::as_str)?)));
    let flaw = |input: &str, name| Flaw { input: input.to_owned(), folder: "embeddings", name, unusable: None };
    texts
        .flat_map(|(input, text)| missing_embeddings(text, &embeddings).into_iter().map(move |name| flaw(input, name)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use redraft_engine::node::Registry;

    /// Whatever encodes prompts may do so by Llama 3 or Pile-T5, whose vocabulary is then part of the result.
    #[test]
    fn what_encodes_prompts_reads_vocabularies_too() {
        let registry = Registry::linked().unwrap();
        let reads = |kind: &str| -> Vec<&str> {
            let its = registry.iter().filter(|class| class.traits.reads.contains(&kind));
            its.map(|class| class.schema.class.as_ref()).collect()
        };
        assert!(reads("embeddings").contains(&"CLIPTextEncode"));
        for vocabulary in ["llama_tokenizer", "t5_pile_tokenizer"] {
            assert_eq!(reads(vocabulary), reads("embeddings"));
        }
    }
}
