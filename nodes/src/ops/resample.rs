//! Sound at another sample rate: band-limited interpolation with a windowed sinc (J. O. Smith, "Digital Audio Resampling"), with
//! torchaudio's constants.

use anyhow::{Result, ensure};
use redraft_engine::memory;
use tch::{Device, Kind, Tensor};

/// Zero crossings of the sinc on either side.
const CROSSINGS: f64 = 6.0;
/// The cut-off frequency as a share of the lower rate's limit.
const ROLL_OFF: f64 = 0.99;

/// Resamples B×C×T from one rate (samples per second) to another. B×C×ceil(T · to / from).
///
/// # Errors
/// If a rate is below 1, or there is no memory for the filters: rates that share few factors need long ones.
pub fn resample(waveform: &Tensor, from: i64, to: i64) -> Result<Tensor> {
    ensure!(from > 0 && to > 0, "sound at {from} samples a second cannot be brought to {to}");
    if from == to {
        return Ok(waveform.shallow_clone());
    }
    let shared = divisor(from, to);
    let (from, to) = (from / shared, to / shared);
    let width = (CROSSINGS * from as f64 / (from.min(to) as f64 * ROLL_OFF)).ceil() as i64;
    memory::ask(memory::product(&[to, 2 * width + from], 4 * 4), "the filters between two sample rates")?;
    let filters = filters(from, to, width);
    let size = waveform.size();
    let length = size.last().copied().unwrap_or(0);
    memory::ask(
        memory::product(&[waveform.numel() as i64 / length.max(1), length / from + 1, to], 8),
        "resampled sound",
    )?;
    let channels = waveform.reshape([-1, 1, length]).constant_pad_nd([width, width + from]);
    let none: Option<&Tensor> = None;
    let moved = channels.conv1d(&filters, none, [from], [0], [1], 1).transpose(1, 2).reshape([channels.size()[0], -1]);
    let wanted = (to as f64 * length as f64 / from as f64).ceil() as i64;
    let mut shape = size;
    if let Some(last) = shape.last_mut() {
        *last = wanted;
    }
    Ok(moved.narrow(1, 0, wanted).reshape(shape))
}

/// A filter for each of the `to` positions between two steps of `from` samples: to × 1 × (2 · width + from).
fn filters(from: i64, to: i64, width: i64) -> Tensor {
    let float = (Kind::Float, Device::Cpu);
    let base = from.min(to) as f64 * ROLL_OFF;
    let index = Tensor::arange_start(-width, width + from, float) / from as f64;
    let phase = Tensor::arange_start_step(0, -to, -1, float).view([-1, 1, 1]) / to as f64;
    let time = ((phase + index.view([1, 1, -1])) * base).clamp(-CROSSINGS, CROSSINGS);
    let window = (&time * std::f64::consts::PI / CROSSINGS / 2.0).cos().square();
    let angle = time * std::f64::consts::PI;
    let sinc = (angle.sin() / &angle).where_self(&angle.ne(0.0), &Tensor::ones([1], float));
    sinc * (window * (base / from as f64))
}

fn divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A tone stays the tone, whatever the rates.
    #[test]
    fn a_tone_is_kept() {
        for (from, to) in [(44100, 48000), (48000, 44100), (8000, 16000), (22050, 44100), (44100, 22050)] {
            let tone = |rate: i64| {
                let time = Tensor::arange(rate / 5, (Kind::Double, Device::Cpu)) / rate as f64;
                (time * (2.0 * std::f64::consts::PI * 440.0)).sin().to_kind(Kind::Float).view([1, 1, -1])
            };
            let moved = resample(&tone(from), from, to).unwrap();
            let wanted = tone(to);
            assert_eq!(moved.size(), wanted.size());
            // The edges lie next to silence.
            let middle = |tensor: &Tensor| tensor.narrow(-1, 100, tensor.size()[2] - 200);
            let away = (middle(&moved) - middle(&wanted)).abs().max().double_value(&[]);
            assert!(away < 2e-3, "{from} to {to}: {away}");
        }
    }

    #[test]
    fn lengths_are_rounded_up() {
        let sound = Tensor::zeros([2, 2, 100], (Kind::Float, Device::Cpu));
        assert_eq!(resample(&sound, 44100, 48000).unwrap().size(), [2, 2, 109]);
        assert_eq!(resample(&sound, 3, 2).unwrap().size(), [2, 2, 67]);
        assert_eq!(resample(&sound, 3, 3).unwrap().size(), [2, 2, 100]);
        assert!(resample(&sound, 0, 3).is_err());
    }
}
