use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;
use tch::Tensor;

use crate::values::Image;

/// Divides pictures into batches of another size. All must have the same width and height.
#[derive(Node)]
#[node(category = "image/batch", display = "Rebatch Images")]
struct RebatchImages {
    /// Pictures in any number of batches.
    images: List<Image>,
    /// Pictures in a batch. The last batch may have fewer.
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for RebatchImages {
    type Out = List<Image>;

    fn run(self, _: &mut Cx) -> anyhow::Result<List<Image>> {
        let single = |image: &Image| image.0.split(1, 0);
        let pictures: Vec<Tensor> = self.images.0.iter().flat_map(single).collect();
        let batches = pictures.chunks(usize::try_from(self.batch_size)?);
        Ok(List(batches.map(|batch| Image(Tensor::cat(batch, 0))).collect()))
    }
}
