//! What must behave as Python or numpy does, to the character and to the bit.

pub mod expression;
pub mod json;
pub mod random_state;
pub mod regex;
pub mod seed_sequence;
pub mod text;
