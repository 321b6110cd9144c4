use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Node, Outputs};

use crate::files::weights::Weights;
use crate::models::clip_vision;
use crate::models::encoder_kind::EncoderKind;
use crate::models::families::recognise;
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
        let weights = Weights::open(super::file(cx, "checkpoints", &self.ckpt_name)?)?;
        let contents = recognise(&weights)?;
        Ok(Parts {
            model: Model::new(contents.model()?.clone()),
            clip: Clip::new(contents.text),
            vae: VaeRecipe { weights: contents.vae },
            clip_vision: ClipVision { weights: contents.vision },
        })
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("ckpt_name", "checkpoints"), |path| {
            let contents = recognise(&Weights::open(path)?)?;
            contents.model()?;
            contents.vision.iter().try_for_each(clip_vision::recognise)?;
            let encoders = contents.text.iter().flat_map(|text| text.encoders.iter().flatten());
            encoders.filter_map(EncoderKind::of).try_for_each(|kind| kind.is_complete(folders))
        })
    }
}
