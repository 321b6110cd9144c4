use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::List;
use redraft_engine::node::Run;

use super::single;
use crate::pictures::names::{is_one_name, subfolder};
use crate::pictures::write::{Compression, encode, write_over};
use crate::values::Image;

/// Saves pictures as PNG files, numbered from 0, in a folder inside the output folder. Existing files of those names
/// are replaced.
#[derive(Node)]
#[node(
    category = "dataset",
    display = "Save Image Dataset to Folder",
    output,
    experimental,
    hidden("prompt", "extra_pnginfo")
)]
struct SaveImageDataSetToFolder {
    images: List<Image>,
    /// The folder. It is created if it is missing.
    #[input(default = "dataset")]
    folder_name: String,
    /// How the files' names begin.
    #[input(default = "image")]
    filename_prefix: String,
}

impl Run for SaveImageDataSetToFolder {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        Target::new(cx, &self.folder_name, &self.filename_prefix)?.save_pictures(cx, &self.images.0)?;
        Ok(())
    }
}

/// Saves pictures as SaveImageDataSetToFolder does, and the caption of each as a text file beside it.
#[derive(Node)]
#[node(
    category = "dataset",
    display = "Save Image and Text Dataset to Folder",
    output,
    experimental,
    hidden("prompt", "extra_pnginfo")
)]
struct SaveImageTextDataSetToFolder {
    images: List<Image>,
    /// One caption for each picture. For pictures without one no text file is written.
    texts: List<String>,
    /// The folder. It is created if it is missing.
    #[input(default = "dataset")]
    folder_name: String,
    /// How the files' names begin.
    #[input(default = "image")]
    filename_prefix: String,
}

impl Run for SaveImageTextDataSetToFolder {
    type Out = ();

    fn run(self, cx: &mut Cx) -> anyhow::Result<()> {
        let target = Target::new(cx, &self.folder_name, &self.filename_prefix)?;
        let names = target.save_pictures(cx, &self.images.0)?;
        for (name, text) in names.iter().zip(&self.texts.0) {
            target.save(cx, name.replace(".png", ".txt"), text.as_bytes())?;
        }
        Ok(())
    }
}

/// Where a data set is saved.
struct Target {
    folder: PathBuf,
    prefix: String,
}

impl Target {
    fn new(cx: &Cx, folder: &str, prefix: &str) -> Result<Self> {
        let (folder, _) = subfolder(&cx.folders.output, folder)?;
        ensure!(
            is_one_name(prefix),
            "filename_prefix {prefix:?} cannot begin a file's name: take out slashes and NULs"
        );
        Ok(Self { folder, prefix: prefix.to_owned() })
    }

    /// Saves the pictures and returns the names of their files.
    fn save_pictures(&self, cx: &mut Cx, images: &[Image]) -> Result<Vec<String>> {
        let mut names = Vec::with_capacity(images.len());
        for (at, image) in images.iter().enumerate() {
            cx.progress(at, images.len())?;
            let name = format!("{}_{at:05}.png", self.prefix);
            let picture = single(image).with_context(|| format!("picture {at} of the list"))?;
            self.save(cx, name.clone(), &encode(&picture.squeeze_dim(0), &[], Compression::Saved)?)?;
            names.push(name);
        }
        Ok(names)
    }

    fn save(&self, cx: &mut Cx, name: String, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(&name);
        write_over(&path, bytes)?;
        cx.saved(std::path::absolute(path)?);
        Ok(())
    }
}
