use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Node, Outputs};

use crate::models::clip_vision;
use crate::recipes::{Clip, ClipVision, Model, VaeRecipe};

/// Opens a checkpoint that goes by pictures: a diffusion model with its text encoder, its VAE and its image encoder.
///
/// The file is mapped, not read; each part is built when something uses it. The family is recognised by the tensors.
#[derive(Node)]
#[node(category = "loaders")]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct unCLIPCheckpointLoader {
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
    /// The image encoder.
    clip_vision: ClipVision,
}

impl Run for unCLIPCheckpointLoader {
    type Out = Parts;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Parts> {
        let contents = super::checkpoint(cx, &self.ckpt_name)?;
        Ok(Parts {
            model: Model::new(contents.model()?.clone()),
            clip: Clip::new(contents.text),
            vae: VaeRecipe { weights: contents.vae },
            clip_vision: ClipVision { weights: contents.vision },
        })
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        super::checkpoint_flaws(offer, folders, |contents| contents.vision.iter().try_for_each(clip_vision::recognise))
    }
}
