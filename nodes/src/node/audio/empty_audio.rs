use anyhow::ensure;
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, memory};
use tch::{Device, Kind, Tensor};

use crate::values::Audio;

/// Makes silence.
#[derive(Node)]
#[node(category = "audio", display = "Empty Audio")]
struct EmptyAudio {
    /// In seconds.
    #[input(default = 60.0, min = 0.0, max = 18446744073709551615.0, step = 0.01)]
    duration: f64,
    /// Samples per second.
    #[input(default = 44100, min = 1, max = 192000)]
    sample_rate: i64,
    /// 1 for mono, 2 for stereo.
    #[input(default = 2, min = 1, max = 2)]
    channels: i64,
}

impl Run for EmptyAudio {
    type Out = Audio;

    fn run(self, _: &mut Cx) -> anyhow::Result<Audio> {
        let samples = (self.duration * self.sample_rate as f64).round_ties_even();
        ensure!(samples < i64::MAX as f64, "{} seconds are too long: set a shorter duration", self.duration);
        let shape = [1, self.channels, samples as i64];
        memory::ask(memory::product(&shape, 4), "the sound")?;
        Ok(Audio { waveform: Tensor::zeros(shape, (Kind::Float, Device::Cpu)), sample_rate: self.sample_rate })
    }
}
