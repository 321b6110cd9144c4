//! The names of saved files, and the files: each under a temporary name until it is whole.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use chrono::Local;
use redraft_engine::aside::Aside;
use redraft_engine::cx::Cx;
use redraft_nodes::pictures::names::{SaveLocation, save_location};
use redraft_nodes::pictures::write::write_new;

/// The files of one call: all have the same number.
pub(super) struct Files {
    location: SaveLocation,
    counter: u64,
    /// Those that stand, which go again if the call fails.
    standing: Vec<PathBuf>,
}

impl Files {
    /// Takes the number after the highest that a file with this prefix has.
    ///
    /// # Errors
    /// If the prefix leads out of `folder`, or that cannot be written to.
    pub(super) fn new(prefix: &str, folder: &std::path::Path) -> Result<Self> {
        let location = save_location(prefix, folder, 0, 0, Local::now().naive_local())?;
        let mut highest = 0;
        for entry in std::fs::read_dir(&location.folder).context("cannot read the folder: check its permissions")? {
            let number = entry?.file_name().to_str().and_then(|file| number(file, &location.name));
            highest = highest.max(number.unwrap_or(0));
        }
        let counter = highest.checked_add(1).context("the file names have run out of numbers: use another prefix")?;
        Ok(Self { location, counter, standing: Vec::new() })
    }

    pub(super) fn subfolder(&self) -> &str {
        &self.location.subfolder
    }

    /// The name of the file with an ending such as `.png`.
    pub(super) fn name(&self, ending: &str) -> String {
        format!("{}_{:05}{ending}", self.location.name, self.counter)
    }

    /// The whole path of the file with an ending.
    ///
    /// # Errors
    /// If there is no working directory.
    pub(super) fn path(&self, ending: &str) -> Result<PathBuf> {
        Ok(std::path::absolute(self.location.folder.join(self.name(ending)))?)
    }

    /// Writes the first file of the call, whose name claims the number: another run may have taken it just now, then it is the next.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub(super) fn claim(&mut self, ending: &str, bytes: &[u8]) -> Result<()> {
        while !write_new(&self.path(ending)?, bytes)? {
            self.counter =
                self.counter.checked_add(1).context("the file names have run out of numbers: use another prefix")?;
        }
        self.standing.push(self.path(ending)?);
        Ok(())
    }

    /// Begins a further file.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub(super) fn begin(&self, ending: &str) -> Result<Aside> {
        let path = self.path(ending)?;
        Aside::of(&path)
            .with_context(|| format!("cannot write {}: check the folder's permissions and space", path.display()))
    }

    /// Gives a file that is whole its name.
    ///
    /// # Errors
    /// If another file has the name now.
    pub(super) fn stand(&mut self, aside: Aside, ending: &str) -> Result<()> {
        let path = self.path(ending)?;
        let stands = aside.stand_new().with_context(|| format!("cannot write {}: check the folder", path.display()))?;
        ensure!(stands, "another run has just saved {}: run this again", path.display());
        self.standing.push(path);
        Ok(())
    }

    /// Announces the files in the order in which they came to stand, and lets them stay.
    pub(super) fn keep(mut self, cx: &mut Cx) {
        std::mem::take(&mut self.standing).into_iter().for_each(|path| cx.saved(path));
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.standing.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}

/// The number of a file `NAME_number…`, if it has letters, a point and something behind the number. Upper and lower case are the same.
fn number(file: &str, name: &str) -> Option<u64> {
    let (file, name) = (file.to_lowercase(), name.to_lowercase());
    let rest = file.strip_prefix(&name)?.strip_prefix('_')?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
    let (digits, rest) = rest.split_at(end);
    // What stands before the point has no digits.
    let point = rest.char_indices().find(|&(at, letter)| letter == '.' && at + 1 < rest.len())?.0;
    let plain = rest[..point].chars().all(|letter| !letter.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_behind_the_name() {
        let of = |file: &str| number(file, "AnimateDiff");
        assert_eq!(of("AnimateDiff_00007.mp4"), Some(7));
        assert_eq!(of("animatediff_00012-audio.webm"), Some(12));
        assert_eq!(of("AnimateDiff_00003.001.png"), Some(3));
        assert_eq!(
            [of("AnimateDiff_x.mp4"), of("AnimateDiff_3"), of("Other_00001.png"), of("AnimateDiff_3_4.png")],
            [None; 4]
        );
    }
}
