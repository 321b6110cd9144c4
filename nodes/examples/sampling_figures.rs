//! The figures of docs/sampling.md, measured on a tiny checkpoint with random weights.
//!
//! `cargo run --release -p redraft-nodes --example sampling_figures`
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;

use anyhow::Result;
use redraft_nodes::diffusion::extra_conds::ExtraConds;
use redraft_nodes::diffusion::latent_format;
use redraft_nodes::diffusion::network::{Inputs, Network};
use redraft_nodes::diffusion::parameterisation::Parameterisation;
use redraft_nodes::files::weights::Weights;
use redraft_nodes::models::families::recognise;
use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use redraft_nodes::models::unet::{Heads, UNet};
use redraft_nodes::ops::noise::{Stream, randn};
use redraft_nodes::ops::numerics::Numerics;
use redraft_nodes::sampling::guidance::{Batching, Guide};
use redraft_nodes::sampling::hooks::Hooks;
use redraft_nodes::sampling::ksampler::{SampleRequest, SigmasRequest, sample, sample_sigmas};
use redraft_nodes::sampling::ready::ReadyModel;
use redraft_nodes::sampling::samplers::{SAMPLERS, Sampler};
use redraft_nodes::sampling::schedules::{Schedule, window};
use redraft_nodes::values::{Conditioning, Latent};
use tch::Tensor;

/// A network that counts its calls.
struct Counting {
    unet: UNet,
    calls: Rc<Cell<usize>>,
}

impl Network for Counting {
    fn predict(&self, inputs: &Inputs) -> Result<Tensor> {
        self.calls.set(self.calls.get() + 1);
        self.unet.forward(inputs)
    }
}

struct Bench {
    model: ReadyModel,
    calls: Rc<Cell<usize>>,
    guide: Guide,
}

impl Bench {
    /// The samples of a KSampler run (or with `start`, KSamplerAdvanced's), and how often the network was called.
    fn run(&self, latent: &Tensor, steps: usize, denoise: f64, start: Option<usize>) -> (Tensor, usize) {
        self.calls.set(0);
        let request = SampleRequest {
            seed: 1,
            steps,
            cfg: 4.0,
            sampler: Sampler::named("euler").unwrap(),
            schedule: Schedule::named("normal").unwrap(),
            positive: self.guide.conditionings[0].clone(),
            negative: self.guide.conditionings[1].clone(),
            latent: Latent::new(latent.shallow_clone()),
            denoise,
            add_noise: true,
            start_at_step: start,
            end_at_step: None,
            force_full_denoise: start.is_some(),
            batching: Batching::Together,
        };
        let result = sample(&self.model, &request, &mut |_, _, _| Ok(())).unwrap();
        (result.samples, self.calls.get())
    }

    /// Eight steps of a sampler from the same initial noise, with a seed of its own for what it adds.
    fn eight_steps(&self, sampler: &Sampler, seed: u64) -> (Tensor, usize) {
        self.calls.set(0);
        let schedule = Schedule::named("karras").unwrap();
        let discard = sampler.discards_penultimate;
        let noise = randn(7, &[1, 4, 8, 8]);
        let latent = Latent::new(noise.zeros_like());
        let request = SigmasRequest {
            seed,
            noise,
            stream: Stream::seeded(7),
            guide: &self.guide,
            sampler,
            sigmas: &schedule.for_ksampler(&self.model.sampling, 8, 1.0, discard).unwrap(),
            latent: &latent,
            batching: Batching::Together,
        };
        let result = sample_sigmas(&self.model, &request, &mut |_, _, _| Ok(())).unwrap();
        (result.samples, self.calls.get())
    }
}

fn apart(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).square().mean(tch::Kind::Double).sqrt().double_value(&[])
}

fn correlation(a: &Tensor, b: &Tensor) -> f64 {
    let centred = |t: &Tensor| t - t.mean(tch::Kind::Float);
    let (a, b) = (centred(a), centred(b));
    let product = (&a * &b).sum(tch::Kind::Double).double_value(&[]);
    product / (a.norm().double_value(&[]) * b.norm().double_value(&[]))
}

