use std::path::Path;

use anyhow::ensure;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use crate::files::weights::Weights;
use crate::models::esrgan::Esrgan;
use crate::recipes::UpscaleModel;

/// Opens a network that enlarges pictures: ESRGAN and Real-ESRGAN, as `.safetensors`.
#[derive(Node)]
#[node(category = "loaders", display = "Load Upscale Model")]
struct UpscaleModelLoader {
    /// The network's file.
    #[input(files = "upscale_models")]
    model_name: String,
}

impl Run for UpscaleModelLoader {
    type Out = UpscaleModel;

    fn run(self, cx: &mut Cx) -> anyhow::Result<UpscaleModel> {
        opened(&super::file(cx, "upscale_models", &self.model_name)?)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("model_name", "upscale_models"), |path| opened(path).map(drop))
    }
}

fn opened(path: &Path) -> anyhow::Result<UpscaleModel> {
    let weights = Weights::open(path)?;
    ensure!(
        Esrgan::is_in(&weights),
        "{} is no ESRGAN network, the only kind that is supported; choose another file",
        path.display()
    );
    Ok(UpscaleModel { weights })
}
