//! The nodes, one file each, in folders named as ComfyUI names its categories.
