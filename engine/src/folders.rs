//! ComfyUI's folder layout: which directories hold which kind of model, and where input, output and temp are.

use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use indexmap::IndexMap;
use tempfile::TempDir;

use crate::aside;
use crate::digests::{Digests, Lasting, Print};
use crate::folder_kinds::{FolderKind, MODEL_EXTENSIONS};
use crate::folder_sets::INDEX;
use crate::schema::{Folders, Upload};
use crate::table::Row;

const PICTURE_EXTENSIONS: &[&str] =
    &["png", "apng", "jpg", "jpeg", "jfif", "webp", "gif", "bmp", "tif", "tiff", "avif", "ico", "tga", "ppm", "pgm"];
const VIDEO_EXTENSIONS: &[&str] = &[
    "mp4", "m4v", "mov", "qt", "webm", "mkv", "avi", "mpg", "mpeg", "mpe", "m1v", "mpa", "ogv", "3gp", "3g2", "wmv",
    "flv", "ts",
];
const AUDIO_EXTENSIONS: &[&str] = &[
    "wav", "mp3", "mp2", "flac", "ogg", "oga", "opus", "m4a", "aac", "adts", "aif", "aiff", "aifc", "au", "snd", "wma",
    "weba",
];

/// Stands for the folders inside the input folder, as a combo's choices.
const INPUT_FOLDERS: &str = "input_folders";
/// The kind of folders that hold a model in the layout of diffusers each.
const DIFFUSERS: &str = "diffusers";
/// How deep below a model folder files are still found.
const MAX_DEPTH: usize = 16;

/// The kind that has a kind's folders: two have old names, which workflows and configuration files still use.
fn with_folders(kind: &str) -> &str {
    match kind {
        "unet" => "diffusion_models",
        "clip" => "text_encoders",
        kind => FolderKind::find(kind).and_then(|known| known.like).unwrap_or(kind),
    }
}

/// Where everything lies. Threads may share it.
pub struct FolderPaths {
    models: IndexMap<String, Vec<PathBuf>>,
    base: PathBuf,
    pub input: PathBuf,
    pub output: PathBuf,
    pub temp: PathBuf,
    /// Output and temp folders that are read, and saved into no more.
    read_only: Vec<(&'static str, PathBuf)>,
    pub digests: Digests,
    /// Pictures that came with a workflow, before those of `input`; made when the first does, and gone in the end.
    handed_in: OnceLock<TempDir>,
}

/// A file name of a `LoadImage`-like value: `a.png [output]` lies in the output folder.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Annotated<'a> {
    /// `input`, `output` or `temp`.
    pub folder: &'static str,
    pub name: &'a str,
}

impl<'a> Annotated<'a> {
    /// Splits off a trailing ` [input]`, ` [output]` or ` [temp]`. As in ComfyUI, the character before the bracket is
    /// dropped, whatever it is.
    pub fn parse(value: &'a str) -> Self {
        for (suffix, folder) in [("[output]", "output"), ("[input]", "input"), ("[temp]", "temp")] {
            if let Some(name) = value.strip_suffix(suffix) {
                let mut chars = name.chars();
                chars.next_back();
                return Self { folder, name: chars.as_str() };
            }
        }
        Self { folder: "input", name: value }
    }
}

impl FolderPaths {
    /// ComfyUI's layout below one directory: `models/`, `input/`, `output/`, `temp/`.
    pub fn below(base: &Path) -> Self {
        let mut this = Self {
            models: IndexMap::new(),
            base: base.to_path_buf(),
            input: base.join("input"),
            output: base.join("output"),
            temp: base.join("temp"),
            read_only: Vec::new(),
            digests: Digests::default(),
            handed_in: OnceLock::new(),
        };
        this.set_models(&base.join("models"));
        this
    }

    /// Makes `models` the directory that holds one folder per kind of model.
    pub fn set_models(&mut self, models: &Path) {
        let folders = |kind: &FolderKind| {
            let below_models = kind.below_models.iter().map(|below| models.join(below));
            below_models.chain(kind.below_base.iter().map(|below| self.base.join(below))).collect()
        };
        self.models = FolderKind::all().iter().map(|kind| (kind.name.to_owned(), folders(kind))).collect();
    }

