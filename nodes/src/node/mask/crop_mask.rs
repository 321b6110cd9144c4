use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::masks::batched;
use crate::values::Mask;

/// Crops a mask to a rectangle. The result is smaller if the rectangle reaches beyond the mask.
#[derive(Node)]
#[node(category = "mask")]
struct CropMask {
    mask: Mask,
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    x: i64,
    #[input(default = 0, min = 0, max = 16384, step = 1)]
    y: i64,
    #[input(default = 512, min = 1, max = 16384, step = 1)]
    width: i64,
    #[input(default = 512, min = 1, max = 16384, step = 1)]
    height: i64,
}

impl Run for CropMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> anyhow::Result<Mask> {
        let mask = batched(&self.mask.0)?;
        let rows = mask.slice(1, self.y, self.y + self.height, 1);
        Ok(Mask(rows.slice(2, self.x, self.x + self.width, 1)))
    }
}
