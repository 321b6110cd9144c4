//! The names of saved files. Nothing here reads a clock.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chrono::NaiveDateTime;

/// Where the pictures of one save node are saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveLocation {
    /// The folder, which exists.
    pub folder: PathBuf,
    /// The folder relative to the output directory with `/` between parts, empty for the directory itself.
    pub subfolder: String,
    /// The prefix of file names. It may still contain `%batch_num%`.
    pub name: String,
    /// One more than the highest number in use for that name.
    pub counter: u64,
}

impl SaveLocation {
    /// `NAME_00001_.png` with `%batch_num%` replaced by the picture's index in its batch.
    pub fn file_name(&self, batch_number: usize, counter: u64) -> String {
        format!("{}_{counter:05}_.png", self.name.replace("%batch_num%", &batch_number.to_string()))
    }

    /// `NAME_00001_.EXTENSION` for a file that holds a whole batch: `%batch_num%` stays as it is.
    pub fn batch_file_name(&self, counter: u64, extension: &str) -> String {
        format!("{}_{counter:05}_.{extension}", self.name)
    }
}

/// Resolves a `filename_prefix`, and creates its folder.
///
/// `%width% %height% %year% %month% %day% %hour% %minute% %second%` are replaced; a prefix may name subfolders. `width`
/// and `height` are the pictures' size in pixels, `now` the local time. The rules are those of ComfyUI 0.8.0's
/// `get_save_image_path`, except that `%batch_num%` in the names of existing files is recognised when counting.
///
/// # Errors
/// If the prefix leads outside `output` (through `..`, an absolute path, a drive or a symbolic link), holds a NUL, or
/// if the folder cannot be created or read.
pub fn save_location(
    prefix: &str,
    output: &Path,
    width: usize,
    height: usize,
    now: NaiveDateTime,
) -> Result<SaveLocation> {
    let prefix = replace_variables(prefix, width, height, now);
    let parts = relative_parts(&prefix).map_err(|_| outside_output(&prefix, output))?;
    let (name, folders) = match parts.split_last() {
        Some((name, folders)) => (name.clone(), folders),
        // As in the reference, an empty prefix names its files ".".
        None => (".".to_owned(), &[][..]),
    };
    let folder = folders.iter().fold(output.to_path_buf(), |folder, part| folder.join(part));
    fs_err::create_dir_all(output).context("cannot make the output folder: choose another")?;
    ensure!(deepest_existing_is_inside(&folder, output)?, outside_output(&prefix, output));
    fs_err::create_dir_all(&folder).context("cannot make a subfolder of the output folder: choose another prefix")?;
    let counter = next_counter(&folder, &name)?;
    Ok(SaveLocation { folder, subfolder: folders.join("/"), name, counter })
}

/// The folder that `name` leads to inside `output`, and its name with `/` between parts; it is created if it is
/// missing.
///
/// # Errors
/// If the name leads outside, holds a NUL, or the folder cannot be created.
pub fn subfolder(output: &Path, name: &str) -> Result<(PathBuf, String)> {
    let outside =
        || anyhow::anyhow!("the folder name {name:?} leaves {}: use a relative name without \"..\"", output.display());
    let parts = relative_parts(name).map_err(|_| outside())?;
    let folder = parts.iter().fold(output.to_path_buf(), |folder, part| folder.join(part));
    fs_err::create_dir_all(output).context("cannot make the output folder: choose another")?;
    ensure!(deepest_existing_is_inside(&folder, output)?, outside());
    fs_err::create_dir_all(&folder).context("cannot make a subfolder of the output folder: choose another name")?;
    Ok((folder, parts.join("/")))
}

/// The folder that `name` leads to inside `directory`, if it exists.
///
/// # Errors
/// If the name leads outside, or holds a NUL.
pub fn inside(directory: &Path, name: &str) -> Result<Option<PathBuf>> {
    let parts = relative_parts(name)?;
    let folder = parts.iter().fold(directory.to_path_buf(), |folder, part| folder.join(part));
    if !folder.is_dir() {
        return Ok(None);
    }
    ensure!(
        deepest_existing_is_inside(&folder, directory)?,
        "{name:?} leads out of {}: name another",
        directory.display()
    );
    Ok(Some(folder))
}