    /// Adds a directory for a kind of model, before the others if it is the `default` one.
    pub fn add(&mut self, kind: &str, path: PathBuf, default: bool) {
        let paths = self.models.entry(with_folders(kind).to_owned()).or_default();
        paths.retain(|known| *known != path);
        if default { paths.insert(0, path) } else { paths.push(path) }
    }

    /// From now on what is saved goes into these folders. What lies in the folders of before is still found by its name, first of all.
    pub fn save_in(&mut self, output: PathBuf, temp: PathBuf) {
        self.read_only.push(("output", std::mem::replace(&mut self.output, output)));
        self.read_only.push(("temp", std::mem::replace(&mut self.temp, temp)));
    }

    /// The folders of a kind in which a name is looked for, in this order.
    pub fn searched(&self, kind: &str) -> impl Iterator<Item = &Path> {
        let before = self.read_only.iter().filter(move |(of, _)| *of == kind).map(|(_, path)| path);
        before.chain(self.directories(kind)).map(PathBuf::as_path)
    }

    /// The pictures that came with a workflow which lie at or below a path.
    pub fn handed_in_below(&self, path: &Path) -> Vec<PathBuf> {
        match self.handed_in_name(path) {
            Some(_) if path.is_dir() => {
                let mut names = Vec::new();
                walk(path, String::new(), MAX_DEPTH, &|_| true, &mut names);
                names.sort();
                names.iter().map(|name| path.join(name)).collect()
            }
            Some(_) => vec![path.to_owned()],
            None => Vec::new(),
        }
    }

    /// The name of a picture that came with a workflow, if the path is one's.
    pub fn handed_in_name(&self, path: &Path) -> Option<PathBuf> {
        let folder = self.handed_in.get()?;
        path.strip_prefix(folder.path()).ok().map(Path::to_owned)
    }

    /// The directories of a kind of model, in order of search; of output and temp, the one that is saved into.
    pub fn directories(&self, kind: &str) -> &[PathBuf] {
        match kind {
            "input" => std::slice::from_ref(&self.input),
            "output" => std::slice::from_ref(&self.output),
            "temp" => std::slice::from_ref(&self.temp),
            INPUT_FOLDERS => std::slice::from_ref(&self.input),
            kind => self.models.get(with_folders(kind)).map_or(&[], Vec::as_slice),
        }
    }

    /// The file that `name` stands for in a folder, or nothing. Never a file that a `..` or an absolute name would reach, nor, in the folders
    /// input, output and temp (which may be links themselves), one that a link in them leads to outside.
    pub fn find(&self, folder: &str, name: &str) -> Option<PathBuf> {
        let annotated = if folder == "input" { Annotated::parse(name) } else { Annotated { folder: "", name } };
        let folder = if annotated.folder.is_empty() { folder } else { annotated.folder };
        let relative = relative(annotated.name)?;
        if let Some([_, decoder]) = self.pair(name).filter(|_| folder == "vae") {
            return Some(decoder);
        }
        let there = |path: &Path| match folder {
            INPUT_FOLDERS => path.is_dir(),
            DIFFUSERS => path.join(INDEX).is_file(),
            _ => path.is_file(),
        };
        let handed_in = self.handed_in.get().filter(|_| matches!(folder, "input" | INPUT_FOLDERS)).map(TempDir::path);
        if let Some(path) = handed_in.map(|dir| dir.join(&relative)).filter(|path| there(path)) {
            return Some(path);
        }
        let own = matches!(folder, "input" | "output" | "temp" | INPUT_FOLDERS);
        self.searched(folder).find_map(|dir| {
            let path = dir.join(&relative);
            // Links below models are how people share them between programs.
            (there(&path) && (!own || lies_in(&path, dir))).then_some(path)
        })
    }

