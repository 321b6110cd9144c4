use anyhow::{Result, ensure};
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::ops::masks::batched;
use redraft_nodes::ops::resize::picture_size;
use redraft_nodes::values::{Image, Mask};

/// Marks what a mask covers, for ControlNets that inpaint: there every channel is -1, or 0. Masks get the size of the pictures.
#[derive(Node)]
#[node(class = "InpaintPreprocessor", category = "ControlNet Preprocessors/others", display = "Inpaint Preprocessor")]
pub(super) struct Inpaint {
    pub(super) image: Image,
    pub(super) mask: Mask,
    /// 0 instead of -1, as Xinsir's ControlNets take it.
    #[input(default = false)]
    pub(super) black_pixel_for_xinsir_cn: Option<bool>,
}

impl Run for Inpaint {
    type Out = Image;

    fn run(self, _: &mut Cx) -> Result<Image> {
        let Image(image) = self.image;
        let mask = batched(&self.mask.0)?;
        let (width, height) = picture_size(&image)?;
        let (pictures, masks) = (image.size()[0], mask.size()[0]);
        ensure!(
            pictures == masks,
            "there are {pictures} pictures and {masks} masks; connect one mask for each picture"
        );
        let channels = image.size()[3];
        ensure!(channels == 3, "the pictures have {channels} channels; connect pictures without alpha");
        let mask = mask.unsqueeze(1).upsample_bilinear2d([height, width], false, None, None);
        let marked = if self.black_pixel_for_xinsir_cn.unwrap_or(false) { 0.0 } else { -1.0 };
        Ok(Image(image.masked_fill(&mask.movedim_int(1, -1).gt(0.5), marked)))
    }
}
