use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::memory;
use redraft_engine::node::Run;

use crate::values::Image;

/// Repeats a batch of pictures.
#[derive(Node)]
#[node(category = "image/batch")]
struct RepeatImageBatch {
    image: Image,
    /// How many times.
    #[input(default = 1, min = 1, max = 4096, beyond = Above)]
    amount: i64,
}

impl Run for RepeatImageBatch {
    type Out = Image;

    fn run(self, _: &mut Cx) -> anyhow::Result<Image> {
        memory::ask(memory::product(&[self.amount, self.image.0.numel() as i64], 4), "the batch")?;
        Ok(Image(self.image.0.repeat([self.amount, 1, 1, 1])))
    }
}
