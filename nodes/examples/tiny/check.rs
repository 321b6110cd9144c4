//! Does the model draw what it is asked for? Counted on captions of pairs of colour and kind that it was never shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use redraft_nodes::models::random::{Layout, Size, write_random_checkpoint};
use tch::Tensor;

use crate::checker::{Confusion, Found, Templates, find};
use crate::drawing::{Colour, HELD_OUT, Kind, Scene, Split};
use crate::painter::{Canvas, Painter, Part, Settings};
use crate::report::{Report, framed_sheet};

/// Counts how often the model draws the colour and the kind that a caption asks for.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    checkpoint: PathBuf,
    /// Where the table (check.md), the pictures (check.png) and what was found in each (check.txt) are written.
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    canvas: Canvas,
    /// How many captions.
    #[arg(long, default_value_t = 200)]
    count: usize,
    /// Captions of pairs that were trained with, instead of those held out.
    #[arg(long)]
    seen: bool,
    #[command(flatten)]
    settings: Settings,
}

/// The guidance that is compared; the last one's pictures are shown.
const GUIDANCE: [f64; 2] = [1.0, 7.0];
/// Seed of the scenes whose captions are asked for; none that is trained with.
const SCENES: u64 = 0xc4ec;
const COLUMNS: u32 = 10;
const RIGHT: [u8; 3] = [40, 170, 70];
const HALF: [u8; 3] = [240, 190, 40];
const WRONG: [u8; 3] = [220, 40, 40];

/// A scene of one shape, and a caption of it.
struct Asked {
    scene: Scene,
    caption: String,
}

impl Asked {
    fn pair(&self) -> (Colour, Kind) {
        (self.scene.shapes[0].colour, self.scene.shapes[0].kind)
    }
}

/// So many scenes of one shape, each pair of the split equally often.
fn asked(split: Split, count: usize) -> Vec<Asked> {
    let mut rng = Pcg64::seed_from_u64(SCENES);
    let pairs = Colour::ALL.len() * Kind::ALL.len();
    let pairs = if split == Split::HeldOut { HELD_OUT.len() } else { pairs - HELD_OUT.len() };
    let most = count.div_ceil(pairs);
    let mut seen: BTreeMap<(Colour, Kind), usize> = BTreeMap::new();
    let mut asked = Vec::new();
    while asked.len() < count {
        let scene = Scene::random(&mut rng, split);
        let caption = scene.caption(&mut rng);
        let one = Asked { scene, caption };
        let times = seen.entry(one.pair()).or_default();
        if one.scene.shapes.len() == 1 && *times < most {
            *times += 1;
            asked.push(one);
        }
    }
    asked
}

/// Pictures for captions, and what was found in each.
struct Judged {
    confusion: Confusion,
    pictures: Vec<Vec<u8>>,
    found: Vec<Option<Found>>,
}

impl Judged {
    fn new(pictures: Vec<Vec<u8>>, asked: &[Asked], size: u32) -> Judged {
        let templates = Templates::new();
        let found = pictures.iter().map(|pixels| find(pixels, size as usize, &templates)).collect();
        let mut judged = Judged { confusion: Confusion::default(), pictures, found };
        judged.confusion = judged.against(&asked.iter().map(Asked::pair).collect::<Vec<_>>());
        judged
    }

    /// The same pictures as if this had been asked for.
    fn against(&self, pairs: &[(Colour, Kind)]) -> Confusion {
        let mut confusion = Confusion::default();
        pairs.iter().zip(&self.found).for_each(|(pair, found)| confusion.add(*pair, *found));
        confusion
    }
}

/// For each caption what another one asks for: what pictures that have nothing to do with their captions would get.
fn others(asked: &[Asked]) -> Vec<(Colour, Kind)> {
    let mut pairs: Vec<(Colour, Kind)> = asked.iter().map(Asked::pair).collect();
    pairs.rotate_left(1);
    pairs
}

