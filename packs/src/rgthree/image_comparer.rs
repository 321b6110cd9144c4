use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::node::save_previews;
use redraft_nodes::values::Image;

/// Shows two pictures, for a slider between them, as PNG files in the temp folder.
#[derive(Node)]
#[node(
    class = "Image Comparer (rgthree)",
    category = "rgthree",
    display = "Image Comparer (rgthree)",
    output,
    hidden("prompt", "extra_pnginfo")
)]
struct ImageComparer {
    image_a: Option<Image>,
    image_b: Option<Image>,
}

impl Run for ImageComparer {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        for (shown_as, images) in [("a_images", self.image_a), ("b_images", self.image_b)] {
            if let Some(images) = images {
                save_previews(cx, &images, "rgthree.compare.", shown_as)?;
            }
        }
        Ok(())
    }
}
