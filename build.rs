//! See `redraft_build`.

fn main() {
    redraft_build::find_libtorch();
    redraft_build::find_shared();
}
