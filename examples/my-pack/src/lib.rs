//! A pack of nodes outside redraft's repository. Linking this crate is all that it takes to have them.

mod posterize;

use redraft_engine::packs::{PACK_TABLES, Pack};

redraft_engine::add_rows!(PACK_TABLES: Pack = [Pack {
    name: "my-pack",
    module: "my_pack::",
    source: "https://example.com/my-pack",
    // Results kept by an older build of the nodes are not taken for those of this one.
    version: concat!(env!("CARGO_PKG_VERSION"), "-", env!("REDRAFT_SOURCES")),
    licence: "MIT OR Apache-2.0",
}]);
