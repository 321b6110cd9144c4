//! Numbers as Python's `float()` reads them: what may follow the colon of a weighted prompt.

/// First digits (zeros) of the decimal digit runs of Unicode 14, the version of the reference's Python 3.11.
const ZEROS: [u32; 65] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0,
    0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0,
    0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// Reads a number as Python's `float()` does, or gives `None`.
///
/// Allowed are white space at both ends, a sign, an exponent, a missing digit on one side of the point, `inf`,
/// `infinity` and `nan` in any case, underscores between digits, and decimal digits of any script.
pub fn parse_float(text: &str) -> Option<f64> {
    let ascii: String = text.chars().map(to_ascii).collect();
    let number = ascii.trim_matches(|c: char| matches!(c, ' ' | '\t'..='\r'));
    let bytes = number.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let underscores_are_inside = (0..bytes.len())
        .filter(|&at| bytes[at] == b'_')
        .all(|at| is_digit(at.checked_sub(1)) && is_digit(at.checked_add(1)));
    // Rust's grammar is Python's without underscores.
    underscores_are_inside.then(|| number.replace('_', "").parse().ok()).flatten()
}

/// Digits of any script as ASCII digits, white space beyond ASCII as a space; the rest stays.
fn to_ascii(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let code = u32::from(c);
    let digit = ZEROS.iter().find_map(|zero| char::from_digit(code.checked_sub(*zero)?, 10));
    digit.unwrap_or(if c.is_whitespace() { ' ' } else { c })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures from Python 3.11.
    #[test]
    fn reads_what_python_reads() {
        let table = [
            ("1.2", 1.2),
            (" 1.2\n", 1.2),
            (".5", 0.5),
            ("1.", 1.0),
            ("+.5", 0.5),
            ("-1", -1.0),
            ("1e1", 10.0),
            ("1.e5", 1e5),
            ("1E-5", 1e-5),
            ("1e1_0", 1e10),
            ("1_0", 10.0),
            ("1e999", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
            ("\u{a0}1", 1.0),
            ("\u{2003}1", 1.0),
            ("1\u{b}", 1.0),
            ("１.５", 1.5),
            ("٣", 3.0),
        ];
        for (text, number) in table {
            assert_eq!(parse_float(text), Some(number), "{text:?}");
        }
        assert!(parse_float("+nan").is_some_and(f64::is_nan));
    }

    #[test]
    fn refuses_what_python_refuses() {
        for text in [
            "",
            " ",
            "1,2",
            "abc",
            "1__0",
            "_1",
            "1_",
            "1_.0",
            "1._0",
            "1_e5",
            "1e_5",
            "infinit",
            "0x10",
            "1 2",
            "1e",
            "e5",
            ".",
            "--1",
            "−1",
            "½",
            "nan(1)",
            "1\u{0}2",
            "\u{1c}1",
            "1\u{1f}",
            "\u{200b}1",
            "\u{1c}１",
        ] {
            assert_eq!(parse_float(text), None, "{text:?}");
        }
    }
}
