//! Vocabularies that redraft does not carry, and that files of weights do not hold: the user has them, or the ComfyUI whose base directory
//! is taken.

use std::path::PathBuf;

use anyhow::Result;
use redraft_engine::error::Unsupported;
use redraft_engine::folders::FolderPaths;

/// A file with a vocabulary.
#[derive(Debug)]
pub(crate) struct UsersVocabulary {
    /// Whose it is.
    of: &'static str,
    /// The kind of folders that hold it.
    folder: &'static str,
    /// Its name there.
    file: &'static str,
}

/// Llama 3's.
pub(crate) static LLAMA3: UsersVocabulary =
    UsersVocabulary { of: "Llama 3", folder: "llama_tokenizer", file: "tokenizer.json" };

/// Pile-T5's.
pub(crate) static PILE_T5: UsersVocabulary =
    UsersVocabulary { of: "Pile-T5", folder: "t5_pile_tokenizer", file: "tokenizer.model" };

impl UsersVocabulary {
    /// Where it is.
    ///
    /// # Errors
    /// It is in none of its folders, which says where to put it.
    pub(crate) fn find(&self, folders: &FolderPaths) -> Result<PathBuf> {
        let Self { of, folder, file } = self;
        folders.find(folder, file).ok_or_else(|| {
            let place = folders.directories(folder).first().map(|folder| folder.join(file)).unwrap_or_default();
            let text = format!(
                "{of}'s vocabulary is not there, and redraft does not carry it: put the {file} of {of} at {}, or use the base directory of a \
                 ComfyUI, which has it in comfy/text_encoders/{folder}",
                place.display()
            );
            Unsupported(text).into()
        })
    }
}
