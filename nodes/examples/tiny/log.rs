//! What is said on the way: a table, a file of losses, and their plot.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use crate::budget::Clock;
use crate::checkpoint::write;

/// Losses stay on the device until so many have come together.
const FETCHED_TOGETHER: usize = 50;
/// Seconds between two lines of the table.
const LINE: f64 = 5.0;

/// The log of one stage.
pub(crate) struct Log {
    stage: &'static str,
    batch: usize,
    path: PathBuf,
    /// Step, seconds, rate, and the losses: the one that is minimised and the plain one.
    waiting: Vec<(u64, f64, f64, [Tensor; 2])>,
    fetched_at: f64,
    printed_at: f64,
    /// Sums and number of the losses since the last line.
    sums: (f64, f64, usize),
}

impl Log {
    /// Adds to the file of losses in a directory.
    pub(crate) fn new(stage: &'static str, batch: usize, directory: &Path) -> Result<Self> {
        let path = directory.join("loss.csv");
        if !path.exists() {
            fs_err::write(&path, "stage,step,seconds,loss,plain,rate\n")?;
        }
        say(&format!(
            "{stage:>12} {:>8} {:>8} {:>9} {:>9} {:>9} {:>10}",
            "step", "seconds", "loss", "plain", "rate", "samples/s"
        ))?;
        Ok(Self { stage, batch, path, waiting: Vec::new(), fetched_at: 0.0, printed_at: 0.0, sums: (0.0, 0.0, 0) })
    }

    /// Notes a step. Waits for the device now and then.
    pub(crate) fn step(&mut self, step: u64, rate: f64, losses: [Tensor; 2], clock: &Clock) -> Result<()> {
        let seconds = clock.seconds();
        self.waiting.push((step, seconds, rate, losses.map(|loss| loss.detach())));
        if self.waiting.len() >= FETCHED_TOGETHER || seconds - self.fetched_at > LINE {
            self.fetch(clock)?;
        }
        Ok(())
    }

    /// Fetches the losses, writes them down, and prints a line if it is time.
    pub(crate) fn fetch(&mut self, clock: &Clock) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(&(step, _, rate, _)) = waiting.last() else { return Ok(()) };
        let losses: Vec<&Tensor> = waiting.iter().flat_map(|(_, _, _, losses)| losses).collect();
        let losses = Tensor::stack(&losses, 0).to_device(Device::Cpu).to_kind(Kind::Double);
        let losses = Vec::<f64>::try_from(losses)?;
        let mut lines = String::new();
        for ((step, seconds, rate, _), pair) in waiting.iter().zip(losses.chunks(2)) {
            writeln!(lines, "{},{step},{seconds:.2},{:.6},{:.6},{rate:.3e}", self.stage, pair[0], pair[1])?;
            self.sums = (self.sums.0 + pair[0], self.sums.1 + pair[1], self.sums.2 + 1);
        }
        let mut file = fs_err::OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(lines.as_bytes())?;
        let seconds = clock.seconds();
        self.fetched_at = seconds;
        if seconds - self.printed_at >= LINE || clock.progress() >= 1.0 {
            let (loss, plain, count) = self.sums;
            let (count, spent) = (count as f64, seconds - self.printed_at);
            let speed = count * self.batch as f64 / spent.max(1e-9);
            let (loss, plain) = (loss / count, plain / count);
            say(&format!(
                "{:>12} {step:>8} {seconds:>8.1} {loss:>9.5} {plain:>9.5} {rate:>9.1e} {speed:>10.1}",
                self.stage
            ))?;
            (self.printed_at, self.sums) = (seconds, (0.0, 0.0, 0));
        }
        Ok(())
    }
}

/// Prints a line.
pub(crate) fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const MARGIN: f64 = 50.0;
/// The most points of a curve.
const POINTS: usize = 300;

/// Draws the losses of `loss.csv` as `loss.svg` beside it: one panel for each stage, means over neighbouring steps.
pub(crate) fn plot(directory: &Path) -> Result<()> {
    let text = fs_err::read_to_string(directory.join("loss.csv"))?;
    let mut stages: Vec<(&str, Vec<f64>)> = Vec::new();
    for line in text.lines().skip(1) {
        let mut fields = line.split(',');
        let (Some(stage), Some(loss)) = (fields.next(), fields.nth(2)) else { continue };
        let loss: f64 = loss.parse().with_context(|| format!("loss.csv has the loss {loss:?}, which is no number"))?;
        match stages.iter_mut().find(|(of, _)| *of == stage) {
            Some((_, losses)) => losses.push(loss),
            None => stages.push((stage, vec![loss])),
        }
    }
    let height = HEIGHT * stages.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, (stage, losses)) in stages.iter().enumerate() {
        panel(&mut svg, HEIGHT * number as f64, stage, losses)?;
    }
    svg.push_str("</svg>\n");
    write(&directory.join("loss.svg"), svg.as_bytes())
}

/// One curve, the loss on a logarithmic scale.
fn panel(svg: &mut String, top: f64, stage: &str, losses: &[f64]) -> Result<()> {
    let together = losses.len().div_ceil(POINTS).max(1);
    let means: Vec<f64> = losses.chunks(together).map(|part| part.iter().sum::<f64>() / part.len() as f64).collect();
    let finite = || means.iter().copied().filter(|mean| mean.is_finite() && *mean > 0.0);
    let (low, high) = (finite().fold(f64::MAX, f64::min), finite().fold(f64::MIN_POSITIVE, f64::max));
    let range = (high.ln() - low.ln()).max(1e-9);
    let (width, height) = (WIDTH - 2.0 * MARGIN, HEIGHT - 2.0 * MARGIN);
    let y = |loss: f64| top + MARGIN + height * (high.ln() - loss.ln()) / range;
    let x = |index: usize| MARGIN + width * index as f64 / (means.len().max(2) - 1) as f64;
    writeln!(svg, "<text x=\"{MARGIN}\" y=\"{}\">{stage}: loss over {} steps</text>", top + 30.0, losses.len())?;
    for part in 0..=4 {
        let loss = (low.ln() + range * f64::from(part) / 4.0).exp();
        let at = y(loss);
        writeln!(svg, "<path d=\"M{MARGIN} {at:.1}H{:.1}\" stroke=\"#ddd\"/>", MARGIN + width)?;
        writeln!(svg, "<text x=\"4\" y=\"{:.1}\">{loss:.4}</text>", at + 4.0)?;
    }
    let points = means.iter().enumerate().filter(|(_, mean)| mean.is_finite() && **mean > 0.0);
    let points: Vec<String> = points.map(|(index, mean)| format!("{:.1},{:.1}", x(index), y(*mean))).collect();
    writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f77b4\" stroke-width=\"1.5\"/>", points.join(" "))?;
    Ok(())
}
