#![no_main]

use std::path::Path;

#[path = "../../src/extra_paths.rs"]
mod extra_paths;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for extra_paths::ExtraPath { kind, path, first: _ } in
        extra_paths::read(bytes, Path::new("/beside")).into_iter().flatten()
    {
        assert!(path.is_absolute(), "{kind}");
    }
});
