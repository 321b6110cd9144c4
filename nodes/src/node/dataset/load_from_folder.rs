use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::files;
use redraft_engine::io::List;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};

use super::ImageList;
use crate::files::torch_file::bounded;
use crate::pictures::read::read_stored;
use crate::python::text::is_space;
use crate::values::Image;

/// The extensions of the files that are read.
const EXTENSIONS: [&str; 4] = [".png", ".jpg", ".jpeg", ".webp"];
/// The most pictures that a data set may hold, repetitions included.
const MAX_PICTURES: usize = 1_000_000;

/// The longest caption, in bytes.
const MAX_CAPTION: u64 = 16 << 20;

/// Reads all pictures of a folder inside the input folder, in the order of their names.
///
/// Reads PNG, JPEG and WebP files. The EXIF orientation is ignored.
#[derive(Node)]
#[node(category = "dataset", display = "Load Image Dataset from Folder", experimental)]
struct LoadImageDataSetFromFolder {
    /// The folder.
    #[input(files = "input_folders")]
    folder: String,
}

impl Run for LoadImageDataSetFromFolder {
    type Out = ImageList;

    fn run(self, cx: &mut Cx) -> anyhow::Result<ImageList> {
        let folder = find(cx, &self.folder)?;
        let names = names_in(&folder)?.into_iter().filter(|name| is_picture(name));
        Ok(ImageList { images: read_all(cx, &names.map(|name| folder.join(name)).collect::<Vec<_>>())? })
    }
}

/// Reads all pictures of a folder inside the input folder, in the order of their names, and the caption of each.
///
/// The caption of `a.png` is the text of `a.txt`, or empty if that file is missing. Pictures in subfolders are read
/// too. A number at the start of a subfolder's name repeats its pictures: those in `3_cat` come three times.
#[derive(Node)]
#[node(category = "dataset", display = "Load Image and Text Dataset from Folder", experimental)]
struct LoadImageTextDataSetFromFolder {
    /// The folder.
    #[input(files = "input_folders")]
    folder: String,
}

#[derive(Outputs)]
struct Captioned {
    #[output(name = "images")]
    images: List<Image>,
    #[output(name = "texts")]
    texts: List<String>,
}

impl Run for LoadImageTextDataSetFromFolder {
    type Out = Captioned;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Captioned> {
        let files = with_repeats(&find(cx, &self.folder)?)?;
        let texts = files.iter().map(|file| caption(file)).collect::<Result<_>>()?;
        Ok(Captioned { images: read_all(cx, &files)?, texts: List(texts) })
    }
}

fn find(cx: &Cx, name: &str) -> Result<PathBuf> {
    let gone = || format!("the folder '{name}' is not in the input folder any more; put it back");
    cx.folders.find("input_folders", name).with_context(gone)
}

/// The names of the files and folders in a folder, sorted.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn is_picture(name: &str) -> bool {
    let name = name.to_lowercase();
    EXTENSIONS.iter().any(|extension| name.ends_with(extension))
}

/// The pictures of a folder and of its subfolders, with repetitions.
fn with_repeats(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in names_in(folder)? {
        let path = folder.join(&name);
        if is_picture(&name) {
            files.push(path);
        } else if path.is_dir() {
            let inner: Vec<PathBuf> =
                names_in(&path)?.iter().filter(|name| is_picture(name)).map(|name| path.join(name)).collect();
            // An empty folder may have any number.
            let times = if inner.is_empty() { 0 } else { repeats(&name) };
            ensure!(
                inner.len().saturating_mul(times).saturating_add(files.len()) <= MAX_PICTURES,
                "the folder '{name}' repeats {} pictures {times} times; at most {MAX_PICTURES} are taken in all: rename it",
                inner.len()
            );
            (0..times).for_each(|_| files.extend_from_slice(&inner));
        }
    }
    Ok(files)
}

/// The number before the first `_` of a folder's name; 1 without one.
fn repeats(name: &str) -> usize {
    let number = name.split('_').next().unwrap_or_default();
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    // A number that overflows is refused later as too large.
    if digits { number.parse().unwrap_or(usize::MAX) } else { 1 }
}

/// The caption of a picture: the text of the file with `.txt` in place of the picture's extension, wherever that stands
/// in the name.
fn caption(picture: &Path) -> Result<String> {
    let name = picture.file_name().unwrap_or_default().to_string_lossy();
    let extension = name.rfind('.').map_or("", |at| &name[at..]);
    let path = picture.with_file_name(name.replace(extension, ".txt"));
    let file = match files::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let bytes = bounded(file, MAX_CAPTION).with_context(|| format!("cannot read {}", path.display()))?;
    let text = String::from_utf8(bytes).ok();
    let text = text.with_context(|| format!("{} is no text: save it as UTF-8", path.display()))?;
    Ok(text.trim_matches(is_space).to_owned())
}

/// Reads each file once, however often it is repeated.
fn read_all(cx: &mut Cx, files: &[PathBuf]) -> Result<List<Image>> {
    ensure!(!files.is_empty(), "there is no picture in the folder; put some there, or choose another");
    let mut read: std::collections::HashMap<&Path, Image> = std::collections::HashMap::new();
    let mut images = Vec::with_capacity(files.len());
    for (at, file) in files.iter().enumerate() {
        cx.progress(at, files.len())?;
        let image = match read.get(file.as_path()) {
            Some(image) => image.clone(),
            None => Image(read_stored(file)?),
        };
        read.entry(file).or_insert_with(|| image.clone());
        images.push(image);
    }
    Ok(List(images))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn folders_say_how_often_their_pictures_count() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "b.png",
            "A.JPG",
            "note.txt",
            "2_cat/c.webp",
            "2_cat/c.txt",
            "0_none/d.png",
            "x_3/e.jpeg",
            "2_cat/5_deep/f.png",
        ] {
            let path = dir.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, " a cat \n").unwrap();
        }
        let files = with_repeats(dir.path()).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["2_cat/c.webp", "2_cat/c.webp", "A.JPG", "b.png", "x_3/e.jpeg"]);
        assert_eq!(files.iter().map(|file| caption(file).unwrap()).collect::<Vec<_>>(), ["a cat", "a cat", "", "", ""]);
        fs_err::create_dir(dir.path().join("99999999999999999999_x")).unwrap();
        assert!(with_repeats(dir.path()).is_ok(), "nothing repeated is nothing");
        fs_err::write(dir.path().join("99999999999999999999_x/g.png"), "").unwrap();
        let error = with_repeats(dir.path()).unwrap_err().to_string();
        assert!(error.contains("at most 1000000 are taken in all: rename it"), "{error}");
    }
}
