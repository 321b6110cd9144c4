use anyhow::Context;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Kind;

use crate::files::tensor_file;
use crate::values::Latent;

/// The factor by which latents in files of the older format were multiplied when they were written.
const OLD_SCALE: f64 = 0.18215;

/// Reads latents that SaveLatent wrote, from the input folder.
#[derive(Node)]
#[node(category = "_for_testing")]
struct LoadLatent {
    /// A `.latent` file.
    #[input(files = "input")]
    latent: String,
}

impl Run for LoadLatent {
    type Out = Latent;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Latent> {
        let gone = || format!("the latent '{}' is not there any more; put it back", self.latent);
        let path = cx.folders.find("input", &self.latent).with_context(gone)?;
        let tensors = tensor_file::load(&path)?;
        let stranger = || format!("{} holds no latent_tensor; name a file that SaveLatent wrote", path.display());
        let samples = tensors.get("latent_tensor").with_context(stranger)?.to_kind(Kind::Float);
        let scale = if tensors.contains_key("latent_format_version_0") { 1.0 } else { 1.0 / OLD_SCALE };
        Ok(Latent::new(samples * scale))
    }
}
