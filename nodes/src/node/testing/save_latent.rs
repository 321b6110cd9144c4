use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Device, Kind, Tensor};

use crate::files::tensor_file;
use crate::node::image::{announce, metadata};
use crate::pictures::names::save_location;
use crate::pictures::write::write_numbered;
use crate::python::json;
use crate::values::Latent;

/// Saves latents in the output folder, with the workflow that made them. The noise mask is not saved.
#[derive(Node)]
#[node(category = "_for_testing", output, hidden("prompt", "extra_pnginfo"))]
struct SaveLatent {
    samples: Latent,
    /// The prefix of the file's name. It may contain subfolders.
    #[input(default = "latents/ComfyUI")]
    filename_prefix: String,
}

impl Run for SaveLatent {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        let now = chrono::Local::now().naive_local();
        let location = save_location(&self.filename_prefix, &cx.folders.output, 0, 0, now)?;
        let texts = metadata(cx).into_iter().map(|(key, value)| (key, json::dumps(&value)));
        // The name of this tensor says that the values are in the VAE's units.
        let version = Tensor::zeros([0], (Kind::Float, Device::Cpu));
        let tensors = [("latent_tensor", &self.samples.samples), ("latent_format_version_0", &version)];
        let bytes = tensor_file::to_bytes(tensors, texts.collect())?;
        let mut counter = location.counter;
        let name = |counter| location.batch_file_name(counter, "latent");
        let saved = write_numbered(&location, &mut counter, name, &bytes)?;
        announce(cx, "latents", &location, saved, "output")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn latents_are_announced_as_latents() {
        let dir = tempfile::tempdir().unwrap();
        let mut cx = Cx::for_test().below(dir.path());
        let samples = Latent::new(Tensor::zeros([1, 4, 2, 2], (Kind::Float, Device::Cpu)));
        cx.run(SaveLatent { samples, filename_prefix: "latents/x".into() }).unwrap();
        let file = json!({"filename": "x_00001_.latent", "subfolder": "latents", "type": "output"});
        assert_eq!(json!(cx.shown.ui), json!({"latents": [file]}));
        assert!(cx.shown.files[0].is_file());
    }
}
