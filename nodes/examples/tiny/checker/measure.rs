//! What was found against what was asked for, counted.

use std::fmt;

use rand::Rng;

use super::Found;
use crate::drawing::{Colour, Kind, Scene, Split};

/// How often each colour and kind that was asked for was found as which.
#[derive(Clone, Debug, Default)]
pub(crate) struct Confusion {
    count: u32,
    both: u32,
    /// Rows: asked; columns: found, the last for none.
    colours: [[u32; Colour::ALL.len() + 1]; Colour::ALL.len()],
    kinds: [[u32; Kind::ALL.len() + 1]; Kind::ALL.len()],
}

impl Confusion {
    pub(crate) fn add(&mut self, (colour, kind): (Colour, Kind), found: Option<Found>) {
        self.count += 1;
        self.both += u32::from(found.is_some_and(|found| found.colour == colour && found.kind == kind));
        self.colours[colour as usize][found.map_or(Colour::ALL.len(), |found| found.colour as usize)] += 1;
        self.kinds[kind as usize][found.map_or(Kind::ALL.len(), |found| found.kind as usize)] += 1;
    }

    /// The part of pictures with the colour that was asked for.
    pub(crate) fn colour(&self) -> f32 {
        self.part((0..self.colours.len()).map(|i| self.colours[i][i]).sum())
    }

    /// The part of pictures with the kind that was asked for.
    pub(crate) fn kind(&self) -> f32 {
        self.part((0..self.kinds.len()).map(|i| self.kinds[i][i]).sum())
    }

    /// The part of pictures with both.
    pub(crate) fn both(&self) -> f32 {
        self.part(self.both)
    }

    /// The part of pictures in which no shape was found.
    pub(crate) fn none(&self) -> f32 {
        self.part(self.kinds.iter().map(|row| row[Kind::ALL.len()]).sum())
    }

    fn part(&self, count: u32) -> f32 {
        count as f32 / self.count.max(1) as f32
    }
}

/// Both tables, asked down and found across.
impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        fn table<const N: usize, const M: usize>(
            f: &mut fmt::Formatter,
            names: [&str; N],
            rows: &[[u32; M]; N],
        ) -> fmt::Result {
            write!(f, "{:9}", "")?;
            names.iter().chain(&["none"]).try_for_each(|name| write!(f, "{name:>9}"))?;
            for (name, row) in names.iter().zip(rows) {
                write!(f, "\n{name:9}")?;
                row.iter().try_for_each(|count| write!(f, "{count:9}"))?;
            }
            writeln!(f)
        }
        table(f, Colour::ALL.map(Colour::name), &self.colours)?;
        writeln!(f)?;
        table(f, Kind::ALL.map(Kind::name), &self.kinds)
    }
}

/// A scene of one shape, of any colour and kind: one in five of the pairs that are held out.
pub(crate) fn single(rng: &mut impl Rng) -> Scene {
    let split = if rng.next_u32().is_multiple_of(5) { Split::HeldOut } else { Split::Train };
    loop {
        let scene = Scene::random(rng, split);
        if scene.shapes.len() == 1 {
            return scene;
        }
    }
}
