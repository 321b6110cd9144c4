use anyhow::ensure;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;
use tch::{Device, Kind, Tensor};

use super::{OneImage, resized, single};
use crate::pictures::read::MAX_PIXELS;
use crate::values::Image;

/// Arranges pictures in a grid on a black background. Each is resized to fill its cell.
#[derive(Node)]
#[node(category = "dataset/image", display = "Image Grid", experimental)]
struct ImageGrid {
    images: List<Image>,
    /// Pictures in a row.
    #[input(default = 4, min = 1, max = 20)]
    columns: i64,
    #[input(default = 256, min = 32, max = 2048)]
    cell_width: i64,
    #[input(default = 256, min = 32, max = 2048)]
    cell_height: i64,
    /// Pixels between two pictures.
    #[input(default = 4, min = 0, max = 50)]
    padding: i64,
}

impl Run for ImageGrid {
    type Out = OneImage;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneImage> {
        let Self { columns, cell_width, cell_height, padding, .. } = self;
        let images = self.images.0;
        ensure!(!images.is_empty(), "a grid needs pictures: connect at least one");
        let rows = (images.len() as i64 + columns - 1) / columns;
        let (width, height) =
            (columns * cell_width + (columns - 1) * padding, rows * cell_height + (rows - 1) * padding);
        ensure!(
            width.saturating_mul(height) as u64 <= MAX_PIXELS,
            "the grid would have {width} × {height} pixels; {MAX_PIXELS} are allowed: set smaller cells"
        );
        let grid = Tensor::zeros([1, height, width, 3], (Kind::Float, Device::Cpu));
        for (at, image) in images.iter().enumerate() {
            let picture = colours(&resized(single(image)?, cell_width, cell_height)?);
            let (row, column) = (at as i64 / columns, at as i64 % columns);
            let (x, y) = (column * (cell_width + padding), row * (cell_height + padding));
            // In place: the grid is new.
            grid.narrow(1, y, cell_height).narrow(2, x, cell_width).copy_(&picture);
        }
        Ok(OneImage { images: Image(grid) })
    }
}

/// A picture as RGB: alpha is dropped, grey is repeated.
fn colours(picture: &Tensor) -> Tensor {
    if picture.size()[3] < 3 {
        return picture.narrow(3, 0, 1).expand([-1, -1, -1, 3], false);
    }
    picture.narrow(3, 0, 3)
}
