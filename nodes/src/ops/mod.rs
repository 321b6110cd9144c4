//! What the networks are made of: weights, layers, attention, noise. All `unsafe` of this crate lives here.

pub mod noise;
