//! Operations on latents, which nodes pass on as values.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

/// LATENT_OPERATION: an operation on a latent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LatentOperation {
    /// Compresses the lengths of the channels' vectors by Reinhard's tone curve (Reinhard et al. 2002), up to `multiplier`
    /// times five standard deviations above the mean.
    Reinhard { multiplier: f64 },
    /// Sharpens the directions of the channels' vectors by an unsharp mask of `radius` latent pixels. `sigma` is in
    /// units of the radius.
    Sharpen { radius: i64, sigma: f64, alpha: f64 },
}

impl LatentOperation {
    /// The changed latent, B×C×H×W.
    ///
    /// # Errors
    /// If the latent has another shape, or is too small for the radius.
    pub fn apply(&self, latent: &Tensor) -> Result<Tensor> {
        latent.size4()?;
        match *self {
            LatentOperation::Reinhard { multiplier } => Ok(reinhard(latent, multiplier)),
            LatentOperation::Sharpen { radius, sigma, alpha } => sharpened(latent, radius, sigma, alpha),
        }
    }
}

/// Lengths of the channels' vectors, B×1×H×W.
fn lengths(latent: &Tensor) -> Tensor {
    latent.norm_scalaropt_dim(2.0, [1i64], true)
}

fn reinhard(latent: &Tensor, multiplier: f64) -> Tensor {
    let length = lengths(latent) + 1e-10;
    let direction = latent / &length;
    let whole: &[i64] = &[1, 2, 3];
    let mean = length.mean_dim(whole, true, None);
    let top = (length.std_dim(whole, true, true) * 5.0 + mean) * multiplier;
    let length = length * (1.0 / &top);
    direction * (&length / (&length + 1.0) * top)
}

fn sharpened(latent: &Tensor, radius: i64, sigma: f64, alpha: f64) -> Result<Tensor> {
    let (_, channels, height, width) = latent.size4()?;
    ensure!(
        radius < height && radius < width,
        "a sharpen radius of {radius} needs latents of more than {radius} x {radius} places, not {height} x {width}; \
         set a smaller radius"
    );
    let length = lengths(latent) + 1e-6;
    let direction = latent / &length;
    let kernel = gaussian(2 * radius + 1, sigma) * (alpha * -10.0);
    let mut centre = kernel.narrow(0, radius, 1).narrow(1, radius, 1);
    // In place, but on the fresh kernel.
    centre += 1.0 - kernel.sum(Kind::Float);
    let kernel = kernel.to_device(latent.device()).repeat([channels, 1, 1]).unsqueeze(1);
    let padded = direction.reflection_pad2d([radius, radius, radius, radius]);
    Ok(length * padded.conv2d(&kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], channels))
}

/// A Gaussian on `side`×`side` places of the square from -1 to 1, with sum 1.
fn gaussian(side: i64, sigma: f64) -> Tensor {
    let line = Tensor::linspace(-1.0, 1.0, side, (Kind::Float, Device::Cpu));
    let distance = (line.square().unsqueeze(1) + line.square().unsqueeze(0)).sqrt();
    let bell = (-(&distance * &distance) / (2.0 * sigma * sigma)).exp();
    &bell / bell.sum(Kind::Float)
}
