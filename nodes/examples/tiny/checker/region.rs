//! A connected set of pixels.

/// Holes smaller than this part of what lies around them are filled: they come from textures.
const SPECK: f32 = 0.05;

pub(super) struct Region {
    pub(super) size: usize,
    pub(super) inside: Vec<bool>,
}

/// Calls `visit` with the pixels above, below, left and right.
pub(super) fn neighbours(at: usize, size: usize, mut visit: impl FnMut(usize)) {
    let (x, y) = (at % size, at / size);
    if x > 0 {
        visit(at - 1);
    }
    if x + 1 < size {
        visit(at + 1);
    }
    if y > 0 {
        visit(at - size);
    }
    if y + 1 < size {
        visit(at + size);
    }
}

/// Whether a pixel is one of the picture's outermost.
pub(super) fn at_edge(at: usize, size: usize) -> bool {
    let (x, y) = (at % size, at / size);
    x == 0 || y == 0 || x + 1 == size || y + 1 == size
}

/// The connected parts of the pixels that are `like`, each as a list of pixels.
pub(super) fn parts(set: &[bool], like: bool, size: usize) -> Vec<Vec<usize>> {
    let mut seen = vec![false; set.len()];
    let mut parts = Vec::new();
    for start in 0..set.len() {
        if set[start] != like || seen[start] {
            continue;
        }
        seen[start] = true;
        let mut part = vec![start];
        let mut next = 0;
        while let Some(&at) = part.get(next) {
            next += 1;
            neighbours(at, size, |other| {
                if set[other] == like && !seen[other] {
                    seen[other] = true;
                    part.push(other);
                }
            });
        }
        parts.push(part);
    }
    parts
}

impl Region {
    /// The largest connected part of a set.
    pub(super) fn largest(set: &[bool], size: usize) -> Option<Region> {
        let part = parts(set, true, size).into_iter().max_by_key(Vec::len)?;
        let mut inside = vec![false; set.len()];
        part.into_iter().for_each(|at| inside[at] = true);
        Some(Region { size, inside })
    }

    /// The same with its small holes filled.
    pub(super) fn without_specks(mut self) -> Region {
        let most = SPECK * self.area();
        let mut holes = parts(&self.inside, false, self.size);
        holes.retain(|hole| (hole.len() as f32) < most && !hole.iter().any(|&at| at_edge(at, self.size)));
        holes.into_iter().flatten().for_each(|at| self.inside[at] = true);
        self
    }

    pub(super) fn pixels(&self) -> impl Iterator<Item = usize> {
        (0..self.inside.len()).filter(|&at| self.inside[at])
    }

    /// How many pixels it has.
    pub(super) fn area(&self) -> f32 {
        self.pixels().count() as f32
    }

    /// The mean of its pixels' centres.
    pub(super) fn centre(&self) -> [f32; 2] {
        let mut sum = [0.0; 2];
        for at in self.pixels() {
            sum[0] += (at % self.size) as f32 + 0.5;
            sum[1] += (at / self.size) as f32 + 0.5;
        }
        sum.map(|v| v / self.area())
    }

    /// How much of the point's surroundings is inside, from 0 to 1: bilinear between the pixels' centres.
    pub(super) fn at(&self, [x, y]: [f32; 2]) -> f32 {
        let (x, y) = (x - 0.5, y - 0.5);
        let value = |x: f32, y: f32| {
            let within = x >= 0.0 && y >= 0.0 && x < self.size as f32 && y < self.size as f32;
            f32::from(u8::from(within && self.inside[y as usize * self.size + x as usize]))
        };
        let (left, top) = (x.floor(), y.floor());
        let row = |y: f32| value(left, y) + (value(left + 1.0, y) - value(left, y)) * (x - left);
        row(top) + (row(top + 1.0) - row(top)) * (y - top)
    }

    /// The pixels away from the edge, where neither an outline nor a blurred edge is: those in the inner half of the
    /// shape's thickness, or 5 pixels of 128 inside.
    pub(super) fn inner(&self) -> Vec<usize> {
        let depth = self.depth();
        let deepest = depth.iter().copied().max().unwrap_or(0);
        let least = deepest.div_ceil(2).min((5 * self.size / 128).max(1) as u32);
        self.pixels().filter(|&at| depth[at] >= least).collect()
    }

    /// How many steps each pixel is from the nearest one outside.
    pub(super) fn depth(&self) -> Vec<u32> {
        let mut depth: Vec<u32> = self.inside.iter().map(|&inside| if inside { u32::MAX } else { 0 }).collect();
        let mut ring: Vec<usize> = (0..depth.len()).filter(|&at| depth[at] == 0).collect();
        let mut steps = 0;
        while !ring.is_empty() {
            steps += 1;
            let mut next = Vec::new();
            for at in ring {
                neighbours(at, self.size, |other| {
                    if depth[other] == u32::MAX {
                        depth[other] = steps;
                        next.push(other);
                    }
                });
            }
            ring = next;
        }
        depth
    }
}
