use anyhow::{Context, Result};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::io::{List, Rest, Wildcard};
use redraft_engine::node::Run;
use redraft_nodes::ops::resize::{Crop, Method, picture_size, resize_pictures};
use redraft_nodes::values::Image;
use tch::Tensor;

/// Joins pictures to one batch. Those of another size than the first are cropped and resized to it.
#[derive(Node)]
#[node(class = "ImpactMakeImageBatch", category = "ImpactPack/Util", display = "Make Image Batch")]
struct MakeImageBatch {
    image1: Image,
    #[input(rest)]
    more: Rest<Image>,
}

impl Run for MakeImageBatch {
    type Out = Image;

    fn run(self, _: &mut Cx) -> Result<Image> {
        batch(self.image1, self.more.0.into_iter().map(|(name, image)| (format!("input '{name}'"), image)))
    }
}

/// Pictures as one batch, of the size of the first.
fn batch(first: Image, more: impl IntoIterator<Item = (String, Image)>) -> Result<Image> {
    let (columns, rows) = picture_size(&first.0)?;
    let channels = first.0.size()[3];
    let mut all = vec![first.0];
    for (name, Image(image)) in more {
        let size = picture_size(&image)?;
        anyhow::ensure!(
            image.size()[3] == channels,
            "{name} has {} channels beside {channels}; connect pictures of equal ones",
            image.size()[3]
        );
        let fits = size == (columns, rows);
        all.push(if fits { image } else { resize_pictures(&image, columns, rows, Method::Lanczos, Crop::Center)? });
    }
    Ok(Image(Tensor::cat(&all, 0)))
}

/// Joins the pictures of a list to one batch. Those of another size than the first are cropped and resized to it.
#[derive(Node)]
#[node(class = "ImageListToImageBatch", category = "ImpactPack/Operation", display = "Image List to Image Batch")]
struct ImageListToImageBatch {
    images: List<Image>,
}

impl Run for ImageListToImageBatch {
    type Out = Image;

    fn run(self, _: &mut Cx) -> Result<Image> {
        let mut images = self.images.0.into_iter();
        let first = images.next().context("the list is empty; connect one with pictures")?;
        batch(first, (2..).zip(images).map(|(number, image)| (format!("picture {number} of the list"), image)))
    }
}

/// Makes a list of pictures, for which the nodes behind it run one by one.
#[derive(Node)]
#[node(class = "ImpactMakeImageList", category = "ImpactPack/Util", display = "Make Image List")]
struct MakeImageList {
    image1: Image,
    #[input(rest)]
    more: Rest<Image>,
}

impl Run for MakeImageList {
    type Out = List<Image>;

    fn run(self, _: &mut Cx) -> Result<List<Image>> {
        Ok(List(std::iter::once(self.image1).chain(self.more.0.into_values()).collect()))
    }
}

/// Makes a list of values, for which the nodes behind it run one by one.
#[derive(Node)]
#[node(class = "ImpactMakeAnyList", category = "ImpactPack/Util", display = "Make List (Any)")]
struct MakeAnyList {
    value1: Option<Wildcard>,
    #[input(rest)]
    more: Rest<Wildcard>,
}

impl Run for MakeAnyList {
    type Out = List<Wildcard>;

    fn run(self, _: &mut Cx) -> Result<List<Wildcard>> {
        let all = self.value1.into_iter().chain(self.more.0.into_values());
        Ok(List(all.filter(|value| !value.0.is_nothing()).collect()))
    }
}

/// Makes a list of the pictures of a batch.
#[derive(Node)]
#[node(class = "ImpactImageBatchToImageList", category = "ImpactPack/Util", display = "Image Batch to Image List")]
struct ImageBatchToImageList {
    image: Image,
}

impl Run for ImageBatchToImageList {
    type Out = List<Image>;

    fn run(self, _: &mut Cx) -> Result<List<Image>> {
        Ok(List(self.image.0.split(1, 0).into_iter().map(Image).collect()))
    }
}

/// Takes one value of a list, by its number from 0; a negative one counts from the end, one beyond the list gives the last.
#[derive(Node)]
#[node(class = "ImpactSelectNthItemOfAnyList", category = "ImpactPack/Util", display = "Select Nth Item (Any list)")]
struct SelectNthItem {
    any_list: List<Wildcard>,
    #[input(default = 0, min = -1000, max = 100_000_000, step = 1)]
    index: List<i64>,
}

impl Run for SelectNthItem {
    type Out = Wildcard;

    fn run(self, _: &mut Cx) -> Result<Wildcard> {
        let index = self.index.0.first().copied().context("input 'index' is an empty list; connect a number")?;
        let count = self.any_list.0.len();
        let last = count.checked_sub(1).context("the list is empty; connect one with values")?;
        let at = match usize::try_from(index) {
            Ok(at) => at.min(last),
            Err(_) => usize::try_from(index + count as i64).ok().with_context(|| {
                format!("input 'index' is {index}, and the list has {count} values; set one from -{count} on")
            })?,
        };
        self.any_list.0.into_iter().nth(at).context("the list is shorter than it was: this is a bug")
    }
}
