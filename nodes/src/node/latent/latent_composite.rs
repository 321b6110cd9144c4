use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::third_and_fourth;
use crate::values::Latent;

/// Pastes latents on others. With feathering, the pasted latent fades in from those of its edges that lie inside the
/// other.
#[derive(Node)]
#[node(category = "latent", display = "Latent Composite")]
struct LatentComposite {
    samples_to: Latent,
    samples_from: Latent,
    /// Where the left edge goes, in pixels.
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    x: i64,
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    y: i64,
    /// The width of the fade in pixels.
    #[input(default = 0, min = 0, max = 16384, step = 8, beyond = Below)]
    feather: i64,
}

impl Run for LatentComposite {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let (x, y, feather) = (self.x / 8, self.y / 8, self.feather / 8);
        let from = &self.samples_from.samples;
        let (rows, columns) = third_and_fourth(from)?;
        let output = self.samples_to.samples.copy();
        let (height, width) = third_and_fourth(&output)?;
        let mut place = output.slice(2, y, y + rows, 1).slice(3, x, x + columns, 1);
        let (rows, columns) = third_and_fourth(&place)?;
        let from = from.narrow(2, 0, rows).narrow(3, 0, columns);
        let inside = [y != 0, y + rows < height, x != 0, x + columns < width];
        let mask = faded(&from, feather, inside);
        // In place, but on the copy.
        place.copy_(&(from * &mask + &place * (mask.ones_like() - &mask)));
        Ok(self.samples_to.with_samples(output))
    }
}

/// A mask of ones that fades out over `feather` latent pixels towards those edges (top, bottom, left, right) that are
/// set.
fn faded(like: &Tensor, feather: i64, [top, bottom, left, right]: [bool; 4]) -> Tensor {
    let mask = like.ones_like();
    for step in 0..feather {
        let factor = (1.0 / feather as f64) * (step + 1) as f64;
        for (dim, at_start, at_end) in [(2, top, bottom), (3, left, right)] {
            let side = mask.size()[dim as usize];
            // If the fade is wider than the mask, it wraps around to the other end, as in ComfyUI.
            let fade = |from: i64, to: i64| drop(mask.slice(dim, from, to, 1).g_mul_scalar_(factor));
            if at_start {
                fade(step, step + 1);
            }
            if at_end {
                fade(side - 1 - step, side - step);
            }
        }
    }
    mask
}
