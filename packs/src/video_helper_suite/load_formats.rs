//! What models want of a video: sizes and numbers of frames.

use redraft_engine::io::Combo;

/// What a model takes.
#[derive(Clone, Copy)]
pub(super) struct LoadFormat {
    name: &'static str,
    /// Sides are multiples of it.
    pub(super) multiple: i64,
    /// Of so many frames one more than a multiple.
    frames: Option<i64>,
}

const fn format(name: &'static str, multiple: i64, frames: Option<i64>) -> LoadFormat {
    LoadFormat { name, multiple, frames }
}

/// Any size, and any number of frames.
pub(super) const ANY_SIZE: LoadFormat = format("None", 1, None);

static FORMATS: [LoadFormat; 7] = [
    ANY_SIZE,
    format("AnimateDiff", 8, None),
    format("Mochi", 16, Some(6)),
    format("LTXV", 32, Some(8)),
    format("Hunyuan", 16, Some(4)),
    format("Cosmos", 16, Some(8)),
    format("Wan", 8, Some(4)),
];

impl LoadFormat {
    /// How many of the frames the model takes.
    pub(super) fn taken(self, count: i64) -> i64 {
        self.frames.map_or(count, |each| (count - 1).max(0) / each * each + 1).min(count)
    }
}

impl Combo for LoadFormat {
    fn names() -> Vec<&'static str> {
        FORMATS.iter().map(|format| format.name).collect()
    }

    fn from_name(name: &str) -> Option<Self> {
        FORMATS.iter().find(|format| format.name == name).copied()
    }
}
redraft_engine::combo_field!(LoadFormat);

/// A size in multiples of a number of pixels: as it is, by one side with the aspect ratio, or by both sides. A side of 0 is open.
pub(super) fn target_size(
    (width, height): (i64, i64),
    (custom_width, custom_height): (i64, i64),
    multiple: i64,
) -> (i64, i64) {
    let (wide, high) = (width as f64, height as f64);
    let (wide, high) = match (custom_width, custom_height) {
        (0, 0) => (wide, high),
        (custom, 0) => (custom as f64, high * (custom as f64 / wide)),
        (0, custom) => (wide * (custom as f64 / high), custom as f64),
        (width, height) => (width as f64, height as f64),
    };
    let whole = |side: f64| (side / multiple as f64 + 0.5) as i64 * multiple;
    (whole(wide), whole(high))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn models_take_one_more_than_a_multiple() {
        let taken = |name: &str, count| LoadFormat::from_name(name).unwrap().taken(count);
        assert_eq!([taken("Wan", 16), taken("Wan", 17), taken("Wan", 1), taken("LTXV", 30)], [13, 17, 1, 25]);
        assert_eq!([taken("AnimateDiff", 16), taken("None", 0)], [16, 0]);
    }

    /// Figures from the pack's function.
    #[test]
    fn sizes_are_multiples() {
        assert_eq!(target_size((97, 65), (0, 0), 8), (96, 64));
        assert_eq!(target_size((100, 60), (0, 0), 8), (104, 64));
        assert_eq!(target_size((96, 64), (48, 0), 1), (48, 32));
        assert_eq!(target_size((96, 64), (0, 50), 8), (72, 48));
        assert_eq!(target_size((96, 64), (33, 17), 1), (33, 17));
    }
}
