use anyhow::{Result, bail};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Combo, Node, Outputs};
use redraft_nodes::ops::resize::picture_size;
use redraft_nodes::values::{Image, Latent};

/// How a picture is brought to another shape.
#[derive(Combo, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResizeMode {
    #[combo(name = "Just Resize")]
    Stretch,
    #[combo(name = "Crop and Resize")]
    Crop,
    #[combo(name = "Resize and Fill")]
    Fill,
}

/// Says which resolution a preprocessor needs, so that its result fits the picture that is made pixel for pixel.
#[derive(Node)]
#[node(class = "PixelPerfectResolution", category = "ControlNet Preprocessors", display = "Pixel Perfect Resolution")]
pub(super) struct PixelPerfectResolution {
    pub(super) original_image: Image,
    #[input(default = 512, min = 64, max = 8192, step = 8)]
    pub(super) image_gen_width: i64,
    #[input(default = 512, min = 64, max = 8192, step = 8)]
    pub(super) image_gen_height: i64,
    #[input(default = "Just Resize")]
    pub(super) resize_mode: ResizeMode,
}

#[derive(Outputs)]
pub(super) struct Resolution {
    #[output(name = "RESOLUTION (INT)")]
    pub(super) resolution: i64,
}

impl Run for PixelPerfectResolution {
    type Out = Resolution;

    fn run(self, _: &mut Cx) -> Result<Resolution> {
        let (width, height) = picture_size(&self.original_image.0)?;
        if width == 0 || height == 0 {
            bail!("the picture has {width} × {height} pixels; connect a larger one");
        }
        let down = self.image_gen_height as f64 / height as f64;
        let across = self.image_gen_width as f64 / width as f64;
        let factor = match self.resize_mode {
            ResizeMode::Fill => down.min(across),
            ResizeMode::Stretch | ResizeMode::Crop => down.max(across),
        };
        Ok(Resolution { resolution: (factor * width.min(height) as f64).round_ties_even() as i64 })
    }
}

#[derive(Outputs)]
pub(super) struct GenerationSize {
    #[output(name = "IMAGE_GEN_WIDTH (INT)")]
    pub(super) width: i64,
    #[output(name = "IMAGE_GEN_HEIGHT (INT)")]
    pub(super) height: i64,
}

/// Gives the size of the pictures that a latent becomes, if a value of it is eight pixels wide.
#[derive(Node)]
#[node(
    class = "ImageGenResolutionFromLatent",
    category = "ControlNet Preprocessors",
    display = "Generation Resolution From Latent"
)]
pub(super) struct FromLatent {
    pub(super) latent: Latent,
}

impl Run for FromLatent {
    type Out = GenerationSize;

    fn run(self, _: &mut Cx) -> Result<GenerationSize> {
        match self.latent.samples.size()[..] {
            [_, _, height, width] => Ok(GenerationSize { width: width * 8, height: height * 8 }),
            ref size => bail!("the latent has the shape {size:?}; connect one of pictures"),
        }
    }
}

/// Gives the size of pictures.
#[derive(Node)]
#[node(
    class = "ImageGenResolutionFromImage",
    category = "ControlNet Preprocessors",
    display = "Generation Resolution From Image"
)]
pub(super) struct FromImage {
    pub(super) image: Image,
}

impl Run for FromImage {
    type Out = GenerationSize;

    fn run(self, _: &mut Cx) -> Result<GenerationSize> {
        let (width, height) = picture_size(&self.image.0)?;
        Ok(GenerationSize { width, height })
    }
}
