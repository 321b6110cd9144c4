use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};

use crate::files::weights::Weights;
use crate::models::control::Kind;
use crate::recipes::{ControlNet, Model};

/// Opens a network that steers a model by a picture: a ControlNet or a T2I-Adapter.
#[derive(Node)]
#[node(category = "loaders", display = "Load ControlNet Model")]
struct ControlNetLoader {
    /// The network's file.
    #[input(files = "controlnet")]
    control_net_name: String,
}

/// Opens a ControlNet that was saved as its difference from a model. Any other is opened as it is.
#[derive(Node)]
#[node(category = "loaders", display = "Load ControlNet Model (diff)")]
struct DiffControlNetLoader {
    /// The model that it is the difference from.
    model: Model,
    /// The network's file.
    #[input(files = "controlnet")]
    control_net_name: String,
}

impl Run for ControlNetLoader {
    type Out = ControlNet;

    fn run(self, cx: &mut Cx) -> anyhow::Result<ControlNet> {
        let net = opened(cx, &self.control_net_name)?;
        if net.file.kind == Kind::Difference {
            cx.warn(format!(
                "'{}' is the difference of a ControlNet from a model, and is not likely to work without it; load it with DiffControlNetLoader",
                self.control_net_name
            ));
        }
        Ok(net)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders)
    }
}

impl Run for DiffControlNetLoader {
    type Out = ControlNet;

    fn run(self, cx: &mut Cx) -> anyhow::Result<ControlNet> {
        let net = opened(cx, &self.control_net_name)?;
        Ok(ControlNet { file: net.file.completed(&self.model.part)?, ..net })
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders)
    }
}

fn opened(cx: &Cx, name: &str) -> anyhow::Result<ControlNet> {
    ControlNet::open(&Weights::open(super::file(cx, "controlnet", name)?)?)
}

/// What is wrong with the file, as far as it says so itself.
fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
    Flaw::of_file(offer, folders, ("control_net_name", "controlnet"), |path| {
        ControlNet::open(&Weights::open(path)?).map(drop)
    })
}