fn main() -> Result<()> {
    let _guard = tch::no_grad_guard();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tiny.safetensors");
    write_random_checkpoint(&path, Layout::Sd1, Size::Tiny, 1, false)?;
    let unet = UNet::load(&recognise(&Weights::open(&path)?)?.model()?.weights, &Numerics::cpu(), Heads::Count(8))?;
    let text = |seed| Conditioning::from(randn(seed, &[1, 77, unet.context_width()]));
    let guide = Guide::cfg(&text(11), &text(12), 4.0);
    let calls = Rc::new(Cell::new(0));
    let model = ReadyModel {
        network: Rc::new(Counting { unet, calls: calls.clone() }),
        sampling: Rc::new(Parameterisation::sd15()),
        latent_format: &latent_format::SD15,
        extra_conds: Box::new(|_| Ok(ExtraConds::default())),
        controls: Box::new(|_| anyhow::bail!("nothing steers it")),
        grounders: Box::new(|_| anyhow::bail!("nothing grounds it")),
        hooks: Hooks::default(),
    };
    let bench = Bench { model, calls, guide };
    let mut out = std::io::stdout().lock();
    levels(&bench, &mut out)?;
    shining_through(&bench, &mut out)?;
    determinism(&bench, &mut out)
}

/// What denoise and start_at_step do to 20 steps of euler on the schedule normal.
fn levels(bench: &Bench, out: &mut impl Write) -> Result<()> {
    let (schedule, latent) = (Schedule::named("normal")?, randn(21, &[1, 4, 8, 8]));
    writeln!(
        out,
        "| KSampler, steps 20, denoise | schedule of | first noise level | calls | distance from the input |"
    )?;
    writeln!(out, "|---|---|---|---|---|")?;
    for denoise in [1.0, 0.95, 0.8, 0.5, 0.2, 0.05, 0.0] {
        let sigmas = schedule.for_ksampler(&bench.model.sampling, 20, denoise, false)?.0;
        let (result, calls) = bench.run(&latent, 20, denoise, None);
        let total = if denoise > 0.0 { format!("{}", (20.0 / denoise) as usize) } else { "-".to_owned() };
        let first = sigmas.first().map_or("-".to_owned(), |sigma| format!("{sigma:.4}"));
        writeln!(out, "| {denoise} | {total} | {first} | {calls} | {:.3} |", apart(&result, &latent))?;
    }
    writeln!(
        out,
        "\n| KSamplerAdvanced, steps 20, start_at_step | first noise level | calls | distance from the input |"
    )?;
    writeln!(out, "|---|---|---|---|")?;
    for start in [0, 1, 4, 10, 16, 19, 20] {
        let all = schedule.levels(&bench.model.sampling, 20)?;
        let first = window(&all, Some(start), None, true).map_or("-".to_owned(), |kept| format!("{:.4}", kept.0[0]));
        let (result, calls) = bench.run(&latent, 20, 1.0, Some(start));
        writeln!(out, "| {start} | {first} | {calls} | {:.3} |", apart(&result, &latent))?;
    }
    writeln!(out)?;
    Ok(())
}

/// How much of the input shows at denoise 1.0.
fn shining_through(bench: &Bench, out: &mut impl Write) -> Result<()> {
    let inputs = [randn(31, &[1, 4, 8, 8]) * 5.0, randn(32, &[1, 4, 8, 8]) * 5.0];
    let empty = bench.run(&inputs[0].zeros_like(), 20, 1.0, None).0;
    let [a, b] = inputs.each_ref().map(|input| bench.run(input, 20, 1.0, None).0);
    writeln!(out, "| at denoise 1.0 | |\n|---|---|")?;
    writeln!(out, "| spread of text2image's latent | {:.3} |", empty.std(false).double_value(&[]))?;
    writeln!(out, "| distance between image2image of two inputs | {:.3} |", apart(&a, &b))?;
    writeln!(out, "| distance of each from text2image | {:.3}, {:.3} |", apart(&a, &empty), apart(&b, &empty))?;
    let own = [correlation(&(&a - &empty), &inputs[0]), correlation(&(&b - &empty), &inputs[1])];
    let other = [correlation(&(&a - &empty), &inputs[1]), correlation(&(&b - &empty), &inputs[0])];
    writeln!(out, "| correlation of (result - text2image) with its own input | {:.3}, {:.3} |", own[0], own[1])?;
    writeln!(out, "| the same with the other's input | {:.3}, {:.3} |\n", other[0], other[1])?;
    Ok(())
}

/// Which samplers depend on the seed beyond the initial noise.
fn determinism(bench: &Bench, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "| sampler | calls for 8 steps | same seed twice | another seed, same initial noise |\n|---|---|---|---|"
    )?;
    for sampler in SAMPLERS {
        let (first, calls) = bench.eight_steps(sampler, 1);
        let (again, other) = (bench.eight_steps(sampler, 1).0, bench.eight_steps(sampler, 2).0);
        let same =
            |a: &Tensor, b: &Tensor| if a == b { "equal".to_owned() } else { format!("{:.3} apart", apart(a, b)) };
        writeln!(out, "| {} | {calls} | {} | {} |", sampler.name, same(&first, &again), same(&first, &other))?;
    }
    Ok(())
}
