//! The networks, as plain structs over weights, and the table that recognises a checkpoint.
