//! Colours as KJNodes reads them from texts.

/// The channels of a colour, 0 to 255: `255, 0, 0` (or 0 to 1), `#ff0000`, `red`, or one number for grey. What is none of these is black.
pub(super) fn channels(text: &str) -> Vec<f64> {
    let found = if text.contains(',') {
        listed(text)
    } else if let Some(hex) = hex(text.trim_start_matches('#')) {
        Some(hex)
    } else if let Some(named) = NAMED.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
        Some(named.1.to_vec())
    } else {
        text.trim().parse::<f64>().ok().map(|grey| vec![scaled(grey, (0.0..=1.0).contains(&grey)); 3])
    };
    let found = found.unwrap_or_else(|| vec![0.0; 3]);
    found.into_iter().map(|channel| channel.clamp(0.0, 255.0)).collect()
}

fn listed(text: &str) -> Option<Vec<f64>> {
    let values: Vec<f64> = text.split(',').map(|channel| channel.trim().parse().ok()).collect::<Option<_>>()?;
    let unit = values.iter().all(|value| (0.0..=1.0).contains(value));
    Some(values.into_iter().map(|value| scaled(value, unit)).collect())
}

fn scaled(value: f64, unit: bool) -> f64 {
    if unit { (value * 255.0).trunc() } else { value.trunc() }
}

fn hex(digits: &str) -> Option<Vec<f64>> {
    let fits = matches!(digits.len(), 6 | 8) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes = || (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    fits.then(|| bytes().collect::<Option<Vec<_>>>()).flatten().map(|all| all.into_iter().map(f64::from).collect())
}

/// The basic colours of HTML.
const NAMED: [(&str, [f64; 3]); 18] = [
    ("aqua", [0.0, 255.0, 255.0]),
    ("black", [0.0, 0.0, 0.0]),
    ("blue", [0.0, 0.0, 255.0]),
    ("cyan", [0.0, 255.0, 255.0]),
    ("fuchsia", [255.0, 0.0, 255.0]),
    ("gray", [128.0, 128.0, 128.0]),
    ("green", [0.0, 128.0, 0.0]),
    ("grey", [128.0, 128.0, 128.0]),
    ("lime", [0.0, 255.0, 0.0]),
    ("magenta", [255.0, 0.0, 255.0]),
    ("maroon", [128.0, 0.0, 0.0]),
    ("navy", [0.0, 0.0, 128.0]),
    ("olive", [128.0, 128.0, 0.0]),
    ("orange", [255.0, 165.0, 0.0]),
    ("red", [255.0, 0.0, 0.0]),
    ("teal", [0.0, 128.0, 128.0]),
    ("white", [255.0, 255.0, 255.0]),
    ("yellow", [255.0, 255.0, 0.0]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_in_every_spelling() {
        for (text, wanted) in [
            ("255, 128,0", vec![255.0, 128.0, 0.0]),
            ("1.0, 0.5, 0.0", vec![255.0, 127.0, 0.0]),
            ("300, -5, 2.9", vec![255.0, 0.0, 2.0]),
            ("#10fF00", vec![16.0, 255.0, 0.0]),
            ("10ff0080", vec![16.0, 255.0, 0.0, 128.0]),
            ("Red", vec![255.0, 0.0, 0.0]),
            ("0.5", vec![127.0; 3]),
            ("77", vec![77.0; 3]),
            ("nothing", vec![0.0; 3]),
            ("1, x", vec![0.0; 3]),
        ] {
            assert_eq!(channels(text), wanted, "{text}");
        }
    }
}
