use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::values::{Conditioning, Mask};

/// Restricts a conditioning to a mask, whose values scale its strength.
#[derive(Node)]
#[node(category = "conditioning", display = "Conditioning (Set Mask)")]
struct ConditioningSetMask {
    conditioning: Conditioning,
    /// Of any size: it is resized to the latent.
    mask: Mask,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    strength: f64,
    /// Whether the model is evaluated on the bounding box of the mask only, instead of on the whole latent.
    set_cond_area: CondArea,
}

#[derive(Combo, PartialEq)]
pub(super) enum CondArea {
    Default,
    #[combo(name = "mask bounds")]
    MaskBounds,
}

impl Run for ConditioningSetMask {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        let mask = if self.mask.0.dim() < 3 { self.mask.0.unsqueeze(0) } else { self.mask.0 };
        let to_bounds = self.set_cond_area == CondArea::MaskBounds;
        Ok(self.conditioning.map(|entry| {
            entry.mask = Some(mask.shallow_clone());
            (entry.mask_strength, entry.set_area_to_bounds) = (Some(self.strength), Some(to_bounds));
        }))
    }
}
