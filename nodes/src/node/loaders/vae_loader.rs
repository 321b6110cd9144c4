use std::path::Path;

use anyhow::ensure;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use crate::files::weights::Weights;
use crate::models::families::recognise;
use crate::models::pixel_space::PixelSpace;
use crate::models::taesd::Taesd;
use crate::recipes::VaeRecipe;

/// The choice that needs no file.
const PIXELS: &str = "pixel_space";

/// Opens a VAE that lies in a file of its own.
///
/// `taesd`, `taesdxl`, `taesd3` and `taef1` are tiny ones, of an encoder and a decoder in models/vae_approx; `pixel_space` leaves pixels
/// as they are.
#[derive(Node)]
#[node(category = "loaders", display = "Load VAE")]
struct VAELoader {
    /// The VAE's file.
    #[input(files = "vae", besides = ["pixel_space"])]
    vae_name: String,
}

impl Run for VAELoader {
    type Out = VaeRecipe;

    fn run(self, cx: &mut Cx) -> anyhow::Result<VaeRecipe> {
        let name = &self.vae_name;
        if name == PIXELS {
            return Ok(VaeRecipe { weights: Some(PixelSpace::weights()) });
        }
        let path = super::file(cx, "vae", name)?;
        opened(cx.folders, name, &path)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        let name = offer.constant("vae_name").and_then(|name| name.as_str()).unwrap_or_default().to_owned();
        if name == PIXELS {
            return Vec::new();
        }
        Flaw::of_file(offer, folders, ("vae_name", "vae"), |path| opened(folders, &name, path).map(drop))
    }
}

fn opened(folders: &FolderPaths, name: &str, path: &Path) -> anyhow::Result<VaeRecipe> {
    if let Some([encoder, decoder]) = folders.pair(name) {
        let weights = Taesd::named(name, &encoder, &decoder)?;
        return Ok(VaeRecipe { weights });
    }
    let contents = recognise(&Weights::open(path)?)?;
    ensure!(contents.vae.is_some(), "{} holds no VAE; choose another file", path.display());
    // As in the reference, which blocks there are is told by the tensors here, whatever the file says of itself.
    Ok(VaeRecipe { weights: contents.vae.map(|vae| vae.silent()) })
}
