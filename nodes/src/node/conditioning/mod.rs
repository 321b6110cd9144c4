mod clip_set_last_layer;
mod clip_text_encode;
