//! Choices that stand for more than one file: pairs of files, and folders that hold a model's parts.

use std::io;
use std::path::{Path, PathBuf};

use crate::digests::{Digest, Lasting, Print};
use crate::folders::{FolderPaths, Gathered};
use crate::schema::Folders;

/// VAEs whose encoder and decoder are files of their own in `vae_approx`, by their names among the choices.
const PAIRS: [&str; 4] = ["taesd", "taesdxl", "taesd3", "taef1"];
/// What a model in the layout of diffusers has in its folder.
pub(crate) const INDEX: &str = "model_index.json";

impl FolderPaths {
    /// Encoder and decoder of a VAE that lies in two files (`taesd`): the first of each in `vae_approx`. Nothing for another name, or if
    /// one of them is missing.
    pub fn pair(&self, name: &str) -> Option<[PathBuf; 2]> {
        if !PAIRS.contains(&name) {
            return None;
        }
        let files = self.list("vae_approx");
        let half = |half: &str| {
            let file = files.iter().find(|file| file.starts_with(&format!("{name}_{half}.")))?;
            self.find("vae_approx", file)
        };
        Some([half("encoder")?, half("decoder")?])
    }

    /// The names of the pairs that are complete, as choices among the files of a kind.
    pub(crate) fn pairs(&self, kind: &str) -> Vec<String> {
        let complete = |name: &&str| kind == "vae" && self.pair(name).is_some();
        PAIRS.into_iter().filter(complete).map(str::to_owned).collect()
    }

    /// The files that a choice among those of a kind stands for, each with what it is called among them: one, the halves of a pair, or
    /// all that lie in a folder. Nothing if the choice is not there.
    fn files_of_choice(&self, kind: &str, name: &str) -> Option<Vec<(String, PathBuf)>> {
        match self.pair(name).filter(|_| kind == "vae") {
            Some(halves) => Some((0..).map(|place: usize| place.to_string()).zip(halves).collect()),
            None => Some(self.files_at(&self.find(kind, name)?)),
        }
    }

    /// The digest of what a choice among the files of a kind stands for.
    pub(crate) fn digest_of_choice(&self, kind: &str, name: &str, settled: bool) -> Option<Print> {
        let files = self.files_of_choice(kind, name)?;
        of_all(&files, |path| self.print(path, settled)).ok()
    }

    /// The digest of the contents of all that a choice stands for, however long it takes to read, and how many bytes these are. Nothing
    /// if the choice is not there.
    ///
    /// # Errors
    /// If a file cannot be read, or changes meanwhile.
    pub fn whole_choice(&self, kind: &str, name: &str) -> Option<io::Result<(Digest, u64)>> {
        let files = self.files_of_choice(kind, name)?;
        let whole = |path: &Path| Ok(Print { digest: self.digests.whole(path)?, lasting: Lasting::Yes });
        let bytes = files.iter().map(|(_, path)| path.metadata().map(|about| about.len())).sum::<io::Result<u64>>();
        Some(bytes.and_then(|bytes| Ok((of_all(&files, whole)?.digest, bytes))))
    }
}

/// One file as it goes by itself, several by their names and by what each goes by.
fn of_all(files: &[(String, PathBuf)], print: impl Fn(&Path) -> io::Result<Print>) -> io::Result<Print> {
    match files {
        [(name, path)] if name.is_empty() => print(path),
        files => {
            let mut all = Gathered::default();
            for (name, path) in files {
                all.add(name, print(path)?);
            }
            Ok(all.print())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_pair_is_a_choice_when_both_halves_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let approx = dir.path().join("models/vae_approx");
        std::fs::create_dir_all(&approx).unwrap();
        let folders = FolderPaths::below(dir.path());
        std::fs::write(approx.join("taesd_decoder.pth"), "d").unwrap();
        assert!(folders.list("vae").is_empty() && folders.find("vae", "taesd").is_none());
        std::fs::write(approx.join("taesd_encoder.safetensors"), "e").unwrap();
        assert_eq!(folders.list("vae"), ["taesd"]);
        assert_eq!(folders.find("vae", "taesd"), Some(approx.join("taesd_decoder.pth")));
        let before = folders.digest_of_choice("vae", "taesd", false).unwrap();
        std::fs::write(approx.join("taesd_encoder.safetensors"), "other").unwrap();
        assert_ne!(folders.digest_of_choice("vae", "taesd", false).unwrap(), before);
        let (whole, bytes) = folders.whole_choice("vae", "taesd").unwrap().unwrap();
        assert_eq!(bytes, 6);
        std::fs::write(approx.join("taesd_encoder.safetensors"), "third").unwrap();
        assert_ne!(folders.whole_choice("vae", "taesd").unwrap().unwrap().0, whole, "of both halves");
    }

    #[test]
    fn a_folder_of_diffusers_is_told_by_its_index() {
        let dir = tempfile::tempdir().unwrap();
        let models = dir.path().join("models/diffusers");
        for name in ["sub/two", "one", "none"] {
            std::fs::create_dir_all(models.join(name)).unwrap();
        }
        for name in ["one", "sub/two"] {
            std::fs::write(models.join(name).join(INDEX), "{}").unwrap();
        }
        let folders = FolderPaths::below(dir.path());
        assert_eq!(folders.list("diffusers"), ["one", "sub/two"]);
        assert_eq!(folders.find("diffusers", "sub/two"), Some(models.join("sub/two")));
        assert!(folders.find("diffusers", "none").is_none() && folders.find("diffusers", "../diffusers/one").is_none());
    }
}
