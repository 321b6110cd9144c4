use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Node, Outputs};

use crate::models::clip_vision;
use crate::recipes::{ClipVision, Model, VaeRecipe};

/// Opens a checkpoint that takes pictures and no texts: a diffusion model with its image encoder and its VAE.
///
/// The file is mapped, not read; each part is built when something uses it. The family is recognised by the tensors.
#[derive(Node)]
#[node(category = "loaders/video_models", display = "Image Only Checkpoint Loader (img2vid model)")]
struct ImageOnlyCheckpointLoader {
    /// The checkpoint's file.
    #[input(files = "checkpoints")]
    ckpt_name: String,
}

#[derive(Outputs)]
struct Parts {
    /// The model that denoises latents.
    model: Model,
    /// The image encoder.
    clip_vision: ClipVision,
    /// The VAE between pixels and latents.
    vae: VaeRecipe,
}

impl Run for ImageOnlyCheckpointLoader {
    type Out = Parts;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Parts> {
        let contents = super::checkpoint(cx, &self.ckpt_name)?;
        Ok(Parts {
            model: Model::new(contents.model()?.clone()),
            clip_vision: ClipVision { weights: contents.vision },
            vae: VaeRecipe { weights: contents.vae },
        })
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        super::checkpoint_flaws(offer, folders, |contents| contents.vision.iter().try_for_each(clip_vision::recognise))
    }
}
