use anyhow::ensure;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

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
        let path = super::file(cx, "upscale_models", &self.model_name)?;
        let weights = Weights::open(&path)?;
        ensure!(
            Esrgan::is_in(&weights),
            "{} is no ESRGAN network, the only kind that is supported; choose another file",
            path.display()
        );
        Ok(UpscaleModel { weights })
    }
}
