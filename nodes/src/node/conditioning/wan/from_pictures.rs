use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::memory;
use redraft_engine::node::Run;
use tch::{Device, Kind, Tensor};

use super::{Prepared, Prompts, Video, for_videos, put_in_front};
use crate::diffusion::latent_format::WAN22;
use crate::networks::Networks;
use crate::recipes::VaeRecipe;
use crate::values::extras::{CONCAT_LATENT, CONCAT_MASK};
use crate::values::{ClipVisionOutput, Conditioning, Image, Latent};

/// Prepares prompts for a Wan model that makes a video from its first frames, and gives empty latents for it.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct WanImageToVideo {
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
}

impl Run for WanImageToVideo {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Prepared> {
        let video = Video { width: self.width, height: self.height, length: self.length };
        let mut prompts = Prompts { positive: self.positive, negative: self.negative };
        if let Some(start) = &self.start_image {
            let vae = self.vae.network(&*cx.service::<Networks>()?)?;
            for_videos(&*vae, 16)?;
            let start = video.frames(start)?;
            let (given, frames) = (start.size()[0], video.grey()?);
            frames.narrow(0, 0, given).copy_(&start);
            let shown = vae.encode(&frames)?;
            let size = shown.size();
            let mask = Tensor::ones([1, 1, video.latent_frames(), size[3], size[4]], (Kind::Float, Device::Cpu));
            let _ = mask.slice(2, 0, (given - 1) / 4 + 1, 1).zero_();
            prompts = prompts.with(CONCAT_LATENT, &shown).with(CONCAT_MASK, &mask);
        }
        Ok(prompts.with_seen(self.clip_vision_output.as_ref()).prepared(video.latent(self.batch_size, 16, 8)?))
    }
}

/// Latents for Wan 2.2's model of 5 billion weights: empty ones, or with the first frames of a picture, which are kept.
#[derive(Node)]
#[node(category = "conditioning/inpaint")]
struct Wan22ImageToVideoLatent {
    vae: VaeRecipe,
    #[input(default = 1280, min = 32, max = 16384, step = 32)]
    width: i64,
    #[input(default = 704, min = 32, max = 16384, step = 32)]
    height: i64,
    /// Frames of the video. After the first, 4 frames make one latent frame.
    #[input(default = 49, min = 1, max = 16384, step = 4)]
    length: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
    /// The first frames.
    start_image: Option<Image>,
}

impl Run for Wan22ImageToVideoLatent {
    type Out = Latent;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Latent> {
        let video = Video { width: self.width, height: self.height, length: self.length };
        let latent = video.latent(1, 48, 16)?;
        let Some(start) = &self.start_image else { return Ok(Latent::new(latent)) };
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        for_videos(&*vae, 48)?;
        let known = vae.encode(&video.frames(start)?)?;
        put_in_front(&latent, &known);
        let size = latent.size();
        let mask = Tensor::ones([1, 1, size[2], size[3], size[4]], (Kind::Float, Device::Cpu));
        let _ = mask.slice(2, 0, known.size()[2], 1).zero_();
        // What is made anew begins as the latent whose values are zeros to the network.
        let latent: Tensor = WAN22.in_vae_units(&latent) * &mask + &latent * (1.0 - &mask);
        let times = [self.batch_size, 1, 1, 1, 1];
        memory::ask(memory::product(&[self.batch_size, latent.numel() as i64], 4), "the latent")?;
        Ok(Latent { noise_mask: Some(mask.repeat(times)), ..Latent::new(latent.repeat(times)) })
    }
}
