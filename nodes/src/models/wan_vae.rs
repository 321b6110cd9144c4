//! Wan's autoencoders for videos (Wan Team 2025, arXiv:2503.20314): 2.1's, which Qwen-Image uses for pictures, and 2.2's.

use anyhow::{Result, ensure};
use tch::Tensor;

use super::autoencoder::{Autoencoder, Tiles};
use super::picture_autoencoder::{Progress, cropped, in_groups, unless_out_of_memory};
use super::vae_tiled::Scale;
use super::video_autoencoder::{host, in_tiles, shown, sides};
use super::wan_vae_blocks::{CausalConv, ChannelNorm, Earlier};
use super::wan_vae_layers::{Layers, Way};
use crate::files::weights::Weights;
use crate::ops::numerics::{Numerics, Placement};

/// Frames that one latent frame behind the first stands for.
const FRAMES: i64 = 4;

/// One side: a convolution, layers, and a head.
struct Half {
    conv_in: CausalConv,
    layers: [Layers; 2],
    norm: ChannelNorm,
    conv_out: CausalConv,
}

impl Half {
    fn load(w: &Weights, way: Way) -> Result<Self> {
        let conv_in = CausalConv::load(&w.at("conv1"), w.dim("conv1.weight", 1)?)?;
        let mut channels = conv_in.outputs();
        let order = if way == Way::Down { ["downsamples", "middle"] } else { ["middle", "upsamples"] };
        let mut layers = |place: usize| Layers::load(&w.at(order[place]), way, &mut channels);
        let layers = [layers(0)?, layers(1)?];
        let norm = ChannelNorm::load(&w.at("head.0"), channels, 3)?;
        Ok(Self { conv_in, layers, norm, conv_out: CausalConv::load(&w.at("head.2"), channels)? })
    }

    /// How many of its layers change the size, and how many of them the number of frames.
    fn resizings(&self) -> [usize; 2] {
        let [first, second] = &self.layers;
        let both = [first.resizings(), second.resizings()];
        [0, 1].map(|of| both[0][of] + both[1][of])
    }

    /// `x` is B×C×T×H×W, a group of frames.
    fn forward(&self, x: &Tensor, earlier: &mut Earlier) -> Tensor {
        earlier.next_group();
        let mut h = self.conv_in.forward_behind(x, earlier);
        for layers in &self.layers {
            h = layers.forward(h, earlier);
        }
        h = self.norm.forward_silu(&h);
        self.conv_out.forward_behind(&h, earlier)
    }

    /// The groups of a video, one after the other: B×C×T×H×W.
    fn over_groups(&self, groups: impl Iterator<Item = Tensor>) -> Tensor {
        let mut earlier = Earlier::default();
        let mut parts: Vec<Tensor> = groups.map(|group| self.forward(&group, &mut earlier)).collect();
        if parts.len() == 1 { parts.swap_remove(0) } else { Tensor::cat(&parts, 2) }
    }
}

/// The autoencoder: 8×8 pixels become one point of 16 channels, in 2.2 16×16 pixels one of 48; and behind the first frame 4 frames become
/// one latent frame.
///
/// Sizes are read off the weights. Frames are worked through in groups of four, which bounds memory.
pub struct WanVae {
    placement: Placement,
    encoder: Half,
    decoder: Half,
    quant: CausalConv,
    post_quant: CausalConv,
    /// Pixels of a side that are put into channels first: 2 in Wan 2.2's, else 1.
    patch: i64,
}

impl WanVae {
    /// Whether the tensors below `weights` are those of such an autoencoder.
    pub fn is_in(weights: &Weights) -> bool {
        weights.contains("decoder.middle.0.residual.0.gamma")
    }

    /// Builds it from the tensors below `weights` (`encoder.*`, `decoder.*`, …). Errors name the tensor that is missing or has another
    /// shape than its neighbours call for.
    pub fn load(weights: &Weights, numerics: &Numerics) -> Result<Self> {
        let placement = numerics.vae();
        let w = &weights.placed(placement);
        let encoder = Half::load(&w.at("encoder"), Way::Down)?;
        let decoder = Half::load(&w.at("decoder"), Way::Up)?;
        let quant = CausalConv::load(&w.at("conv1"), encoder.conv_out.outputs())?;
        let post_quant = CausalConv::load(&w.at("conv2"), decoder.conv_in.inputs())?;
        let patch = if w.contains("decoder.upsamples.0.upsamples.0.residual.2.weight") { 2 } else { 1 };
        let vae = Self { placement, encoder, decoder, quant, post_quant, patch };
        ensure!(
            vae.quant.outputs() == 2 * vae.post_quant.inputs()
                && vae.post_quant.outputs() == vae.post_quant.inputs()
                && vae.encoder.conv_in.inputs() == vae.decoder.conv_out.outputs()
                && vae.encoder.conv_in.inputs() % (patch * patch) == 0
                && [&vae.encoder, &vae.decoder].iter().all(|half| half.resizings() == [3, 2]),
            "encoder and decoder in {} do not fit together; the file is of another kind, or damaged",
            w.path().display()
        );
        Ok(vae)
    }

