include!("../rpath.rs");
include!("../sources.rs");

fn main() {
    find_libtorch();
    digest_sources(&["src"]);
}
