use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use tch::Tensor;

use super::{Prepared, Prompts, Video, by_latent_frame};
use crate::networks::Networks;
use crate::recipes::VaeRecipe;
use crate::values::extras::{CONCAT_LATENT, CONCAT_MASK};
use crate::values::{ClipVisionOutput, Conditioning, Image};

/// Prepares prompts for a Wan model that makes a video between its first and its last frames, and gives empty latents for it.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct WanFirstLastFrameToVideo {
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
    /// What CLIP sees in the first frame.
    clip_vision_start_image: Option<ClipVisionOutput>,
    /// What CLIP sees in the last frame.
    clip_vision_end_image: Option<ClipVisionOutput>,
    /// The first frames.
    start_image: Option<Image>,
    /// The last frames.
    end_image: Option<Image>,
}

impl Run for WanFirstLastFrameToVideo {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Prepared> {
        let video = Video { width: self.width, height: self.height, length: self.length };
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        let (frames, mask) = (video.grey()?, video.mask(vae.factor())?);
        if let Some(start) = &self.start_image {
            let start = video.frames(start)?;
            let given = start.size()[0];
            frames.narrow(0, 0, given).copy_(&start);
            let _ = mask.slice(2, 0, given + 3, 1).zero_();
        }
        if let Some(end) = &self.end_image {
            let end = video.sized(&end.0.slice(0, -self.length, None, 1))?;
            let given = end.size()[0];
            frames.narrow(0, self.length - given, given).copy_(&end);
            let _ = mask.slice(2, -given, None, 1).zero_();
        }
        let shown = vae.encode(&frames)?;
        let seen = match (self.clip_vision_start_image, self.clip_vision_end_image) {
            (Some(start), Some(end)) => {
                Some(ClipVisionOutput::of(Tensor::f_cat(&[start.penultimate, end.penultimate], -2)?))
            }
            (start, end) => start.or(end),
        };
        let prompts = Prompts { positive: self.positive, negative: self.negative };
        let prompts = prompts.with(CONCAT_LATENT, &shown).with(CONCAT_MASK, &by_latent_frame(&mask));
        let latent = video.latent(self.batch_size, vae.latent_channels(), vae.factor())?;
        Ok(prompts.with_seen(seen.as_ref()).prepared(latent))
    }
}

/// Prepares prompts for a Wan Fun model that fills in a video between its first and its last frames, and gives empty latents for it.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct WanFunInpaintToVideo {
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
    /// What CLIP sees in the first frame.
    clip_vision_output: Option<ClipVisionOutput>,
    /// The first frames.
    start_image: Option<Image>,
    /// The last frames.
    end_image: Option<Image>,
}

impl Run for WanFunInpaintToVideo {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Prepared> {
        let Self { positive, negative, vae, width, height, length, batch_size, .. } = self;
        WanFirstLastFrameToVideo {
            positive,
            negative,
            vae,
            width,
            height,
            length,
            batch_size,
            clip_vision_start_image: self.clip_vision_output,
            clip_vision_end_image: None,
            start_image: self.start_image,
            end_image: self.end_image,
        }
        .run(cx)
    }
}
