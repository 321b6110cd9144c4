//! Arithmetic on pictures that equals OpenCV's, for nodes whose originals compute with it: OpenCV 5.0 as its wheels for x86-64 compute,
//! with Intel's IPP where they use it.
//!
//! Whole numbers are equal to OpenCV's in every bit. What is computed in float32 follows its order of operations on CPUs with FMA. Every
//! function asks for memory before it takes it, and calls `going` for each row: an error of it ends the work.

pub(crate) mod canny;
pub(crate) mod colour;
pub(crate) mod gaussian;
pub(crate) mod gaussian_bytes;
pub(crate) mod morphology;
pub(crate) mod pyramid;
mod raster;
pub(crate) mod remap;
mod resize;
mod resize_area;
mod resize_cubic;
pub(crate) mod resize_doubles;
mod resize_fixed;
pub(crate) mod resize_floats;
mod taps;
#[cfg(test)]
mod tests;
pub(crate) mod threshold;

pub(crate) use raster::{Going, Raster};
pub(crate) use resize::{Method, resize};