    /// Takes a picture that came with a workflow: nodes find it by its name, before those in the input folder.
    ///
    /// # Errors
    /// If the name leaves the folder, another picture was handed in under it, or the file cannot be written.
    pub fn hand_in(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let Some(relative) = relative(name) else {
            anyhow::bail!(
                "the picture {name:?} that came with the workflow leaves the input folder: give it a plain name"
            );
        };
        if self.handed_in.get().is_none() {
            let _ = self.handed_in.set(aside::temporary_folder("redraft-input-")?);
        }
        let folder = self.handed_in.get().map(TempDir::path).unwrap_or(&self.temp);
        let path = folder.join(relative);
        if path.exists() {
            let same = std::fs::read(&path)? == bytes;
            anyhow::ensure!(same, "two pictures called {name:?} came with the workflows: run these one by one");
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(std::fs::write(path, bytes)?)
    }

    /// Forgets the pictures that came with workflows: those of the next one may have the same names.
    pub fn forget_handed_in(&mut self) {
        self.handed_in = OnceLock::new();
    }

    /// The files that a path stands for, each with its name below it: itself, or all that lie in it, sorted.
    pub(crate) fn files_at(&self, path: &Path) -> Vec<(String, PathBuf)> {
        if !path.is_dir() {
            return vec![(String::new(), path.to_owned())];
        }
        let mut names = Vec::new();
        walk(path, String::new(), MAX_DEPTH, &|_| true, &mut names);
        names.sort();
        names.into_iter().map(|name| (name.clone(), path.join(name))).collect()
    }

    /// What a file goes by, here or in every process; see [`Digests`].
    pub(crate) fn print(&self, path: &Path, settled: bool) -> std::io::Result<Print> {
        if settled { self.digests.settled(path) } else { self.digests.of(path) }
    }

    /// One digest for all files in the folders of a kind, in the order in which the folders are searched: of their names and contents.
    /// Files of any ending count, because nodes find files by names without one.
    pub fn digest_of_kind(&self, kind: &str, settled: bool) -> Print {
        let mut all = Gathered::default();
        for (place, folder) in self.directories(kind).iter().enumerate() {
            let mut names = Vec::new();
            walk(folder, String::new(), MAX_DEPTH, &|_| true, &mut names);
            names.sort();
            for name in names {
                let print = self.print(&folder.join(&name), settled).ok();
                let print = print.unwrap_or(Print { digest: Default::default(), lasting: Lasting::No });
                all.add(&format!("{place}/{name}"), print);
            }
        }
        all.print()
    }
}

/// One digest of several files.
#[derive(Default)]
pub(crate) struct Gathered {
    hasher: blake3::Hasher,
    lasting: Lasting,
}

impl Gathered {
    pub(crate) fn add(&mut self, name: &str, print: Print) {
        self.hasher.update(&(name.len() as u64).to_le_bytes());
        self.hasher.update(name.as_bytes());
        self.hasher.update(&print.digest);
        self.lasting = self.lasting.min(print.lasting);
    }

    pub(crate) fn print(self) -> Print {
        Print { digest: *self.hasher.finalize().as_bytes(), lasting: self.lasting }
    }
}

impl Folders for FolderPaths {
    fn list(&self, folder: &str) -> Vec<String> {
        if folder == INPUT_FOLDERS {
            let mut names = Vec::new();
            walk_folders(&self.input, "", MAX_DEPTH, &mut names);
            names.sort();
            return names;
        }
        if folder == DIFFUSERS {
            let mut names = Vec::new();
            let is_index = |path: &Path| path.file_name().is_some_and(|name| name == INDEX);
            self.directories(folder).iter().for_each(|dir| walk(dir, String::new(), MAX_DEPTH, &is_index, &mut names));
            let of = |index: &String| index.strip_suffix(INDEX).map(|dir| dir.trim_end_matches('/').to_owned());
            let names = names.iter().filter_map(of);
            let mut names: Vec<_> = names.map(|name| if name.is_empty() { ".".to_owned() } else { name }).collect();
            names.sort();
            names.dedup();
            return names;
        }
        let flat = matches!(folder, "input" | "output" | "temp");
        let known = FolderKind::find(folder).or_else(|| FolderKind::find(with_folders(folder)));
        let extensions = if flat { PICTURE_EXTENSIONS } else { known.map_or(MODEL_EXTENSIONS, |f| f.extensions) };
        let mut files = files_in(self.searched(folder), if flat { 1 } else { MAX_DEPTH }, &[extensions]);
        files.extend(self.pairs(folder));
        files
    }

