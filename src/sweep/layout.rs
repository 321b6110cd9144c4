//! Where things lie on a contact sheet, in pixels.

use super::grid::Grid;
use super::lettering::LINE;

/// Between the parts of a sheet.
const GAP: u32 = 8;
/// A label beside a row is at most so wide.
const BESIDE: u32 = 160;
/// About the width of a letter.
const LETTER: usize = 9;
/// A label above or below a picture has at most so many lines.
const LINES: usize = 5;
/// The most pixels of a sheet, and the longest side.
const MOST_PIXELS: u64 = 100 << 20;
const LONGEST: u64 = 30_000;
/// Pictures smaller than this show nothing.
const SMALLEST: u32 = 16;
/// A row of a single dimension wraps so that it is about so many times as wide as high.
const WIDE: f64 = 1.5;

pub(super) struct Layout {
    /// The size of the box of each picture.
    pub(super) picture: (u32, u32),
    columns: usize,
    rows: usize,
    /// Whether there is one dimension, whose row wraps, in place of two.
    wraps: bool,
    /// How many there are of the one dimension, or of both.
    count: usize,
    /// Lines of the title: the axes, and a value of each that has its own sheets.
    titles: u32,
    /// How wide the labels beside the rows are.
    beside: u32,
    /// Lines of the labels above the columns, or below the pictures.
    lines: usize,
}

/// A text on a sheet: where, how wide, and how many lines it may have.
pub(super) struct Place {
    pub(super) at: (u32, u32),
    pub(super) text: String,
    pub(super) width: u32,
    pub(super) lines: usize,
}

impl Layout {
    /// The layout of a grid's last two dimensions, with pictures of at most a size.
    ///
    /// # Errors
    /// If the sheet would be too large, also with the smallest pictures.
    pub(super) fn of(grid: &Grid, picture: (u32, u32)) -> anyhow::Result<Self> {
        let lengths = grid.lengths();
        let (rows, columns, wraps) = match lengths.as_slice() {
            [.., rows, columns] => (*rows, *columns, false),
            [count] => {
                let columns = ((*count as f64 * WIDE).sqrt().ceil() as usize).clamp(1, (*count).max(1));
                (count.div_ceil(columns), columns, true)
            }
            [] => (1, 1, true),
        };
        let count = if wraps { lengths.first().copied().unwrap_or(1) } else { rows * columns };
        let last = lengths.len().saturating_sub(1);
        let labels = (0..if wraps { count } else { columns }).map(|at| grid.label(last, at).chars().count());
        let longest = labels.max().unwrap_or(0);
        let of_rows =
            (0..if wraps { 0 } else { rows }).map(|at| grid.label(last.saturating_sub(1), at).chars().count());
        let beside = ((of_rows.max().unwrap_or(0) * LETTER).min(BESIDE as usize) as u32).max(LINE);
        let titles = lengths.len().saturating_sub(1).max(1) as u32;
        let mut layout = Self { picture, columns, rows, wraps, count, titles, beside, lines: 1 };
        loop {
            let fit = (layout.picture.0 as usize / LETTER).max(1);
            layout.lines = (longest.div_ceil(fit) + usize::from(longest > fit)).clamp(1, LINES);
            let (width, height) = layout.long_size();
            if width <= LONGEST && height <= LONGEST && width * height <= MOST_PIXELS {
                return Ok(layout);
            }
            anyhow::ensure!(
                layout.picture.0.max(layout.picture.1) > SMALLEST,
                "a sheet of {rows} x {columns} pictures would be larger than {LONGEST} pixels on a side or {MOST_PIXELS} pixels in all"
            );
            layout.picture = (layout.picture.0.div_ceil(2), layout.picture.1.div_ceil(2));
        }
    }

    /// The distance from one picture to the next, across and down.
    fn pitch(&self) -> (u64, u64) {
        let (wide, high) = (u64::from(self.picture.0), u64::from(self.picture.1));
        (wide + u64::from(GAP), high + u64::from(GAP) + if self.wraps { self.label_height() } else { 0 })
    }

    fn label_height(&self) -> u64 {
        self.lines as u64 * u64::from(LINE)
    }

    /// Where the first picture lies.
    fn origin(&self) -> (u32, u32) {
        let above = self.below_title();
        if self.wraps { (GAP, above) } else { (GAP + self.beside + GAP, above + self.label_height() as u32 + GAP / 2) }
    }

    fn below_title(&self) -> u32 {
        GAP + self.titles * LINE + GAP
    }

    fn long_size(&self) -> (u64, u64) {
        let ((across, down), (left, top)) = (self.pitch(), self.origin());
        let (columns, rows) = (self.columns as u64, self.rows as u64);
        (u64::from(left) + columns.saturating_mul(across), u64::from(top) + rows.saturating_mul(down))
    }

    /// Width and height of the sheet.
    pub(super) fn size(&self) -> (u32, u32) {
        let (width, height) = self.long_size();
        (width.max(320) as u32, height as u32)
    }

    /// Where a line of the title begins.
    pub(super) fn title_at(&self, line: usize) -> (u32, u32) {
        (GAP, GAP + line as u32 * LINE)
    }

    pub(super) fn title_width(&self) -> u32 {
        self.size().0 - 2 * GAP
    }

    /// The upper left corner of a box.
    fn corner(&self, row: usize, column: usize) -> (u32, u32) {
        let ((across, down), (left, top)) = (self.pitch(), self.origin());
        (left + (column as u64 * across) as u32, top + (row as u64 * down) as u32)
    }

    /// The boxes of the pictures: the place in the last dimensions, and the upper left corner.
    pub(super) fn boxes(&self) -> impl Iterator<Item = (Vec<usize>, (u32, u32))> {
        (0..self.count).map(|n| {
            let (row, column) = (n / self.columns, n % self.columns);
            (if self.wraps { vec![n] } else { vec![row, column] }, self.corner(row, column))
        })
    }

    /// The labels of rows and columns, or of each picture.
    pub(super) fn labels(&self, grid: &Grid) -> Vec<Place> {
        let last = grid.lengths().len().saturating_sub(1);
        let (wide, high) = self.picture;
        if self.wraps {
            let below = |n: usize| {
                let (left, top) = self.corner(n / self.columns, n % self.columns);
                Place { at: (left, top + high + 1), text: grid.label(last, n), width: wide, lines: self.lines }
            };
            return (0..self.count).map(below).collect();
        }
        let above = |column: usize| {
            let at = (self.corner(0, column).0, self.below_title());
            Place { at, text: grid.label(last, column), width: wide, lines: self.lines }
        };
        let beside = |row: usize| {
            let lines = (high / LINE).max(1) as usize;
            let at = (GAP, self.corner(row, 0).1);
            Place {
                at,
                text: grid.label(last.saturating_sub(1), row),
                width: self.beside.max(LETTER as u32 + LINE),
                lines,
            }
        };
        (0..self.columns).map(above).chain((0..self.rows).map(beside)).collect()
    }
}
