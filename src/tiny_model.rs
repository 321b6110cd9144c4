//! `redraft tiny-model`: the small trained model that the program carries, put where workflows find it.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use redraft_engine::aside::Aside;
use redraft_engine::files;
use redraft_engine::folders::FolderPaths;
use safetensors::{SafeTensorError, SafeTensors};

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
/// Its UNet for inpainting alone, and the name of the checkpoint with it.
static INPAINTING: &[u8] = include_bytes!("../models/redraft-tiny-inpainting.safetensors");
const INPAINTING_NAME: &str = "redraft-tiny-inpainting.safetensors";
/// For which names it stands in.
static SUBSTITUTES: &str = include_str!("../workflows/substitutes.toml");

/// Writes the checkpoint as a checkpoint and as a VAE, another for inpainting, its LoRA and its embedding, and the table of what they stand
/// in for. Files that are there already and say the same stay as they are.
pub(crate) fn tiny_model(directories: &Directories) -> Outcome {
    let folders = directories::folders(directories)?;
    let checkpoint = directory(&folders, "checkpoints")?.join(NAME);
    put(&checkpoint, CHECKPOINT)?;
    // A VAE is read from a checkpoint as well as from a file of its own.
    let vae = directory(&folders, "vae")?.join(NAME);
    if vae.exists() || !linked(&checkpoint, &vae) {
        put(&vae, CHECKPOINT)?;
    }
    let inpainting = with_tensors(CHECKPOINT, INPAINTING).map_err(anyhow::Error::from)?;
    put(&directory(&folders, "checkpoints")?.join(INPAINTING_NAME), &inpainting)?;
    put(&directory(&folders, "loras")?.join(LORA_NAME), LORA)?;
    put(&directory(&folders, "embeddings")?.join(EMBEDDING_NAME), EMBEDDING)?;
    let base = directories.base_directory.as_deref().unwrap_or(Path::new("."));
    put(&base.join(USUAL), SUBSTITUTES.as_bytes())?;
    Ok(Exit::Done)
}

/// A safetensors file with those tensors of another in place of its own of the same name, and with what the other says it is.
fn with_tensors(file: &[u8], other: &[u8]) -> Result<Vec<u8>, SafeTensorError> {
    const ABOUT: &str = "about";
    let (_, header) = SafeTensors::read_metadata(other)?;
    let (file, other) = (SafeTensors::deserialize(file)?, SafeTensors::deserialize(other)?);
    let tensors = file.iter().map(|(name, tensor)| (name, other.tensor(name).unwrap_or(tensor)));
    // With more than one text the bytes would not be the same twice: they are written in the order of a hash map.
    let about = header.metadata().as_ref().and_then(|texts| texts.get(ABOUT));
    safetensors::serialize(tensors, about.map(|about| [(ABOUT.to_owned(), about.clone())].into()))
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