    fn uploads(&self, upload: Upload) -> Vec<String> {
        let extensions: &[_] = match upload {
            Upload::Image | Upload::AnimatedImage => &[PICTURE_EXTENSIONS],
            Upload::Video => &[VIDEO_EXTENSIONS],
            Upload::Audio => &[AUDIO_EXTENSIONS, VIDEO_EXTENSIONS],
        };
        files_in(std::iter::once(&*self.input), 1, extensions)
    }
}

/// The files with one of these extensions in or below folders, sorted.
fn files_in<'a>(folders: impl Iterator<Item = &'a Path>, depth: usize, extensions: &[&[&str]]) -> Vec<String> {
    let wanted = |path: &Path| {
        path.extension().is_some_and(|extension| {
            let extension = extension.to_string_lossy().to_lowercase();
            extensions.iter().any(|known| known.contains(&&*extension))
        })
    };
    let mut names = Vec::new();
    folders.for_each(|folder| walk(folder, String::new(), depth, &wanted, &mut names));
    names.sort();
    names.dedup();
    names
}

/// Whether a path lies in a folder after all links are followed.
fn lies_in(path: &Path, dir: &Path) -> bool {
    let inside = matches!((path.canonicalize(), dir.canonicalize()), (Ok(path), Ok(dir)) if path.starts_with(&dir));
    if !inside {
        tracing::warn!("{} leads out of {} and is not used; put the file itself there", path.display(), dir.display());
    }
    inside
}

/// How many folders are looked into below one.
const MAX_FOLDERS: usize = 10_000;

/// The wanted files below a folder, as paths relative to it. Links are followed, but not to a folder that they lie in.
fn walk(dir: &Path, prefix: String, depth: usize, wanted: &dyn Fn(&Path) -> bool, names: &mut Vec<String>) {
    let mut walk = Walk { wanted, above: Vec::new(), left: MAX_FOLDERS, names };
    walk.folder(dir, &prefix, depth);
    if walk.left == 0 {
        tracing::warn!("{} has more than {MAX_FOLDERS} folders in it; the others are not looked into", dir.display());
    }
}

struct Walk<'a> {
    wanted: &'a dyn Fn(&Path) -> bool,
    /// The real paths of the folders that lead to the present one.
    above: Vec<PathBuf>,
    left: usize,
    names: &'a mut Vec<String>,
}

impl Walk<'_> {
    fn folder(&mut self, dir: &Path, prefix: &str, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        let Ok(real) = dir.canonicalize() else { return };
        if self.left == 0 || self.above.contains(&real) {
            return;
        }
        self.left -= 1;
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        self.above.push(real);
        for entry in entries.flatten() {
            let path = entry.path();
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let linked = || entry.file_type().is_ok_and(|kind| kind.is_symlink()) && path.is_dir();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) || linked() {
                if entry.file_name() != ".git" {
                    self.folder(&path, &format!("{name}/"), depth);
                }
            } else if (self.wanted)(&path) {
                self.names.push(name);
            }
        }
        self.above.pop();
    }
}

/// The folders below a folder, as paths relative to it. Symbolic links are not followed.
fn walk_folders(dir: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        walk_folders(&entry.path(), &format!("{name}/"), depth, names);
        names.push(name);
    }
}

/// `name` as a relative path without `..`. Windows' `\` counts as `/`. Nothing if the path would leave the folder.
fn relative(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(name.replace('\\', "/"));
    let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    (plain && !name.is_empty() && !name.contains('\0')).then_some(path)
}

#[cfg(test)]
#[path = "folders_tests.rs"]
mod tests;
