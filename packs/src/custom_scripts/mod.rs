//! ComfyUI-Custom-Scripts.

mod math_expression;
mod play_sound;
mod show_text;
mod string_function;
