//! WAS Node Suite.

mod text;
