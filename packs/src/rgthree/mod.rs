//! rgthree-comfy.

mod any_switch;
mod image_comparer;
mod seed;
