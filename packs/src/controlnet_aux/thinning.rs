//! Thin lines: local maxima, and lines thinned to one pixel by patterns of 3 × 3.

use anyhow::Result;
use redraft_engine::memory;

use crate::opencv::morphology::{Offset, dilate};
use crate::opencv::{Going, Raster};

/// Keeps values that are largest of three along any of four directions; all others become 0.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(super) fn maxima(picture: &Raster<u8>, going: Going) -> Result<Raster<u8>> {
    const DIRECTIONS: [[Offset; 3]; 4] =
        [[(-1, 0), (0, 0), (1, 0)], [(0, -1), (0, 0), (0, 1)], [(-1, -1), (0, 0), (1, 1)], [(1, -1), (0, 0), (-1, 1)]];
    let mut made = Raster::blank(picture.width, picture.height, picture.channels)?;
    for direction in DIRECTIONS {
        let largest = dilate(picture, &direction, going)?;
        for ((into, value), largest) in made.values.iter_mut().zip(&picture.values).zip(&largest.values) {
            if value == largest {
                *into = *value;
            }
        }
    }
    Ok(made)
}

/// 1 is white, -1 black, 0 either. What lies beyond the picture fits both.
type Pattern = [[i8; 3]; 3];

const ENDS_OF_ROWS: [Pattern; 2] = [[[-1, -1, -1], [0, 1, 0], [1, 1, 1]], [[0, -1, -1], [1, 1, -1], [0, 1, 0]]];
const SPURS: [Pattern; 2] = [[[-1, -1, -1], [-1, 1, -1], [0, 0, -1]], [[-1, -1, -1], [-1, 1, -1], [-1, 0, 0]]];

/// Takes white pixels (255) off a picture of one channel until lines are thin, and with `prune` once the ends of what is left.
///
/// # Errors
/// If there is too little memory, or `going` fails.
pub(super) fn thin(picture: &mut Raster<u8>, prune: bool, going: Going) -> Result<()> {
    const MOST_ROUNDS: usize = 32;
    let count = picture.values.iter().filter(|value| **value == 255).count();
    memory::ask(count.saturating_mul(2 * size_of::<usize>()), "the lines")?;
    let mut white: Vec<usize> = (0..picture.values.len()).filter(|at| picture.values[*at] == 255).collect();
    for _ in 0..MOST_ROUNDS {
        if !round(picture, &mut white, ENDS_OF_ROWS, going)? {
            break;
        }
    }
    if prune {
        round(picture, &mut white, SPURS, going)?;
    }
    Ok(())
}

/// Removes what fits the patterns, one after the other, turned in four ways. Whether anything did.
fn round(picture: &mut Raster<u8>, white: &mut Vec<usize>, mut patterns: [Pattern; 2], going: Going) -> Result<bool> {
    let before = white.len();
    for _ in 0..4 {
        for pattern in patterns {
            going()?;
            let fitting: Vec<usize> = white.iter().copied().filter(|at| fits(picture, *at, &pattern)).collect();
            fitting.into_iter().for_each(|at| picture.values[at] = 0);
            white.retain(|at| picture.values[*at] == 255);
        }
        patterns = patterns.map(turned);
    }
    Ok(white.len() < before)
}

/// A quarter to the left.
fn turned(pattern: Pattern) -> Pattern {
    std::array::from_fn(|row| std::array::from_fn(|column| pattern[column][2 - row]))
}

fn fits(picture: &Raster<u8>, at: usize, pattern: &Pattern) -> bool {
    let (x, y) = (at % picture.width, at / picture.width);
    pattern.iter().enumerate().all(|(down, row)| {
        row.iter().enumerate().all(|(right, wanted)| {
            let (x, y) = ((x + right).wrapping_sub(1), (y + down).wrapping_sub(1));
            if *wanted == 0 || x >= picture.width || y >= picture.height {
                return true;
            }
            (picture.row(y)[x] == 255) == (*wanted == 1)
        })
    })
}
