include!("../shared.rs");
include!("../sources.rs");

fn main() {
    find_shared();
    digest_sources(&["src", "derive/src"]);
}
