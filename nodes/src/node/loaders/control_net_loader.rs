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
    ControlNet::open(&Weights::open_any(&super::file(cx, "controlnet", name)?)?)
}

/// What is wrong with the file, as far as it says so itself.
fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
    Flaw::of_file(offer, folders, ("control_net_name", "controlnet"), |path| {
        Weights::look_any(path)?.map_or(Ok(()), |weights| ControlNet::open(&weights).map(drop))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::files::torch_archive::{Saved, to_bytes};
    use crate::models::random::{Layout, Size, Steering, write_random_checkpoint};

    /// Most ControlNets of Stable Diffusion 1.x were published so.
    #[test]
    fn archives_of_torch_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("models/controlnet");
        std::fs::create_dir_all(&folder).unwrap();
        let open = |name: &str| {
            let node = ControlNetLoader { control_net_name: name.to_owned() };
            Cx::for_test().below(directory.path()).run(node)
        };
        let path = folder.join("net.safetensors");
        write_random_checkpoint(&path, Layout::Steering(Steering::Sd1), Size::Tiny, 9, true).unwrap();
        let whole = Weights::open(&path).unwrap();
        let tensors = whole.names().into_iter().map(|name| {
            let (shape, kind) = (whole.shape(&name).unwrap(), whole.kind(&name).unwrap());
            let tensor = whole.tensor_as(&name, &shape, kind).unwrap();
            (name, Saved::Tensor(tensor))
        });
        let archive = to_bytes(&Saved::Dict(tensors.collect())).unwrap();
        std::fs::write(folder.join("net_shuffle.pth"), &archive).unwrap();
        let (plain, archived) = (open("net.safetensors").unwrap(), open("net_shuffle.pth").unwrap());
        assert_eq!((archived.file.kind, archived.pooled), (Kind::UNet, true));
        let names = archived.file.weights.names();
        assert_eq!(names, plain.file.weights.names());
        for name in names {
            let read =
                |net: &ControlNet| net.file.weights.tensor(&name, &net.file.weights.shape(&name).unwrap()).unwrap();
            assert_eq!(read(&plain), read(&archived), "{name}");
        }
        std::fs::write(folder.join("half.pth"), &archive[..archive.len() / 2]).unwrap();
        let error = format!("{:#}", open("half.pth").err().unwrap());
        assert!(error.contains("half.pth"), "{error}");
        assert!(Weights::look_any(&folder.join("half.pth")).is_err());
        assert!(Weights::look_any(&folder.join("net_shuffle.pth")).unwrap().is_none());
    }
}
