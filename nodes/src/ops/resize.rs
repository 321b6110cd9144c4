//! Resizing pictures, masks and latents, as ComfyUI's `common_upscale` does.

use anyhow::{Context, Result, ensure};
use redraft_engine::Combo;
use tch::Tensor;

use super::bislerp::bislerp;
use super::lanczos::lanczos;

/// Methods of resampling.
#[derive(Combo, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The pixel whose centre is nearest.
    #[combo(name = "nearest-exact")]
    NearestExact,
    /// libtorch's bilinear interpolation, without antialiasing.
    Bilinear,
    /// The mean of the old pixels that a new one covers.
    Area,
    /// libtorch's bicubic interpolation (a = -0.75), without antialiasing.
    Bicubic,
    /// Pillow's Lanczos-3 on eight bits a channel.
    Lanczos,
    /// Bilinear with spherical interpolation of the channels' vectors, for latents.
    Bislerp,
}

/// What is done about another aspect ratio.
#[derive(Combo, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crop {
    /// The picture is stretched.
    Disabled,
    /// The picture is first cropped about its centre.
    Center,
}

/// Declares a combo of some methods in the order of a node. The first is the default.
macro_rules! methods {
    ($(#[$doc:meta])* $name:ident: $($method:ident),*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        // Some are used by one node only, some by many.
        #[allow(unreachable_pub)]
        pub struct $name(pub $crate::ops::resize::Method);

        impl ::redraft_engine::io::Combo for $name {
            fn names() -> Vec<&'static str> {
                vec![$($crate::ops::resize::Method::$method.name()),*]
            }

            fn from_name(name: &str) -> Option<Self> {
                let offered = [$($crate::ops::resize::Method::$method),*];
                offered.into_iter().find(|method| method.name() == name).map(Self)
            }
        }
        ::redraft_engine::combo_field!($name);
    };
}
pub(crate) use methods;

methods! {
    /// The methods of most picture nodes.
    ImageMethod: NearestExact, Bilinear, Area, Bicubic, Lanczos
}

impl Method {
    /// The name in workflow files.
    pub fn name(self) -> &'static str {
        match self {
            Method::NearestExact => "nearest-exact",
            Method::Bilinear => "bilinear",
            Method::Area => "area",
            Method::Bicubic => "bicubic",
            Method::Lanczos => "lanczos",
            Method::Bislerp => "bislerp",
        }
    }
}

/// Resizes N×C×H×W to N×C×`height`×`width`, cropped to the new aspect ratio first if `crop` says so. Of a video,
/// N×C×T×H×W, each frame is resized.
///
/// # Errors
/// If a side has no pixels before cropping, after it, or in the result.
pub fn resize(samples: &Tensor, width: i64, height: i64, method: Method, crop: Crop) -> Result<Tensor> {
    // With `Area` libtorch accepts a size of 0, and gives a picture without pixels.
    let least = if method == Method::Area && crop == Crop::Disabled { 0 } else { 1 };
    ensure!(width >= least && height >= least, "cannot resize to {width} × {height} pixels: set sizes of at least 1");
    if let [count, channels, frames @ .., rows, columns] = samples.size().as_slice()
        && !frames.is_empty()
    {
        let flat = samples.reshape([*count, *channels, -1, *rows, *columns]).movedim_int(2, 1);
        let flat = flat.reshape([-1, *channels, *rows, *columns]);
        let resized = resize(&flat, width, height, method, crop)?.reshape([*count, -1, *channels, height, width]);
        let shape: Vec<i64> = [*count, *channels].iter().chain(frames).copied().chain([height, width]).collect();
        return Ok(resized.movedim_int(2, 1).reshape(shape));
    }
    let samples = match crop {
        Crop::Disabled => samples.shallow_clone(),
        Crop::Center => center(samples, width, height)?,
    };
    Ok(match method {
        Method::NearestExact => samples.internal_upsample_nearest_exact2d([height, width], None, None),
        Method::Bilinear => samples.upsample_bilinear2d([height, width], false, None, None),
        Method::Area => samples.adaptive_avg_pool2d([height, width]),
        Method::Bicubic => samples.upsample_bicubic2d([height, width], false, None, None),
        Method::Lanczos => lanczos(&samples, width as usize, height as usize)?,
        Method::Bislerp => bislerp(&samples, width, height),
    })
}

/// [`resize`] for pictures: B×H×W×C.
///
/// # Errors
/// As [`resize`].
pub fn resize_pictures(images: &Tensor, width: i64, height: i64, method: Method, crop: Crop) -> Result<Tensor> {
    Ok(resize(&images.movedim_int(-1, 1), width, height, method, crop)?.movedim_int(1, -1))
}

