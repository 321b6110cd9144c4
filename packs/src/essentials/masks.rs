use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};
use redraft_nodes::node::save_previews;
use redraft_nodes::ops::masks::batched;
use redraft_nodes::values::{Image, Mask};

use crate::gaussian::blurred;

/// Blurs masks.
#[derive(Node)]
#[node(class = "MaskBlur+", category = "essentials/mask", display = "🔧 Mask Blur")]
#[allow(dead_code, reason = "masks are blurred where they are")]
struct MaskBlur {
    mask: Mask,
    /// The kernel's side in pixels; an even one is one more. 0 leaves the mask.
    #[input(default = 6, min = 0, max = 256, step = 1)]
    amount: i64,
    device: Device,
}

/// Where it is computed in the pack.
#[derive(Combo, Clone, Copy)]
enum Device {
    Auto,
    Cpu,
    Gpu,
}

impl Run for MaskBlur {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> Result<Mask> {
        if self.amount == 0 {
            return Ok(self.mask);
        }
        let mask = batched(&self.mask.0)?;
        let side = self.amount | 1;
        let (height, width) = (mask.size()[1], mask.size()[2]);
        ensure!(
            side / 2 < height.min(width),
            "input 'amount' is {}, which is too much for masks of {width} × {height} pixels: set at most {}",
            self.amount,
            2 * height.min(width) - 1
        );
        Ok(Mask(blurred(&mask, side, side as f64 * 0.15 + 0.35)))
    }
}

/// Saves masks as grey PNG files in the temp folder, as a preview.
#[derive(Node)]
#[node(
    class = "MaskPreview+",
    category = "essentials/mask",
    display = "🔧 Mask Preview",
    output,
    hidden("prompt", "extra_pnginfo")
)]
struct MaskPreview {
    mask: Mask,
}

impl Run for MaskPreview {
    type Out = ();

    fn run(self, cx: &mut Cx) -> Result<()> {
        let grey = batched(&self.mask.0)?.unsqueeze(3).expand([-1, -1, -1, 3], false);
        save_previews(cx, &Image(grey), "ComfyUI", "images")
    }
}
