//! How much of a draft image2image keeps, by where in the schedule it starts.

use std::path::PathBuf;

use anyhow::Result;
use rand::SeedableRng;
use rand_pcg::Pcg64;

use crate::checker::single;
use crate::painter::{Canvas, Painter, Part, Settings};
use crate::report::{Report, Row, sheet};

/// Measures the correlation of image2image's pictures with their drafts.
#[derive(Debug, clap::Args)]
pub(crate) struct Keeps {
    checkpoint: PathBuf,
    /// Where the tables (keeps.md) and the pictures (keeps.png) are written.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    canvas: Canvas,
    /// How many drafts.
    #[arg(long, default_value_t = 16)]
    count: usize,
    #[arg(long, default_value_t = 7.0)]
    guidance: f64,
    #[command(flatten)]
    settings: Settings,
}

/// Twentieths of the schedule at which KSamplerAdvanced starts.
const STARTS: [usize; 8] = [0, 1, 2, 4, 6, 9, 14, 20];
const DENOISE: [f64; 11] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0];
/// Seed of the drafts; none that is trained with.
const DRAFTS: u64 = 0xd4af7;
/// Drafts that are shown.
const SHOWN: usize = 8;

impl Keeps {
    pub(crate) fn run(&self) -> Result<()> {
        fs_err::create_dir_all(&self.out)?;
        let mut rng = Pcg64::seed_from_u64(DRAFTS);
        let scenes: Vec<_> = (0..self.count).map(|_| single(&mut rng)).collect();
        let drafts: Vec<Vec<u8>> = scenes.iter().map(|scene| scene.draw(self.canvas.size)).collect();
        let own: Vec<String> = scenes.iter().map(|scene| scene.caption(&mut rng)).collect();
        // Each draft under the caption of the next.
        let mut other = own.clone();
        other.rotate_left(1);

        let painter = Painter::open(&self.checkpoint, self.canvas.device.open(false)?, &self.settings)?;
        let latents = painter.latents(&drafts, self.canvas.size)?;
        let mut report = Report::begin(&format!(
            "Correlation of pixels with the draft, mean of {} drafts; {}, guidance {}\n",
            self.count, self.settings, self.guidance
        ))?;
        let mut shown: Vec<Vec<Vec<u8>>> = vec![drafts.clone()];
        let steps = self.settings.steps;
        let starts = STARTS.map(|start| (format!("{}", start * steps / 20), Part::From(start * steps / 20)));
        let denoise = DENOISE.map(|denoise| (format!("{denoise}"), Part::Denoise(denoise)));
        for (name, parts) in [("start_at_step", &starts[..]), ("denoise", &denoise[..])] {
            report.line(&format!("| {name} | under another draft's caption | under its own |\n|---|---|---|"))?;
            let mut falls = true;
            let mut before = [-1.0; 2];
            for (value, part) in parts {
                let mut kept = [0.0; 2];
                for (kept, captions) in kept.iter_mut().zip([&other, &own]) {
                    let pictures = painter.pictures(&painter.sample(captions, &latents, self.guidance, *part)?)?;
                    *kept = mean(drafts.iter().zip(&pictures).map(|(draft, picture)| correlation(draft, picture)));
                    if std::ptr::eq(captions, &other) && name == "start_at_step" {
                        shown.push(pictures);
                    }
                }
                falls &= kept.iter().zip(before).all(|(kept, before)| *kept >= before);
                before = kept;
                report.line(&format!("| {value} | {:.3} | {:.3} |", kept[0], kept[1]))?;
            }
            let falls = if falls { "rises" } else { "does not rise" };
            report.line(&format!("\nFrom the top down the correlation {falls} at every step.\n"))?;
        }
        report.keep(&self.out.join("keeps.md"))?;
        self.show(&shown, &other)
    }

    /// A row for each draft: the draft, then what became of it from each start.
    fn show(&self, shown: &[Vec<Vec<u8>>], captions: &[String]) -> Result<()> {
        let row = |row: usize| shown.iter().map(|column| column[row].clone()).collect::<Row>();
        let rows: Vec<Row> = (0..SHOWN.min(self.count)).map(row).collect();
        sheet(&rows, self.canvas.size, shown.len(), &self.out.join("keeps.png"))?;
        let list: Vec<String> = captions.iter().take(SHOWN).map(|caption| format!("{caption}\n")).collect();
        Ok(fs_err::write(self.out.join("keeps.txt"), list.concat())?)
    }
}

/// Pearson's correlation of two pictures' values.
fn correlation(one: &[u8], other: &[u8]) -> f64 {
    let values = |of: &[u8]| of.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let centred = |of: Vec<f64>| {
        let mean = mean(of.iter().copied());
        of.into_iter().map(|v| v - mean).collect::<Vec<f64>>()
    };
    let (one, other) = (centred(values(one)), centred(values(other)));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    product(&one, &other) / (product(&one, &one) * product(&other, &other)).sqrt().max(f64::MIN_POSITIVE)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    sum / f64::max(count, 1.0)
}

#[cfg(test)]
mod tests {
    use super::correlation;

    #[test]
    fn correlation_is_that_of_a_line() {
        let ramp: Vec<u8> = (0..=255).collect();
        let half: Vec<u8> = ramp.iter().map(|v| 100 + v / 2).collect();
        let fall: Vec<u8> = ramp.iter().rev().copied().collect();
        assert!((correlation(&ramp, &ramp) - 1.0).abs() < 1e-12);
        assert!(correlation(&ramp, &half) > 0.9999);
        assert!((correlation(&ramp, &fall) + 1.0).abs() < 1e-12);
        assert_eq!(correlation(&ramp, &[7; 256]), 0.0);
    }
}
