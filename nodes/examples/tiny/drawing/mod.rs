//! Pictures that the project draws itself, with captions: what the tiny model is trained and judged on.
//!
//! A [`Scene`] is one to three shapes on a background. It is drawn at any size and described in many ways; both
//! depend on nothing but the scene and the random numbers given, so a seed stands for a data set without end.

mod caption;
pub(crate) mod colour;
mod kind;
mod paint;
mod scene;
#[cfg(test)]
mod tests;

pub(crate) use colour::{Colour, Rgb};
pub(crate) use kind::Kind;
pub(crate) use scene::{Background, HELD_OUT, Outline, Scene, Shape, Size, Split, Texture};