/// Whether a text can be part of a file name: it contains no folder and no NUL.
pub fn is_one_name(text: &str) -> bool {
    !text.contains(['/', '\\', '\0'])
}

fn outside_output(prefix: &str, output: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "**** ERROR: Saving image outside the output folder is not allowed. filename_prefix {prefix:?} leaves {}: \
         use a relative name without \"..\"",
        output.display()
    )
}

fn replace_variables(prefix: &str, width: usize, height: usize, now: NaiveDateTime) -> String {
    // In ComfyUI's order, because a replacement may complete a later variable.
    let date = |format: &str| now.format(format).to_string();
    let variables = [
        ("%width%", width.to_string()),
        ("%height%", height.to_string()),
        ("%year%", date("%Y")),
        ("%month%", date("%m")),
        ("%day%", date("%d")),
        ("%hour%", date("%H")),
        ("%minute%", date("%M")),
        ("%second%", date("%S")),
    ];
    variables.iter().fold(prefix.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// A relative path's parts, with `.` and `a/..` resolved by name only.
fn relative_parts(path: &str) -> Result<Vec<String>> {
    ensure!(!path.contains('\0'), "{path:?} holds a NUL character: take it out");
    // A letter and a colon begin a plain name elsewhere than on Windows, unless a path follows.
    let drive = matches!(path.as_bytes(), [letter, b':', rest @ ..]
        if letter.is_ascii_alphabetic() && (cfg!(windows) || matches!(rest.first(), Some(b'/' | b'\\'))));
    ensure!(!path.starts_with('/') && !drive, "{path:?} is an absolute path: use a relative one");
    let separator = |c: char| c == '/' || cfg!(windows) && c == '\\';
    ensure!(!path.starts_with(separator), "{path:?} is an absolute path: use a relative one");
    let mut parts: Vec<String> = Vec::new();
    for part in path.split(separator) {
        match part {
            "" | "." => {}
            ".." => ensure!(parts.pop().is_some(), "{path:?} leaves its folder: use a name without \"..\""),
            part => parts.push(part.to_owned()),
        }
    }
    Ok(parts)
}

/// Whether the deepest existing folder on the path `folder` lies in `directory` after symbolic links are followed.
fn deepest_existing_is_inside(folder: &Path, directory: &Path) -> Result<bool> {
    let directory = fs_err::canonicalize(directory).context("cannot find the folder: make it first")?;
    // A dangling link is refused, too, because creating the folder would follow it.
    let existing = folder.ancestors().find(|path| path.symlink_metadata().is_ok());
    let real = existing.and_then(|path| path.canonicalize().ok());
    Ok(real.is_some_and(|path| path.starts_with(&directory)))
}

/// One more than the highest number of the files `NAME_number…` in the folder. Other files are ignored. Letters count
/// as different in upper and lower case except on Windows, as file names do.
fn next_counter(folder: &Path, name: &str) -> Result<u64> {
    let same_case = |text: &str| if cfg!(windows) { text.to_lowercase() } else { text.to_owned() };
    let (before, after) = name.split_once("%batch_num%").unzip();
    let matches = |stem: &str| match (before, after) {
        (Some(before), Some(after)) => stem
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|batch| !batch.is_empty() && batch.bytes().all(|b| b.is_ascii_digit())),
        _ => same_case(stem) == same_case(name),
    };
    let mut highest = 0;
    for entry in fs_err::read_dir(folder).context("cannot read the output folder: check its permissions")? {
        let entry = entry?.file_name();
        let Some(file) = entry.to_str() else { continue };
        for (at, _) in file.match_indices('_').filter(|&(at, _)| matches(&file[..at])) {
            let number = file[at + 1..].split('_').next().unwrap_or_default();
            highest = highest.max(number.trim().parse().unwrap_or(0));
        }
    }
    Ok(u64::saturating_add(highest, 1))
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
