use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Image;

/// Takes consecutive pictures out of a batch.
#[derive(Node)]
#[node(category = "image/batch")]
struct ImageFromBatch {
    image: Image,
    /// The first to take, from 0; beyond the end, the last.
    #[input(default = 0, min = 0, max = 4095)]
    batch_index: i64,
    /// How many; fewer, where the batch ends.
    #[input(default = 1, min = 1, max = 4096)]
    length: i64,
}

impl Run for ImageFromBatch {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        let Image(image) = self.image;
        let count = image.size()[0];
        let start = self.batch_index.min(count - 1);
        // A copy, so that the rest of the batch can leave memory.
        Ok(Image(image.narrow(0, start, self.length.min(count - start)).copy()))
    }
}
