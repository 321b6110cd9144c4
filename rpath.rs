// Included by the build scripts of the packages whose binaries link libtorch: they find it by themselves, from any
// directory. The first path is where the build found it; the second lets a folder with `redraft` and `lib/` be moved.
fn find_libtorch() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}
