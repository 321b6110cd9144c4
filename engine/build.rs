//! See `redraft_build`.

fn main() {
    redraft_build::find_shared();
    redraft_build::digest_sources(&["src", "derive/src"]);
}
