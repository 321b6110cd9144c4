mod image_crop;
mod image_flip;
mod image_rotate;
mod image_stitch;
mod resize_and_pad_image;
