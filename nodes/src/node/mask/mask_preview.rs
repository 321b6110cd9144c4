use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::node::image::preview;
use crate::ops::masks::batched;
use crate::values::{Image, Mask};

/// Saves masks as grey PNG files in the temp folder, as a preview.
#[derive(Node)]
#[node(category = "mask", display = "Preview Mask", output, hidden("prompt", "extra_pnginfo"))]
struct MaskPreview {
    mask: Mask,
}

impl Run for MaskPreview {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        preview(cx, &Image(batched(&self.mask.0)?.unsqueeze(3).expand([-1, -1, -1, 3], false)))?;
        cx.ui("animated", false);
        Ok(())
    }
}