    /// Channels of its pictures: 3.
    fn picture_channels(&self) -> i64 {
        self.encoder.conv_in.inputs() / (self.patch * self.patch)
    }

    /// B×H×W×C to a video 1×C'×T×H'×W', with the sides cut to multiples of its factor, and ones in channels that are missing.
    fn video(&self, pixels: &Tensor) -> Result<Tensor> {
        let channels = self.picture_channels();
        let missing = channels - pixels.size().last().copied().unwrap_or(channels);
        let filled = if missing > 0 { &pixels.f_pad([0, missing], "constant", 1.0)? } else { pixels };
        Ok(cropped(filled, self.factor(), channels)?.transpose(0, 1).unsqueeze(0))
    }

    /// Pixels B×C×T×H×W in 0…1 to the posterior's mean.
    fn encode_video(&self, pixels: &Tensor) -> Tensor {
        let x = self.patched(&self.placement.place(&(pixels * 2.0 - 1.0)));
        let behind = (x.size()[2] - 1) / FRAMES;
        let groups = (0..=behind).map(|group| match group {
            0 => x.narrow(2, 0, 1),
            _ => x.narrow(2, 1 + FRAMES * (group - 1), FRAMES),
        });
        let moments = self.quant.forward(&self.encoder.over_groups(groups), None);
        host(&moments.narrow(1, 0, self.latent_channels()))
    }

    /// A latent B×C×T×h×w to pixels in 0…1, B×C×T'×8h×8w.
    fn decode_video(&self, latent: &Tensor) -> Tensor {
        let z = self.post_quant.forward(&self.placement.place(latent), None);
        let x = self.decoder.over_groups((0..z.size()[2]).map(|frame| z.narrow(2, frame, 1)));
        host(&self.unpatched(&x))
    }

    /// B×C×T×H×W with the pixels of squares put into channels.
    fn patched(&self, x: &Tensor) -> Tensor {
        let (size, patch) = (x.size(), self.patch);
        if patch == 1 {
            return x.shallow_clone();
        }
        let split = x.reshape([size[0], size[1], size[2], size[3] / patch, patch, size[4] / patch, patch]);
        let flat = split.permute([0, 1, 6, 4, 2, 3, 5]);
        flat.reshape([size[0], -1, size[2], size[3] / patch, size[4] / patch])
    }

    /// The inverse of [`patched`](Self::patched).
    fn unpatched(&self, x: &Tensor) -> Tensor {
        let (size, patch) = (x.size(), self.patch);
        if patch == 1 {
            return x.shallow_clone();
        }
        let split = x.reshape([size[0], -1, patch, patch, size[2], size[3], size[4]]);
        let flat = split.permute([0, 1, 4, 5, 3, 6, 2]);
        flat.reshape([size[0], -1, size[2], size[3] * patch, size[4] * patch])
    }

    fn check_latent(&self, latent: &Tensor) -> Result<()> {
        let size = latent.size();
        ensure!(
            size.len() == 5 && size[1] == self.latent_channels() && size.iter().all(|&n| n > 0),
            "the latent has shape {size:?}; this VAE decodes batch, {} channels, frames, height and width: use a latent made for it, as \
             EmptyHunyuanLatentVideo makes one",
            self.latent_channels()
        );
        Ok(())
    }
}

impl Autoencoder for WanVae {
    fn latent_channels(&self) -> i64 {
        self.post_quant.inputs()
    }

    fn factor(&self) -> i64 {
        8 * self.patch
    }

    fn frames(&self) -> Option<i64> {
        Some(FRAMES)
    }

    fn encode(&self, pixels: &Tensor) -> Result<Tensor> {
        let video = self.video(pixels)?;
        match unless_out_of_memory(|| Ok(self.encode_video(&video))) {
            Some(latent) => latent,
            None => {
                let tiles = Tiles { side: 256, overlap: 64, frames: 9999, frame_overlap: 1 };
                self.encode_tiled(pixels, tiles, &mut |_, _| Ok(()))
            }
        }
    }

    fn encode_tiled(&self, pixels: &Tensor, tiles: Tiles, progress: Progress) -> Result<Tensor> {
        let video = self.video(pixels)?;
        let (down, up) = (Scale::FramesDown(FRAMES), Scale::FramesUp(FRAMES));
        // Parts and their overlap are as many frames as give whole latent frames.
        let part = down.length(tiles.frames).max(2);
        let overlap = down.length(tiles.frame_overlap).min(part / 2).max(1);
        let tiles = Tiles { frames: up.length(part), frame_overlap: up.length(overlap), ..tiles };
        let video = video.narrow(2, 0, up.length(down.length(video.size()[2])));
        let cut = sides(tiles, down, Scale::Times(1.0 / self.factor() as f64));
        in_tiles(&video, &cut, self.latent_channels(), progress, |tile| self.encode_video(tile))
    }