/// The centre of N×C×H×W with the aspect ratio of `width` × `height`. Half pixels are rounded to even, as in Python.
fn center(samples: &Tensor, width: i64, height: i64) -> Result<Tensor> {
    let &[_, _, rows, columns] = samples.size().as_slice() else {
        anyhow::bail!("cannot resize values of shape {:?}: connect pictures", samples.size());
    };
    let old = columns as f64 / rows as f64;
    let new = width as f64 / height as f64;
    let cut = |side: i64, share: f64| ((side as f64 - side as f64 * share) / 2.0).round_ties_even() as i64;
    let x = if old > new { cut(columns, new / old) } else { 0 };
    let y = if old < new { cut(rows, old / new) } else { 0 };
    let (left_rows, left_columns) = (rows - 2 * y, columns - 2 * x);
    ensure!(
        left_rows > 0 && left_columns > 0,
        "nothing of {columns} × {rows} pixels is left when it is cut to the shape of {width} × {height}: \
         set crop to disabled, or choose a less narrow size"
    );
    Ok(samples.narrow(-2, y, left_rows).narrow(-1, x, left_columns))
}

/// `side` × `factor`, rounded as Python's `round` does.
pub fn scaled(side: i64, factor: f64) -> i64 {
    (side as f64 * factor).round_ties_even() as i64
}

/// Width and height. If one is 0, it follows from the other by the aspect ratio, and is at least 1; if both are, the
/// size stays.
pub fn with_kept_shape((columns, rows): (i64, i64), width: i64, height: i64) -> (i64, i64) {
    let other = |a: i64, side: i64, b: i64| ((a * side) as f64 / b as f64).round_ties_even().max(1.0) as i64;
    match (width, height) {
        (0, _) => (other(columns, height, rows), height),
        (_, 0) => (width, other(rows, width, columns)),
        both => both,
    }
}

/// Width and height with the same aspect ratio, of which the longer one is `largest`.
pub fn with_longer_side((columns, rows): (i64, i64), largest: i64) -> (i64, i64) {
    let other = |a: i64, b: i64| (a as f64 / b as f64 * largest as f64).round_ties_even() as i64;
    match columns.cmp(&rows) {
        std::cmp::Ordering::Less => (other(columns, rows), largest),
        std::cmp::Ordering::Greater => (largest, other(rows, columns)),
        std::cmp::Ordering::Equal => (largest, largest),
    }
}

/// Width and height of pictures, B×H×W×C.
///
/// # Errors
/// If the tensor has another number of dimensions, or no pixels.
pub fn picture_size(images: &Tensor) -> Result<(i64, i64)> {
    let size = images.size();
    let [_, rows, columns, _] = <[i64; 4]>::try_from(size.as_slice())
        .ok()
        .with_context(|| format!("a value of shape {size:?} is no batch of pictures: connect an image"))?;
    ensure!(rows > 0 && columns > 0, "a picture of {columns} × {rows} pixels cannot be resized: connect a larger one");
    Ok((columns, rows))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use redraft_engine::io::Combo;
    use tch::{Device, Kind};

    #[test]
    fn names_are_those_of_the_choices() {
        for name in Method::names() {
            assert_eq!(Method::from_name(name).unwrap().name(), name);
        }
        assert!(ImageMethod::from_name("bislerp").is_none());
    }

    /// Figures from Python: `round` of halves goes to the even number.
    #[test]
    fn sizes_round_as_python_rounds() {
        assert_eq!((scaled(5, 0.5), scaled(7, 0.5), scaled(83, 0.3)), (2, 4, 25));
        assert_eq!(with_kept_shape((83, 61), 0, 32), (44, 32));
        assert_eq!(with_kept_shape((83, 61), 40, 0), (40, 29));
        assert_eq!(with_kept_shape((1000, 1), 10, 0), (10, 1));
        assert_eq!(with_longer_side((83, 61), 50), (50, 37));
        assert_eq!(with_longer_side((61, 83), 50), (37, 50));
    }

    #[test]
    fn the_middle_is_kept() {
        let row = Tensor::arange(7, (Kind::Float, Device::Cpu)).view([1, 1, 1, 7]);
        let kept = center(&row, 2, 1).unwrap();
        // (7 - 2) / 2 = 2.5 rounds to 2: three pixels stay.
        assert_eq!(Vec::<f32>::try_from(&kept.flatten(0, -1)).unwrap(), [2.0, 3.0, 4.0]);
        let narrow = Tensor::zeros([1, 1, 1000, 10], (Kind::Float, Device::Cpu));
        assert!(center(&narrow, 1000, 1).unwrap_err().to_string().starts_with("nothing of 10 × 1000 pixels is left"));
        let error = resize(&row, 0, 4, Method::Bilinear, Crop::Disabled).unwrap_err();
        assert_eq!(error.to_string(), "cannot resize to 0 × 4 pixels: set sizes of at least 1");
        assert_eq!(resize(&row, 0, 4, Method::Area, Crop::Disabled).unwrap().size(), [1, 1, 4, 0]);
    }
}
