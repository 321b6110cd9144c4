//! Videos that begin with a picture.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::{CHANNELS, FACTOR, FRAMES, Prepared, for_videos, put_in_front, size_of};
use crate::networks::Networks;
use crate::ops::resize::{Crop, Method, resize_pictures};
use crate::recipes::VaeRecipe;
use crate::values::{Conditioning, Image, Latent};

/// A latent for LTX-Video whose first frames are a picture.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct LTXVImgToVideo {
    positive: Conditioning,
    negative: Conditioning,
    vae: VaeRecipe,
    /// The first frame, or 9, 17, … of them.
    image: Image,
    #[input(default = 768, min = 64, max = 16384, step = 32)]
    width: i64,
    #[input(default = 512, min = 64, max = 16384, step = 32)]
    height: i64,
    /// Frames of the video. After the first, 8 frames make one latent frame.
    #[input(default = 97, min = 9, max = 16384, step = 8)]
    length: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
    /// How much of the picture is kept.
    #[input(default = 1.0, min = 0.0, max = 1.0)]
    strength: f64,
}

impl Run for LTXVImgToVideo {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Prepared> {
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        for_videos(&*vae)?;
        let (width, height) = (self.width, self.height);
        let size = [self.batch_size, CHANNELS, (self.length - 1) / FRAMES + 1, height / FACTOR, width / FACTOR];
        let latent = Latent::zeros(&size)?.samples;
        let pictures = resize_pictures(&self.image.0, width, height, Method::Bilinear, Crop::Center)?;
        let known = vae.encode(&pictures.slice(3, 0, 3, 1))?;
        let latent = put_in_front(latent, &known, self.strength)?;
        Ok(Prepared { positive: self.positive, negative: self.negative, latent })
    }
}

/// Puts a picture in place of a latent's first frames.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct LTXVImgToVideoInplace {
    vae: VaeRecipe,
    /// The first frame, or 9, 17, … of them.
    image: Image,
    latent: Latent,
    /// How much of the picture is kept.
    #[input(default = 1.0, min = 0.0, max = 1.0)]
    strength: f64,
    /// Whether the latent is left as it is.
    #[input(default = false)]
    bypass: bool,
}

impl Run for LTXVImgToVideoInplace {
    type Out = LatentOut;

    fn run(self, cx: &mut Cx) -> anyhow::Result<LatentOut> {
        if self.bypass {
            return Ok(LatentOut { latent: self.latent });
        }
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        for_videos(&*vae)?;
        let [.., height, width] = size_of(&self.latent.samples)?.map(|side| side * FACTOR);
        let size = self.image.0.size();
        let pictures = match size[1..3] == [height, width] {
            true => self.image.0,
            false => resize_pictures(&self.image.0, width, height, Method::Bilinear, Crop::Center)?,
        };
        let known = vae.encode(&pictures.slice(3, 0, 3, 1))?;
        Ok(LatentOut { latent: put_in_front(self.latent.samples.copy(), &known, self.strength)? })
    }
}

#[derive(redraft_engine::Outputs)]
struct LatentOut {
    #[output(name = "latent")]
    latent: Latent,
}
