// Included by the build scripts of the packages that compute: a digest of their sources, in REDRAFT_SOURCES, is part of every cache key,
// so that no build takes the kept results of another.
fn digest_sources(folders: &[&str]) {
    use std::hash::Hasher;
    use std::path::PathBuf;
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
