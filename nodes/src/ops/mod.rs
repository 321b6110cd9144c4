//! What the networks are made of: weights, layers, attention, noise. All `unsafe` of this crate lives here.

pub mod attention;
pub mod cuda;
pub mod layers;
pub mod noise;
pub mod numerics;
pub mod tensor_file;
pub mod weights;
pub mod weights_file;
