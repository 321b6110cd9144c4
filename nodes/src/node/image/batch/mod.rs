mod image_from_batch;
mod image_rgb_to_yuv;
mod rebatch_images;
mod repeat_image_batch;
