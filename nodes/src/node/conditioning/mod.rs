mod clip_set_last_layer;
mod clip_text_encode;
mod clip_text_encode_hidream;
mod clip_text_encode_pixart;
mod clip_text_encode_sd3;
mod clip_text_encode_sdxl;
mod clip_vision;
mod conditioning_average;
mod conditioning_combine;
mod conditioning_concat;
mod conditioning_multiply;
mod conditioning_properties;
mod conditioning_set_area;
mod conditioning_set_mask;
mod conditioning_set_timestep_range;
mod conditioning_timesteps_range;
mod conditioning_zero_out;
mod control_net;
mod flux;
mod from_picture;
mod gligen_text_box_apply;
mod hunyuan_video;
mod inpaint_model_conditioning;
mod instruct_pix_to_pix_conditioning;
mod ltxv;
mod mentions;
mod qwen_image;
mod t5_tokenizer_options;
mod unclip;
mod wan;

use anyhow::Context;
use redraft_engine::cx::Cx;

use crate::values::{Conditioning, Entry};

/// The first prompt, for a node that uses only one. Warns if there are others.
fn only_first<'a>(cx: &mut Cx, conditioning: &'a Conditioning) -> anyhow::Result<&'a Entry> {
    if conditioning.0.len() > 1 {
        cx.warn("conditioning_from holds more than one prompt, of which only the first counts");
    }
    conditioning.0.first().context("conditioning_from holds no prompt; connect one that does")
}
