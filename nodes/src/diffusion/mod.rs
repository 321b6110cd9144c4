//! What a denoising network is asked, and what its output means.

pub mod clock;
pub mod control;
pub mod extra_conds;
pub mod latent_format;
pub mod network;
pub mod parameterisation;
pub mod patch;
pub mod real;
pub mod run_entry;
