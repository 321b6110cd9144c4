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

/// Each expected picture against the one that the same node saved as the same of its pictures, and the nodes that saved more than that.
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
    all.chain(more_than(expected, found, prompt)).collect()
}

/// The nodes that saved more pictures than are expected of them.
fn more_than<'a>(
    expected: &'a [SavedPicture],
    found: &'a [(NodeId, PathBuf)],
    prompt: &'a Prompt,
) -> impl Iterator<Item = Deviation> + 'a {
    let first = |at: &usize| !expected.iter().take(*at).any(|other| other.node == expected[*at].node);
    let nodes = (0..expected.len()).filter(first).map(|at| &expected[at].node);
    nodes.filter_map(move |node| {
        let wanted = expected.iter().filter(|picture| picture.node == *node).count();
        let there = found.iter().filter(|(saved, _)| saved == node).count();
        let words = || format!("{there} pictures were saved, and {wanted} expected");
        (there > wanted).then(|| Deviation {
            key: node.to_string(),
            place: Place::of_node(node, prompt),
            distance: Distance::unreadable(words()),
            tolerance: 0.0,
        })
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_more_than_expected_is_a_difference() {
        let picture = SavedPicture { node: "9".into(), name: "a".to_owned(), path: PathBuf::new(), tolerance: 0.0 };
        let found = ["9", "9", "7"].map(|node| (NodeId::from(node), PathBuf::new()));
        let all = of_pictures(std::slice::from_ref(&picture), &found, &Prompt::default());
        assert_eq!(all.len(), 2);
        assert!(all[1].is_beyond());
        assert_eq!(all[1].to_string(), "node 9: 2 pictures were saved, and 1 expected");
        assert_eq!(of_pictures(&[picture.clone(), picture], &found, &Prompt::default()).len(), 2);
    }
}
