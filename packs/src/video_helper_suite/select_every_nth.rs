use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use redraft_nodes::values::Image;

/// Keeps every nth picture, from a first one on.
#[derive(Node)]
#[node(
    class = "VHS_SelectEveryNthImage",
    category = "Video Helper Suite 🎥🅥🅗🅢/image",
    display = "Select Every Nth Image 🎥🅥🅗🅢"
)]
struct SelectEveryNthImage {
    images: Image,
    #[input(default = 1, min = 1, max = 9_007_199_254_740_991_i64, step = 1)]
    select_every_nth: i64,
    #[input(default = 0, min = 0, max = 9_007_199_254_740_991_i64, step = 1)]
    skip_first_images: i64,
}

#[derive(Outputs)]
struct Selected {
    #[output(name = "IMAGE")]
    image: Image,
    #[output(name = "count")]
    count: i64,
}

impl Run for SelectEveryNthImage {
    type Out = Selected;

    fn run(self, _: &mut Cx) -> anyhow::Result<Selected> {
        let count = self.images.0.size().first().copied().unwrap_or(0);
        let image = self.images.0.slice(0, self.skip_first_images.min(count), None, self.select_every_nth);
        let count = image.size().first().copied().unwrap_or(0);
        Ok(Selected { image: Image(image), count })
    }
}
