//! The head of a dense prediction transformer (Ranftl et al. 2021, arXiv:2103.13413): states of four layers, joined from the last to the
//! first at rising resolutions.

use anyhow::Result;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::ops::layers::Conv2d;
use tch::Tensor;

use super::PATCH;

/// By what the first two layers are enlarged.
const ENLARGED: [i64; 2] = [4, 2];
/// Channels before the last convolution.
const LAST: i64 = 32;

/// The head.
pub(super) struct Head {
    /// What makes maps of the states of each layer.
    projects: Vec<Conv2d>,
    enlarge: Vec<Enlarge>,
    /// Halves the last map.
    halve: Conv2d,
    /// What gives all maps the same width.
    widths: Vec<Conv2d>,
    /// From the first layer's to the last's.
    fusions: Vec<Fusion>,
    out: [Conv2d; 3],
}

/// A transposed convolution whose stride is its size.
struct Enlarge {
    weight: Tensor,
    bias: Tensor,
    by: i64,
}

impl Enlarge {
    fn forward(&self, x: &Tensor) -> Tensor {
        x.conv_transpose2d(&self.weight, Some(&self.bias), [self.by, self.by], [0, 0], [0, 0], 1, [1, 1])
    }
}

impl Head {
    pub(super) fn load(w: &Weights, states: i64) -> Result<Self> {
        let width_of = |i: usize| w.dim(&format!("projects.{i}.weight"), 0);
        let maps = [width_of(0)?, width_of(1)?, width_of(2)?, width_of(3)?];
        let scratch = w.at("scratch");
        let features = scratch.dim("layer1_rn.weight", 0)?;
        let enlarge = ENLARGED.iter().enumerate().map(|(i, &by)| {
            let layer = w.at("resize_layers").at(i);
            let weight = layer.tensor("weight", &[maps[i], maps[i], by, by])?;
            Ok(Enlarge { weight, bias: layer.tensor("bias", &[maps[i]])?, by })
        });
        let half = features / 2;
        Ok(Self {
            projects: (0..4)
                .map(|i| Conv2d::load(&w.at("projects").at(i), states, maps[i], 1))
                .collect::<Result<_>>()?,
            enlarge: enlarge.collect::<Result<_>>()?,
            halve: Conv2d::strided(&w.at("resize_layers.3"), maps[3], maps[3], 3, 2, 1)?,
            widths: (0..4)
                .map(|i| Conv2d::load(&scratch.at(format!("layer{}_rn", i + 1)), maps[i], features, 3))
                .collect::<Result<_>>()?,
            fusions: (1..=4)
                .map(|i| Fusion::load(&scratch.at(format!("refinenet{i}")), features))
                .collect::<Result<_>>()?,
            out: [
                Conv2d::load(&scratch.at("output_conv1"), features, half, 3)?,
                Conv2d::load(&scratch.at("output_conv2.0"), half, LAST, 3)?,
                Conv2d::load(&scratch.at("output_conv2.2"), LAST, 1, 1)?,
            ],
        })
    }

    /// B×1×H×W of the states of four layers, each B×N×W, for so many patches.
    pub(super) fn forward(&self, states: &[Tensor], rows: i64, columns: i64) -> Tensor {
        let maps: Vec<Tensor> = states
            .iter()
            .enumerate()
            .map(|(i, x)| {
                let (batch, width) = (x.size()[0], x.size()[2]);
                let map = x.permute([0, 2, 1]).reshape([batch, width, rows, columns]);
                let map = self.projects[i].forward(&map);
                let map = match (self.enlarge.get(i), i) {
                    (Some(enlarge), _) => enlarge.forward(&map),
                    (None, 3) => self.halve.forward(&map),
                    (None, _) => map,
                };
                self.widths[i].forward(&map)
            })
            .collect();
        let size = |map: &Tensor| [map.size()[2], map.size()[3]];
        let mut path = self.fusions[3].forward(&maps[3], None, size(&maps[2]));
        path = self.fusions[2].forward(&path, Some(&maps[2]), size(&maps[1]));
        path = self.fusions[1].forward(&path, Some(&maps[1]), size(&maps[0]));
        let doubled = size(&maps[0]).map(|side| 2 * side);
        path = self.fusions[0].forward(&path, Some(&maps[0]), doubled);
        let [first, second, last] = &self.out;
        let path = resized(&first.forward(&path), [rows * PATCH, columns * PATCH]);
        last.forward(&second.forward(&path).relu()).relu()
    }
}

/// Enlarged so that the corners' centres stay in the corners.
fn resized(x: &Tensor, size: [i64; 2]) -> Tensor {
    x.upsample_bilinear2d(size, true, None, None)
}

/// Joins what comes from later layers with the map of one.
struct Fusion {
    unit1: Unit,
    unit2: Unit,
    out: Conv2d,
}

impl Fusion {
    fn load(w: &Weights, features: i64) -> Result<Self> {
        Ok(Self {
            unit1: Unit::load(&w.at("resConfUnit1"), features)?,
            unit2: Unit::load(&w.at("resConfUnit2"), features)?,
            out: Conv2d::load(&w.at("out_conv"), features, features, 1)?,
        })
    }

    fn forward(&self, path: &Tensor, map: Option<&Tensor>, size: [i64; 2]) -> Tensor {
        let joined = map.map(|map| path + self.unit1.forward(map));
        let x = self.unit2.forward(joined.as_ref().unwrap_or(path));
        self.out.forward(&resized(&x, size))
    }
}

/// Two convolutions that add to what comes in.
struct Unit(Conv2d, Conv2d);

impl Unit {
    fn load(w: &Weights, features: i64) -> Result<Self> {
        let conv = |name: &str| Conv2d::load(&w.at(name), features, features, 3);
        Ok(Self(conv("conv1")?, conv("conv2")?))
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.1.forward(&self.0.forward(&x.relu()).relu()) + x
    }
}
