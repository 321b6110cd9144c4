//! The wire types: what travels between nodes.
