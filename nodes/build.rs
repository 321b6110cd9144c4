include!("../rpath.rs");
include!("../shared.rs");
include!("../sources.rs");

fn main() {
    find_libtorch();
    find_shared();
    // With the libraries below, which decode pictures among other things.
    digest_sources(&["src", "../Cargo.lock"]);
}
