mod load_image;
mod preview_image;
mod save_image;
