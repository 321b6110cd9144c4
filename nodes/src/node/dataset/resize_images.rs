use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::{OneImage, resized, single};
use crate::ops::resize::picture_size;
use crate::values::Image;

/// Resizes a picture so that its shorter side has a given length. The aspect ratio stays.
#[derive(Node)]
#[node(category = "dataset/image", display = "Resize Images by Shorter Edge", experimental)]
struct ResizeImagesByShorterEdge {
    images: Image,
    /// In pixels.
    #[input(default = 512, min = 1, max = 8192)]
    shorter_edge: i64,
}

impl Run for ResizeImagesByShorterEdge {
    type Out = OneImage;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneImage> {
        let image = single(&self.images)?;
        let (width, height) = picture_size(image)?;
        let edge = self.shorter_edge;
        let (width, height) =
            if width < height { (edge, other(height, width, edge)) } else { (other(width, height, edge), edge) };
        Ok(OneImage { images: Image(resized(image, width, height)?) })
    }
}

/// Resizes pictures so that their longer side has a given length. The aspect ratio stays.
#[derive(Node)]
#[node(category = "dataset/image", display = "Resize Images by Longer Edge", experimental)]
struct ResizeImagesByLongerEdge {
    images: Image,
    /// In pixels.
    #[input(default = 1024, min = 1, max = 8192)]
    longer_edge: i64,
}

impl Run for ResizeImagesByLongerEdge {
    type Out = OneImage;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneImage> {
        let Image(images) = self.images;
        let (width, height) = picture_size(&images)?;
        let edge = self.longer_edge;
        let (width, height) =
            if width > height { (edge, other(height, width, edge)) } else { (other(width, height, edge), edge) };
        Ok(OneImage { images: Image(resized(&images, width, height)?) })
    }
}

/// The new length of the side `other` when `side` becomes `edge`, truncated to whole pixels.
fn other(other: i64, side: i64, edge: i64) -> i64 {
    (other as f64 * (edge as f64 / side as f64)) as i64
}
