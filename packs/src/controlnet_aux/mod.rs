//! comfyui_controlnet_aux: the preprocessors that need no network, and Depth Anything V2. Pictures become eight bits a channel and are computed
//! with as OpenCV does.

mod all_in_one;
mod binary;
mod canny;
mod colour;
mod depth_anything;
mod enhance;
mod hints;
mod inpaint;
mod lineart;
mod pyra_canny;
mod recolour;
mod resolution;
mod scribble;
mod shuffle;
mod thinning;
mod tile;
