use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::node::{Fingerprint, Flaw, Offer, Run};
use redraft_engine::{Inputs, Node, Outputs, memory};
use redraft_nodes::ops::resize::{Crop, Method, picture_size, resize_pictures};
use redraft_nodes::pictures::read::{look, read};
use redraft_nodes::recipes::VaeRecipe;
use redraft_nodes::values::{Image, Mask};
use tch::{Device, Kind, Tensor};

use super::load_formats::target_size;
use super::load_video::Wanted;
use super::wires::{BatchManager, ImageOrLatent};
use crate::paths;

/// The largest number that a widget takes.
const MOST: i64 = (1 << 53) - 1;
/// What names of pictures end in.
const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp"];

/// Which files of a folder are read.
#[derive(Inputs)]
#[allow(dead_code, reason = "a batch manager is refused before anything runs")]
struct Part {
    /// The most pictures; 0 for all.
    #[input(default = 0, min = 0, max = MOST, step = 1)]
    image_load_cap: Option<i64>,
    #[input(default = 0, min = 0, max = MOST, step = 1)]
    skip_first_images: Option<i64>,
    #[input(default = 1, min = 1, max = MOST, step = 1)]
    select_every_nth: Option<i64>,
    meta_batch: Option<BatchManager>,
}

/// Reads the pictures of a folder in the input folder as one batch, in the order of their names. They get the size that most of them have.
#[derive(Node)]
#[node(
    class = "VHS_LoadImages",
    category = "Video Helper Suite 🎥🅥🅗🅢",
    display = "Load Images (Upload) 🎥🅥🅗🅢",
    hidden("unique_id")
)]
struct LoadImages {
    #[input(files = "input_folders")]
    directory: String,
    #[input(flatten)]
    part: Part,
}

/// Reads the pictures of a folder as one batch, in the order of their names. They get the size that most of them have. The path is
/// `input/frames`, or one into the output or temp folder.
#[derive(Node)]
#[node(
    class = "VHS_LoadImagesPath",
    category = "Video Helper Suite 🎥🅥🅗🅢",
    display = "Load Images (Path) 🎥🅥🅗🅢",
    hidden("unique_id"),
    reads("input")
)]
struct LoadImagesPath {
    directory: String,
    #[input(flatten)]
    part: Part,
}

#[derive(Outputs)]
struct Loaded {
    #[output(name = "IMAGE")]
    images: Image,
    #[output(name = "MASK")]
    masks: Mask,
    #[output(name = "frame_count")]
    frame_count: i64,
}

impl Run for LoadImages {
    type Out = Loaded;

    fn run(self, cx: &mut Cx) -> Result<Loaded> {
        let gone = || format!("the folder '{}' is not in the input folder any more; put it back", self.directory);
        let folder = cx.folders.find("input_folders", &self.directory).with_context(gone)?;
        load(&folder, &self.part, cx)
    }
}

impl Run for LoadImagesPath {
    type Out = Loaded;

    fn validate(offer: &Offer) -> Result<(), String> {
        paths::fit(offer, "directory")
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        paths::flaws(offer, "directory", |path| paths::directory(folders, path), |_| Ok(()))
    }

    fn fingerprint(offer: &Offer) -> Result<Fingerprint> {
        Ok(paths::fingerprint(offer, "directory"))
    }

    fn run(self, cx: &mut Cx) -> Result<Loaded> {
        let folder = paths::directory(cx.folders, &self.directory).context("input 'directory'")?;
        load(&folder, &self.part, cx)
    }
}

/// The pictures of a folder that are read, sorted by name.
fn files(folder: &Path, part: &Part) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).context("cannot read the folder: check its permissions")? {
        let path = entry?.path();
        let is_picture = path.extension().is_some_and(|extension| {
            let extension = extension.to_string_lossy().to_lowercase();
            EXTENSIONS.contains(&&*extension)
        });
        if is_picture && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let number = |number: Option<i64>| usize::try_from(number.unwrap_or(0)).unwrap_or(usize::MAX);
    let most = if number(part.image_load_cap) == 0 { usize::MAX } else { number(part.image_load_cap) };
    let chosen =
        files.into_iter().skip(number(part.skip_first_images)).step_by(number(part.select_every_nth).max(1)).take(most);
    Ok(chosen.collect())
}

/// A picture, and where it is transparent, if it says so.
struct Picture {
    image: Tensor,
    mask: Option<Tensor>,
}

