//! Ranges of decimal numbers, `5..9`, `0.1..0.9:0.1`, counted exactly: a step of 0.1 does not drift.

/// Digits behind the point that are counted with.
const MOST_DIGITS: usize = 12;
/// Counts are below this, so that no sum of two is too large.
const LARGEST: i128 = 10_i128.pow(37);

/// A number as a count of `10^-digits`.
#[derive(Clone, Copy)]
struct Decimal {
    count: i128,
    digits: usize,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('-').unwrap_or(text);
        let (whole, part) = bare.split_once('.').unwrap_or((bare, ""));
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let no_point = !bare.contains('.');
        if whole.is_empty() || !is_number(whole) || !is_number(part) || (part.is_empty() && !no_point) {
            return None;
        }
        let count: i128 = format!("{whole}{part}").parse().ok().filter(|count| *count < LARGEST)?;
        let count = if bare.len() < text.len() { -count } else { count };
        (part.len() <= MOST_DIGITS).then_some(Self { count, digits: part.len() })
    }

    /// The same as a count of smaller parts.
    fn with_digits(self, digits: usize) -> Option<i128> {
        let power = u32::try_from(digits.checked_sub(self.digits)?).ok()?;
        self.count.checked_mul(10_i128.checked_pow(power)?).filter(|count| count.abs() < LARGEST)
    }
}

/// Writes a count of `10^-digits`, without zeros that say nothing.
fn written(count: i128, digits: usize) -> String {
    let sign = if count < 0 { "-" } else { "" };
    let bare = format!("{:0>width$}", count.unsigned_abs(), width = digits + 1);
    let (whole, part) = bare.split_at(bare.len() - digits);
    let part = part.trim_end_matches('0');
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

/// The numbers of `a..b` or `a..b:step`, both ends with it; nothing if the text is no range.
///
/// # Errors
/// If it never ends, has no numbers, or more than `most`.
pub(super) fn range(text: &str, most: usize) -> Result<Option<Vec<String>>, String> {
    let Some((from, rest)) = text.split_once("..") else { return Ok(None) };
    let (to, step) = rest.split_once(':').map_or((rest, None), |(to, step)| (to, Some(step)));
    let (Some(from), Some(to)) = (Decimal::parse(from), Decimal::parse(to)) else { return Ok(None) };
    let step = match step {
        Some(step) => {
            Decimal::parse(step).ok_or_else(|| format!("has the step '{step}', which is no number; write 0.5"))?
        }
        None if from.digits + to.digits > 0 => return Err("has no step; write a..b:0.1".to_owned()),
        None => Decimal { count: 1, digits: 0 },
    };
    let digits = from.digits.max(to.digits).max(step.digits);
    let scaled =
        |number: Decimal| number.with_digits(digits).ok_or("has numbers that are too large; give smaller ones");
    let (from, to, step) = (scaled(from)?, scaled(to)?, scaled(step)?);
    if step == 0 {
        return Err("has the step 0; give another".to_owned());
    }
    if (to - from).signum() * step.signum() < 0 {
        return Err("counts away from its end; turn the ends round, or give a step with the other sign".to_owned());
    }
    let count = (to - from) / step + 1;
    if count > most as i128 {
        return Err(format!("has {count} values, and {most} are the most; give a larger step"));
    }
    Ok(Some((0..count).map(|n| written(from + n * step, digits)).collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn numbers_are_counted_exactly() {
        let numbers = |text: &str| range(text, 1000).unwrap().unwrap();
        assert_eq!(numbers("5..9:1"), ["5", "6", "7", "8", "9"]);
        assert_eq!(numbers("0.1..1:0.1").last().unwrap(), "1");
        assert_eq!(numbers("0..1:0.1")[3], "0.3");
        assert_eq!(numbers("0..1:0.3"), ["0", "0.3", "0.6", "0.9"]);
        assert_eq!(numbers("-0.5..0.5:0.5"), ["-0.5", "0", "0.5"]);
        assert_eq!(numbers("9..5:-2"), ["9", "7", "5"]);
        assert_eq!(numbers("7..7"), ["7"]);
        assert_eq!(numbers("18446744073709551614..18446744073709551615").len(), 2);
    }

    #[test]
    fn what_is_no_range_is_none_or_an_error() {
        for text in ["a..b", "1.2.3", "1...3", "..", "1..", "euler", "1.5", "1e3..2e3", "+1..2", "1..x"] {
            assert_eq!(range(text, 10), Ok(None), "{text}");
        }
        for text in ["1..9:0", "9..1", "1..9:-1", "1..9:x", "0.5..1", "1..100", "1..9999999999999999999999999999999:1"]
        {
            assert!(range(text, 10).is_err(), "{text}");
        }
    }
}
