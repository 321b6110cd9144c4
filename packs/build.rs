//! See `redraft_build`.

fn main() {
    redraft_build::pack();
}
