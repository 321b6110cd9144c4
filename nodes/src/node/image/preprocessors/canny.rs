use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::ops::canny::canny;
use crate::values::Image;

/// Detects the edges of pictures: white on black (Canny 1986).
#[derive(Node)]
#[node(category = "image/preprocessors")]
struct Canny {
    image: Image,
    /// An edge continues where the gradient is above this.
    #[input(default = 0.4, min = 0.01, max = 0.99, step = 0.01)]
    low_threshold: f64,
    /// An edge starts where the gradient is above this.
    #[input(default = 0.8, min = 0.01, max = 0.99, step = 0.01, beyond = Above)]
    high_threshold: f64,
}

impl Run for Canny {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let (low, high) = (self.low_threshold, self.high_threshold);
        anyhow::ensure!(low <= high, "low_threshold {low} is above high_threshold {high}; set a lower one");
        let Image(image) = self.image;
        let size = image.size();
        anyhow::ensure!(
            matches!(size[3], 1 | 3),
            "wants pictures of 3 channels but was given {}; split the alpha off first",
            size[3]
        );
        let small = size[1].min(size[2]);
        anyhow::ensure!(small > 2, "wants pictures of at least 3 × 3 pixels but one side has {small}; enlarge them");
        let edges = canny(&image.movedim_int(-1, 1), low, high);
        Ok(Image(edges.repeat([1, 3, 1, 1]).movedim_int(1, -1)))
    }
}