fn load(folder: &Path, part: &Part, cx: &mut Cx) -> Result<Loaded> {
    let files = files(folder, part)?;
    ensure!(!files.is_empty(), "there is no picture in {}: put some there, or name another folder", folder.display());
    let mut pictures = Vec::new();
    for (at, file) in files.iter().enumerate() {
        cx.progress(at, files.len())?;
        let picture = read(file)?;
        let image = picture.image.narrow(0, 0, 1);
        let mask = picture.mask.narrow(0, 0, 1);
        // A mask of another size than the picture's stands for none.
        let has_mask = mask.size()[1..] == image.size()[1..3];
        pictures.push(Picture { image, mask: has_mask.then_some(mask) });
    }
    let size = usual_size(&pictures)?;
    let has_alpha = pictures.iter().any(|picture| picture.mask.is_some());
    let channels = if has_alpha { 4 } else { 3 };
    let count = i64::try_from(pictures.len())?;
    memory::ask(memory::product(&[count, size.1, size.0, channels], 4), "the pictures of a folder")?;
    let all = Tensor::empty([count, size.1, size.0, channels], (Kind::Float, Device::Cpu));
    for (at, picture) in (0..).zip(pictures) {
        cx.check()?;
        all.narrow(0, at, 1).copy_(&sized(picture, size, has_alpha)?);
    }
    let masks = match has_alpha {
        true => 1.0 - all.select(-1, 3),
        false => Tensor::zeros([count, 64, 64], (Kind::Float, Device::Cpu)),
    };
    Ok(Loaded { images: Image(all.narrow(-1, 0, 3)), masks: Mask(masks), frame_count: count })
}

/// Width and height of most pictures; of sizes that are equally frequent, that of the first.
fn usual_size(pictures: &[Picture]) -> Result<(i64, i64)> {
    let mut sizes: Vec<((i64, i64), usize)> = Vec::new();
    for picture in pictures {
        let size = picture_size(&picture.image)?;
        match sizes.iter_mut().find(|(known, _)| *known == size) {
            Some((_, times)) => *times += 1,
            None => sizes.push((size, 1)),
        }
    }
    let most = sizes.iter().map(|(_, times)| *times).max();
    let usual = sizes.iter().find(|(_, times)| Some(*times) == most).map(|(size, _)| *size);
    usual.context("there are no pictures; put some into the folder")
}

/// A picture of a size, 1×H×W×C, with its alpha in a fourth channel if that is wanted.
fn sized(picture: Picture, (width, height): (i64, i64), has_alpha: bool) -> Result<Tensor> {
    let Picture { image, mask } = picture;
    let image = match (has_alpha, mask) {
        (true, Some(mask)) => {
            let alpha: Tensor = 1.0 - mask;
            Tensor::cat(&[image, alpha.unsqueeze(-1)], -1)
        }
        (true, None) => image.pad([0, 1], "constant", 1.0),
        (false, _) => image,
    };
    if picture_size(&image)? == (width, height) {
        return Ok(image);
    }
    resize_pictures(&image, width, height, Method::Lanczos, Crop::Center)
}

/// Reads a picture. The path is `input/a.png`, or one into the output or temp folder.
#[derive(Node)]
#[node(
    class = "VHS_LoadImagePath",
    category = "Video Helper Suite 🎥🅥🅗🅢",
    display = "Load Image (Path) 🎥🅥🅗🅢",
    reads("input")
)]
struct LoadImagePath {
    image: String,
    /// In pixels; 0 leaves it open.
    #[input(default = 0, min = 0, max = 8192, step = 8)]
    custom_width: i64,
    /// In pixels; 0 leaves it open.
    #[input(default = 0, min = 0, max = 8192, step = 8)]
    custom_height: i64,
    /// Makes a latent of the picture.
    vae: Option<VaeRecipe>,
}

#[derive(Outputs)]
struct One {
    #[output(name = "IMAGE")]
    image: ImageOrLatent,
    #[output(name = "mask")]
    mask: Option<Mask>,
}

impl Run for LoadImagePath {
    type Out = One;

    fn validate(offer: &Offer) -> Result<(), String> {
        paths::fit(offer, "image")
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        paths::flaws(offer, "image", |path| paths::file(folders, path), look)
    }

    fn fingerprint(offer: &Offer) -> Result<Fingerprint> {
        Ok(paths::fingerprint(offer, "image"))
    }

    fn run(self, cx: &mut Cx) -> Result<One> {
        let path = paths::file(cx.folders, &self.image).context("input 'image'")?;
        let picture = read(&path)?;
        let size = picture_size(&picture.image)?;
        let wanted = Wanted { path, size: (self.custom_width, self.custom_height), vae: self.vae, format: None };
        let (width, height) = match wanted.size {
            (0, 0) if wanted.vae.is_none() => size,
            custom => target_size(size, custom, wanted.multiple(cx)?),
        };
        ensure!(width > 0 && height > 0, "the picture would be {width} × {height} pixels: set a larger size");
        let has_mask = picture.mask.size()[1..] == picture.image.size()[1..3];
        let resized = |images: &Tensor| resize_pictures(images, width, height, Method::Bicubic, Crop::Center);
        let (image, mask) = match (width, height) == size {
            true => (picture.image, picture.mask),
            false => {
                let mask = match has_mask {
                    true => resized(&picture.mask.unsqueeze(-1))?.squeeze_dim(-1).clamp(0.0, 1.0),
                    false => picture.mask,
                };
                (resized(&picture.image)?.clamp(0.0, 1.0), mask)
            }
        };
        let (image, _) = wanted.finished(image, cx)?;
        let mask = matches!(image, ImageOrLatent::Image(_)).then_some(Mask(mask));
        Ok(One { image, mask })
    }
}
