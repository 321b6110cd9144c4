//! Latents of zeros for video, audio and 3D models.

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;

use crate::values::Latent;

/// Makes video latents of zeros for Hunyuan Video and Wan: 16 channels, an eighth of the size.
#[derive(Node)]
#[node(category = "latent/video", display = "Empty HunyuanVideo 1.0 Latent")]
struct EmptyHunyuanLatentVideo {
    #[input(default = 848, min = 16, max = 16384, step = 16)]
    width: i64,
    #[input(default = 480, min = 16, max = 16384, step = 16)]
    height: i64,
    /// Frames of the video. After the first, 4 frames make one latent frame.
    #[input(default = 25, min = 1, max = 16384, step = 4)]
    length: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyHunyuanLatentVideo {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(Latent::zeros(&[self.batch_size, 16, (self.length - 1) / 4 + 1, self.height / 8, self.width / 8])?)
    }
}

/// Makes video latents of zeros for Hunyuan Video 1.5: 32 channels, a sixteenth of the size.
#[derive(Node)]
#[node(category = "latent/video", display = "Empty HunyuanVideo 1.5 Latent")]
struct EmptyHunyuanVideo15Latent {
    #[input(default = 848, min = 16, max = 16384, step = 16)]
    width: i64,
    #[input(default = 480, min = 16, max = 16384, step = 16)]
    height: i64,
    /// Frames of the video. After the first, 4 frames make one latent frame.
    #[input(default = 25, min = 1, max = 16384, step = 4)]
    length: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyHunyuanVideo15Latent {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(Latent::zeros(&[self.batch_size, 32, (self.length - 1) / 4 + 1, self.height / 16, self.width / 16])?)
    }
}

/// Makes video latents of zeros for Mochi: 12 channels, an eighth of the size.
#[derive(Node)]
#[node(category = "latent/video")]
struct EmptyMochiLatentVideo {
    #[input(default = 848, min = 16, max = 16384, step = 16)]
    width: i64,
    #[input(default = 480, min = 16, max = 16384, step = 16)]
    height: i64,
    /// Frames of the video. After the first, 6 frames make one latent frame.
    #[input(default = 25, min = 7, max = 16384, step = 6)]
    length: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyMochiLatentVideo {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(Latent::zeros(&[self.batch_size, 12, (self.length - 1) / 6 + 1, self.height / 8, self.width / 8])?)
    }
}

/// Makes video latents of zeros for Cosmos: 16 channels, an eighth of the size.
#[derive(Node)]
#[node(category = "latent/video")]
struct EmptyCosmosLatentVideo {
    #[input(default = 1280, min = 16, max = 16384, step = 16)]
    width: i64,
    #[input(default = 704, min = 16, max = 16384, step = 16)]
    height: i64,
    /// Frames of the video. After the first, 8 frames make one latent frame.
    #[input(default = 121, min = 1, max = 16384, step = 8)]
    length: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyCosmosLatentVideo {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(Latent::zeros(&[self.batch_size, 16, (self.length - 1) / 8 + 1, self.height / 8, self.width / 8])?)
    }
}

/// Makes video latents of zeros for LTX Video: 128 channels, a thirty-second of the size.
#[derive(Node)]
#[node(category = "latent/video/ltxv")]
struct EmptyLTXVLatentVideo {
    #[input(default = 768, min = 64, max = 16384, step = 32)]
    width: i64,
    #[input(default = 512, min = 64, max = 16384, step = 32)]
    height: i64,
    /// Frames of the video. After the first, 8 frames make one latent frame.
    #[input(default = 97, min = 1, max = 16384, step = 8)]
    length: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyLTXVLatentVideo {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(Latent::zeros(&[self.batch_size, 128, (self.length - 1) / 8 + 1, self.height / 32, self.width / 32])?)
    }
}

/// Makes latents of zeros for Stable Audio: 64 channels, 2 time steps for 4096 samples at 44100 Hz.
#[derive(Node)]
#[node(category = "latent/audio", display = "Empty Latent Audio")]
struct EmptyLatentAudio {
    #[input(default = 47.6, min = 1.0, max = 1000.0, step = 0.1)]
    seconds: f64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyLatentAudio {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let places = ((self.seconds * 44100.0 / 2048.0) / 2.0).round_ties_even() as i64 * 2;
        Ok(Latent::zeros(&[self.batch_size, 64, places])?)
    }
}

/// Makes latents of zeros for ACE-Step: 8 channels, 16 rows, 1 time step for 4096 samples at 44100 Hz.
#[derive(Node)]
#[node(category = "latent/audio")]
struct EmptyAceStepLatentAudio {
    #[input(default = 120.0, min = 1.0, max = 1000.0, step = 0.1)]
    seconds: f64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyAceStepLatentAudio {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        let places = (self.seconds * 44100.0 / 512.0 / 8.0) as i64;
        Ok(Latent::zeros(&[self.batch_size, 8, 16, places])?)
    }
}

/// Makes latents of zeros for Hunyuan 3D 2: 64 channels.
#[derive(Node)]
#[node(category = "latent/3d")]
struct EmptyLatentHunyuan3Dv2 {
    /// The number of tokens that describe an object.
    #[input(default = 3072, min = 1, max = 8192)]
    resolution: i64,
    #[input(default = 1, min = 1, max = 4096)]
    batch_size: i64,
}

impl Run for EmptyLatentHunyuan3Dv2 {
    type Out = Latent;

    fn run(self, _: &mut Cx) -> anyhow::Result<Latent> {
        Ok(Latent::zeros(&[self.batch_size, 64, self.resolution])?)
    }
}
