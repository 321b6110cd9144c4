//! Where textual-inversion files are found.

use std::path::{Component, Path, PathBuf};

use tch::Tensor;
use tracing::warn;

use super::embedding_file;

const EXTENSIONS: [&str; 3] = [".safetensors", ".pt", ".bin"];
/// Directories below one embeddings directory that are searched.
const MAX_DIRECTORIES: usize = 10_000;
/// How deep they may lie. What lies deeper is not part of what a prompt's results are known by, and neither is what git keeps.
const MAX_DEPTH: usize = 16;

/// The directories that `embedding:name` is looked up in.
#[derive(Clone, Debug, Default)]
pub struct EmbeddingFiles {
    directories: Vec<PathBuf>,
}

impl EmbeddingFiles {
    /// Looks names up in these directories and everything below them, the first directory first.
    ///
    /// Without any directory, `embedding:name` is ordinary text.
    pub fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { directories: directories.into_iter().collect() }
    }

    pub(crate) fn is_configured(&self) -> bool {
        !self.directories.is_empty()
    }

    /// The file that a name stands for: under each directory, and each directory below it in order of name, `name`
    /// itself or with `.safetensors`, `.pt` or `.bin` appended.
    ///
    /// A name may contain directories, with `/` or Windows' `\` between them. Neither a name nor a symbolic link leads out of the configured directory (which
    /// may be a link itself); the reference follows links that do.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        // As Windows writes it; a file's name may hold a `\` elsewhere, and goes first.
        let unix = name.replace('\\', "/");
        let names = [name, &unix];
        let names = &names[..if unix == name { 1 } else { 2 }];
        let find = |name: &&str| {
            self.directories.iter().find_map(|directory| find_below(&directory.canonicalize().ok()?, name))
        };
        names.iter().find_map(find)
    }

    /// Reads the vectors that a name stands for, as [`Self::find`] finds it: 1-D, or 2-D with one vector a row.
    ///
    /// `width` and `key` (`clip_l`) choose among a file's tensors. `None` if there is no such file, or, with a warning, if
    /// it cannot be read.
    pub fn load(&self, name: &str, width: i64, key: &str) -> Option<Tensor> {
        let path = self.find(name)?;
        embedding_file::read(&path, width, key)
            .inspect_err(|error| warn!("cannot use the embedding {name} ({}): {error:#}", path.display()))
            .ok()
    }
}

fn find_below(root: &Path, name: &str) -> Option<PathBuf> {
    let mut waiting = vec![(root.to_owned(), 1)];
    let mut seen = std::collections::HashSet::new();
    while let Some((directory, depth)) = waiting.pop() {
        if seen.len() >= MAX_DIRECTORIES {
            warn!("more than {MAX_DIRECTORIES} directories below {}: the rest is not searched", root.display());
            return None;
        }
        if !seen.insert(directory.clone()) {
            continue;
        }
        if let Some(file) = candidates(&directory, name).into_iter().find_map(|path| inside(root, &path, Path::is_file))
        {
            return Some(file);
        }
        if depth >= MAX_DEPTH {
            continue;
        }
        let mut below: Vec<PathBuf> = std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name() != ".git")
            .filter_map(|entry| inside(root, &entry.path(), Path::is_dir))
            .collect();
        below.sort_unstable_by(|a, b| b.cmp(a));
        waiting.extend(below.into_iter().map(|directory| (directory, depth + 1)));
    }
    None
}

/// The paths that a name may mean in a directory; none if it leads out of it.
fn candidates(directory: &Path, name: &str) -> Vec<PathBuf> {
    let mut path = PathBuf::new();
    for component in directory.join(name).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            other => path.push(other),
        }
    }
    if path == directory || !path.starts_with(directory) {
        return Vec::new();
    }
    let with = |extension: &str| {
        let mut path = path.clone().into_os_string();
        path.push(extension);
        PathBuf::from(path)
    };
    std::iter::once("").chain(EXTENSIONS).map(with).collect()
}

/// The real path, if it exists, is what is wanted, and lies below `root`.
fn inside(root: &Path, path: &Path, wanted: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let real = path.canonicalize().ok().filter(|real| wanted(real))?;
    if !real.starts_with(root) {
        warn!("{} leads out of {} and is not used: move the file there", path.display(), root.display());
        return None;
    }
    Some(real)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn tree() -> (tempfile::TempDir, EmbeddingFiles) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("embeddings");
        std::fs::create_dir_all(root.join("sub/deep")).unwrap();
        for file in ["foo.pt", "foo.safetensors", "sub/baz.pt", "sub/deep/low.bin", "b.v2.pt", "../outside.pt"] {
            std::fs::write(root.join(file), b"").unwrap();
        }
        let files = EmbeddingFiles::new([directory.path().join("missing"), root]);
        (directory, files)
    }

    #[test]
    fn names_find_files() {
        let (_directory, files) = tree();
        let table = [
            ("foo", Some("foo.safetensors")),
            ("foo.pt", Some("foo.pt")),
            ("baz", Some("baz.pt")),
            ("sub/baz", Some("baz.pt")),
            ("deep/low", Some("low.bin")),
            ("sub/../foo.pt", Some("foo.pt")),
            ("./foo", Some("foo.safetensors")),
            ("b.v2", Some("b.v2.pt")),
            ("sub\\baz", Some("baz.pt")),
            ("..\\outside", None),
            ("nope", None),
            ("Foo.PT", None),
            ("", None),
            (".", None),
            ("sub/..", None),
            ("..", None),
            ("../outside", None),
            ("../embeddings/foo", Some("foo.safetensors")),
            ("../embeddings", None),
            ("../../../../../../../../../etc/passwd", None),
            ("sub/../../outside", None),
            ("foo\0", None),
        ];
        for (name, expected) in table {
            let found = files.find(name).map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
            assert_eq!(found.as_deref(), expected, "{name:?}");
        }
    }

    #[test]
    fn nothing_leaves_the_directory() {
        let (directory, files) = tree();
        let outside = directory.path().join("outside.pt");
        assert_eq!(files.find(outside.to_str().unwrap()), None);
        #[cfg(unix)]
        {
            let root = directory.path().join("embeddings");
            std::os::unix::fs::symlink(&outside, root.join("linked.pt")).unwrap();
            std::os::unix::fs::symlink(directory.path(), root.join("up")).unwrap();
            std::os::unix::fs::symlink(root.join("sub"), root.join("sub/deep/loop")).unwrap();
            assert_eq!(files.find("linked"), None);
            assert_eq!(files.find("outside"), None);
            assert_eq!(files.find("nothing-at-all"), None);
        }
    }
}
