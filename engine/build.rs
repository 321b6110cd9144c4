include!("../shared.rs");

fn main() {
    find_shared();
}
