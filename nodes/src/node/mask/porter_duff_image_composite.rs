use anyhow::ensure;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use tch::Tensor;

use crate::ops::porter_duff::{Mode, composite};
use crate::ops::resize::{Crop, Method, resize};
use crate::values::{Image, Mask};

/// Composites pictures with their transparency, by the rules of Porter and Duff (1984) and the usual blend modes.
///
/// Masks are 1 where a picture is transparent. Everything is resized to the destination picture.
#[derive(Node)]
#[node(category = "mask/compositing", display = "Porter-Duff Image Composite")]
struct PorterDuffImageComposite {
    source: Image,
    source_alpha: Mask,
    destination: Image,
    destination_alpha: Mask,
    #[input(default = "DST")]
    mode: Mode,
}

impl Run for PorterDuffImageComposite {
    type Out = (Image, Mask);

    fn run(self, _: &mut Cx) -> anyhow::Result<(Image, Mask)> {
        let (source, destination) = (self.source.0.permute([0, 3, 1, 2]), self.destination.0.permute([0, 3, 1, 2]));
        let (source_mask, destination_mask) = (self.source_alpha.0.unsqueeze(1), self.destination_alpha.0.unsqueeze(1));
        let (_, channels, height, width) = destination.size4()?;
        let given = source.size4()?.1;
        ensure!(
            given == channels,
            "the source has {given} channels and the destination {channels}; split off or join the alpha of one"
        );
        let all = [&source, &source_mask, &destination, &destination_mask];
        let count = all.iter().map(|part| part.size()[0]).min().unwrap_or(0);
        let fitted = |part: &Tensor| -> anyhow::Result<Tensor> {
            let part = part.narrow(0, 0, count);
            let (_, _, rows, columns) = part.size4()?;
            if (rows, columns) == (height, width) {
                return Ok(part);
            }
            resize(&part, width, height, Method::Bicubic, Crop::Center)
        };
        let [source, source_mask, destination, destination_mask] = all.map(fitted);
        let (image, mask) = composite(self.mode, (&source?, &source_mask?), (&destination?, &destination_mask?));
        Ok((Image(image.permute([0, 2, 3, 1])), Mask(mask.squeeze_dim(1))))
    }
}
