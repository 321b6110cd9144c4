use anyhow::{Result, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use tch::Tensor;

use super::{Prompts, Video, for_videos};
use crate::diffusion::latent_format::WAN21;
use crate::networks::Networks;
use crate::ops::memory;
use crate::ops::resize::{Crop, Method, resize};
use crate::recipes::VaeRecipe;
use crate::values::extras::{VACE_FRAMES, VACE_MASK, VACE_STRENGTH};
use crate::values::{Conditioning, Image, Latent, Mask};

/// Pixels of a latent point along a side.
const POINT: i64 = 8;

/// Prepares prompts for a VACE model, which goes by a control video and a reference picture, and gives empty latents for it.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct WanVaceToVideo {
    positive: Conditioning,
    negative: Conditioning,
    vae: VaeRecipe,
    #[input(default = 832, min = 16, max = 16384, step = 16)]
    width: i64,
    #[input(default = 480, min = 16, max = 16384, step = 16)]
    height: i64,
    /// Frames of the video. After the first, 4 frames make one latent frame.
    #[input(default = 81, min = 1, max = 16384, step = 4)]
    length: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
    /// How strongly the model goes by the control video.
    #[input(default = 1.0, min = 0.0, max = 1000.0, step = 0.01)]
    strength: f64,
    /// The video to go by; grey where it is to be made anew.
    control_video: Option<Image>,
    /// Where it is to be made anew, 1 = anew.
    control_masks: Option<Mask>,
    /// What the video is to look like. Its latent goes in front; `trim_latent` says how many frames of the result belong to it.
    reference_image: Option<Image>,
}

#[derive(Outputs)]
struct Controlled {
    #[output(name = "positive")]
    positive: Conditioning,
    #[output(name = "negative")]
    negative: Conditioning,
    #[output(name = "latent")]
    latent: Latent,
    #[output(name = "trim_latent")]
    trim_latent: i64,
}

impl Run for WanVaceToVideo {
    type Out = Controlled;

    fn run(self, cx: &mut Cx) -> Result<Controlled> {
        let video = Video { width: self.width, height: self.height, length: self.length };
        ensure!(
            video.width % POINT == 0 && video.height % POINT == 0,
            "width {} and height {} are no multiples of {POINT}; choose sides that are",
            video.width,
            video.height
        );
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        for_videos(&*vae, 16)?;
        let control = match &self.control_video {
            Some(control) => filled(&video.frames(control)?, video.length, 0.5),
            None => video.grey()?,
        };
        let mask = self.control_masks.map_or_else(
            || Ok(memory::filled(&[video.length, video.height, video.width, 1], 1.0, "the mask")?),
            |Mask(mask)| frames_of_mask(&mask, video),
        )?;
        let control = control - 0.5;
        let kept = vae.encode(&(&control * (1.0 - &mask) + 0.5))?;
        let anew = vae.encode(&(&control * &mask + 0.5))?;
        let mut frames = Tensor::cat(&[kept, anew], 1);
        let mut mask = by_pixel(&mask, video);
        let mut in_front = 0;
        if let Some(reference) = &self.reference_image {
            let reference = vae.encode(&video.sized(&reference.0.slice(0, 0, 1, 1))?)?;
            let empty = WAN21.in_vae_units(&reference.zeros_like());
            in_front = reference.size()[2];
            frames = Tensor::cat(&[Tensor::cat(&[reference, empty], 1), frames], 2);
            mask = Tensor::cat(&[mask.narrow(1, 0, in_front).zeros_like(), mask], 1);
        }
        let mask = mask.unsqueeze(0);
        let prompts = Prompts { positive: self.positive, negative: self.negative }
            .with_further(VACE_FRAMES, || frames.shallow_clone())
            .with_further(VACE_MASK, || mask.shallow_clone())
            .with_further(VACE_STRENGTH, || self.strength);
        let longer = Video { length: video.length + 4 * in_front, ..video };
        Ok(Controlled {
            positive: prompts.positive,
            negative: prompts.negative,
            latent: Latent::new(longer.latent(self.batch_size, 16, POINT)?),
            trim_latent: in_front,
        })
    }
}

/// B×H×W×C, with frames of one value behind the last up to a number of them.
fn filled(frames: &Tensor, length: i64, value: f64) -> Tensor {
    let missing = (length - frames.size()[0]).max(0);
    frames.pad([0, 0, 0, 0, 0, 0, 0, missing], "constant", value)
}

/// A mask for each frame, T×H×W×1; frames that it lacks are made anew.
fn frames_of_mask(mask: &Tensor, video: Video) -> Result<Tensor> {
    let size = mask.size();
    let mask = if size.len() == 3 { mask.unsqueeze(1) } else { mask.shallow_clone() };
    ensure!(
        mask.dim() == 4 && mask.size()[1] == 1 && mask.numel() > 0,
        "the control masks are shaped {size:?}, but masks are batch x height x width; connect others"
    );
    let mask = resize(&mask.slice(0, 0, video.length, 1), video.width, video.height, Method::Bilinear, Crop::Center)?;
    Ok(filled(&mask.movedim_int(1, -1), video.length, 1.0))
}

/// T×H×W×1 with the pixels of a latent point as channels, for latent frames: 64×T'×h×w.
fn by_pixel(mask: &Tensor, video: Video) -> Tensor {
    let (rows, columns) = (video.height / POINT, video.width / POINT);
    let split = mask.reshape([video.length, rows, POINT, columns, POINT]).permute([2, 4, 0, 1, 3]);
    let channels = split.reshape([1, POINT * POINT, video.length, rows, columns]);
    channels.internal_upsample_nearest_exact3d([video.latent_frames(), rows, columns], None, None, None).squeeze_dim(0)
}
