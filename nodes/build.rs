//! See `redraft_build`.

fn main() {
    redraft_build::find_libtorch();
    redraft_build::find_shared();
    // With the libraries below, which decode pictures among other things.
    redraft_build::digest_sources(&["src", "../Cargo.lock"]);
}
