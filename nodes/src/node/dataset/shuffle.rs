use anyhow::ensure;
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use super::ImageList;
use crate::python::random_state::RandomState;
use crate::values::Image;

/// Shuffles a list of pictures.
#[derive(Node)]
#[node(category = "dataset/image", display = "Shuffle Image Dataset", experimental)]
struct ShuffleDataset {
    images: List<Image>,
    #[input(default = 0, min = 0, max = u64::MAX)]
    seed: u64,
}

impl Run for ShuffleDataset {
    type Out = ImageList;

    fn run(self, _: &mut Cx) -> anyhow::Result<ImageList> {
        let images = self.images.0;
        let order = RandomState::seeded(self.seed).permutation(images.len());
        Ok(ImageList { images: List(order.into_iter().map(|at| images[at].clone()).collect()) })
    }
}

/// Shuffles pictures and their captions, both into the same order.
#[derive(Node)]
#[node(category = "dataset/image", display = "Shuffle Image-Text Dataset", experimental)]
struct ShuffleImageTextDataset {
    images: List<Image>,
    /// One caption for each picture; there may be more.
    texts: List<String>,
    #[input(default = 0, min = 0, max = u64::MAX)]
    seed: u64,
}

#[derive(Outputs)]
struct Shuffled {
    #[output(name = "images")]
    images: List<Image>,
    #[output(name = "texts")]
    texts: List<String>,
}

impl Run for ShuffleImageTextDataset {
    type Out = Shuffled;

    fn run(self, _: &mut Cx) -> anyhow::Result<Shuffled> {
        let (images, texts) = (self.images.0, self.texts.0);
        ensure!(
            texts.len() >= images.len(),
            "there are {} pictures but only {} texts; connect one for each",
            images.len(),
            texts.len()
        );
        let order = RandomState::seeded(self.seed).permutation(images.len());
        Ok(Shuffled {
            images: List(order.iter().map(|&at| images[at].clone()).collect()),
            texts: List(order.iter().map(|&at| texts[at].clone()).collect()),
        })
    }
}