impl Check {
    pub(crate) fn run(&self) -> Result<()> {
        fs_err::create_dir_all(&self.out)?;
        let asked = asked(if self.seen { Split::Train } else { Split::HeldOut }, self.count);
        let which = if self.seen { "trained with" } else { "held out" };
        let head = format!("{} captions of pairs of colour and kind {which}; {}\n", asked.len(), self.settings);
        let mut report = Report::begin(&head)?;
        report.line("| pictures | colour right | kind right | both | nothing found |\n|---|---|---|---|---|")?;
        let drawn: Vec<Vec<u8>> = asked.iter().map(|asked| asked.scene.draw(self.canvas.size)).collect();
        report
            .line(&row("drawings of the captions", &Judged::new(drawn.clone(), &asked, self.canvas.size).confusion))?;

        let painter = self.painter(&self.checkpoint)?;
        let through = painter.pictures(&painter.latents(&drawn, self.canvas.size)?)?;
        report.line(&row("the same through the VAE", &Judged::new(through, &asked, self.canvas.size).confusion))?;
        let mut shown: Option<Judged> = None;
        for guidance in GUIDANCE {
            let judged = self.judged(&painter, &asked, guidance)?;
            report.line(&row(&format!("the model, guidance {guidance}"), &judged.confusion))?;
            shown = Some(judged);
        }

        if let Some(judged) = &shown {
            report.line(&row("the same against another caption", &judged.against(&others(&asked))))?;
        }

        let folder = tempfile::tempdir()?;
        let untrained = folder.path().join("untrained.safetensors");
        write_random_checkpoint(&untrained, Layout::Sd1, Size::Small, self.settings.seed, false)?;
        let untrained = self.judged(&self.painter(&untrained)?, &asked, GUIDANCE[1])?;
        report.line(&row(&format!("untrained, guidance {}", GUIDANCE[1]), &untrained.confusion))?;

        if let Some(judged) = shown {
            let (guidance, confusion) = (GUIDANCE[1], &judged.confusion);
            report.line(&format!("\nGuidance {guidance}, asked down, found across:\n\n```\n{confusion}```"))?;
            self.show(&judged, &asked)?;
        }
        report.keep(&self.out.join("check.md"))
    }

    fn painter(&self, checkpoint: &Path) -> Result<Painter> {
        Painter::open(checkpoint, self.canvas.device.open(false)?, &self.settings)
    }

    fn judged(&self, painter: &Painter, asked: &[Asked], guidance: f64) -> Result<Judged> {
        let captions: Vec<&str> = asked.iter().map(|asked| asked.caption.as_str()).collect();
        let empty: Tensor = painter.empty(asked.len(), self.canvas.size);
        let latents = painter.sample(&captions, &empty, guidance, Part::Denoise(1.0))?;
        Ok(Judged::new(painter.pictures(&latents)?, asked, self.canvas.size))
    }

    /// The pictures, framed green where both are right, yellow where one is, red where none is; and the list of captions.
    fn show(&self, judged: &Judged, asked: &[Asked]) -> Result<()> {
        let mut list = String::new();
        let mut framed = Vec::new();
        for (i, ((asked, found), picture)) in asked.iter().zip(&judged.found).zip(&judged.pictures).enumerate() {
            let (colour, kind) = asked.pair();
            let right = found.map_or(0, |found| u8::from(found.colour == colour) + u8::from(found.kind == kind));
            framed.push((picture.as_slice(), [WRONG, HALF, RIGHT][usize::from(right)]));
            let found = found.map_or("nothing".to_owned(), |found| {
                format!("{} {} (fit {:.2})", found.colour.name(), found.kind.name(), found.fit)
            });
            let (row, column) = (i / COLUMNS as usize + 1, i % COLUMNS as usize + 1);
            writeln!(list, "{row}.{column}  {}  ->  {found}", asked.caption)?;
        }
        framed_sheet(&framed, self.canvas.size, COLUMNS, &self.out.join("check.png"))?;
        Ok(fs_err::write(self.out.join("check.txt"), list)?)
    }
}

/// A row of the table.
fn row(name: &str, confusion: &Confusion) -> String {
    let [colour, kind, both, none] =
        [confusion.colour(), confusion.kind(), confusion.both(), confusion.none()].map(|part| part * 100.0);
    format!("| {name} | {colour:.1} % | {kind:.1} % | {both:.1} % | {none:.1} % |")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_asked_for_equally_often() {
        for (split, pairs) in [(Split::HeldOut, 10), (Split::Train, 70)] {
            let mut times: BTreeMap<(Colour, Kind), usize> = BTreeMap::new();
            for asked in asked(split, 140) {
                *times.entry(asked.pair()).or_default() += 1;
            }
            assert!(times.len() == pairs && times.values().all(|&times| times == 140 / pairs), "{times:?}");
        }
    }
}
