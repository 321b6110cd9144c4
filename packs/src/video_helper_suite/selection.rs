//! Which frames of a file are loaded, and how often each.

/// What is wanted of a video's frames.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    /// Seconds from one frame of the file to the next, and from one frame that is wanted to the next.
    base: f64,
    target: f64,
    skip: i64,
    every_nth: i64,
    /// The most frames; 0 for all.
    cap: i64,
    /// Seconds of the file that no wanted frame has covered yet; nothing before the first frame.
    open: Option<f64>,
    /// Frames of the wanted rate, and those of them that are loaded.
    seen: i64,
    pub(super) loaded: i64,
}

impl Selection {
    /// Of a file with `fps` frames a second, at another rate if `rate` is not 0: behind the first `skip` frames every `every_nth`, at most
    /// `cap`.
    pub(super) fn new(fps: f64, rate: f64, (skip, every_nth, cap): (i64, i64, i64)) -> Self {
        let base = 1.0 / fps;
        let target = if rate == 0.0 { base } else { 1.0 / rate };
        Self { base, target, skip, every_nth: every_nth.max(1), cap, open: None, seen: 0, loaded: 0 }
    }

    /// Seconds from one frame of the wanted rate to the next.
    pub(super) fn target(&self) -> f64 {
        self.target
    }

    /// How many frames of the wanted rate there are at most for each of the file.
    pub(super) fn most_for_each(&self) -> f64 {
        self.base / self.target
    }

    /// Whether no more frames are wanted.
    pub(super) fn is_done(&self) -> bool {
        self.cap > 0 && self.loaded >= self.cap
    }

    /// How often the file's next frame is loaded.
    pub(super) fn next(&mut self) -> usize {
        let mut open = self.open.map_or(self.target, |open| open + self.base);
        let mut times = 0;
        while open >= self.target && !self.is_done() {
            open -= self.target;
            self.seen += 1;
            let behind = self.seen - self.skip - 1;
            if behind >= 0 && behind % self.every_nth == 0 {
                times += 1;
                self.loaded += 1;
            }
        }
        self.open = Some(open);
        times
    }

    /// How many frames of the file are needed; nothing if that is all of them, or very many.
    pub(super) fn needed(&self) -> Option<usize> {
        const MANY: usize = 1_000_000;
        let mut ahead = self.clone();
        let until = |ahead: &mut Self| {
            ahead.next();
            ahead.is_done()
        };
        (self.cap > 0).then(|| (1..=MANY).find(|_| until(&mut ahead))).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of the frames that are loaded of `count`.
    fn loaded(count: usize, mut selection: Selection) -> Vec<usize> {
        (0..count).flat_map(|at| std::iter::repeat_n(at, selection.next())).collect()
    }

    /// Figures from the pack's generator.
    #[test]
    fn frames_are_those_that_the_pack_loads() {
        let of = |count, fps, rate, options| loaded(count, Selection::new(fps, rate, options));
        assert_eq!(of(5, 8.0, 0.0, (0, 1, 0)), [0, 1, 2, 3, 4]);
        assert_eq!(of(9, 8.0, 0.0, (2, 3, 0)), [2, 5, 8]);
        assert_eq!(of(9, 8.0, 0.0, (1, 2, 2)), [1, 3]);
        assert_eq!(of(9, 8.0, 4.0, (0, 1, 0)), [0, 2, 4, 6, 8]);
        assert_eq!(of(4, 8.0, 16.0, (0, 1, 0)), [0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(of(20, 29.97, 16.0, (0, 1, 0)), [0, 2, 4, 6, 8, 10, 12, 14, 15, 17, 19]);
        assert_eq!(of(3, 8.0, 0.0, (7, 1, 0)), [0; 0]);
    }

    #[test]
    fn no_more_of_the_file_is_read_than_is_needed() {
        let needed = |rate, options| Selection::new(8.0, rate, options).needed();
        assert_eq!([needed(0.0, (0, 1, 0)), needed(0.0, (2, 3, 2)), needed(4.0, (0, 1, 3))], [None, Some(6), Some(5)]);
        assert_eq!(needed(0.0, (i64::MAX, 1, 1)), None);
    }
}
