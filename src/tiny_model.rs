//! `redraft tiny-model`: the small trained model that the program carries, put where workflows find it.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use redraft_engine::aside::Aside;
use redraft_engine::files;
use redraft_engine::folders::FolderPaths;

use crate::args::Directories;
use crate::directories;
use crate::exit::{Exit, Outcome, Stop};
use crate::out::say;
use crate::substitutes::USUAL;

/// Its name in the folders of models.
const NAME: &str = "redraft-tiny.safetensors";
/// The checkpoint: UNet, text encoder and autoencoder. docs/tiny-model.md says what it can draw.
static CHECKPOINT: &[u8] = include_bytes!("../models/redraft-tiny.safetensors");
/// A drawing style for it, stained glass, and its name.
static LORA: &[u8] = include_bytes!("../models/redraft-tiny-lora.safetensors");
const LORA_NAME: &str = "redraft-tiny-lora.safetensors";
/// A textual inversion for it, turquoise, and its name.
static EMBEDDING: &[u8] = include_bytes!("../models/redraft-tiny-turquoise.safetensors");
const EMBEDDING_NAME: &str = "redraft-tiny-turquoise.safetensors";
/// For which names it stands in.
static SUBSTITUTES: &str = include_str!("../workflows/substitutes.toml");

/// Writes the checkpoint as a checkpoint and as a VAE, its LoRA and its embedding, and the table of what it stands in for. Files that are there already and say the
/// same stay as they are.
pub(crate) fn tiny_model(directories: &Directories) -> Outcome {
    let folders = directories::folders(directories)?;
    let checkpoint = directory(&folders, "checkpoints")?.join(NAME);
    put(&checkpoint, CHECKPOINT)?;
    // A VAE is read from a checkpoint as well as from a file of its own.
    let vae = directory(&folders, "vae")?.join(NAME);
    if vae.exists() || !linked(&checkpoint, &vae) {
        put(&vae, CHECKPOINT)?;
    }
    put(&directory(&folders, "loras")?.join(LORA_NAME), LORA)?;
    put(&directory(&folders, "embeddings")?.join(EMBEDDING_NAME), EMBEDDING)?;
    let base = directories.base_directory.as_deref().unwrap_or(Path::new("."));
    put(&base.join(USUAL), SUBSTITUTES.as_bytes())?;
    Ok(Exit::Done)
}

/// The first folder of a kind.
fn directory<'f>(folders: &'f FolderPaths, kind: &str) -> Outcome<&'f Path> {
    match folders.directories(kind).first() {
        Some(directory) => Ok(directory),
        None => Err(Stop::wrong(format!("there is no folder for {kind}; name one with --models-directory"))),
    }
}

/// Whether a file could be given a second name.
fn linked(file: &Path, name: &Path) -> bool {
    let linked = name.parent().is_none_or(|folder| fs_err::create_dir_all(folder).is_ok())
        && fs_err::hard_link(file, name).is_ok();
    if linked {
        say(name.display());
    }
    linked
}

/// The longest file that is compared with what would be written, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// A new file of these bytes, whole or not at all.
///
/// # Errors
/// If there is one with other content.
fn put(path: &Path, bytes: &[u8]) -> Outcome<()> {
    match files::read(path, MAX_BYTES) {
        Ok(there) if there == bytes => {
            say(format!("{} (is there already)", path.display()));
            return Ok(());
        }
        Ok(_) => {
            let path = path.display();
            return Err(Stop::wrong(format!("{path}: is another file already; rename or remove it")));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Stop::wrong(format!("{}: {error}", path.display()))),
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> anyhow::Result<()> {
        fs_err::create_dir_all(directory)?;
        let mut file = Aside::of(path)?;
        file.write_all(bytes)?;
        anyhow::ensure!(file.stand_new()?, "there is another file of that name now");
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    say(path.display());
    Ok(())
}
