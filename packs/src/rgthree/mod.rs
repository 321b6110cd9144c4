//! rgthree-comfy.

mod any_switch;
mod display;
mod image_comparer;
mod puter;
mod seed;
