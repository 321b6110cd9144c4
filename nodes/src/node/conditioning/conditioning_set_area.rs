//! Nodes that restrict a conditioning to a rectangle.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::{Area, Conditioning};

/// Restricts a conditioning to a rectangle.
#[derive(Node)]
#[node(category = "conditioning", display = "Conditioning (Set Area)")]
struct ConditioningSetArea {
    conditioning: Conditioning,
    /// In pixels; so are height, x and y.
    #[input(default = 64, min = 64, max = 16384, step = 8)]
    width: i64,
    #[input(default = 64, min = 64, max = 16384, step = 8)]
    height: i64,
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    x: i64,
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    y: i64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    strength: f64,
}

impl Run for ConditioningSetArea {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        let area = Area::Latent { height: self.height / 8, width: self.width / 8, y: self.y / 8, x: self.x / 8 };
        Ok(within(self.conditioning, area, self.strength))
    }
}

/// Restricts a conditioning to a rectangle, given in fractions of the picture's sides.
#[derive(Node)]
#[node(category = "conditioning", display = "Conditioning (Set Area with Percentage)")]
struct ConditioningSetAreaPercentage {
    conditioning: Conditioning,
    /// 1 is the whole width.
    #[input(default = 1.0, min = 0, max = 1.0, step = 0.01, beyond = Both)]
    width: f64,
    #[input(default = 1.0, min = 0, max = 1.0, step = 0.01, beyond = Both)]
    height: f64,
    #[input(default = 0, min = 0, max = 1.0, step = 0.01, beyond = Both)]
    x: f64,
    #[input(default = 0, min = 0, max = 1.0, step = 0.01, beyond = Both)]
    y: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    strength: f64,
}

impl Run for ConditioningSetAreaPercentage {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        let area = Area::Fraction { height: self.height, width: self.width, y: self.y, x: self.x };
        Ok(within(self.conditioning, area, self.strength))
    }
}

/// Restricts a conditioning to a part of a video, given in fractions of its width, its height and its length.
///
/// On pictures, which have no length, ComfyUI reads the numbers in another way, and so does this: `temporal` is the
/// height, `z` the top edge, `height` the width, and `y` the left edge.
#[derive(Node)]
#[node(category = "conditioning")]
struct ConditioningSetAreaPercentageVideo {
    conditioning: Conditioning,
    /// Has no effect on pictures.
    #[input(default = 1.0, min = 0, max = 1.0, step = 0.01)]
    #[expect(dead_code, reason = "pictures have no third side")]
    width: f64,
    #[input(default = 1.0, min = 0, max = 1.0, step = 0.01)]
    height: f64,
    #[input(default = 1.0, min = 0, max = 1.0, step = 0.01)]
    temporal: f64,
    /// Has no effect on pictures.
    #[input(default = 0, min = 0, max = 1.0, step = 0.01)]
    #[expect(dead_code, reason = "pictures have no third side")]
    x: f64,
    #[input(default = 0, min = 0, max = 1.0, step = 0.01)]
    y: f64,
    #[input(default = 0, min = 0, max = 1.0, step = 0.01)]
    z: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    strength: f64,
}

impl Run for ConditioningSetAreaPercentageVideo {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        let area = Area::Fraction { height: self.temporal, width: self.height, y: self.z, x: self.y };
        Ok(within(self.conditioning, area, self.strength))
    }
}

/// Sets the strength of a conditioning relative to the others.
#[derive(Node)]
#[node(category = "conditioning")]
struct ConditioningSetAreaStrength {
    conditioning: Conditioning,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01, beyond = Both)]
    strength: f64,
}

impl Run for ConditioningSetAreaStrength {
    type Out = Conditioning;

    fn run(self, _: &mut Cx) -> anyhow::Result<Conditioning> {
        Ok(self.conditioning.map(|entry| entry.strength = Some(self.strength)))
    }
}

fn within(conditioning: Conditioning, area: Area, strength: f64) -> Conditioning {
    conditioning.map(|entry| {
        (entry.area, entry.strength, entry.set_area_to_bounds) = (Some(area), Some(strength), Some(false));
    })
}
