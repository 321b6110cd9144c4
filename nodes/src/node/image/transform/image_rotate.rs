use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::values::Image;

/// Rotates pictures clockwise.
#[derive(Node)]
#[node(category = "image/transform")]
struct ImageRotate {
    image: Image,
    rotation: Rotation,
}

#[derive(Combo)]
enum Rotation {
    None,
    #[combo(name = "90 degrees")]
    Quarter,
    #[combo(name = "180 degrees")]
    Half,
    #[combo(name = "270 degrees")]
    ThreeQuarters,
}

impl Run for ImageRotate {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let quarters = match self.rotation {
            Rotation::None => 0,
            Rotation::Quarter => 1,
            Rotation::Half => 2,
            Rotation::ThreeQuarters => 3,
        };
        Ok(Image(self.image.0.rot90(quarters, [2, 1])))
    }
}
