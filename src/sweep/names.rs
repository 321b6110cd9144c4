//! What the files of a cell are called: by its number and its values, in characters that every file system takes.

use std::path::Path;

/// The longest part of a name that tells one value, and all of them, in bytes.
const LONGEST_VALUE: usize = 24;
const LONGEST: usize = 120;

/// The beginning of the names of a cell's files: `007_cfg=5_seed=3`.
pub(super) fn stem(number: usize, of: usize, columns: &[String], values: &[String]) -> String {
    let mut stem = format!("{:0width$}", number + 1, width = of.to_string().len());
    for (column, value) in columns.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        let input = column.rsplit('.').next().unwrap_or_default();
        let part = format!("_{}={}", safe(input), safe(value));
        if stem.len() + part.len() > LONGEST {
            break;
        }
        stem.push_str(&part);
    }
    stem
}

/// The name of one of a cell's files, the first having the number 0. The ending is that of the file that a node wrote.
pub(super) fn file(stem: &str, number: usize, written: &Path) -> String {
    let ending = written.extension().and_then(|ending| ending.to_str()).map(safe).unwrap_or_default();
    let number = if number == 0 { String::new() } else { format!("_{}", number + 1) };
    let dot = if ending.is_empty() { "" } else { "." };
    format!("{stem}{number}{dot}{ending}")
}

/// A text in letters, digits and a few signs of ASCII, cut.
fn safe(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_') { c } else { '-' };
        if safe.len() == LONGEST_VALUE {
            break;
        }
        if c != '-' || !safe.ends_with('-') {
            safe.push(c);
        }
    }
    safe.trim_end_matches(['-', '.']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_short() {
        let columns = ["3.cfg", "6.text", "9.x"].map(str::to_owned);
        let name = |value: &str| stem(6, 100, &columns, &["5.5".to_owned(), value.to_owned(), String::new()]);
        assert_eq!(name("a red ball, left"), "007_cfg=5.5_text=a-red-ball-left");
        assert_eq!(name("../../etc/passwd\0\n"), "007_cfg=5.5_text=..-..-etc-passwd");
        assert_eq!(name("猫"), "007_cfg=5.5_text=");
        let many: Vec<_> = (0..100).map(|n| format!("1.input{n}")).collect();
        let long = stem(0, 1, &many, &vec!["x".repeat(1000); 100]);
        assert!(long.len() <= LONGEST && long.starts_with("1_input0=xxx"), "{long}");
        assert_eq!(file("1_a=b", 0, Path::new("x/ComfyUI_00001_.png")), "1_a=b.png");
        assert_eq!(file("1_a=b", 1, Path::new("x/y.p/g")), "1_a=b_2");
    }
}
