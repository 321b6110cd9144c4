use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_nodes::ops::resize::picture_size;
use redraft_nodes::values::{Image, Mask};
use tch::{Kind, Tensor};

/// Makes a mask of the pixels that are near a colour.
#[derive(Node)]
#[node(category = "KJNodes/masking", display = "Color To Mask")]
struct ColorToMask {
    images: Image,
    invert: bool,
    #[input(default = 0, min = 0, max = 255, step = 1)]
    red: i64,
    #[input(default = 0, min = 0, max = 255, step = 1)]
    green: i64,
    #[input(default = 0, min = 0, max = 255, step = 1)]
    blue: i64,
    /// How far a pixel may be from the colour, over all channels, of 255.
    #[input(default = 10, min = 0, max = 255, step = 1)]
    threshold: i64,
    /// How many pictures are looked at together, which changes nothing.
    #[input(default = 16, min = 1, max = 4096, step = 1)]
    per_batch: i64,
}

impl Run for ColorToMask {
    type Out = Mask;

    fn run(self, _: &mut Cx) -> Result<Mask> {
        let Image(images) = self.images;
        picture_size(&images)?;
        anyhow::ensure!(
            images.size()[3] == 3,
            "pictures of {} channels have no colour of three; connect RGB pictures",
            images.size()[3]
        );
        let colour = [self.red, self.green, self.blue].map(|channel| channel as f32);
        let masks: Vec<Tensor> = images
            .split(self.per_batch, 0)
            .iter()
            .map(|some| {
                let apart = (some * 255.0 - Tensor::from_slice(&colour)).norm_scalaropt_dim(2.0, [-1], false);
                let near = apart.le(self.threshold);
                if self.invert { near.logical_not() } else { near }.to_kind(Kind::Float)
            })
            .collect();
        Ok(Mask(Tensor::cat(&masks, 0)))
    }
}

/// Moves the values of a mask: 0 becomes `min`, its largest value `max`. What is then beyond 0 to 1 is cut off.
#[derive(Node)]
#[node(category = "KJNodes/masking", display = "Remap Mask Range")]
struct RemapMaskRange {
    mask: Mask,
    #[input(default = 0.0, min = -10.0, max = 1.0, step = 0.01)]
    min: f64,
    #[input(default = 1.0, min = 0.0, max = 10.0, step = 0.01)]
    max: f64,
}

#[derive(redraft_engine::Outputs)]
struct Remapped {
    #[output(name = "mask")]
    mask: Mask,
}

impl Run for RemapMaskRange {
    type Out = Remapped;

    fn run(self, _: &mut Cx) -> Result<Remapped> {
        let Mask(mask) = self.mask;
        anyhow::ensure!(mask.numel() > 0, "the mask has no pixels; connect another");
        let largest = mask.max();
        let scaled = if largest.double_value(&[]) > 0.0 { &mask / largest } else { mask };
        Ok(Remapped { mask: Mask((scaled * (self.max - self.min) + self.min).clamp(0.0, 1.0)) })
    }
}
