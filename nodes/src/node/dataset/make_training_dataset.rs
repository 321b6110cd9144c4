use anyhow::ensure;
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use crate::networks::Networks;
use crate::recipes::{Clip, Text, VaeRecipe};
use crate::values::{Conditioning, Image, Latent};

/// Encodes pictures to latents, and their captions to conditionings.
#[derive(Node)]
#[node(
    category = "dataset",
    display = "Make Training Dataset",
    experimental,
    reads("embeddings", "llama_tokenizer", "t5_pile_tokenizer")
)]
struct MakeTrainingDataset {
    images: List<Image>,
    vae: VaeRecipe,
    clip: Clip,
    /// One caption for each picture, or a single one for all. Without captions, an empty one for all.
    texts: Option<List<String>>,
}

#[derive(Outputs)]
struct Encoded {
    #[output(name = "latents")]
    latents: List<Latent>,
    #[output(name = "conditioning")]
    conditioning: List<Conditioning>,
}

impl Run for MakeTrainingDataset {
    type Out = Encoded;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Encoded> {
        let images = self.images.0;
        let mut texts = self.texts.map(|texts| texts.0).unwrap_or_default();
        if texts.is_empty() {
            texts.push(String::new());
        }
        if texts.len() == 1 && images.len() > 1 {
            texts = vec![texts.swap_remove(0); images.len()];
        }
        ensure!(
            texts.len() == images.len(),
            "there are {} texts for {} pictures; connect as many, one, or none",
            texts.len(),
            images.len()
        );
        let networks = cx.service::<Networks>()?;
        let total = images.len() + texts.len();
        let vae = self.vae.network(&networks)?;
        let mut latents = Vec::new();
        for image in &images {
            cx.progress(latents.len(), total)?;
            latents.push(Latent::new(vae.encode(&image.0.slice(3, 0, 3, 1))?));
        }
        let mut conditioning = Vec::new();
        for text in &texts {
            cx.progress(latents.len() + conditioning.len(), total)?;
            conditioning.push(Conditioning(vec![self.clip.encode(Text::Same(text), cx)?]));
        }
        Ok(Encoded { latents: List(latents), conditioning: List(conditioning) })
    }
}
