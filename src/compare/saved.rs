//! Saved pictures, compared by what they show, not by the bytes of their files.

use std::path::{Path, PathBuf};

use redraft_engine::prompt::{NodeId, Prompt};
use redraft_nodes::pictures::read::read;
use tch::{Kind, Tensor};

use super::{Deviation, Distance, Place, distance};

/// One step of 255: where a value lies between two, rounding decides.
pub(crate) const PICTURE_STEP: f64 = 1.0 / 255.0;

/// A picture that a node saved.
#[derive(Clone, Debug)]
pub(crate) struct SavedPicture {
    pub(crate) node: NodeId,
    /// What it is called in messages.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// How far it may be from what is expected.
    pub(crate) tolerance: f64,
}

/// Each expected picture against the one that the same node saved as the same of its pictures.
pub(crate) fn of_pictures(expected: &[SavedPicture], found: &[(NodeId, PathBuf)], prompt: &Prompt) -> Vec<Deviation> {
    let number = |at: usize| expected[..at].iter().filter(|other| other.node == expected[at].node).count();
    let all = expected.iter().enumerate().map(|(at, picture)| {
        let mut same = found.iter().filter(|(node, _)| *node == picture.node);
        let distance = match same.nth(number(at)) {
            Some((_, path)) => of_files(&picture.path, path),
            None => Distance::unreadable("no such picture was saved"),
        };
        let place = Place { part: picture.name.clone(), ..Place::of_node(&picture.node, prompt) };
        // Half a step for the arithmetic of float32.
        Deviation { key: picture.name.clone(), place, distance, tolerance: picture.tolerance * (1.0 + 1e-4) }
    });
    all.collect()
}

/// How far the pictures in two files are apart: colours, and transparency where there is any.
fn of_files(expected: &Path, found: &Path) -> Distance {
    let both = [expected, found].map(with_alpha);
    match both {
        [Ok(expected), Ok(found)] => distance(&expected, &found),
        [Err(error), _] | [_, Err(error)] => Distance::unreadable(format!("{error:#}")),
    }
}

/// B × H × W × 3, or × 4 of a picture with transparency.
pub(crate) fn with_alpha(path: &Path) -> anyhow::Result<Tensor> {
    let picture = read(path)?;
    let (colours, mask) = (picture.image, picture.mask);
    let has_alpha = mask.size()[..] == colours.size()[..3] && mask.count_nonzero(None::<i64>).int64_value(&[]) > 0;
    Ok(if has_alpha { Tensor::cat(&[colours, mask.to_kind(Kind::Float).unsqueeze(-1)], -1) } else { colours })
}
