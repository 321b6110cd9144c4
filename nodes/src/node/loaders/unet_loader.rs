use anyhow::ensure;
use redraft_engine::cx::Cx;
use redraft_engine::io::Combo as _;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

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
    /// How weights are held. Only `default` is supported: as the device computes.
    weight_dtype: WeightType,
}

#[derive(Combo, Clone, Copy, PartialEq)]
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
        ensure!(
            self.weight_dtype == WeightType::Default,
            "weight_dtype is {}, which is not supported yet; choose default",
            WeightType::names()[self.weight_dtype as usize]
        );
        let contents = recognise(&Weights::open(super::file(cx, "diffusion_models", &self.unet_name)?)?)?;
        Ok(Model::new(contents.model()?.clone()))
    }
}
