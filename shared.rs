// Included by the build scripts of the packages that have tests on the data in `../shared`: where that lies beside the
// repository, or REDRAFT_SHARED names it, they are built with `cfg(shared)` and its path in REDRAFT_SHARED_AT. Elsewhere these
// tests count as ignored: `#[cfg_attr(not(shared), ignore = "needs ../shared")]`.
fn find_shared() {
    use std::path::{Path, PathBuf};
    println!("cargo:rustc-check-cfg=cfg(shared)");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=REDRAFT_SHARED");
    let is_it = |path: &PathBuf| path.join("conformance").is_dir() && path.join("conversions").is_dir();
    let found = match std::env::var_os("REDRAFT_SHARED") {
        Some(named) => Some(PathBuf::from(named)).filter(is_it),
        // Beside the repository, or beside the folder of its worktrees.
        None => Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|above| above.join("shared")).find(is_it),
    };
    let found = found.and_then(|path| path.canonicalize().ok());
    if found.is_some() {
        println!("cargo:rustc-cfg=shared");
    }
    println!("cargo:rustc-env=REDRAFT_SHARED_AT={}", found.unwrap_or_else(|| "../shared".into()).display());
}
