use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::{Device, Kind, Tensor};

use crate::values::{Image, Mask};

/// Adds grey margins to pictures, and gives a mask of them for outpainting.
#[derive(Node)]
#[node(category = "image", display = "Pad Image for Outpainting")]
struct ImagePadForOutpaint {
    image: Image,
    /// Pixels to add on the left.
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    left: i64,
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    top: i64,
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    right: i64,
    #[input(default = 0, min = 0, max = 16384, step = 8)]
    bottom: i64,
    /// The width in pixels of the region inside the old edges in which the mask fades out. Without effect if the
    /// picture is not at least twice as large.
    #[input(default = 40, min = 0, max = 16384, step = 1, beyond = Below)]
    feathering: i64,
}

impl Run for ImagePadForOutpaint {
    type Out = (Image, Mask);

    fn run(self, _: &mut Cx) -> anyhow::Result<(Image, Mask)> {
        let Self { left, top, right, bottom, .. } = self;
        let image = &self.image.0;
        let size = image.size();
        let padded = image.pad([0, 0, left, right, top, bottom], "constant", 0.5);
        let mask = self.fading(size[1], size[2]).pad([left, right, top, bottom], "constant", 1.0);
        Ok((Image(padded), Mask(mask.unsqueeze(0))))
    }
}

impl ImagePadForOutpaint {
    /// The mask inside the old edges: it falls with the square of the distance to the nearest padded edge, and is 0
    /// from `feathering` pixels on.
    fn fading(&self, height: i64, width: i64) -> Tensor {
        let reach = self.feathering;
        if reach == 0 || reach * 2 >= height || reach * 2 >= width {
            return Tensor::zeros([height, width], (Kind::Float, Device::Cpu));
        }
        // Edges without a margin do not count.
        let distance = |at: i64, side: i64, before: i64, after: i64| {
            let first = if before == 0 { side } else { at };
            let last = if after == 0 { side } else { side - at };
            first.min(last)
        };
        let columns: Vec<i64> = (0..width).map(|x| distance(x, width, self.left, self.right)).collect();
        let mut values = Vec::with_capacity((height * width) as usize);
        for y in 0..height {
            let row = distance(y, height, self.top, self.bottom);
            values.extend(columns.iter().map(|&column| {
                let near = (reach - row.min(column)).max(0) as f64 / reach as f64;
                (near * near) as f32
            }));
        }
        Tensor::from_slice(&values).view([height, width])
    }
}
