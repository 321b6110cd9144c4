use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node};

use crate::ops::filters::{End, extreme};
use crate::values::Image;

/// Grows or shrinks the bright parts of pictures: takes the minimum or maximum over a square around each pixel.
#[derive(Node)]
#[node(category = "image/postprocessing", display = "ImageMorphology")]
struct Morphology {
    image: Image,
    /// `erode` shrinks bright parts, `dilate` grows them. `open` removes small bright spots, `close` small dark ones.
    /// `gradient` gives the edges, `top_hat` what `open` removes, `bottom_hat` what `close` removes.
    operation: Operation,
    /// The square's side in pixels.
    #[input(default = 3, min = 3, max = 999, step = 1)]
    kernel_size: i64,
}

#[derive(Combo)]
enum Operation {
    Erode,
    Dilate,
    Open,
    Close,
    Gradient,
    BottomHat,
    TopHat,
}

impl Run for Morphology {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let image = self.image.0.movedim_int(-1, 1);
        let erode = |t: &tch::Tensor| extreme(t, self.kernel_size, End::Least);
        let dilate = |t: &tch::Tensor| extreme(t, self.kernel_size, End::Greatest);
        let result = match self.operation {
            Operation::Erode => erode(&image),
            Operation::Dilate => dilate(&image),
            Operation::Open => dilate(&erode(&image)),
            Operation::Close => erode(&dilate(&image)),
            Operation::Gradient => dilate(&image) - erode(&image),
            Operation::BottomHat => erode(&dilate(&image)) - image,
            Operation::TopHat => &image - dilate(&erode(&image)),
        };
        Ok(Image(result.movedim_int(1, -1)))
    }
}
