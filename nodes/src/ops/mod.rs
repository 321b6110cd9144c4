//! Operations on tensors for networks and picture nodes: layers, attention, noise, resizing, filters. All `unsafe` of
//! this crate lives here.

pub mod attention;
pub mod bislerp;
pub mod bytes;
pub mod canny;
pub mod composite;
pub mod cuda;
pub mod filters;
pub mod frequencies;
pub mod gated;
pub mod inpaint;
pub mod lanczos;
pub mod latent_operation;
pub mod layers;
pub mod libjpeg;
pub mod masks;
pub mod memory;
pub mod noise;
pub mod numerics;
pub mod porter_duff;
pub mod quantise;
pub mod resample;
pub mod resize;
pub mod rotary;
pub mod token_merge;
pub mod transfer;
