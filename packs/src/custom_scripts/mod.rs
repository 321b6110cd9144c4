//! ComfyUI-Custom-Scripts.

mod show_text;
