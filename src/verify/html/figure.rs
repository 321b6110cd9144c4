//! One output as pictures: expected, found, and their difference, amplified.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redraft_nodes::diffusion::latent_format::SD15;
use redraft_nodes::pictures::write::{Compression, encode};
use tch::{Device, Kind, Tensor};

use super::chart::histogram;
use super::measures::{psnr, ssim};
use super::text::escaped;
use crate::compare::Place;

/// The longest side of an embedded picture, in pixels.
const SIDE: i64 = 512;
/// How many pictures of a batch are shown.
const FRAMES: i64 = 2;
/// How many channels of a latent without colours are shown.
const CHANNELS: i64 = 4;
/// The most values of which SSIM is computed.
const MAX_SSIM: usize = 1 << 26;

/// What a tensor shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shows {
    /// B × H × W × C
    Image,
    /// B × H × W or H × W
    Mask,
    /// B × C × H × W
    Latent,
}

/// The figure of an output; nothing if it is not like a picture, or its shape is another than expected.
pub(super) fn of(place: &Place, expected: &Tensor, found: &Tensor) -> Option<String> {
    let shows = shows(place, &expected.size()).filter(|_| expected.size() == found.size() && expected.numel() > 0)?;
    let [expected, found] = [expected, found].map(|tensor| planes(tensor, shows));
    let peak = match shows {
        Shows::Image | Shows::Mask => 1.0,
        Shows::Latent => (expected.max() - expected.min()).double_value(&[]).max(f64::MIN_POSITIVE),
    };
    let differences = (&expected - &found).abs();
    let largest = differences.max().double_value(&[]);
    let factor = round_below(peak / largest);
    let mut rows = String::new();
    for frame in 0..expected.size().first().copied()?.min(FRAMES) {
        let [a, b, d] = [&expected, &found, &differences].map(|tensor| tensor.narrow(0, frame, 1));
        let amplified = shrunk(&(d.amax([1], true) * (factor / peak)), true);
        let views = [
            ("expected", coloured(&a, &a, shows)?),
            ("found", coloured(&b, &a, shows)?),
            (&*format!("difference × {factor}"), encoded(&grey(&amplified))?),
        ];
        let views = views.map(|(name, data)| {
            format!("<figure><img alt=\"{name}\" src=\"data:image/png;base64,{data}\"><figcaption>{name}</figcaption></figure>")
        });
        rows.push_str(&format!("<div class=\"trio\">{}</div>\n", views.concat()));
    }
    let like = if expected.numel() <= MAX_SSIM { ssim(&expected, &found, peak) } else { f64::NAN };
    let measures = [
        ("PSNR", format!("{:.2} dB", psnr(&expected, &found, peak))),
        ("SSIM", if like.is_nan() { "too large".to_owned() } else { format!("{like:.6}") }),
        ("largest", format!("{largest:.3e}")),
        ("mean", format!("{:.3e}", differences.mean(Kind::Double).double_value(&[]))),
    ];
    let measures = measures.map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    let chart = histogram(&differences).map(|chart| format!("<figure class=\"chart\">{chart}</figure>\n"));
    Some(format!(
        "<section>\n<h3>{}</h3>\n<p class=\"quiet\">{}</p>\n{rows}<dl>{}</dl>\n{}</section>\n",
        escaped(&place.to_string()),
        note(shows, expected.size().first().copied().unwrap_or(1)),
        measures.concat(),
        chart.unwrap_or_default()
    ))
}

/// The largest of 1, 2, 5, 10, 20, … that is not above a number; from 1 to 5 · 10^12.
fn round_below(number: f64) -> f64 {
    let power = 10f64.powf(number.log10().floor().clamp(0.0, 12.0));
    [5.0, 2.0].into_iter().map(|step| step * power).find(|step| *step <= number).unwrap_or(power)
}

/// What a tensor of such a shape at such a place shows.
fn shows(place: &Place, shape: &[i64]) -> Option<Shows> {
    let part = place.part.rsplit('/').next().unwrap_or_default();
    let is_whole = part.is_empty() || part.starts_with('#') || place.slot.is_none();
    match shape {
        [_, _, _, 1 | 3 | 4] if is_whole => Some(Shows::Image),
        [_, _, _] | [_, _] if is_whole || part == "noise_mask" || part == "mask" => Some(Shows::Mask),
        [_, 1, _, _] if part == "noise_mask" => Some(Shows::Latent),
        [_, _, _, _] if part == "samples" => Some(Shows::Latent),
        _ => None,
    }
}

/// B × C × H × W in float32 on the CPU.
fn planes(tensor: &Tensor, shows: Shows) -> Tensor {
    let tensor = tensor.to_device(Device::Cpu).to_kind(Kind::Float).nan_to_num(0.0, 1e30, -1e30);
    match (shows, tensor.dim()) {
        (Shows::Image, _) => tensor.permute([0, 3, 1, 2]),
        (Shows::Mask, 2) => tensor.unsqueeze(0).unsqueeze(0),
        (Shows::Mask, _) => tensor.unsqueeze(1),
        (Shows::Latent, _) => tensor,
    }
}

