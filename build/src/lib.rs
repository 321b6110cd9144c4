//! What build scripts of packages with nodes have in common: where libtorch is, and a digest of the sources for the cache's keys.
//!
//! ```toml
//! [build-dependencies]
//! redraft-build = { git = "https://github.com/redraft/redraft" }
//! ```
//!
//! and a `build.rs` of `fn main() { redraft_build::pack(); }`.
#![allow(clippy::print_stdout, reason = "a build script speaks to Cargo over stdout")]

use std::hash::Hasher;
use std::path::{Path, PathBuf};

/// What a pack of nodes needs: [`find_libtorch`] and [`digest_sources`] of `src`.
pub fn pack() {
    find_libtorch();
    digest_sources(&["src"]);
}

/// Lets the package's binaries and tests find libtorch by themselves, from any directory. The first path is `lib/` beside the binary, so that
/// a folder with both can be moved; the second is where the build found it, which LIBTORCH says.
pub fn find_libtorch() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/lib");
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}

/// A digest of the files in these folders, in REDRAFT_SOURCES: `env!("REDRAFT_SOURCES")` in a pack's `version` makes it part of the keys
/// that results of its nodes are known by, so that no build takes the kept results of another.
pub fn digest_sources(folders: &[&str]) {
    let mut hasher = std::hash::DefaultHasher::new();
    let mut files: Vec<PathBuf> = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(PathBuf::from).collect();
    for folder in folders {
        println!("cargo:rerun-if-changed={folder}");
    }
    while let Some(path) = open.pop() {
        match std::fs::read_dir(&path) {
            Ok(entries) => open.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => files.push(path),
        }
    }
    files.sort();
    for file in files {
        hasher.write(file.to_string_lossy().as_bytes());
        hasher.write(&std::fs::read(&file).unwrap_or_default());
    }
    println!("cargo:rustc-env=REDRAFT_SOURCES={:016x}", hasher.finish());
}

/// For the packages that have tests on the data in `../shared`: where that lies beside the repository, or REDRAFT_SHARED names it, they are
/// built with `cfg(shared)` and its path in REDRAFT_SHARED_AT. Elsewhere these tests count as ignored:
/// `#[cfg_attr(not(shared), ignore = "needs ../shared")]`.
pub fn find_shared() {
    println!("cargo:rustc-check-cfg=cfg(shared)");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=REDRAFT_SHARED");
    let is_it = |path: &PathBuf| path.join("conformance").is_dir() && path.join("conversions").is_dir();
    let found = match std::env::var_os("REDRAFT_SHARED") {
        Some(named) => Some(PathBuf::from(named)).filter(is_it),
        // Beside the repository, or beside the folder of its worktrees.
        None => {
            let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
            Path::new(&package).ancestors().map(|above| above.join("shared")).find(is_it)
        }
    };
    let found = found.and_then(|path| path.canonicalize().ok());
    if found.is_some() {
        println!("cargo:rustc-cfg=shared");
    }
    println!("cargo:rustc-env=REDRAFT_SHARED_AT={}", found.unwrap_or_else(|| "../shared".into()).display());
}
