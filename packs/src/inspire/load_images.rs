use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::folders::FolderPaths;
use redraft_engine::io::List;
use redraft_engine::node::{Fingerprint, Flaw, Offer, Run};
use redraft_engine::{Node, Outputs, memory};
use redraft_nodes::ops::resize::{Crop, Method, picture_size, resize_pictures};
use redraft_nodes::pictures::read::read;
use redraft_nodes::values::{Image, Mask};
use serde_json::Value as Json;
use tch::{Device, Kind, Tensor};

use super::files::{Order, pictures};
use crate::paths;

/// The largest place of a picture, 2⁶⁴ - 1.
const LARGEST: i128 = u64::MAX as i128;
/// The side of the mask of a picture that has none, in pixels.
const EMPTY: i64 = 64;

/// Reads the pictures of a folder as one batch. Those of another size than the first are cropped and resized to it. The path is
/// `input/frames`, or one into the output or temp folder.
#[derive(Node)]
#[node(
    class = "LoadImagesFromDir //Inspire",
    category = "image",
    display = "Load Image Batch From Dir (Inspire)",
    reads("input")
)]
#[allow(dead_code, reason = "`load_always` is looked at before anything runs")]
struct LoadBatch {
    directory: String,
    /// The most pictures; 0 for all.
    #[input(default = 0, min = 0, step = 1)]
    image_load_cap: Option<i128>,
    #[input(default = 0, min = -1, max = LARGEST, step = 1)]
    start_index: Option<i128>,
    /// Whether the folder is read again in each run.
    #[input(default = false)]
    load_always: Option<bool>,
    sort_method: Option<Order>,
}

#[derive(Outputs)]
struct Batch {
    #[output(name = "IMAGE")]
    images: Image,
    #[output(name = "MASK")]
    masks: Mask,
    /// How many pictures there are.
    #[output(name = "INT")]
    count: i64,
}

impl Run for LoadBatch {
    type Out = Batch;

    fn validate(offer: &Offer) -> Result<(), String> {
        paths::fit(offer, "directory")
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders)
    }

    fn fingerprint(offer: &Offer) -> Result<Fingerprint> {
        Ok(fingerprint(offer))
    }

    fn run(self, cx: &mut Cx) -> Result<Batch> {
        let all = load(cx, &self.directory, self.sort_method, self.start_index, self.image_load_cap)?;
        let count = i64::try_from(all.len())?;
        let (columns, rows) = picture_size(&all.first().context("there are no pictures: this is a bug")?.image)?;
        let has_mask = all.iter().any(|one| one.has_mask);
        memory::ask(memory::product(&[count, rows, columns, 3], 4), "the pictures of a folder")?;
        let (mut images, mut masks) = (Vec::new(), Vec::new());
        for one in all {
            cx.check()?;
            let fits = picture_size(&one.image)? == (columns, rows);
            images.push(match fits {
                true => one.image,
                false => resize_pictures(&one.image, columns, rows, Method::Bilinear, Crop::Center)?,
            });
            // A single picture keeps the mask that it has.
            masks.push(match has_mask && count > 1 && one.mask.size()[1..] != [rows, columns] {
                true => one
                    .mask
                    .unsqueeze(1)
                    .upsample_bilinear2d([rows, columns], false, None::<f64>, None::<f64>)
                    .squeeze_dim(1),
                false => one.mask,
            });
        }
        Ok(Batch { images: Image(Tensor::cat(&images, 0)), masks: Mask(Tensor::cat(&masks, 0)), count })
    }
}

/// Reads the pictures of a folder as a list, for which the nodes behind it run one by one. The path is `input/frames`, or one into the
/// output or temp folder.
#[derive(Node)]
#[node(
    class = "LoadImageListFromDir //Inspire",
    category = "image",
    display = "Load Image List From Dir (Inspire)",
    reads("input")
)]
#[allow(dead_code, reason = "`load_always` is looked at before anything runs")]
struct LoadList {
    directory: String,
    /// The most pictures; 0 for all.
    #[input(default = 0, min = 0, step = 1)]
    image_load_cap: Option<i128>,
    #[input(default = 0, min = 0, max = LARGEST, step = 1)]
    start_index: Option<i128>,
    /// Whether the folder is read again in each run.
    #[input(default = false)]
    load_always: Option<bool>,
    sort_method: Option<Order>,
}

#[derive(Outputs)]
struct Listed {
    #[output(name = "IMAGE")]
    images: List<Image>,
    #[output(name = "MASK")]
    masks: List<Mask>,
    #[output(name = "FILE PATH")]
    paths: List<String>,
}

impl Run for LoadList {
    type Out = Listed;

    fn validate(offer: &Offer) -> Result<(), String> {
        paths::fit(offer, "directory")
    }

    fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
        flaws(offer, folders)
    }

    fn fingerprint(offer: &Offer) -> Result<Fingerprint> {
        Ok(fingerprint(offer))
    }

    fn run(self, cx: &mut Cx) -> Result<Listed> {
        let all = load(cx, &self.directory, self.sort_method, self.start_index, self.image_load_cap)?;
        let mut listed = Listed { images: List(Vec::new()), masks: List(Vec::new()), paths: List(Vec::new()) };
        for one in all {
            listed.images.0.push(Image(one.image));
            listed.masks.0.push(Mask(one.mask));
            listed.paths.0.push(one.path.to_string_lossy().into_owned());
        }
        Ok(listed)
    }
}

fn flaws(offer: &Offer, folders: &FolderPaths) -> Vec<Flaw> {
    paths::flaws(offer, "directory", |path| paths::directory(folders, path), |_| Ok(()))
}

fn fingerprint(offer: &Offer) -> Fingerprint {
    match offer.constant("load_always") {
        None | Some(Json::Bool(false)) => paths::fingerprint(offer, "directory"),
        _ => Fingerprint::Never,
    }
}

/// A picture (1×H×W×3), and where it is transparent (1×H×W).
struct Loaded {
    path: PathBuf,
    image: Tensor,
    mask: Tensor,
    has_mask: bool,
}

fn load(
    cx: &mut Cx,
    directory: &str,
    order: Option<Order>,
    start: Option<i128>,
    cap: Option<i128>,
) -> Result<Vec<Loaded>> {
    let folder = paths::directory(cx.folders, directory).context("input 'directory'")?;
    let files = pictures(&folder, order.unwrap_or(Order::Any), start.unwrap_or(0), cap.unwrap_or(0))?;
    ensure!(
        !files.is_empty(),
        "there is no picture in {} from number {} on: put some there, or set another start_index",
        folder.display(),
        start.unwrap_or(0)
    );
    let count = files.len();
    let mut all = Vec::with_capacity(count);
    for (at, path) in files.into_iter().enumerate() {
        cx.progress(at, count)?;
        let picture = read(&path)?;
        let image = picture.image.narrow(0, 0, 1);
        let mask = picture.mask.narrow(0, 0, 1);
        // A mask of another size than the picture's stands for none.
        let has_mask = mask.size()[1..] == image.size()[1..3];
        let empty = || Tensor::zeros([1, EMPTY, EMPTY], (Kind::Float, Device::Cpu));
        let mask = if has_mask { mask } else { empty() };
        all.push(Loaded { path, image, mask, has_mask });
    }
    Ok(all)
}
