use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use crate::files::weights::Weights;
use crate::models::gligen;
use crate::recipes::Gligen;

/// Opens a GLIGEN model, which tells a model what lies where in the picture.
#[derive(Node)]
#[node(category = "loaders")]
struct GLIGENLoader {
    /// The network's file.
    #[input(files = "gligen")]
    gligen_name: String,
}

impl Run for GLIGENLoader {
    type Out = Gligen;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Gligen> {
        let weights = Weights::open_any(&super::file(cx, "gligen", &self.gligen_name)?)?;
        gligen::recognise(&weights)?;
        Ok(Gligen { weights })
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("gligen_name", "gligen"), gligen::look)
    }
}
