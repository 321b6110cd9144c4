//! The order of blocks in Wan's autoencoders, as their files have it.

use anyhow::{Result, ensure};
use tch::Tensor;

use super::wan_vae_blocks::{Attention, Doubling, Earlier, Halving, Residual};
use crate::files::weights::Weights;

/// Where a side of the autoencoder leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Down,
    Up,
}

/// A layer of a side.
enum Layer {
    Residual(Residual),
    Attention(Attention),
    Halving(Halving),
    Doubling(Doubling),
    Level(Level),
}

/// Layers that are applied one after the other.
pub(super) struct Layers(Vec<Layer>);

impl Layers {
    /// The numbered layers below `w`. `channels` goes from their input's to their output's.
    pub(super) fn load(w: &Weights, way: Way, channels: &mut i64) -> Result<Self> {
        (0..w.children()).map(|place| Self::layer(&w.at(place), way, channels)).collect::<Result<_>>().map(Self)
    }

    fn layer(w: &Weights, way: Way, channels: &mut i64) -> Result<Layer> {
        let inner = w.at(if way == Way::Down { "downsamples" } else { "upsamples" });
        if !inner.is_empty() {
            return Ok(Layer::Level(Level::load(&inner, way, channels)?));
        }
        if w.contains("to_qkv.weight") {
            return Ok(Layer::Attention(Attention::load(w, *channels)?));
        }
        if w.contains("resample.1.weight") {
            let outputs = w.dim("resample.1.weight", 0)?;
            let inputs = std::mem::replace(channels, outputs);
            return Ok(match way {
                Way::Up => Layer::Doubling(Doubling::load(w, inputs)?),
                Way::Down => Layer::Halving(Halving::load(w, inputs)?),
            });
        }
        let block = Residual::load(w, *channels)?;
        *channels = block.outputs();
        Ok(Layer::Residual(block))
    }

    /// How many of them halve or double the size, and how many of those change the number of frames.
    pub(super) fn resizings(&self) -> [usize; 2] {
        self.0.iter().fold([0, 0], |[sides, time], layer| match layer {
            Layer::Halving(halving) => [sides + 1, time + usize::from(halving.changes_time())],
            Layer::Doubling(doubling) => [sides + 1, time + usize::from(doubling.changes_time())],
            Layer::Level(level) => {
                let [further_sides, further_time] = level.layers.resizings();
                [sides + further_sides, time + further_time]
            }
            Layer::Residual(_) | Layer::Attention(_) => [sides, time],
        })
    }

    /// `x` is B×C×T×H×W, a group of frames.
    pub(super) fn forward(&self, x: Tensor, earlier: &mut Earlier) -> Tensor {
        self.0.iter().fold(x, |x, layer| match layer {
            Layer::Residual(block) => block.forward(x, earlier),
            Layer::Attention(attention) => attention.forward(&x),
            Layer::Halving(halving) => halving.forward(&x, earlier),
            Layer::Doubling(doubling) => doubling.forward(&x, earlier),
            Layer::Level(level) => level.forward(x, earlier),
        })
    }
}

/// The layers of one size beside a shortcut without weights, as Wan 2.2 has them.
struct Level {
    layers: Layers,
    shortcut: Option<Shortcut>,
}

/// Points are put into channels, of which as many as there are too many are averaged; or the reverse.
struct Shortcut {
    way: Way,
    outputs: i64,
    /// By how much time, and height and width, change.
    time: i64,
    side: i64,
}

impl Level {
    fn load(w: &Weights, way: Way, channels: &mut i64) -> Result<Self> {
        let inputs = *channels;
        let layers = Layers::load(w, way, channels)?;
        let [sides, time] = layers.resizings().map(|count| 1 << count.min(1));
        // Where nothing is doubled there is none.
        let has_shortcut = way == Way::Down || sides > 1;
        let factor = time * sides * sides;
        let (many, few) = if way == Way::Down { (inputs * factor, *channels) } else { (*channels * factor, inputs) };
        ensure!(
            !has_shortcut || many % few == 0,
            "{} has a level of {inputs} channels that become {channels}, which a shortcut cannot make of them; the file is damaged",
            w.path().display()
        );
        let shortcut = has_shortcut.then_some(Shortcut { way, outputs: *channels, time, side: sides });
        Ok(Self { layers, shortcut })
    }

