//! What autoencoders of videos have in common: pixels as a video, parts in time and plane, the way from values in 0…1 and back.

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use super::autoencoder::{Autoencoder, Tiles};
use super::picture_autoencoder::{Progress, cropped, unless_out_of_memory};
use super::vae_tiled::{Scale, Side, count, tiled};

/// An autoencoder of videos, without parts. As an [`Autoencoder`] it is [`Video`] of it.
pub trait VideoAutoencoder {
    /// Channels of a latent.
    fn latent_channels(&self) -> i64;

    /// Pixels per latent point along a side.
    fn factor(&self) -> i64;

    /// Frames that one latent frame behind the first stands for.
    fn frames(&self) -> i64;

    /// The node that makes an empty latent for it.
    fn made_by(&self) -> &'static str;

    /// The least height and width of a latent that it decodes.
    fn least_side(&self) -> i64 {
        1
    }

    /// An error if it cannot encode so many frames at once.
    fn check_frames(&self, frames: i64) -> Result<()>;

    /// Pixels B×3×T×H×W in 0…1 to a latent, float32 on the CPU.
    fn encode_video(&self, pixels: &Tensor) -> Tensor;

    /// A latent of one video, 1×C×T×h×w, to pixels about -1…1, 1×3×T'×H×W, float32 on the CPU.
    fn decode_video(&self, latent: &Tensor) -> Tensor;
}

/// An autoencoder of videos with what it has in common with others.
pub struct Video<T>(pub T);

impl<T: VideoAutoencoder> Video<T> {
    /// B×H×W×C to a video 1×3×T×H'×W', with the sides cut to multiples of its factor.
    fn video(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(cropped(pixels, self.0.factor(), 3)?.transpose(0, 1).unsqueeze(0))
    }

    fn check_latent(&self, latent: &Tensor) -> Result<()> {
        let (size, least) = (latent.size(), self.0.least_side());
        ensure!(
            size.len() == 5 && size[1] == self.0.latent_channels() && size.iter().all(|&n| n > 0),
            "the latent has shape {size:?}; this VAE decodes batch, {} channels, frames, height and width: use a latent made for it, as \
             {} makes one",
            self.0.latent_channels(),
            self.0.made_by()
        );
        ensure!(
            size[3].min(size[4]) >= least,
            "the latent's frames are {}x{} points, and this VAE decodes {least}x{least} and more: use a video of at least {least_pixels}x\
             {least_pixels} pixels",
            size[4],
            size[3],
            least_pixels = least * self.0.factor()
        );
        Ok(())
    }
}

impl<T: VideoAutoencoder> Autoencoder for Video<T> {
    fn latent_channels(&self) -> i64 {
        self.0.latent_channels()
    }

    fn factor(&self) -> i64 {
        self.0.factor()
    }

    fn frames(&self) -> Option<i64> {
        Some(self.0.frames())
    }

    fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let video = self.video(pixels)?;
        self.0.check_frames(video.size()[2])?;
        match unless_out_of_memory(|| Ok(self.0.encode_video(&video))) {
            Some(latent) => latent,
            None => {
                let tiles = Tiles { side: 256, overlap: 64, frames: 9999, frame_overlap: 1 };
                self.encode_tiled(pixels, tiles, &mut |_, _| Ok(()))
            }
        }
    }

    fn encode_tiled(&self, pixels: &Tensor, tiles: Tiles, progress: Progress) -> Result<Tensor> {
        let video = self.video(pixels)?;
        let (down, up) = (Scale::FramesDown(self.0.frames()), Scale::FramesUp(self.0.frames()));
        // Parts and their overlap are as many frames as give whole latent frames.
        let part = down.length(tiles.frames).max(2);
        let overlap = down.length(tiles.frame_overlap).min(part / 2).max(1);
        let tiles = Tiles { frames: up.length(part), frame_overlap: up.length(overlap), ..tiles };
        let video = video.narrow(2, 0, up.length(down.length(video.size()[2])));
        let cut = sides(tiles, down, Scale::Times(1.0 / self.0.factor() as f64));
        in_tiles(&video, &cut, self.0.latent_channels(), progress, |tile| self.0.encode_video(tile))
    }

    fn decode(&self, latent: &Tensor) -> Result<Tensor> {
        self.check_latent(latent)?;
        let each = || {
            let videos: Vec<Tensor> =
                (0..latent.size()[0]).map(|at| self.0.decode_video(&latent.narrow(0, at, 1))).collect();
            Ok(shown(&Tensor::cat(&videos, 0)))
        };
        match unless_out_of_memory(each) {
            Some(pictures) => pictures,
            None => {
                let side = 256 / self.0.factor();
                let tiles = Tiles { side, overlap: side / 4, frames: 999, frame_overlap: 1 };
                self.decode_tiled(latent, tiles, &mut |_, _| Ok(()))
            }
        }
    }

    fn decode_tiled(&self, latent: &Tensor, tiles: Tiles, progress: Progress) -> Result<Tensor> {
        self.check_latent(latent)?;
        let tiles = Tiles { frames: tiles.frames.max(2), frame_overlap: tiles.frame_overlap.max(1), ..tiles };
        let cut = sides(tiles, Scale::FramesUp(self.0.frames()), Scale::Times(self.0.factor() as f64));
        Ok(shown(&in_tiles(latent, &cut, 3, progress, |tile| self.0.decode_video(tile))?))
    }
}

/// The sides of a tiling of latents or pixels.
pub(super) fn sides(tiles: Tiles, time: Scale, plane: Scale) -> [Side; 3] {
    let side = Side { tile: tiles.side, overlap: tiles.overlap, scale: plane };
    [Side { tile: tiles.frames, overlap: tiles.frame_overlap, scale: time }, side, side]
}

/// Works a video through in tiles.
pub(super) fn in_tiles(
    x: &Tensor,
    sides: &[Side; 3],
    channels: i64,
    progress: Progress,
    function: impl Fn(&Tensor) -> Tensor,
) -> Result<Tensor> {
    let total = count(x, sides)?;
    let mut done = 0;
    tiled(x, sides, channels, |tile| {
        let result = function(tile);
        done += 1;
        progress(done, total)?;
        Ok(result)
    })
}

/// Float32 on the CPU, in plain memory order.
pub(super) fn host(x: &Tensor) -> Tensor {
    x.to_device_(Device::Cpu, Kind::Float, false, false).contiguous()
}

/// B×C×T×H×W about -1…1 to the frames (B·T)×H×W×C clamped to 0…1.
pub(super) fn shown(x: &Tensor) -> Tensor {
    let size = x.size();
    let pixels = ((x + 1.0) / 2.0).clamp(0.0, 1.0).permute([0, 2, 3, 4, 1]);
    pixels.reshape([-1, size[3], size[4], size[1]])
}
