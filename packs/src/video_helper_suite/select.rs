//! Nodes that take some of a batch by their numbers.

use anyhow::{Context, Result, bail, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::node::Run;
use redraft_engine::{Node, Outputs};
use redraft_nodes::values::{Image, Latent, Mask};

use super::batch::Batch;

macro_rules! select {
    ($node:ident, $out:ident, $ty:ty, $field:ident, $class:literal, $display:literal, $category:literal, $name:literal) => {
        /// Takes some of a batch by their numbers, in the order in which they are given: `0`, `-1` for the last, `2:5` for 2, 3 and 4,
        /// `::2` for every second, `::-1` for all backwards, separated by commas.
        #[derive(Node)]
        #[node(class = $class, category = $category, display = $display)]
        struct $node {
            $field: $ty,
            #[input(default = "0")]
            indexes: String,
            /// Whether a number that is not there is an error. If not, it is left out.
            #[input(default = true)]
            err_if_missing: bool,
            /// Whether it is an error if nothing is taken.
            #[input(default = true)]
            err_if_empty: bool,
        }

        #[derive(Outputs)]
        struct $out {
            #[output(name = $name)]
            batch: $ty,
        }

        impl Run for $node {
            type Out = $out;

            fn run(self, _: &mut Cx) -> Result<$out> {
                let numbers =
                    numbers(&self.indexes, self.$field.count(), self.err_if_missing).context("input 'indexes'")?;
                ensure!(
                    !(self.err_if_empty && numbers.is_empty()),
                    "nothing was selected by the indexes '{}': give some, or set err_if_empty to false",
                    self.indexes
                );
                Ok($out { batch: self.$field.chosen(&numbers)? })
            }
        }
    };
}

select!(
    SelectImages,
    ChosenImages,
    Image,
    image,
    "VHS_SelectImages",
    "Select Images 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/image",
    "IMAGE"
);
select!(
    SelectMasks,
    ChosenMasks,
    Mask,
    mask,
    "VHS_SelectMasks",
    "Select Masks 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/mask",
    "MASK"
);
select!(
    SelectLatents,
    ChosenLatents,
    Latent,
    latent,
    "VHS_SelectLatents",
    "Select Latents 🎥🅥🅗🅢",
    "Video Helper Suite 🎥🅥🅗🅢/latent",
    "LATENT"
);

/// The numbers that a text names of `count`.
fn numbers(text: &str, count: i64, strict: bool) -> Result<Vec<i64>> {
    /// So many are taken at most.
    const MOST: usize = 10_000_000;
    let mut all = Vec::new();
    if text.is_empty() {
        return Ok(all);
    }
    for part in text.split(',') {
        if part.contains(':') {
            all.extend(range(part, count)?);
        } else {
            let number = integer(part)?;
            let place = if number < 0 { count.saturating_add(number) } else { number };
            if (0..count).contains(&place) {
                all.push(place);
            } else if strict {
                bail!("the index '{number}' is out of range for {count}; name one that is there");
            }
        }
        ensure!(all.len() <= MOST, "more than {MOST} would be selected; name fewer");
    }
    Ok(all)
}

/// `start:end:step`, each of which may be missing: the numbers from start to before end, and of these every so many, backwards if the step is
/// negative.
fn range(part: &str, count: i64) -> Result<Vec<i64>> {
    let parts: Vec<&str> = part.splitn(3, ':').map(str::trim).collect();
    let given = |at: usize, default: i64| match parts.get(at) {
        Some(text) if !text.is_empty() => integer(text),
        _ => Ok(default),
    };
    let place = |number: i64| (if number < 0 { count.saturating_add(number) } else { number }).clamp(0, count);
    let (start, end, step) = (place(given(0, 0)?), place(given(1, count)?), given(2, 1)?);
    ensure!(step != 0, "the step of '{}' is 0; give another", part.trim());
    let every = usize::try_from(step.unsigned_abs())?;
    let numbers = start..end;
    Ok(if step > 0 { numbers.step_by(every).collect() } else { numbers.rev().step_by(every).collect() })
}

fn integer(text: &str) -> Result<i64> {
    text.trim().parse().with_context(|| format!("the index '{}' must be an integer", text.trim()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_counted_as_in_python() {
        let of = |text| numbers(text, 16, true).unwrap();
        assert_eq!(of("0, 1, 13"), [0, 1, 13]);
        assert_eq!(of("0:5, -1"), [0, 1, 2, 3, 4, 15]);
        assert_eq!(of("0:5:-1"), [4, 3, 2, 1, 0]);
        assert_eq!(of("0:5:2"), [0, 2, 4]);
        assert_eq!((of("::-1")[0], of("::-1").len(), of("0:-1").len(), of("9:2").len()), (15, 16, 15, 0));
        assert_eq!(of(""), [0; 0]);
        for (text, why) in [
            ("16", "out of range for 16"),
            ("-17", "out of range"),
            ("a", "must be an integer"),
            ("1,", "must be"),
            ("::0", "is 0"),
        ] {
            assert!(numbers(text, 16, true).unwrap_err().to_string().contains(why), "{text}");
        }
        assert_eq!(numbers("3, 16, -17", 16, false).unwrap(), [3]);
    }
}