/// One picture, 1 × C × H × W, as base64 of a PNG file. A latent without colours is shown between the least and the largest value of
/// `range`.
fn coloured(picture: &Tensor, range: &Tensor, shows: Shows) -> Option<String> {
    let channels = picture.size().get(1).copied()?;
    let picture = match (shows, channels) {
        (Shows::Latent, 4) => {
            let colours = Tensor::from_slice(SD15.rgb.as_flattened()).view([-1, 3]);
            let rough = SD15.in_network_scale(picture).permute([0, 2, 3, 1]).matmul(&colours);
            ((rough + 1.0) / 2.0).permute([0, 3, 1, 2])
        }
        (Shows::Latent, channels) => {
            let (low, high) = (range.min(), range.max());
            let tiles: Vec<_> = (0..channels.min(CHANNELS)).map(|channel| picture.narrow(1, channel, 1)).collect();
            let scaled = (Tensor::cat(&tiles, 3) - &low) / (&high - &low).clamp_min(1e-12);
            grey(&scaled)
        }
        (_, 1) => grey(picture),
        (_, channels) => picture.narrow(1, 0, channels.min(3)),
    };
    encoded(&shrunk(&picture, false))
}

fn grey(picture: &Tensor) -> Tensor {
    picture.expand([-1, 3, -1, -1], false)
}

/// 1 × C × H × W, no side longer than [`SIDE`]. Of differences the largest are kept, so that a single pixel is seen.
fn shrunk(picture: &Tensor, largest: bool) -> Tensor {
    let [_, _, height, width] = picture.size()[..] else { return picture.shallow_clone() };
    let longest = height.max(width);
    if longest <= SIDE {
        return picture.shallow_clone();
    }
    let size = [height, width].map(|side| (side * SIDE / longest).max(1));
    if largest { picture.adaptive_max_pool2d(size).0 } else { picture.adaptive_avg_pool2d(size) }
}

/// 1 × 3 × H × W as base64 of a PNG file.
fn encoded(picture: &Tensor) -> Option<String> {
    let picture = picture.squeeze_dim(0).permute([1, 2, 0]).clamp(0.0, 1.0).contiguous();
    encode(&picture, &[], Compression::Saved).ok().map(|bytes| STANDARD.encode(bytes))
}

/// How the pictures are to be read.
fn note(shows: Shows, batch: i64) -> String {
    let what = match shows {
        Shows::Image => "picture; values 0 to 1",
        Shows::Mask => "mask; values 0 to 1",
        Shows::Latent => {
            "latent; four channels as Stable Diffusion 1.x's rough colours, others as greys side by side; difference, PSNR and SSIM over its range"
        }
    };
    let batch = if batch > FRAMES { format!("; the first {FRAMES} of a batch of {batch}") } else { String::new() };
    format!("{what}{batch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(part: &str) -> Place {
        Place { node: "8".into(), class: None, title: None, slot: Some(0), part: part.to_owned() }
    }

    #[test]
    fn what_is_like_a_picture_is_told_by_part_and_shape() {
        assert_eq!(shows(&place(""), &[1, 64, 96, 3]), Some(Shows::Image));
        assert_eq!(shows(&place("#1"), &[1, 64, 96, 4]), Some(Shows::Image));
        assert_eq!(shows(&place(""), &[2, 64, 96]), Some(Shows::Mask));
        assert_eq!(shows(&place("samples"), &[1, 16, 8, 8]), Some(Shows::Latent));
        assert_eq!(shows(&place("0/cond"), &[1, 77, 768]), None);
        assert_eq!(shows(&place(""), &[21]), None);
    }

    #[test]
    fn amplification_is_a_round_number() {
        let rounded = [0.5, 1.0, 4.3, 7.0, 43.0, 1e3, f64::INFINITY].map(round_below);
        assert_eq!(rounded, [1.0, 1.0, 2.0, 5.0, 20.0, 1e3, 5e12]);
    }

    #[test]
    fn a_large_picture_is_scaled_down_and_one_wrong_pixel_stays() {
        let expected = Tensor::zeros([1, 1024, 2048, 3], (Kind::Float, Device::Cpu));
        let found = expected.copy();
        let _ = found.get(0).get(700).get(1300).get(1).fill_(0.01);
        let shown = shrunk(&planes(&(&found - &expected), Shows::Image), true);
        assert_eq!(shown.size(), [1, 3, 256, 512]);
        assert!((shown.max().double_value(&[]) - 0.01).abs() < 1e-6);
        let html = of(&place(""), &expected, &found).unwrap_or_default();
        assert!(html.contains("difference × 100<") && html.contains("largest</dt><dd>1.000e-2"), "{html:.2000}");
        assert_eq!(html.matches("data:image/png;base64,").count(), 3);
    }
}
