use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Flaw, Offer, Run};
use redraft_engine::{Combo, Node};
use tch::Kind;

use crate::files::delta::Delta;
use crate::files::weights::Weights;
use crate::models::families::recognise;
use crate::recipes::Model;

/// Opens a denoising network that lies in a file of its own, or that of a checkpoint.
#[derive(Node)]
#[node(category = "advanced/loaders", display = "Load Diffusion Model")]
struct UNETLoader {
    /// The network's file.
    #[input(files = "diffusion_models")]
    unet_name: String,
    /// To what weights are rounded; they are then computed with as the device computes, and take as much memory as otherwise.
    /// `fp8_e4m3fn_fast` gives what `fp8_e4m3fn` gives.
    weight_dtype: WeightType,
}

#[derive(Combo)]
enum WeightType {
    #[combo(name = "default")]
    Default,
    #[combo(name = "fp8_e4m3fn")]
    Float8E4M3,
    #[combo(name = "fp8_e4m3fn_fast")]
    Float8E4M3Fast,
    #[combo(name = "fp8_e5m2")]
    Float8E5M2,
}

impl Run for UNETLoader {
    type Out = Model;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Model> {
        let contents = recognise(&Weights::open(super::file(cx, "diffusion_models", &self.unet_name)?)?)?;
        let part = contents.model()?.clone();
        let kind = match self.weight_dtype {
            WeightType::Default => return Ok(Model::new(part)),
            WeightType::Float8E4M3 | WeightType::Float8E4M3Fast => Kind::Float8e4m3fn,
            WeightType::Float8E5M2 => Kind::Float8e5m2,
        };
        let names: Vec<String> = part.weights.names().iter().map(|name| part.weights.full_name(name)).collect();
        Ok(Model::new(part).changed(Delta::round(names, kind)))
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        Flaw::of_file(offer, folders, ("unet_name", "diffusion_models"), |path| {
            recognise(&Weights::open(path)?)?.model().map(drop)
        })
    }
}
