//! The background of a picture, also where a shape hides it.

use std::collections::BTreeSet;

use super::region::{self, Region};
use crate::drawing::colour::distance;

/// The steepest slope within one surface, in CIELAB per pixel of 128.
const STEP: f32 = 5.0;
/// The least part of the picture that the background fills.
const LEAST: f32 = 0.1;
/// How far inside its surface a background has its own colour, untouched by what lies on it, in pixels of 128.
const CLEAR: u32 = 3;
/// What more terms must bring the fit's error down to, as a part of it.
const WORTH: f32 = 0.8;
/// How many functions of the place an estimate is a sum of, at most.
const TERMS: usize = 6;

type Terms = fn([f64; 2]) -> [f64; TERMS];
type Fit = [[f64; TERMS]; 3];

/// Two estimates of the background's colour (CIELAB) at every pixel.
pub(super) struct Background {
    /// What the nearest background in sight looks like: right beside a shape.
    near: Vec<[f32; 3]>,
    /// A smooth function of the place, fitted to what is in sight: right within a ring.
    smooth: Vec<[f32; 3]>,
}

impl Background {
    /// The background of a picture: the surface that holds most of its edge. None where that is small.
    pub(super) fn of(colours: &[[f32; 3]], size: usize) -> Option<Background> {
        let colours = smoothed(colours, size);
        let surface = edge_surface(&colours, size);
        let inside = surface.depth().into_iter().map(|depth| depth > CLEAR * size as u32 / 128).collect();
        let sight = Region { size, inside };
        if sight.area() < LEAST * (size * size) as f32 {
            return None;
        }
        Some(Background { near: spread(&colours, &sight), smooth: smooth(&colours, &sight)? })
    }

    /// How much a pixel of this colour differs from it, in CIELAB.
    pub(super) fn difference(&self, at: usize, colour: [f32; 3]) -> f32 {
        distance(self.near[at], colour).min(distance(self.smooth[at], colour))
    }
}

/// Every pixel's colour where it is in sight; elsewhere the mean of its neighbours nearer to sight.
fn spread(colours: &[[f32; 3]], sight: &Region) -> Vec<[f32; 3]> {
    let mut spread: Vec<Option<[f32; 3]>> =
        colours.iter().zip(&sight.inside).map(|(&colour, &inside)| inside.then_some(colour)).collect();
    let mut ring: Vec<usize> = sight.pixels().collect();
    while !ring.is_empty() {
        let mut next = BTreeSet::new();
        for at in ring {
            region::neighbours(at, sight.size, |other| {
                if spread[other].is_none() {
                    next.insert(other);
                }
            });
        }
        let mean = |&at: &usize| {
            let (mut sum, mut count) = ([0.0; 3], 0.0);
            region::neighbours(at, sight.size, |other| {
                if let Some(colour) = spread[other] {
                    count += 1.0;
                    sum = std::array::from_fn(|i| sum[i] + colour[i]);
                }
            });
            (at, sum.map(|v| v / count))
        };
        let means: Vec<(usize, [f32; 3])> = next.iter().map(mean).collect();
        means.into_iter().for_each(|(at, colour)| spread[at] = Some(colour));
        ring = next.into_iter().collect();
    }
    spread.into_iter().map(|colour| colour.expect("every pixel is reached from sight")).collect()
}