    fn decode(&self, latent: &Tensor) -> Result<Tensor> {
        self.check_latent(latent)?;
        let whole = || -> Result<Tensor> {
            let size = latent.size();
            let area = size[3] * size[4] * self.factor() * self.factor() * size[2].min(FRAMES);
            Ok(shown(&in_groups(latent, area, |group| self.decode_video(group))))
        };
        match unless_out_of_memory(whole) {
            Some(pictures) => pictures,
            None => {
                let side = 256 / self.factor();
                let tiles = Tiles { side, overlap: side / 4, frames: 999, frame_overlap: 1 };
                self.decode_tiled(latent, tiles, &mut |_, _| Ok(()))
            }
        }
    }

    fn decode_tiled(&self, latent: &Tensor, tiles: Tiles, progress: Progress) -> Result<Tensor> {
        self.check_latent(latent)?;
        let tiles = Tiles { frames: tiles.frames.max(2), frame_overlap: tiles.frame_overlap.max(1), ..tiles };
        let cut = sides(tiles, Scale::FramesUp(FRAMES), Scale::Times(self.factor() as f64));
        let channels = self.picture_channels();
        Ok(shown(&in_tiles(latent, &cut, channels, progress, |tile| self.decode_video(tile))?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::{Device, Kind};

    use super::*;
    use crate::models::reference::{agree, expected, file};
    use crate::ops::noise::randn;

    fn tiny() -> WanVae {
        WanVae::load(&file("base/models/vae/wan21-vae-tiny.safetensors"), &Numerics::cpu()).unwrap()
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn pictures_and_films_agree_with_the_reference() {
        let _guard = tch::no_grad_guard();
        let vae = tiny();
        assert_eq!((vae.factor(), vae.latent_channels(), vae.frames()), (8, 16, Some(4)));
        for (case, latent) in [("vae-picture", [1, 16, 1, 8, 12]), ("vae-film", [1, 16, 2, 4, 6])] {
            let expected = expected(&format!("wan/{case}"));
            let samples = expected.tensor("4/0/samples", &latent).unwrap();
            let shape = expected.shape("8/0").unwrap();
            let pictures = vae.decode(&samples).unwrap();
            agree(&pictures, &expected.tensor("8/0", &shape).unwrap());
            assert_eq!(vae.encode(&pictures).unwrap().size(), latent);
        }
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn a_batch_is_decoded_as_each_alone_and_one_tile_as_the_whole() {
        let _guard = tch::no_grad_guard();
        let vae = tiny();
        let latent = randn(3, &[2, 16, 3, 4, 5]);
        let both = vae.decode(&latent).unwrap();
        assert_eq!(both.size(), [18, 32, 40, 3]);
        agree(&vae.decode(&latent.narrow(0, 1, 1)).unwrap(), &both.narrow(0, 9, 9));
        let tiles = Tiles { side: 8, overlap: 2, frames: 3, frame_overlap: 1 };
        agree(&vae.decode_tiled(&latent, tiles, &mut |_, _| Ok(())).unwrap(), &both);
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn parts_in_time_and_plane_make_a_whole() {
        let _guard = tch::no_grad_guard();
        let vae = tiny();
        let mut seen = Vec::new();
        let mut note = |done, total| {
            seen.push((done, total));
            Ok(())
        };
        let latent = randn(3, &[1, 16, 5, 6, 4]);
        let tiles = Tiles { side: 4, overlap: 1, frames: 3, frame_overlap: 1 };
        let film = vae.decode_tiled(&latent, tiles, &mut note).unwrap();
        assert_eq!(film.size(), [17, 48, 32, 3]);
        let tiles = Tiles { side: 32, overlap: 8, frames: 8, frame_overlap: 4 };
        // One frame more than four groups behind the first, which is left out, and three pixels.
        let more = film.f_pad([0, 0, 0, 3, 0, 0, 0, 1], "constant", 0.5).unwrap();
        assert_eq!(vae.encode_tiled(&more, tiles, &mut note).unwrap().size(), [1, 16, 5, 6, 4]);
        assert!(seen.contains(&(4, 4)), "{seen:?}");
    }

    #[test]
    #[cfg_attr(not(shared), ignore = "needs ../shared")]
    fn unusable_input_is_an_error_not_a_panic() {
        let _guard = tch::no_grad_guard();
        let vae = tiny();
        let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
        let message = |result: Result<Tensor>| result.unwrap_err().to_string();
        assert!(message(vae.encode(&zeros(&[1, 7, 64, 3]))).contains("64x7"));
        assert!(message(vae.decode(&zeros(&[1, 16, 8, 8]))).contains("[1, 16, 8, 8]"));
        assert!(message(vae.decode(&zeros(&[1, 4, 1, 8, 8]))).contains("16 channels"));
    }
}
