//! ComfyUI-List-Utils.

mod split_string;
