//! Sampling: samplers, schedules, parameterisation, guidance.

pub mod brownian;
pub mod context_windows;
pub mod control;
pub mod denoise;
pub mod grounding;
pub mod guidance;
pub mod hooks;
pub mod inpaint;
mod jobs;
pub mod ksampler;
pub mod noise;
pub mod preview;
pub mod ready;
pub mod regions;
pub mod reuse;
pub mod samplers;
pub mod schedules;
pub mod tables;
pub mod windowed;
