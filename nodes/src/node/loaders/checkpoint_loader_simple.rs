use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Node, Outputs};

use crate::recipes::{Clip, Model, VaeRecipe};

/// Opens a checkpoint: a diffusion model with the text encoder and the VAE it was trained with.
///
/// The file is mapped, not read; each part is built when something uses it. The family is recognised by the tensors.
#[derive(Node)]
#[node(category = "loaders", display = "Load Checkpoint")]
struct CheckpointLoaderSimple {
    /// The checkpoint's file.
    #[input(files = "checkpoints")]
    ckpt_name: String,
}

#[derive(Outputs)]
struct Parts {
    /// The model that denoises latents.
    model: Model,
    /// The text encoder for prompts.
    clip: Clip,
    /// The VAE between pixels and latents.
    vae: VaeRecipe,
}

impl Run for CheckpointLoaderSimple {
    type Out = Parts;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Parts> {
        let contents = super::checkpoint(cx, &self.ckpt_name)?;
        Ok(Parts {
            model: Model::new(contents.model()?.clone()),
            clip: Clip::new(contents.text),
            vae: VaeRecipe { weights: contents.vae },
        })
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        super::checkpoint_flaws(offer, folders, |_| Ok(()))
    }
}
