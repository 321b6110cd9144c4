//! Pictures as tokens: each a square of latent points.

use tch::Tensor;

/// B×C×h×w as B×N×(C·p·p) tokens, row by row; a side that is no multiple of `patch` goes on with what it begins with.
pub(super) fn tokens(x: &Tensor, patch: i64) -> Tensor {
    let size = x.size();
    let (batch, channels) = (size[0], size[1]);
    let x = wrapped(x, patch);
    let (rows, columns) = (x.size()[2] / patch, x.size()[3] / patch);
    let split = x.reshape([batch, channels, rows, patch, columns, patch]);
    split.permute([0, 2, 4, 1, 3, 5]).reshape([batch, rows * columns, channels * patch * patch])
}

/// The inverse of [`tokens`], cut to a height and width.
pub(super) fn picture(tokens: &Tensor, batch: i64, patch: i64, [height, width]: [i64; 2]) -> Tensor {
    let (rows, columns) = ((height + patch - 1) / patch, (width + patch - 1) / patch);
    let split = tokens.reshape([batch, rows, columns, -1, patch, patch]).permute([0, 3, 1, 4, 2, 5]);
    split.reshape([batch, -1, rows * patch, columns * patch]).narrow(2, 0, height).narrow(3, 0, width)
}

/// B×C×h×w as B×N×(p·p·C) tokens: as [`tokens`], with the channels of a point next to each other.
pub(super) fn tokens_last(x: &Tensor, patch: i64) -> Tensor {
    let size = x.size();
    let (batch, channels) = (size[0], size[1]);
    let x = wrapped(x, patch);
    let (rows, columns) = (x.size()[2] / patch, x.size()[3] / patch);
    let split = x.reshape([batch, channels, rows, patch, columns, patch]).permute([0, 2, 4, 3, 5, 1]);
    split.reshape([batch, rows * columns, patch * patch * channels])
}

/// The inverse of [`tokens_last`], cut to a height and width.
pub(super) fn picture_last(tokens: &Tensor, batch: i64, patch: i64, [height, width]: [i64; 2]) -> Tensor {
    let (rows, columns) = ((height + patch - 1) / patch, (width + patch - 1) / patch);
    let split = tokens.reshape([batch, rows, columns, patch, patch, -1]).permute([0, 5, 1, 3, 2, 4]);
    split.reshape([batch, -1, rows * patch, columns * patch]).narrow(2, 0, height).narrow(3, 0, width)
}

/// A picture, or a video, whose sides are multiples of `patch`: what is missing below and to the right is taken from the other edge.
pub(super) fn wrapped(x: &Tensor, patch: i64) -> Tensor {
    let size = x.size();
    let missing = |side: i64| (patch - side % patch) % patch;
    let (below, right) = (missing(size[size.len() - 2]), missing(size[size.len() - 1]));
    if below == 0 && right == 0 {
        return x.shallow_clone();
    }
    // All sides have to be named, those of time, too.
    let behind = vec![0; 2 * (size.len() - 4)];
    x.pad([vec![0, right, 0, below], behind].concat(), "circular", None)
}

/// How many tokens a side of so many points has, for patches of two.
pub(super) fn halved(side: i64) -> i64 {
    (side + 1) / 2
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn pictures_become_tokens_and_come_back() {
        let x = Tensor::arange(2 * 3 * 5 * 4, (Kind::Float, Device::Cpu)).view([2, 3, 5, 4]);
        let all = tokens(&x, 2);
        assert_eq!(all.size(), [2, 6, 12]);
        assert_eq!(picture(&all, 2, 2, [5, 4]), x);
        // The last row of tokens goes on with the first row of the picture.
        let first: Vec<f32> = all.get(0).get(4).narrow(0, 0, 4).try_into().unwrap_or_default();
        assert_eq!(first, [16.0, 17.0, 0.0, 1.0]);
        assert_eq!(picture_last(&tokens_last(&x, 2), 2, 2, [5, 4]), x);
    }
}
