//! ComfyUI-List-Utils.

mod lists;
mod py_list;
mod split_string;
