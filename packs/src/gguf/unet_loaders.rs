use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::error::Unsupported;
use redraft_engine::folders::FolderPaths;
use redraft_engine::io::Combo as _;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Combo, Node};
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::families::recognise;
use redraft_nodes::recipes::Model;

use super::{NETWORKS, file};

/// Opens a denoising network in a GGUF file. Its weights stay in their blocks where float32 would not fit into memory.
#[derive(Node)]
#[node(category = "bootleg", display = "Unet Loader (GGUF)")]
struct UnetLoaderGGUF {
    /// The network's file.
    #[input(files = "unet_gguf")]
    unet_name: String,
}

impl Run for UnetLoaderGGUF {
    type Out = Model;

    fn run(self, cx: &mut Cx) -> Result<Model> {
        open(cx, &self.unet_name)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders)
    }
}

/// Opens a denoising network in a GGUF file, with a choice of what its weights are unpacked in.
#[derive(Node)]
#[node(category = "bootleg", display = "Unet Loader (GGUF/Advanced)")]
struct UnetLoaderGGUFAdvanced {
    /// The network's file.
    #[input(files = "unet_gguf")]
    unet_name: String,
    /// The element type that blocks are unpacked in; `default` is float16. Others are not supported yet.
    #[input(default = "default")]
    dequant_dtype: Type,
    /// The element type that LoRAs are added in; `default` is float32. Smaller ones are not supported yet.
    #[input(default = "default")]
    patch_dtype: Type,
    /// Whether LoRAs are kept on the device. It has no effect here: they are where the network is.
    #[input(default = false)]
    #[expect(dead_code, reason = "all networks of a run share a device")]
    patch_on_device: bool,
}

#[derive(Combo, Clone, Copy, PartialEq)]
enum Type {
    Default,
    Target,
    Float32,
    Float16,
    #[combo(name = "bfloat16")]
    BFloat16,
}

impl Run for UnetLoaderGGUFAdvanced {
    type Out = Model;

    fn run(self, cx: &mut Cx) -> Result<Model> {
        supported("dequant_dtype", self.dequant_dtype, &[Type::Default, Type::Float16])?;
        supported("patch_dtype", self.patch_dtype, &[Type::Default, Type::Target, Type::Float32])?;
        open(cx, &self.unet_name)
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders)
    }
}

fn supported(input: &str, chosen: Type, known: &[Type]) -> Result<()> {
    let name = Type::names()[chosen as usize];
    let refused = Unsupported(format!("{input} is {name}, which is not supported yet; set it to default"));
    ensure!(known.contains(&chosen), refused);
    Ok(())
}

fn open(cx: &Cx, name: &str) -> Result<Model> {
    let contents = recognise(&Weights::open(file(cx, NETWORKS, name)?)?)?;
    Ok(Model::new(contents.model()?.clone()))
}

fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
    Flaw::of_file(offer, folders, ("unet_name", NETWORKS), |path| recognise(&Weights::open(path)?)?.model().map(drop))
}
