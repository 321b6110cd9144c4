use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Image;

/// Takes consecutive pictures out of a batch.
#[derive(Node)]
#[node(category = "image/batch")]
struct ImageFromBatch {
    image: Image,
    /// The first picture that is taken, counted from 0. A number beyond the end means the last one.
    #[input(default = 0, min = 0, max = 4095)]
    batch_index: i64,
    /// How many pictures are taken. There are fewer if the batch ends before.
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
