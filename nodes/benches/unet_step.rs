//! One UNet step of Stable Diffusion 1.5 with guidance, 77 tokens: at 512 x 512, batch 2, float32, on the CPU, unless told
//! otherwise.
//!
//! `cargo bench -p redraft-nodes --bench unet_step -- [CHECKPOINT] [--steps N] [--side PIXELS] [--batch N] [--device DEVICE]
//! [--float32] [--channels-last]`
//!
//! Without a checkpoint, a random one of the real size (2.1 GB) is made in the temporary directory and kept there. Times the
//! steps against a matrix product of the same kind, made before and after: on a machine with other work to do, the ratio is
//! steadier than the seconds. On a GPU the element type is that of a run (half), and each step is waited for.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use redraft_nodes::diffusion::extra_conds::ExtraConds;
use redraft_nodes::diffusion::network::Inputs;
use redraft_nodes::diffusion::patch::Call;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::families::recognise;
use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use redraft_nodes::models::unet::{Heads, UNet};
use redraft_nodes::ops::cuda::DeviceChoice;
use redraft_nodes::ops::noise::randn;
use redraft_nodes::ops::numerics::{Numerics, Placement};
use tch::{Device, Kind, Tensor};

/// Floating-point operations of a step at 512 x 512, batch 2.
const OPERATIONS: f64 = 1.36e12;

/// Most seconds a step may take on the project's two-core machine when it is quiet.
const LIMIT: f64 = 12.5;

fn main() -> Result<()> {
    let _guard = tch::no_grad_guard();
    let mut out = std::io::stdout().lock();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1));
    let steps: usize = after("--steps").map_or(Ok(3), |n| n.parse())?;
    let path = arguments.iter().find(|a| a.ends_with(".safetensors")).map(PathBuf::from);
    let path = path.unwrap_or_else(|| std::env::temp_dir().join("redraft-random-sd15.safetensors"));
    if !path.exists() {
        let (_, spent) = timed(|| write_random_checkpoint(&path, Layout::Sd1, Size::Real, 0, false));
        writeln!(out, "wrote {} in {:.1} s", path.display(), spent.as_secs_f64())?;
    }
    let (side, batch) =
        (after("--side").map_or(Ok(512), |n| n.parse::<i64>())?, after("--batch").map_or(Ok(2), |n| n.parse())?);
    let flag = |name: &str| arguments.iter().any(|a| a == name);
    let device: DeviceChoice = after("--device").map_or("cpu", String::as_str).parse()?;
    let numerics = device.open(flag("--float32"))?;
    let channels_last = numerics.channels_last || flag("--channels-last");
    let numerics = Numerics { channels_last, ..numerics };
    let (weights, opened) = timed(|| Weights::open(&path));
    let contents = recognise(&weights?)?;
    let (unet, loaded) = timed(|| UNet::load(&contents.model()?.weights, &numerics, Heads::Count(8)));
    let unet = unet?;
    writeln!(out, "opened in {:.4} s, UNet loaded in {:.2} s", opened.as_secs_f64(), loaded.as_secs_f64())?;
    let there = |x: Tensor| x.to_device(numerics.device);
    let x = there(randn(0, &[batch, unet.in_channels(), side / 8, side / 8]));
    let context = there(randn(1, &[batch, 77, unet.context_width()]));
    let timestep = there(Tensor::full([batch], 999.0, (Kind::Float, Device::Cpu)));
    let (extra, call) = (ExtraConds::default(), Call::plain());
    let inputs = Inputs { x: &x, timestep: &timestep, context: &context, extra: &extra, control: None, call: &call };
    let mut seconds = Vec::new();
    for step in 0..=steps {
        let before = product(numerics.unet());
        let (noise, spent) = timed(|| {
            let noise = unet.forward(&inputs)?;
            wait(numerics.device);
            anyhow::Ok(noise)
        });
        let noise = noise?;
        let after = product(numerics.unet());
        assert!(bool::try_from(noise.isfinite().all())?, "the step gave values that are not finite");
        let rate = OPERATIONS / spent.as_secs_f64() / ((before + after) / 2.0);
        let what = if step == 0 { "warm-up" } else { "step" };
        write!(out, "{what}: {:.4} s", spent.as_secs_f64())?;
        match (side, batch) {
            (512, 2) => writeln!(out, ", {:.0} % of a plain product's rate", 100.0 * rate)?,
            _ => writeln!(out)?,
        }
        if step > 0 {
            seconds.push(spent.as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    writeln!(out, "median {:.4} s of {steps}", seconds[steps / 2])?;
    if !numerics.device.is_cuda() {
        writeln!(out, "limit at 512 x 512 on a quiet two-core machine: {LIMIT} s")?;
    }
    if let Some(peak) = memory("VmHWM") {
        writeln!(out, "peak memory {peak} MB")?;
    }
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Operations per second of a large matrix product: what the machine gives us at this moment.
fn product(place: Placement) -> f64 {
    let (m, k, n) = (4096, 1280, 4096);
    let (a, b) = (place.place(&randn(2, &[m, k])), place.place(&randn(3, &[k, n])));
    let _ = a.matmul(&b);
    wait(place.device);
    let (_, spent) = timed(|| {
        for _ in 0..3 {
            let _ = a.matmul(&b);
        }
        wait(place.device);
    });
    3.0 * 2.0 * (m * k * n) as f64 / spent.as_secs_f64()
}

/// Waits until a GPU has done what it was given.
fn wait(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

/// A line of `/proc/self/status`, in megabytes.
fn memory(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
