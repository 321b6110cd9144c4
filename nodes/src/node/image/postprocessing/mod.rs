mod image_blend;
mod image_blur;
mod image_quantize;
mod image_sharpen;
mod morphology;
