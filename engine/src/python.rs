//! Numbers as Python reads them from texts, and floats as it writes them.

/// First digits (zeros) of the decimal digit runs of Unicode 14, the version of the reference's Python 3.11.
const ZEROS: [u32; 65] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0, 0xF20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0,
    0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0,
    0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0,
    0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

/// Python's `float(text)`, or nothing where Python raises a `ValueError`.
///
/// White space may stand at both ends, underscores between digits, a digit may be missing on one side of the point, and
/// digits may be of any script. `inf`, `infinity` and `nan` are read in any case.
pub fn parse_float(text: &str) -> Option<f64> {
    plain(text)?.parse().ok()
}

/// Python's `int(text)`, or nothing where Python raises a `ValueError`, and beyond 128 bits.
pub fn parse_int(text: &str) -> Option<i128> {
    plain(text)?.parse().ok()
}

/// A number as Rust's parser takes it: without white space around it and underscores in it, all digits in ASCII. Nothing if
/// an underscore is not between two digits.
fn plain(text: &str) -> Option<String> {
    let ascii: String = text.chars().map(to_ascii).collect();
    let number = ascii.trim_matches(|c: char| matches!(c, ' ' | '\t'..='\r'));
    let bytes = number.as_bytes();
    let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let underscores_are_inside = (0..bytes.len())
        .filter(|&at| bytes[at] == b'_')
        .all(|at| is_digit(at.checked_sub(1)) && is_digit(at.checked_add(1)));
    underscores_are_inside.then(|| number.replace('_', ""))
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

/// Python's `repr` of a float: the shortest digits that read back as the same number, with an exponent below 1e-4 and from
/// 1e16 on; `nan`, `inf`, `-inf`.
pub fn repr_float(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    if value == 0.0 || (1e-4..1e16).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
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
    /// Texts from CPython 3.11.
    #[test]
    fn writes_what_python_writes() {
        let cases = [
            (8.0, "8.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (-2.5e-310, "-2.5e-310"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (float, expected) in cases {
            assert_eq!(repr_float(float), expected);
        }
    }
}
