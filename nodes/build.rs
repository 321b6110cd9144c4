include!("../rpath.rs");
include!("../shared.rs");

fn main() {
    find_libtorch();
    find_shared();
}
