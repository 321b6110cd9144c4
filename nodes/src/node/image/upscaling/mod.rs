mod image_scale;
mod image_scale_by;
mod image_scale_to_max_dimension;
mod image_scale_to_total_pixels;
mod image_upscale_with_model;
