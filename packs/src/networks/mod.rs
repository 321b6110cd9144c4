//! Networks that nodes of several packs run.

pub(crate) mod depth_anything;
