use anyhow::Result;
use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use super::{Prepared, Seen};
use crate::values::Latent;
use crate::values::extras::{AZIMUTH, ELEVATION, Extras};

/// Prompts and empty latents for a video in which SV3D shows a thing from all sides.
#[derive(Node)]
#[node(category = "conditioning/3d_models")]
#[expect(non_camel_case_types, reason = "its name in workflow files")]
struct SV3D_Conditioning {
    #[input(flatten)]
    seen: Seen,
    #[input(default = 576, min = 16, max = 16384, step = 8)]
    width: i64,
    #[input(default = 576, min = 16, max = 16384, step = 8)]
    height: i64,
    /// How many frames there are; the last looks from where the first did.
    #[input(default = 21, min = 1, max = 4096)]
    video_frames: i64,
    /// From how far above the thing is looked at, in degrees.
    #[input(default = 0.0, min = -90.0, max = 90.0, step = 0.1)]
    elevation: f64,
}

impl Run for SV3D_Conditioning {
    type Out = Prepared;

    fn run(self, cx: &mut Cx) -> Result<Prepared> {
        let told = self.seen.told(cx, (self.width, self.height), Ok)?;
        let step = 360.0 / (self.video_frames.max(2) - 1) as f64;
        let azimuths = std::iter::successors(Some(0.0), |azimuth| Some(azimuth + step));
        let extras = Extras::default()
            .with(ELEVATION, (0..self.video_frames).map(|_| self.elevation).collect::<Vec<f64>>())
            .with(AZIMUTH, azimuths.zip(0..self.video_frames).map(|(azimuth, _)| azimuth).collect::<Vec<f64>>());
        let [positive, negative] = told.prompts(told.embeds.shallow_clone(), &extras);
        let latent = Latent::zeros(&[self.video_frames, 4, self.height / 8, self.width / 8])?;
        Ok(Prepared { positive, negative, latent })
    }
}
