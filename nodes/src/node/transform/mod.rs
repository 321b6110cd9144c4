mod resize_image_mask;
