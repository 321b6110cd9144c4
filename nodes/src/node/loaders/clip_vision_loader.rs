use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use crate::files::weights::Weights;
use crate::models::{clip_vision, style_model};
use crate::recipes::{ClipVision, StyleModel};

/// Opens an image encoder: CLIP's ViT-L (224 and 336 pixels), OpenCLIP's ViT-H and bigG, or SigLIP.
#[derive(Node)]
#[node(category = "loaders", display = "Load CLIP Vision")]
struct CLIPVisionLoader {
    /// The encoder's file.
    #[input(files = "clip_vision")]
    clip_name: String,
}

impl Run for CLIPVisionLoader {
    type Out = ClipVision;

    fn run(self, cx: &mut Cx) -> anyhow::Result<ClipVision> {
        let weights = Weights::open(super::file(cx, "clip_vision", &self.clip_name)?)?;
        clip_vision::recognise(&weights)?;
        Ok(ClipVision { weights: Some(weights) })
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("clip_name", "clip_vision"), clip_vision::look)
    }
}

/// Opens a style model: Flux Redux, which makes tokens of a prompt of what SigLIP sees in a picture.
#[derive(Node)]
#[node(category = "loaders", display = "Load Style Model")]
struct StyleModelLoader {
    /// The style model's file.
    #[input(files = "style_models")]
    style_model_name: String,
}

impl Run for StyleModelLoader {
    type Out = StyleModel;

    fn run(self, cx: &mut Cx) -> anyhow::Result<StyleModel> {
        let weights = Weights::open(super::file(cx, "style_models", &self.style_model_name)?)?;
        style_model::recognise(&weights)?;
        Ok(StyleModel { weights })
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("style_model_name", "style_models"), |path| {
            style_model::recognise(&Weights::open(path)?)
        })
    }
}