/// The least function of the place that fits well to what is in sight.
///
/// Few terms on purpose: what a shape hides is guessed from around it, and a function that bends more guesses wildly.
fn smooth(colours: &[[f32; 3]], sight: &Region) -> Option<Vec<[f32; 3]>> {
    let place =
        |at: usize| [at % sight.size, at / sight.size].map(|v| (v as f64 + 0.5) / sight.size as f64 * 2.0 - 1.0);
    let models: [Terms; 3] = [
        |[x, y]| [1.0, x, y, 0.0, 0.0, 0.0],
        |[x, y]| [1.0, x, y, x.hypot(y), 0.0, 0.0],
        |[x, y]| [1.0, x, y, x * x, x * y, y * y],
    ];
    let mut best: Option<(f32, Vec<[f32; 3]>)> = None;
    for terms in models {
        let fit = fit(sight.pixels().map(|at| (terms(place(at)), colours[at])))?;
        let value = |at| fit.map(|axis| axis.iter().zip(terms(place(at))).map(|(a, b)| a * b).sum::<f64>() as f32);
        let values: Vec<[f32; 3]> = (0..colours.len()).map(value).collect();
        let sum: f32 = sight.pixels().map(|at| distance(colours[at], values[at]).powi(2)).sum();
        let error = (sum / sight.area()).sqrt();
        if best.as_ref().is_none_or(|(least, _)| error < WORTH * least) {
            best = Some((error, values));
        }
    }
    best.map(|(_, values)| values)
}

/// The mean of each pixel and its neighbours.
fn smoothed(colours: &[[f32; 3]], size: usize) -> Vec<[f32; 3]> {
    let mean = |at: usize| {
        let (x, y) = (at % size, at / size);
        let mut sum = [0.0; 3];
        let mut count = 0.0;
        for y in y.saturating_sub(1)..(y + 2).min(size) {
            for x in x.saturating_sub(1)..(x + 2).min(size) {
                count += 1.0;
                for (sum, v) in sum.iter_mut().zip(colours[y * size + x]) {
                    *sum += v;
                }
            }
        }
        sum.map(|v| v / count)
    };
    (0..colours.len()).map(mean).collect()
}

/// The surface that holds most pixels of the picture's edge: connected, and nowhere steep.
///
/// Steepness is that of the slope, in whatever direction: along the blurred edge of a shape colours change slowly.
fn edge_surface(colours: &[[f32; 3]], size: usize) -> Region {
    let steepest = STEP * 128.0 / size as f32;
    let slope = |at: usize| {
        let (x, y) = (at % size, at / size);
        let across = (y * size + (x + 1).min(size - 1), y * size + x.saturating_sub(1));
        let down = ((y + 1).min(size - 1) * size + x, y.saturating_sub(1) * size + x);
        [across, down]
            .map(|(one, other)| distance(colours[one], colours[other]) / 2.0)
            .into_iter()
            .fold(0.0, f32::hypot)
    };
    let even: Vec<bool> = (0..colours.len()).map(|at| slope(at) < steepest).collect();
    let at_edge = |part: &Vec<usize>| part.iter().filter(|&&at| region::at_edge(at, size)).count();
    let mut inside = vec![false; colours.len()];
    let surface = region::parts(&even, true, size).into_iter().max_by_key(at_edge).unwrap_or_default();
    surface.into_iter().for_each(|at| inside[at] = true);
    Region { size, inside }
}

/// The least-squares fit of colours to terms, drawn to 0 a little.
fn fit(points: impl Iterator<Item = ([f64; TERMS], [f32; 3])>) -> Option<Fit> {
    let mut rows = [[0.0; TERMS + 3]; TERMS];
    for (terms, colour) in points {
        for (row, term) in rows.iter_mut().zip(terms) {
            for (sum, other) in row.iter_mut().zip(terms.into_iter().chain(colour.map(f64::from))) {
                *sum += term * other;
            }
        }
    }
    let count = rows[0][0];
    for (i, row) in rows.iter_mut().enumerate().skip(1) {
        row[i] += 1e-4 * count;
    }
    // Gauss-Jordan elimination; the matrix is positive definite, so it needs no pivoting.
    for i in 0..TERMS {
        let pivot = rows[i];
        if pivot[i] <= 0.0 {
            return None;
        }
        for j in (0..TERMS).filter(|&j| j != i) {
            let factor = rows[j][i] / pivot[i];
            rows[j].iter_mut().zip(pivot).for_each(|(v, p)| *v -= factor * p);
        }
    }
    Some(std::array::from_fn(|axis| std::array::from_fn(|i| rows[i][TERMS + axis] / rows[i][i])))
}
