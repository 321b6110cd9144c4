//! Where pictures that a network goes by are taken to lie beside the one that is drawn.

/// The ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Positions {
    /// In a plane behind the picture, side by side.
    Offset,
    /// Each in a plane of its own, counted from 1.
    Index,
    /// The same, counted from -1 downwards.
    NegativeIndex,
    /// In the picture's plane, beyond its lower right corner (USO, UXO).
    Diagonal,
}

/// Lays one picture after the other.
pub(super) struct Placing {
    positions: Positions,
    /// Height and width of the picture that is drawn, in latent points.
    own: [i64; 2],
    /// How far the references placed so far reach.
    reach: [i64; 2],
    index: f64,
}

impl Placing {
    pub(super) fn new(positions: Positions, own: [i64; 2]) -> Self {
        Self { positions, own, reach: [0, 0], index: 0.0 }
    }

    /// Index, top and left edge of the next reference.
    pub(super) fn place(&mut self, height: i64, width: i64) -> (f64, i64, i64) {
        let [down, right] = self.reach;
        match self.positions {
            Positions::Index => {
                self.index += 1.0;
                (self.index, 0, 0)
            }
            Positions::NegativeIndex => {
                self.index -= 1.0;
                (self.index, 0, 0)
            }
            Positions::Diagonal => {
                self.reach = [down + height, right + width];
                (0.0, self.own[0] + down, self.own[1] + right)
            }
            Positions::Offset => {
                let (top, left) = if height + down > width + right { (0, right) } else { (down, 0) };
                self.reach = [down.max(height + top), right.max(width + left)];
                (1.0, top, left)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lie_as_the_reference_lays_them() {
        let places = |positions| {
            let mut placing = Placing::new(positions, [8, 6]);
            [(4, 4), (2, 6), (6, 2)].map(|(height, width)| placing.place(height, width))
        };
        assert_eq!(places(Positions::Offset), [(1.0, 0, 0), (1.0, 4, 0), (1.0, 0, 6)]);
        assert_eq!(places(Positions::Index), [(1.0, 0, 0), (2.0, 0, 0), (3.0, 0, 0)]);
        assert_eq!(places(Positions::NegativeIndex), [(-1.0, 0, 0), (-2.0, 0, 0), (-3.0, 0, 0)]);
        assert_eq!(places(Positions::Diagonal), [(0.0, 8, 6), (0.0, 12, 10), (0.0, 14, 16)]);
    }
}
