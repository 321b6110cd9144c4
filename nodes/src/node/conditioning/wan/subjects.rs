use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use tch::Tensor;

use super::{Video, for_videos};
use crate::diffusion::latent_format::WAN21;
use crate::networks::Networks;
use crate::recipes::VaeRecipe;
use crate::values::extras::TIME_DIM_CONCAT;
use crate::values::{Conditioning, Image, Latent};

/// Prepares prompts for a Phantom model, whose video shows subjects of pictures, and gives empty latents for it.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
struct WanPhantomSubjectToVideo {
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
    /// A picture of each subject.
    images: Option<Image>,
}

#[derive(Outputs)]
struct Subjects {
    #[output(name = "positive")]
    positive: Conditioning,
    /// What to avoid, beside the subjects.
    #[output(name = "negative_text")]
    negative_text: Conditioning,
    /// What to avoid, beside empty frames.
    #[output(name = "negative_img_text")]
    negative_img_text: Conditioning,
    #[output(name = "latent")]
    latent: Latent,
}

impl Run for WanPhantomSubjectToVideo {
    type Out = Subjects;

    fn run(self, cx: &mut Cx) -> anyhow::Result<Subjects> {
        let video = Video { width: self.width, height: self.height, length: self.length };
        let mut outputs = Subjects {
            positive: self.positive,
            negative_text: self.negative.clone(),
            negative_img_text: self.negative,
            latent: Latent::new(video.latent(self.batch_size, 16, 8)?),
        };
        let Some(images) = &self.images else { return Ok(outputs) };
        let vae = self.vae.network(&*cx.service::<Networks>()?)?;
        for_videos(&*vae, 16)?;
        let pictures = video.frames(images)?;
        let mut subjects = Vec::new();
        for picture in pictures.split(1, 0) {
            cx.check()?;
            subjects.push(vae.encode(&picture)?);
        }
        let subjects = Tensor::cat(&subjects, 2);
        let empty = WAN21.in_vae_units(&subjects.zeros_like());
        let with = |prompt: Conditioning, frames: &Tensor| {
            prompt.map(|entry| entry.extras.set(TIME_DIM_CONCAT, frames.shallow_clone()))
        };
        outputs.positive = with(outputs.positive, &subjects);
        outputs.negative_text = with(outputs.negative_text, &subjects);
        outputs.negative_img_text = with(outputs.negative_img_text, &empty);
        Ok(outputs)
    }
}
