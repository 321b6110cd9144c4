//! Which pictures of a folder are read, and in which order.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use redraft_engine::Combo;

/// What names of pictures end in.
const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// The order of the files.
#[derive(Combo, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// That of their names, too: the pack's own is that of the file system.
    #[combo(name = "None")]
    Any,
    #[combo(name = "Alphabetical (ASC)")]
    Name,
    #[combo(name = "Alphabetical (DESC)")]
    NameDown,
    #[combo(name = "Numerical (ASC)")]
    Number,
    #[combo(name = "Numerical (DESC)")]
    NumberDown,
    #[combo(name = "Datetime (ASC)")]
    Time,
    #[combo(name = "Datetime (DESC)")]
    TimeDown,
}

/// The pictures of a folder from number `start` on, which counts from the end if it is negative; at most `cap`, or all if that is 0.
pub(super) fn pictures(folder: &Path, order: Order, start: i128, cap: i128) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).context("cannot read the folder: check its permissions")? {
        let path = entry?.path();
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str())) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    sort(&mut files, order);
    let count = files.len() as i128;
    let start = if start < 0 { (start + count).max(0) } else { start.min(count) };
    let most = if cap <= 0 { usize::MAX } else { usize::try_from(cap).unwrap_or(usize::MAX) };
    Ok(files.into_iter().skip(usize::try_from(start).unwrap_or(usize::MAX)).take(most).collect())
}

/// Files that are sorted by name in another order. Equal ones stay as they are.
fn sort(files: &mut [PathBuf], order: Order) {
    match order {
        Order::Any | Order::Name => {}
        Order::NameDown => files.reverse(),
        Order::Number => files.sort_by_cached_key(|path| number(path)),
        Order::NumberDown => files.sort_by_cached_key(|path| Reverse(number(path))),
        Order::Time => files.sort_by_cached_key(|path| time(path)),
        Order::TimeDown => files.sort_by_cached_key(|path| Reverse(time(path))),
    }
}

/// The first number in a name without its ending, as its length and digits; a name without one stands behind all others.
fn number(path: &Path) -> (bool, usize, String) {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let behind = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    (behind.is_empty(), digits.len(), digits.to_owned())
}

fn time(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// As Python's `sorted` has them with the pack's keys.
    #[test]
    fn files_are_sorted_and_cut() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::create_dir_all(folder.join("x.png")).unwrap();
        for name in ["b10.png", "b9.PNG", "a.webp", "007-3.jpg", "note.txt", "c.gif"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let names = |order: Order, start: i128, cap: i128| {
            let found = pictures(folder, order, start, cap).unwrap();
            let names = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(Order::Any, 0, 0), "007-3.jpg a.webp b10.png b9.PNG");
        assert_eq!(names(Order::NameDown, 0, 3), "b9.PNG b10.png a.webp");
        assert_eq!(names(Order::Number, 0, 0), "007-3.jpg b9.PNG b10.png a.webp");
        assert_eq!(names(Order::NumberDown, 0, 0), "a.webp b10.png b9.PNG 007-3.jpg");
        assert_eq!((names(Order::Name, -1, 0), names(Order::Name, 2, 1)), ("b9.PNG".to_owned(), "b10.png".to_owned()));
        assert_eq!(names(Order::Name, 9, 0), "");
    }
}
