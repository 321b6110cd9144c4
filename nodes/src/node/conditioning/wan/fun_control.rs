use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::{Prepared, Prompts, Video, by_latent_frame, for_videos, put_in_front};
use crate::diffusion::latent_format::{WAN21, WAN22};
use crate::networks::Networks;
use crate::recipes::VaeRecipe;
use crate::values::extras::{CONCAT_LATENT, CONCAT_MASK, CONCAT_MASK_INDEX, REFERENCE_LATENTS};
use crate::values::{ClipVisionOutput, Conditioning, Image};

/// Prepares prompts for a Wan Fun model that follows a control video, and gives empty latents for it.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct WanFunControlToVideo {
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
    /// The video to follow.
    control_video: Option<Image>,
}

impl Run for WanFunControlToVideo {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Prepared> {
        let video = Video { width: self.width, height: self.height, length: self.length };
        let shown = WAN21.in_vae_units(&video.latent(self.batch_size, 16, 8)?).repeat([1, 2, 1, 1, 1]);
        for (images, place) in [(&self.start_image, 16), (&self.control_video, 0)] {
            if let Some(images) = images {
                let vae = self.vae.network(&*cx.service::<Networks>()?)?;
                for_videos(&*vae, 16)?;
                put_in_front(&shown.narrow(1, place, 16), &vae.encode(&video.frames(images)?)?);
            }
        }
        let prompts = Prompts { positive: self.positive, negative: self.negative }.with(CONCAT_LATENT, &shown);
        Ok(prompts.with_seen(self.clip_vision_output.as_ref()).prepared(video.latent(self.batch_size, 16, 8)?))
    }
}

/// Prepares prompts for a Wan 2.2 Fun model that follows a control video and a reference picture, and gives empty latents for it.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct Wan22FunControlToVideo {
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
    /// What the video is to look like.
    ref_image: Option<Image>,
    /// The video to follow.
    control_video: Option<Image>,
}

impl Run for Wan22FunControlToVideo {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Prepared> {
        let video = Video { width: self.width, height: self.height, length: self.length };
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        let (channels, factor) = (vae.latent_channels(), vae.factor());
        let format = if channels == 48 { &WAN22 } else { &WAN21 };
        for_videos(&*vae, format.channels)?;
        let shown = format.in_vae_units(&video.latent(self.batch_size, channels, factor)?).repeat([1, 2, 1, 1, 1]);
        if let Some(control) = &self.control_video {
            put_in_front(&shown.narrow(1, 0, channels), &vae.encode(&video.frames(control)?)?);
        }
        let prompts = Prompts { positive: self.positive, negative: self.negative };
        let mut prompts = prompts.with(CONCAT_LATENT, &shown).with(CONCAT_MASK, &by_latent_frame(&video.mask(factor)?));
        for prompt in [&mut prompts.positive, &mut prompts.negative] {
            *prompt = prompt.clone().map(|entry| entry.extras.set(CONCAT_MASK_INDEX, channels));
        }
        if let Some(reference) = &self.ref_image {
            let reference = vae.encode(&video.sized(&reference.0.slice(0, 0, 1, 1))?)?;
            prompts = prompts.with_further(REFERENCE_LATENTS, || reference.shallow_clone());
        }
        Ok(prompts.prepared(video.latent(self.batch_size, channels, factor)?))
    }
}
