use std::path::Path;

use anyhow::ensure;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use crate::files::weights::Weights;
use crate::models::families::recognise;
use crate::recipes::VaeRecipe;

/// Opens a VAE that lies in a file of its own.
#[derive(Node)]
#[node(category = "loaders", display = "Load VAE")]
struct VAELoader {
    /// The VAE's file.
    #[input(files = "vae")]
    vae_name: String,
}

impl Run for VAELoader {
    type Out = VaeRecipe;

    fn run(self, cx: &mut Cx) -> anyhow::Result<VaeRecipe> {
        opened(&super::file(cx, "vae", &self.vae_name)?)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("vae_name", "vae"), |path| opened(path).map(drop))
    }
}

fn opened(path: &Path) -> anyhow::Result<VaeRecipe> {
    let contents = recognise(&Weights::open(path)?)?;
    ensure!(contents.vae.is_some(), "{} holds no VAE; choose another file", path.display());
    Ok(VaeRecipe { weights: contents.vae })
}
