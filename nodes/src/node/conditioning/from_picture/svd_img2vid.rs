use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::{Prepared, Seen};
use crate::ops::noise::randn;
use crate::values::Latent;
use crate::values::extras::{AUGMENTATION, Extras, FPS, MOTION_BUCKET};

/// The seed of the noise that is added to a picture. ComfyUI's is another in each run.
const SEED: u64 = 0;

/// Prompts and empty latents for a video that Stable Video Diffusion makes of a picture.
#[derive(Node)]
#[node(category = "conditioning/video_models")]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct SVD_img2vid_Conditioning {
    #[input(flatten)]
    seen: Seen,
    #[input(default = 1024, min = 16, max = 16384, step = 8)]
    width: i64,
    #[input(default = 576, min = 16, max = 16384, step = 8)]
    height: i64,
    /// How many frames there are.
    #[input(default = 14, min = 1, max = 4096)]
    video_frames: i64,
    /// How much moves.
    #[input(default = 127, min = 1, max = 1023)]
    motion_bucket_id: i64,
    /// How many frames a second shows.
    #[input(default = 6, min = 1, max = 1024)]
    fps: i64,
    /// How much noise is added to the picture, and so how freely it is taken.
    #[input(default = 0.0, min = 0.0, max = 10.0, step = 0.01)]
    augmentation_level: f64,
}

impl Run for SVD_img2vid_Conditioning {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> Result<Prepared> {
        let level = self.augmentation_level;
        let told = self.seen.told(cx, (self.width, self.height), |pixels| {
            Ok(if level > 0.0 { &pixels + randn(SEED, &pixels.size()) * level } else { pixels })
        })?;
        let extras =
            Extras::default().with(MOTION_BUCKET, self.motion_bucket_id).with(FPS, self.fps).with(AUGMENTATION, level);
        let [positive, negative] = told.prompts(told.embeds.shallow_clone(), &extras);
        let latent = Latent::zeros(&[self.video_frames, 4, self.height / 8, self.width / 8])?;
        Ok(Prepared { positive, negative, latent })
    }
}
