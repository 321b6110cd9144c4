//! SentencePiece's byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909): neighbours become one piece, the best ones first.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// The pieces of a vocabulary, and how good each is.
pub(super) struct MergedPairs {
    scores: HashMap<String, f32>,
}

/// Neighbours that would make a piece.
struct Pair {
    score: f32,
    /// The first byte of the left one.
    left: usize,
    /// The first byte of the right one.
    right: usize,
    /// Where the right one ends.
    end: usize,
}

impl Ord for Pair {
    /// The best is the greatest; of equal ones that which stands further left.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

impl MergedPairs {
    pub(super) fn new(pieces: impl Iterator<Item = (String, f32)>) -> Self {
        Self { scores: pieces.collect() }
    }

    /// The pieces of a text, in order. Single characters may be in no vocabulary.
    ///
    /// `fixed` are pieces that stay as they are.
    pub(super) fn split<'t>(&self, text: &'t str, fixed: &[String]) -> Vec<&'t str> {
        // By first bytes: where a piece ends (nowhere, if it is part of one further left), where the piece before it begins, and whether it
        // stays.
        let mut ends = vec![0; text.len()];
        let mut before: Vec<Option<usize>> = vec![None; text.len() + 1];
        let mut stays = vec![false; text.len()];
        let (mut at, mut last) = (0, None);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let whole = fixed.iter().filter(|piece| rest.starts_with(piece.as_str())).map(String::len).max();
            let length = whole.or_else(|| rest.chars().next().map(char::len_utf8)).unwrap_or(rest.len());
            (ends[at], before[at], stays[at]) = (at + length, last, whole.is_some());
            (last, at) = (Some(at), at + length);
        }
        let mut pairs = BinaryHeap::new();
        let pair = |left: usize, ends: &[usize]| -> Option<Pair> {
            let right = *ends.get(left)?;
            let end = *ends.get(right)?;
            if stays[left] || stays[right] {
                return None;
            }
            Some(Pair { score: *self.scores.get(text.get(left..end)?)?, left, right, end })
        };
        pairs.extend((0..text.len()).filter(|at| ends[*at] > 0).filter_map(|at| pair(at, &ends)));
        while let Some(Pair { left, right, end, .. }) = pairs.pop() {
            // One of them may have become part of another piece since.
            if ends[left] != right || ends[right] != end {
                continue;
            }
            (ends[left], ends[right]) = (end, 0);
            if let Some(next) = before.get_mut(end) {
                *next = Some(left);
            }
            pairs.extend(before[left].and_then(|at| pair(at, &ends)));
            pairs.extend(pair(left, &ends));
        }
        (0..text.len()).filter(|at| ends[*at] > 0).filter_map(|at| text.get(at..ends[at])).collect()
    }
}
