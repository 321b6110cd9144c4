//! ComfyUI-VideoHelperSuite.

mod select_every_nth;
