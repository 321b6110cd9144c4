mod attention_multiply;
mod freeu;
mod hyper_tile;
mod patch_model_add_downscale;
mod step_caches;
mod tome_patch_model;
