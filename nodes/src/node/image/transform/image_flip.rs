use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::values::Image;

/// Flips pictures.
#[derive(Node)]
#[node(category = "image/transform")]
struct ImageFlip {
    image: Image,
    flip_method: Axis,
}

#[derive(Combo)]
enum Axis {
    #[combo(name = "x-axis: vertically")]
    Vertically,
    #[combo(name = "y-axis: horizontally")]
    Horizontally,
}

impl Run for ImageFlip {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let dim = match self.flip_method {
            Axis::Vertically => 1,
            Axis::Horizontally => 2,
        };
        Ok(Image(self.image.0.flip([dim])))
    }
}