    fn forward(&self, x: Tensor, earlier: &mut Earlier) -> Tensor {
        let first = earlier.is_first_group();
        let h = self.layers.forward(x.shallow_clone(), earlier);
        match &self.shortcut {
            Some(shortcut) => h + shortcut.forward(&x, first),
            None => h,
        }
    }
}

impl Shortcut {
    fn forward(&self, x: &Tensor, first_group: bool) -> Tensor {
        match self.way {
            Way::Down => self.averaged(x),
            Way::Up => self.repeated(x, first_group),
        }
    }

    fn averaged(&self, x: &Tensor) -> Tensor {
        let Self { outputs, time, side, .. } = *self;
        let missing = (time - x.size()[2] % time) % time;
        let x = x.constant_pad_nd([0, 0, 0, 0, missing, 0]);
        let size = x.size();
        let (frames, height, width) = (size[2] / time, size[3] / side, size[4] / side);
        let split = x.reshape([size[0], size[1], frames, time, height, side, width, side]);
        let flat = split.permute([0, 1, 3, 5, 7, 2, 4, 6]).contiguous();
        flat.view([size[0], outputs, -1, frames, height, width].as_slice()).mean_dim([2i64].as_slice(), false, x.kind())
    }

    /// The first group's frames are fewer: the first one is not doubled.
    fn repeated(&self, x: &Tensor, first_group: bool) -> Tensor {
        let Self { outputs, time, side, .. } = *self;
        let size = x.size();
        let repeats = outputs * time * side * side / size[1];
        let x = x.repeat_interleave_self_int(repeats, 1, None);
        let split = x.view([size[0], outputs, time, side, side, size[2], size[3], size[4]].as_slice());
        let flat = split.permute([0, 1, 5, 2, 6, 3, 7, 4]).contiguous();
        let whole = flat.view([size[0], outputs, size[2] * time, size[3] * side, size[4] * side]);
        if first_group { whole.slice(2, time - 1, None, 1) } else { whole }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn points_go_into_channels_and_back() {
        let x = Tensor::arange(2 * 3 * 2 * 4, (Kind::Float, Device::Cpu)).view([1, 2, 3, 2, 4]);
        let down = Shortcut { way: Way::Down, outputs: 4, time: 2, side: 2 };
        let small = down.forward(&x, false);
        // A frame of zeros goes in front, as three frames are no multiple of two.
        assert_eq!(small.size(), [1, 4, 2, 1, 2]);
        // The mean of the four points of each of two frames, in the order of frames, rows and columns: first 0 and then 0, 1, 4, 5.
        assert_eq!([small.double_value(&[0, 0, 0, 0, 0]), small.double_value(&[0, 1, 0, 0, 0])], [0.0, 2.5]);
        assert_eq!(small.double_value(&[0, 0, 1, 0, 1]), (10.0 + 11.0 + 14.0 + 15.0) / 4.0);
        let up = Shortcut { way: Way::Up, outputs: 2, time: 2, side: 2 };
        let large = up.forward(&small, false);
        assert_eq!(large.size(), [1, 2, 4, 2, 4]);
        // Four channels stand for sixteen points, so each is there four times: the whole of a frame.
        assert_eq!(large.select(2, 1).select(1, 0).narrow(2, 0, 2).min().double_value(&[]), 2.5);
        assert_eq!(large.select(2, 1).select(1, 0).narrow(2, 0, 2).max().double_value(&[]), 2.5);
        assert_eq!(up.forward(&small, true), large.narrow(2, 1, 3));
    }
}
