//! Choices that stand for more than one file: pairs of files, and folders that hold a model's parts.

use std::path::PathBuf;

use crate::digests::Print;
use crate::folders::FolderPaths;
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

    /// The digest of what a choice among the files of a kind stands for.
    pub(crate) fn digest_of_choice(&self, kind: &str, name: &str, settled: bool) -> Option<Print> {
        match self.pair(name).filter(|_| kind == "vae") {
            Some(files) => self.digest_of_files(&files, settled).ok(),
            None => self.digest(&self.find(kind, name)?, settled).ok(),
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
    }

    #[test]
    fn a_folder_of_diffusers_is_told_by_its_index() {
        let dir = tempfile::tempdir().unwrap();
        let models = dir.path().join("models/diffusers");
        for name in ["one", "sub/two", "none"] {
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
